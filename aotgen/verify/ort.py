# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""onnxruntime, imported only when something is compared with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from aotgen.core.errors import UsageError

Array = NDArray[Any]


def require() -> Any:
    """The module. Raises UsageError saying how to get it."""
    try:
        import onnxruntime
    except ImportError as e:
        raise UsageError(f"onnxruntime is needed to compare with and cannot be imported ({e})",
                         hint="pip install 'aotgen[verify]', or --no-ort to compare with the float64 run only") from None
    return onnxruntime


def session(model: str | Path | onnx.ModelProto, threads: int = 1, optimise: bool = True) -> Any:
    """An inference session on the CPU that says nothing on stderr. Raises what onnxruntime raises."""
    ort = require()
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4
    level = ort.GraphOptimizationLevel
    options.graph_optimization_level = level.ORT_ENABLE_ALL if optimise else level.ORT_DISABLE_ALL
    source = model.SerializeToString() if isinstance(model, onnx.ModelProto) else str(model)
    return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])


def run(model: str | Path | onnx.ModelProto, feeds: Mapping[str, Array], optimise: bool = True) -> dict[str, Array]:
    """Outputs by name, on one thread, bfloat16 and its kin as their ml_dtypes, the maps of a ZipMap as its scores ``[N,
    classes]``. Raises what onnxruntime raises."""
    made = session(model, optimise=optimise)
    names = [o.name for o in made.get_outputs()]
    wanted = {i.name for i in made.get_inputs()}
    values = made.run(names, {k: a for k, a in feeds.items() if k in wanted})
    labels = _labels(model) if any(isinstance(v, list) for v in values) else {}
    return {k: np.array([[row[key] for key in labels[k]] for row in v], np.float32) if k in labels else np.asarray(v)
            for k, v in zip(names, values, strict=True)}


def _labels(model: str | Path | onnx.ModelProto) -> dict[str, Sequence[Any]]:
    """The keys of every ZipMap in the order of its columns, by its output's name."""
    proto = model if isinstance(model, onnx.ModelProto) else onnx.load(str(model), load_external_data=False)
    out: dict[str, Sequence[Any]] = {}
    for node in proto.graph.node:
        for a in node.attribute if node.op_type == "ZipMap" else ():
            out[node.output[0]] = [s.decode() for s in a.strings] or list(a.ints)
    return out
