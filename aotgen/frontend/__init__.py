# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Floor 3: a model becomes a Graph."""

from __future__ import annotations

from pathlib import Path

import onnx

from aotgen.core.options import CompileOptions
from aotgen.frontend.import_ import import_model
from aotgen.frontend.load import read
from aotgen.frontend.report import Report, inspect
from aotgen.ir.graph import Graph

__all__ = ["Report", "inspect", "load_graph"]


def load_graph(model: str | Path | onnx.ModelProto, options: CompileOptions | None = None) -> Graph:
    """The Graph of an ONNX model: typed, at the newest operator versions, constants lazy.

    Raises ModelError or UnsupportedError naming the node; UsageError when a dim has no value or a flag makes no sense.
    """
    return import_model(read(model), options or CompileOptions())
