# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Reductions against onnxruntime: axes, dtypes, empty tensors, infinities."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from check import check, ours

from aotgen.core import dtypes
from aotgen.ir.graph import TensorType
from aotgen.ir.index import dim
from aotgen.ops.builder import Builder

OPS = [
    "ReduceSum",
    "ReduceMean",
    "ReduceMax",
    "ReduceMin",
    "ReduceProd",
    "ReduceSumSquare",
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
]
RNG = np.random.default_rng(3)


def data(dtype: str, *shape: int) -> np.ndarray[Any, Any]:
    return (RNG.random(shape) * 2 + 0.25).astype(dtype) if dtype[0] == "f" else RNG.integers(1, 6, shape).astype(dtype)


@pytest.mark.parametrize("axes", [None, [0], [1], [-1], [0, 2], [2, 0, 1], [-2, -1]], ids=str)
@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("op", OPS)
def test_axes(op: str, axes: list[int] | None, keepdims: int) -> None:
    x = data("float32", 2, 3, 4)
    extra = [] if axes is None else [np.array(axes, np.int64)]
    check(op, [x, *extra], {"keepdims": keepdims}, const_inputs=[1])


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "int32", "int64"])
@pytest.mark.parametrize("op", OPS)
def test_dtypes(op: str, dtype: str) -> None:
    x = data(dtype, 3, 5)
    f: Any = {
        "ReduceSum": np.sum,
        "ReduceMean": np.mean,
        "ReduceMax": np.max,
        "ReduceMin": np.min,
        "ReduceProd": np.prod,
        "ReduceSumSquare": lambda v, a: np.sum(v * v, a),
        "ReduceL1": lambda v, a: np.sum(np.abs(v), a),
        "ReduceL2": lambda v, a: np.sqrt(np.sum(v * v, a)),
        "ReduceLogSum": lambda v, a: np.log(np.sum(v, a)),
        "ReduceLogSumExp": lambda v, a: np.log(np.sum(np.exp(v), a)),
    }[op]
    want = f(x.astype(np.float64), 1).astype(dtype)
    check(op, [x, np.array([1])], {"keepdims": 0}, const_inputs=[1], expected=[want])


@pytest.mark.parametrize("dtype", ["int8", "uint8", "bool", "uint32", "uint64"])
@pytest.mark.parametrize("op", ["ReduceMax", "ReduceMin"])
def test_extremes_of_narrow_types(op: str, dtype: str) -> None:
    x = RNG.integers(0, 2 if dtype == "bool" else 100, (3, 4)).astype(dtype)
    check(op, [x, np.array([0])], {}, const_inputs=[1], expected=[getattr(np, op[6:].lower())(x, 0, keepdims=True)])


@pytest.mark.parametrize(
    "op,want",
    [
        ("ReduceSum", 0),
        ("ReduceProd", 1),
        ("ReduceMax", -np.inf),
        ("ReduceMin", np.inf),
        ("ReduceSumSquare", 0),
        ("ReduceL1", 0),
        ("ReduceL2", 0),
        ("ReduceLogSum", -np.inf),
        ("ReduceLogSumExp", -np.inf),
    ],
)
def test_empty(op: str, want: float) -> None:
    y = ours(op, [np.zeros((2, 0, 3), np.float32), np.array([1])], {"keepdims": 0}, const_inputs=[1])[0]
    np.testing.assert_array_equal(y, np.full((2, 3), want, np.float32))


def test_empty_extremes_of_integers() -> None:
    for dtype in ("int8", "uint8", "int32"):
        x, axes = np.zeros((0, 2), dtype), np.array([0])
        assert (ours("ReduceMax", [x, axes], {}, const_inputs=[1])[0] == np.iinfo(dtype).min).all()
        assert (ours("ReduceMin", [x, axes], {}, const_inputs=[1])[0] == np.iinfo(dtype).max).all()


@pytest.mark.parametrize("op", ["ReduceSum", "ReduceSumSquare", "ReduceLogSum", "ReduceL2"])
def test_noop_with_empty_axes(op: str) -> None:
    x = data("float32", 2, 3)
    y = ours(op, [x, np.zeros(0, np.int64)], {"noop_with_empty_axes": 1}, const_inputs=[1])[0]
    want = {"ReduceSum": x, "ReduceSumSquare": x * x, "ReduceLogSum": np.log(x), "ReduceL2": np.abs(x)}[op]
    np.testing.assert_allclose(y, want, rtol=1e-6)


def test_log_sum_exp_with_infinities() -> None:
    inf = np.inf
    x = np.array([[inf, 0], [-inf, -inf], [-inf, 3], [1000, 1000], [np.nan, 0], [inf, -inf]], np.float32)
    y = ours("ReduceLogSumExp", [x, np.array([1])], {"keepdims": 0}, const_inputs=[1])[0]
    np.testing.assert_allclose(y, [inf, -inf, 3, 1000.6931, np.nan, inf], rtol=1e-6)


def test_half_sums_do_not_overflow_on_the_way() -> None:
    x = np.full((1, 4096), 1000, np.float16)
    assert ours("ReduceMean", [x, np.array([1])], {}, const_inputs=[1])[0].item() == 1000


@pytest.mark.parametrize("last", [0, 1])
@pytest.mark.parametrize("op", ["ArgMax", "ArgMin"])
@pytest.mark.parametrize("axis,keepdims", [(0, 1), (1, 0), (-1, 1), (2, 0)])
def test_arg(op: str, last: int, axis: int, keepdims: int) -> None:
    x = RNG.integers(0, 3, (3, 4, 5))
    for dtype in (np.float32, np.int32, np.float16):
        check(
            op,
            [x.astype(dtype)],
            {"axis": axis, "keepdims": keepdims, "select_last_index": last},
            expected=[_arg(op, x, axis, last, bool(keepdims))],
        )


def _arg(op: str, x: np.ndarray[Any, Any], axis: int, last: int, keep: bool) -> np.ndarray[Any, Any]:
    f = getattr(np, op.lower())
    return x.shape[axis] - 1 - f(np.flip(x, axis), axis, keepdims=keep) if last else f(x, axis, keepdims=keep)


def test_open_dims() -> None:
    b = Builder()
    n = dim("N")
    x = b.input("x", TensorType(dtypes.f32, (n, 3, 8)))
    assert b.op("ReduceMean", [x, b.constant(np.array([0]))], keepdims=0).shape == (3, 8)
    assert b.op("ReduceSum", [x, b.constant(np.array([-1]))]).shape == (n, 3, 1)
