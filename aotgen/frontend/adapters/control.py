# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Scan before opset 9, which had a batch axis and optional sequence lengths."""

from __future__ import annotations

import numpy as np

from aotgen.frontend.opset import Draft, Results, adapter
from aotgen.ir.graph import Value
from aotgen.ops.builder import Builder


@adapter("Scan", to=9)
def scan_batch(n: Draft, b: Builder) -> None:
    """Opset 8: input 0 held sequence lengths, every other operand had a leading batch axis. A batch of one is the newer
    Scan with that axis removed."""
    if n.given(0):
        raise n.refuse("Scan of opset 8 with sequence_lens is not supported", "export the model for opset 9 or newer")
    operands = n.inputs[1:]
    if any(v is not None and (not v.shape or v.shape[0] != 1) for v in operands):
        raise n.refuse("Scan of opset 8 is supported for a batch of one", "fix the batch with --dim, or export for opset 9")
    zero = b.constant(np.zeros(1, np.int64))
    n.inputs = [None if v is None else b.op("Squeeze", [v, zero]) for v in operands]
    if "directions" in n.attrs:
        n.attrs["scan_input_directions"] = n.attrs.pop("directions")

    def finish(results: Results) -> Results:
        def restore(v: Value | None) -> Value | None:
            return None if v is None else b.op("Unsqueeze", [v, zero])

        return tuple(map(restore, results))

    n.finish = finish
