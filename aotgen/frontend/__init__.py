# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Floor 3: a model becomes a Graph."""

from __future__ import annotations

from pathlib import Path

import onnx

from aotgen.core.options import CompileOptions
from aotgen.frontend.dims import tightened
from aotgen.frontend.import_ import import_model
from aotgen.frontend.load import read
from aotgen.frontend.report import Report, inspect
from aotgen.ir import facts
from aotgen.ir.graph import Graph

__all__ = ["Report", "inspect", "load_graph"]


def load_graph(model: str | Path | onnx.ModelProto, options: CompileOptions | None = None) -> Graph:
    """The Graph of an ONNX model: typed, at the newest operator versions, constants lazy.

    Where reading shows that an open dim cannot be as large as it was opened (a causal mask of 1024 rows that is cut to the
    sequence bounds it), the model is read again with what it can be.

    Raises ModelError or UnsupportedError naming the node; UsageError when a dim has no value or a flag makes no sense.
    """
    source, options = read(model), options or CompileOptions()
    while True:
        with facts.assuming() as assumed:
            graph = import_model(source, options)
        tighter = tightened(options, {d: n for d, n in facts.limits(assumed).items() if d in graph.dims()})
        if tighter is options:
            return graph
        options = tighter
