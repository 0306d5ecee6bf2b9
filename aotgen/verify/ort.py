# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""onnxruntime, imported only when something is compared with it."""

from __future__ import annotations

from collections.abc import Mapping
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
    """Outputs by name, on one thread, bfloat16 and its kin as their ml_dtypes. Raises what onnxruntime raises."""
    made = session(model, optimise=optimise)
    names = [o.name for o in made.get_outputs()]
    wanted = {i.name for i in made.get_inputs()}
    values = made.run(names, {k: a for k, a in feeds.items() if k in wanted})
    return {k: np.asarray(v) for k, v in zip(names, values, strict=True)}
