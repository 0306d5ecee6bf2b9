# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The order of the passes, with a reason for each."""

from __future__ import annotations

from aotgen.core.options import CompileOptions
from aotgen.ir.graph import Graph
from aotgen.passes import manager
from aotgen.passes.manager import Hooks

PIPELINE: tuple[str, ...] = (
    "eliminate_noops",  # Identity, Dropout and trivial reshapes hide every pattern below
    "widen_halves",  # before weights fold: what is 16 bits in the file is float32 in a kernel's panels
    "dce",  # the roundings nobody reads
    "fold_constants",  # weights that are computed (transposed, cast, dequantised) become weights
    "cse",  # exporters repeat shape arithmetic and constants; equal operands make patterns match
    "sink_transposes",  # before folding into Conv: NHWC exports put transposes between Conv and its bias
    "eliminate_noops",  # what cancelling left behind
    "fold_pad",  # Pad into Conv and pools, so that the Conv is adjacent to what follows
    "fold_batchnorm",  # BatchNorm and per-channel Mul and Add into weights and bias
    "recognise_attention",  # after folding: the scale may have been merged into a weight
    "fold_constants",  # permuted and merged operands
    "cse",  # folds made equal constants
    "dce",  # last: drop what nobody reads
)


def optimise(graph: Graph, options: CompileOptions | None = None, hooks: Hooks | None = None) -> Graph:
    """``graph`` after ``options.passes``, by default ``PIPELINE``."""
    names = PIPELINE if options is None or options.passes is None else options.passes
    return manager.run(graph, names, hooks)
