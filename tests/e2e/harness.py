# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Small models end to end: compile, load, compare with onnxruntime."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import parser

import aotgen
from aotgen.api import Model

Arrays = dict[str, np.ndarray]
ROOT = Path(__file__).resolve().parents[2]
REAL = ROOT.parent / "shared" / "models"
HEADER = '<ir_version: 8, opset_import: ["" : 17]>\n'
TOLERANCE = 2e-5  # of an output's largest magnitude: these networks are shallow


def real(name: str) -> Path:
    """The folder of a real model; skips the test where the collection is absent."""
    folder = REAL / name
    if not (folder / "model.onnx").exists():
        pytest.skip(f"../shared/models/{name} is not here")
    return folder


def parsed(text: str) -> onnx.ModelProto:
    """A model in ONNX text, the header left out."""
    return parser.parse_model(HEADER + text)


def literal(name: str, array: np.ndarray) -> str:
    """``array`` as an initialiser in ONNX text."""
    kind = {"float32": "float", "int8": "int8", "uint8": "uint8", "int64": "int64"}[str(array.dtype)]
    shape = ",".join(map(str, array.shape))
    return f"{kind}[{shape}] {name} = {{{','.join(repr(v.item()) for v in array.ravel())}}}"


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def expected(model: onnx.ModelProto | Path, inputs: Mapping[str, np.ndarray]) -> Arrays:
    """What onnxruntime computes, its own fusions off."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    source = str(model) if isinstance(model, Path) else model.SerializeToString()
    session = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(None, dict(inputs)), strict=True))


def compare(got: Mapping[str, np.ndarray], want: Mapping[str, np.ndarray], tolerance: float = TOLERANCE) -> None:
    """Equal shapes and dtypes; floats within ``tolerance`` of the largest magnitude, all else exactly."""
    assert got.keys() == want.keys()
    for name, reference in want.items():
        value = got[name]
        assert (value.shape, value.dtype) == (reference.shape, reference.dtype), name
        if reference.size and reference.dtype.kind == "f":
            scale = max(float(np.abs(reference).max()), 1e-30)
            assert float(np.abs(value - reference).max()) <= tolerance * scale, name
        else:
            np.testing.assert_array_equal(value, reference, name)


def check(
    model: onnx.ModelProto | Path,
    feeds: Sequence[Mapping[str, np.ndarray]],
    out: Path,
    *,
    tolerance: float = TOLERANCE,
    **options: Any,
) -> Model:
    """Compile once, run every feed with one and two threads, compare with onnxruntime."""
    loaded = aotgen.compile(model, out / "libm", **options).load()
    for inputs in feeds:
        want = expected(model, inputs)
        for threads in (1, 2):
            compare(loaded(inputs, threads=threads), want, tolerance)
    return loaded
