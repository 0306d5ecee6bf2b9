# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Old operator versions mean here what they mean to onnxruntime (or, where it no longer runs them, what the text says)."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import onnx
import pytest

from aotgen.core.errors import UnsupportedError
from aotgen.frontend import load_graph
from aotgen.frontend.opset import TABLE, has_adapter
from aotgen.ops.interp import run_graph

from .models import feeds_of, single

ort = pytest.importorskip("onnxruntime")
ort.set_default_logger_severity(4)
RNG = np.random.default_rng(5)


def f32(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


X = f32(2, 3, 4, 5)
F = np.float32
I64 = np.int64

# name, operator, opset, inputs, output types, constants, attributes
CASES: list[tuple[str, str, int, list[Any], list[Any], dict[int, Any], dict[str, Any]]] = [
    ("add suffix", "Add", 6, [X, f32(4, 5)], [(F, X.shape)], {}, {"broadcast": 1}),
    ("add axis", "Add", 6, [X, f32(3)], [(F, X.shape)], {}, {"broadcast": 1, "axis": 1}),
    ("mul axis 2", "Mul", 6, [X, f32(3, 4)], [(F, X.shape)], {}, {"broadcast": 1, "axis": 1}),
    ("and", "And", 6, [X > 0, X[0, 0] > 0], [(bool, X.shape)], {}, {"broadcast": 1}),
    ("pow", "Pow", 6, [np.abs(X), f32(5)], [(F, X.shape)], {}, {"broadcast": 1}),
    ("prelu", "PRelu", 6, [X, f32(3)], [(F, X.shape)], {}, {}),
    ("prelu shared", "PRelu", 6, [X, f32(1)], [(F, X.shape)], {}, {}),
    ("clip", "Clip", 6, [X], [(F, X.shape)], {}, {"min": -0.5, "max": 0.25}),
    ("clip low", "Clip", 6, [X], [(F, X.shape)], {}, {"min": 0.0}),
    ("dropout", "Dropout", 7, [X], [(F, X.shape)], {}, {"ratio": 0.3}),
    ("gemm", "Gemm", 6, [f32(3, 4), f32(4, 5), f32(5)], [(F, (3, 5))], {}, {"broadcast": 1, "alpha": 0.5}),
    ("squeeze", "Squeeze", 11, [f32(1, 3, 1)], [(F, (3, 1))], {}, {"axes": [0]}),
    ("unsqueeze", "Unsqueeze", 11, [f32(3)], [(F, (1, 3, 1))], {}, {"axes": [0, 2]}),
    ("sum", "ReduceSum", 11, [X], [(F, (2, 1, 4, 1))], {}, {"axes": [1, -1]}),
    ("mean", "ReduceMean", 13, [X], [(F, (2, 5))], {}, {"axes": [1, 2], "keepdims": 0}),
    ("max all", "ReduceMax", 11, [X], [(F, ())], {}, {"keepdims": 0}),
    ("split", "Split", 11, [X], [(F, (2, 3, 1, 5)), (F, (2, 3, 3, 5))], {}, {"axis": 2, "split": [1, 3]}),
    ("split even", "Split", 13, [X], [(F, (2, 3, 2, 5)), (F, (2, 3, 2, 5))], {}, {"axis": 2}),
    ("slice", "Slice", 9, [X], [(F, (2, 2, 4, 4))], {}, {"starts": [1, 0], "ends": [9, -1], "axes": [1, 3]}),
    ("pad 2", "Pad", 2, [X], [(F, (2, 3, 7, 6))], {}, {"pads": [0, 0, 1, 0, 0, 0, 2, 1], "value": 1.5}),
    ("pad edge", "Pad", 10, [X], [(F, (2, 3, 5, 5))], {}, {"pads": [0, 0, 1, 0, 0, 0, 0, 0], "mode": "edge"}),
    ("topk 1", "TopK", 9, [X], [(F, (2, 3, 4, 2)), (I64, (2, 3, 4, 2))], {}, {"k": 2}),
    ("topk 10", "TopK", 10, [X], [(F, (2, 2, 4, 5)), (I64, (2, 2, 4, 5))], {1: np.array([2])}, {"axis": 1}),
    ("scatter", "Scatter", 10, [X, np.zeros((1, 3, 4, 5), I64), f32(1, 3, 4, 5)], [(F, X.shape)], {}, {"axis": 0}),
    ("softmax flatten", "Softmax", 11, [X], [(F, X.shape)], {}, {"axis": 2}),
    ("softmax default", "Softmax", 9, [X], [(F, X.shape)], {}, {}),
    ("softmax last", "LogSoftmax", 11, [X], [(F, X.shape)], {}, {"axis": 3}),
    ("softmax ones", "Softmax", 11, [X[:, :, :1, :1]], [(F, (2, 3, 1, 1))], {}, {"axis": 1}),
    ("hardmax", "Hardmax", 11, [X], [(F, X.shape)], {}, {"axis": 1}),
    ("batchnorm 7", "BatchNormalization", 7, [X, f32(3), f32(3), f32(3), np.abs(f32(3))], [(F, X.shape)], {}, {"epsilon": 1e-3}),
    ("upsample 7", "Upsample", 7, [X], [(F, (2, 3, 8, 15))], {}, {"scales": [1.0, 1.0, 2.0, 3.0]}),
    ("upsample 9", "Upsample", 9, [X], [(F, (2, 3, 8, 10))], {1: np.array([1, 1, 2, 2], F)}, {"mode": "linear"}),
    ("resize 10", "Resize", 10, [X], [(F, (2, 3, 8, 10))], {1: np.array([1, 1, 2, 2], F)}, {"mode": "linear"}),
    ("resize 10 down", "Resize", 10, [X], [(F, (2, 3, 2, 2))], {1: np.array([1, 1, 0.6, 0.5], F)}, {"mode": "nearest"}),
    ("resize 11", "Resize", 11, [X, np.zeros(0, F)], [(F, (2, 3, 8, 10))], {1: np.zeros(0, F), 2: np.array([1, 1, 2, 2], F)}, {"mode": "nearest"}),
    ("dequantise", "DequantizeLinear", 10, [np.arange(6, dtype=np.uint8).reshape(2, 3)], [(F, (2, 3))],
     {1: np.array(0.5, F), 2: np.array(3, np.uint8)}, {}),
    ("roi align", "RoiAlign", 10, [f32(1, 2, 8, 8), np.array([[0, 0, 5, 5]], F), np.array([0])], [(F, (1, 2, 2, 2))], {},
     {"output_height": 2, "output_width": 2, "sampling_ratio": 2}),
    ("cast", "Cast", 9, [X], [(np.int32, X.shape)], {}, {"to": 6}),
    ("image scaler", "ImageScaler", 6, [X], [(F, X.shape)], {}, {"scale": 0.5, "bias": [1.0, 2.0, 3.0]}),
    ("affine", "Affine", 6, [X], [(F, X.shape)], {}, {"alpha": 0.5, "beta": 2.0}),
    ("scale", "Scale", 1, [X], [(F, X.shape)], {}, {"scale": 0.5}),
    ("dynamic slice", "DynamicSlice", 1, [X], [(F, (2, 2, 4, 5))], {1: np.array([1]), 2: np.array([3]), 3: np.array([1])}, {}),
    ("layer norm, other types", "LayerNormalization", 12, [X.astype(np.float16)], [(F, X.shape)], {1: f32(5), 2: f32(5)}, {}),
    ("crop", "Crop", 6, [X], [(F, (2, 3, 2, 3))], {}, {"border": [1, 1, 1, 1]}),
    ("scaled tanh", "ScaledTanh", 6, [X], [(F, X.shape)], {}, {"alpha": 0.5, "beta": 2.0}),
    ("parametric softplus", "ParametricSoftplus", 6, [X], [(F, X.shape)], {}, {"alpha": 0.5, "beta": 2.0}),
]


# onnxruntime runs nothing of these before opset 7.
MEANING: dict[str, Any] = {
    "add suffix": lambda x, b: x + b, "add axis": lambda x, b: x + b[:, None, None], "mul axis 2": lambda x, b: x * b[:, :, None],
    "and": lambda x, b: x & b, "pow": lambda x, b: x**b, "prelu": lambda x, s: np.where(x > 0, x, x * s[:, None, None]),
    "prelu shared": lambda x, s: np.where(x > 0, x, x * s), "gemm": lambda a, b, c: F(0.5) * (a @ b) + c}


@pytest.mark.parametrize("case", [c for c in CASES if c[0] in MEANING], ids=[c[0] for c in CASES if c[0] in MEANING])
def test_explicit_broadcast(case: Any) -> None:
    name, op, opset, inputs, outputs, constants, attrs = case
    got = run_graph(load_graph(single(op, opset, inputs, outputs, constants, **attrs)), feeds_of(inputs))
    np.testing.assert_allclose(got["y0"], MEANING[name](*inputs), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", [c for c in CASES if c[0] not in MEANING], ids=[c[0] for c in CASES if c[0] not in MEANING])
def test_agrees_with_onnxruntime(case: Any) -> None:
    _, op, opset, inputs, outputs, constants, attrs = case
    model = single(op, opset, inputs, outputs, constants, **attrs)
    feeds = feeds_of(inputs, constants)
    try:
        want = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feeds)
    except Exception as e:
        pytest.skip(f"onnxruntime does not run it: {str(e)[:80]}")
    got = run_graph(load_graph(model), feeds)
    for k, w in enumerate(want):
        assert got[f"y{k}"].dtype == w.dtype
        np.testing.assert_allclose(got[f"y{k}"], w, rtol=2e-6, atol=1e-6)


# What onnxruntime no longer runs, stated in NumPy.
BY_HAND: list[tuple[str, str, int, list[Any], dict[int, Any], dict[str, Any], np.ndarray]] = [
    ("concat default axis", "Concat", 3, [X, X], {}, {}, np.concatenate([X, X], 1)),
    ("reshape attribute", "Reshape", 4, [X], {}, {"shape": [6, -1]}, X.reshape(6, 20)),
    ("cast name", "Cast", 5, [X], {}, {"to": "INT32"}, X.astype(np.int32)),
    ("tile one axis", "Tile", 5, [X], {1: np.array([2], F), 2: np.array([1], F)}, {}, np.tile(X, (1, 2, 1, 1))),
    ("pad names", "Pad", 1, [X], {}, {"paddings": [0, 0, 1, 0, 0, 0, 0, 2]}, np.pad(X, [(0, 0), (0, 0), (1, 0), (0, 2)])),
    ("in-place hint", "Relu", 5, [X], {}, {"consumed_inputs": [0]}, np.maximum(X, 0)),
    ("batchnorm per element", "BatchNormalization", 7, [X], {k: a for k, a in enumerate(
        [np.full((3, 4, 5), v, F) for v in (2, 1, 0.5, 4)], 1)}, {"spatial": 0, "epsilon": 0.0}, (X - F(0.5)) / F(2) * F(2) + F(1)),
    ("group norm per group", "GroupNormalization", 18, [X[:, :2]], {1: np.array([2, 3], F), 2: np.array([0, 1], F)},
     {"num_groups": 2, "epsilon": 0.0}, (X[:, :2] - X[:, :2].mean((2, 3), keepdims=True)) / X[:, :2].std((2, 3), keepdims=True)
     * np.array([2, 3], F)[:, None, None] + np.array([0, 1], F)[:, None, None]),
]


@pytest.mark.parametrize("case", BY_HAND, ids=[c[0] for c in BY_HAND])
def test_agrees_with_the_text(case: Any) -> None:
    _, op, opset, inputs, constants, attrs, want = case
    got = run_graph(load_graph(single(op, opset, inputs, [(want.dtype.type, want.shape)], constants, **attrs)), feeds_of(inputs))
    assert got["y0"].dtype == want.dtype
    np.testing.assert_allclose(got["y0"], want, rtol=1e-5, atol=1e-5)


def test_recurrent_of_opset_6() -> None:
    x, w, r = f32(3, 1, 2), f32(1, 4, 2), f32(1, 4, 4)
    model = single("RNN", 6, [x, w, r], [(F, (3, 1, 1, 4))], hidden_size=4, output_sequence=1)
    h, rows = np.zeros((1, 4), F), []
    for step in x:
        h = np.tanh(step @ w[0].T + h @ r[0].T)
        rows.append(h)
    np.testing.assert_allclose(run_graph(load_graph(model), feeds_of([x, w, r]))["y0"], np.stack(rows)[:, None], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("batch", [1, 3])
def test_scan_of_opset_8(batch: int) -> None:
    body = onnx.parser.parse_graph("b (float[2] s, float[2] x) => (float[2] t, float[2] o) { t = Add(s, x) o = Identity(t) }")
    x, s0 = f32(batch, 3, 2), np.zeros((batch, 2), F)
    outputs = [(F, s0.shape), (F, x.shape)]
    got = run_graph(load_graph(single("Scan", 8, ["", s0, x], outputs, body=body, num_scan_inputs=1)), {"x1": s0, "x2": x})
    np.testing.assert_allclose(got["y0"], x.sum(1), rtol=1e-6)
    np.testing.assert_allclose(got["y1"], np.cumsum(x, 1), rtol=1e-6)
    back = run_graph(load_graph(single("Scan", 8, ["", s0, x], outputs, body=body, num_scan_inputs=1, directions=[1])),
                     {"x1": s0, "x2": x})
    np.testing.assert_allclose(back["y1"], np.cumsum(x[:, ::-1], 1), rtol=1e-6)
    with pytest.raises(UnsupportedError, match="sequence_lens"):
        load_graph(single("Scan", 8, [np.full(batch, 3), s0, x], outputs, body=body, num_scan_inputs=1))


def test_agrees_with_the_version_converter() -> None:
    """Where the package converts a model to the newest version, both readings give the same numbers."""
    compared = 0
    for _, op, opset, inputs, outputs, constants, attrs in CASES:
        if op in ("Hardmax", "Upsample", "Resize"):
            continue  # converted without flattening, and to another sampling grid; onnxruntime agrees with us above
        model = single(op, opset, inputs, outputs, constants, **attrs)
        try:
            newer = onnx.version_converter.convert_version(model, 21)
            feeds = feeds_of(inputs, constants)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                theirs = run_graph(load_graph(newer), feeds)
        except Exception:  # the converter lacks an adapter: the reason why the table exists
            continue
        ours = run_graph(load_graph(model), feeds)
        np.testing.assert_allclose(ours["y0"], theirs["y0"], rtol=1e-6, atol=1e-7, err_msg=op)
        compared += 1
    assert compared >= 15


def test_rows_name_real_changes() -> None:
    """Each row of the table is for a version some schema has (or for every node)."""
    assert has_adapter("Clip", "")
    versions: dict[tuple[str, str], set[int]] = {}
    for schema in onnx.defs.get_all_schemas_with_history():
        versions.setdefault((schema.domain, schema.name), set()).add(schema.since_version)
    for key, rows in TABLE.items():
        for to, _ in rows:
            assert to == 10_000 or to in versions[key], f"{key} has no version {to}"
