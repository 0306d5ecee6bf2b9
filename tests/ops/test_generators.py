# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Shapes, ranges and constants; the shape arithmetic of exporters must come out known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from check import check, ours, run_graph

from aotgen.core import dtypes
from aotgen.core.errors import ModelError
from aotgen.ir.graph import TensorType, Value
from aotgen.ir.index import as_dim, dim
from aotgen.ops.builder import Builder


def i64(*values: int) -> np.ndarray[Any, Any]:
    return np.array(values, np.int64)


@pytest.mark.parametrize(
    "attrs", [{}, {"start": 1}, {"end": -1}, {"start": -2, "end": 3}, {"start": 2, "end": 1}, {"start": -9}]
)
def test_shape(attrs: dict[str, int]) -> None:
    check("Shape", [np.zeros((2, 3, 4), np.float32)], attrs)


def test_shape_of_a_scalar_and_size() -> None:
    check("Shape", [np.zeros((), np.float32)])
    for shape in ((), (2, 3), (4, 0)):
        check("Size", [np.zeros(shape, np.int8)])


@pytest.mark.parametrize("shape", [[2, 3], [0], [], [1, 1, 4]])
@pytest.mark.parametrize(
    "value", [None, np.array([3], np.int32), np.array([2.5], np.float16), np.array([True])], ids=str
)
def test_constant_of_shape(shape: list[int], value: Any) -> None:
    want = np.full(shape, 0 if value is None else value[0], np.float32 if value is None else value.dtype)
    check(
        "ConstantOfShape",
        [np.array(shape, np.int64)],
        {} if value is None else {"value": value},
        const_inputs=[0],
        expected=[want],
    )


@pytest.mark.parametrize("args", [(0, 5, 1), (5, 0, -2), (0, 5, 2), (3, 3, 1), (5, 0, 1), (-4, 9, 3)], ids=str)
@pytest.mark.parametrize("dtype", ["int64", "int32", "float32", "float64"])
@pytest.mark.parametrize("known", [True, False])
def test_range(args: tuple[int, int, int], dtype: str, known: bool) -> None:
    check("Range", [np.array(v, dtype) for v in args], const_inputs=[0, 1, 2] if known else [])


@pytest.mark.parametrize("shape", [(3, 4), (4, 2), (0, 3)])
@pytest.mark.parametrize("attrs", [{}, {"k": 1}, {"k": -2}, {"dtype": 7}, {"dtype": 9}])
def test_eye_like(shape: tuple[int, int], attrs: dict[str, int]) -> None:
    want = np.eye(*shape, attrs.get("k", 0), dtype=dtypes.of(attrs.get("dtype", 1)).numpy)
    check("EyeLike", [np.zeros(shape, np.float32)], attrs, expected=[want])


@pytest.mark.parametrize("axis", [-1, 0, 1])
@pytest.mark.parametrize("kind", ["int64", "int32", "float32"])
def test_one_hot(axis: int, kind: str) -> None:
    at, values = np.array([[0, 2], [-1, 5]], kind), np.array([-1, 3], np.float32)
    hot = np.where(
        np.array([[0, 2], [3, 5]])[..., None] == np.arange(4), values[1], values[0]
    )  # 5 is out of range: all off
    for depth in (np.array(4), np.array([4]), np.array(4, np.float32)):
        check("OneHot", [at, depth, values], {"axis": axis}, const_inputs=[1], expected=[np.moveaxis(hot, -1, axis)])


def test_refusals() -> None:
    assert ours("ConstantOfShape", [i64(2)], {})[0].shape == (2,)
    with pytest.raises(ModelError, match="negative"):
        ours("ConstantOfShape", [i64(-2)], {}, const_inputs=[0])


# -- symbolic folding


class Sheet:
    """A builder over one input of shape [N, 12, M], with short names for shape arithmetic."""

    def __init__(self) -> None:
        self.b = Builder()
        self.n, self.m = dim("N"), dim("M")
        self.x = self.b.input("x", TensorType(dtypes.f32, (self.n, 12, self.m)))
        self.shape = self.b.op("Shape", [self.x])

    def c(self, *values: int) -> Value:
        return self.b.constant(i64(*values))

    def dims(self, v: Value) -> list[Any]:
        known = self.b.known(v)
        assert known is not None, f"{v} did not fold"
        return list(known.dims) if known.dims is not None else known.load().ravel().tolist()

    def one(self, k: int) -> Value:
        v: Value = self.b.op("Gather", [self.shape, self.b.constant(np.array(k))])
        return v


def test_arithmetic_on_dims_folds() -> None:
    s = Sheet()
    b, n, m = s.b, s.n, s.m
    assert s.dims(s.shape) == [n, 12, m]
    two = b.constant(np.array(2))
    assert s.dims(b.op("Mul", [s.one(0), s.one(2)])) == [n * m]
    assert s.dims(b.op("Add", [s.one(0), two])) == [n + 2]
    assert s.dims(b.op("Sub", [s.one(-1), two])) == [m - 2]
    assert s.dims(b.op("Div", [s.one(0), two])) == [n // 2]
    assert s.dims(b.op("Cast", [b.op("Cast", [s.one(0)], to=dtypes.i32.onnx)], to=dtypes.i64.onnx)) == [n]
    assert s.dims(b.op("ReduceProd", [s.shape], keepdims=0)) == [12 * n * m]
    assert s.dims(b.op("Max", [s.one(0), b.constant(np.array(1))])) == [n]
    assert s.dims(b.op("Min", [s.one(0), b.constant(np.array(0))])) == [0]
    assert s.dims(b.op("Slice", [s.shape, s.c(-1), s.c(99), s.c(0)])) == [m]
    assert s.dims(b.op("Slice", [s.shape, s.c(-1), s.c(-99), s.c(0), s.c(-1)])) == [m, 12, n]
    assert s.dims(b.op("Reshape", [s.shape, s.c(3, 1)])) == [n, 12, m]
    assert s.dims(b.op("Squeeze", [b.op("Unsqueeze", [s.one(2), s.c(0)]), s.c(0)])) == [m]
    assert b.nodes == []


def test_expand_with_minus_one() -> None:
    """torch.expand: Where(Equal(shape, ConstantOfShape(-1)), ones, shape) feeds Expand."""
    s = Sheet()
    b = s.b
    wanted = b.op(
        "Concat", [b.op("Unsqueeze", [s.one(0), s.c(0)]), s.c(-1), b.op("Unsqueeze", [s.one(2), s.c(0)])], axis=0
    )
    minus = b.op("Mul", [b.op("ConstantOfShape", [b.op("Shape", [wanted])], value=i64(1)), s.c(-1)])
    shape = b.op("Where", [b.op("Equal", [wanted, minus]), b.op("ConstantOfShape", [s.c(3)], value=i64(1)), wanted])
    assert s.dims(shape) == [s.n, 1, s.m]
    y = b.op("Expand", [b.input("row", TensorType(dtypes.f32, (12, 1))), shape])
    assert y.shape == (s.n, 12, s.m)
    assert b.op("Expand", [b.constant(np.zeros(1, np.float32)), s.shape]).shape == (s.n, 12, s.m)


def test_range_over_an_open_dim() -> None:
    s = Sheet()
    b = s.b
    y = b.op("Range", [b.constant(np.array(0)), s.one(2), b.constant(np.array(1))])
    z = b.op("Range", [s.one(0), b.op("Add", [s.one(0), s.one(2)]), b.constant(np.array(2))])
    assert y.shape == (s.m,) and z.shape == (as_dim((s.m + 1) // 2),)
    mask = b.op("Less", [b.op("Unsqueeze", [y, s.c(0)]), b.op("Unsqueeze", [y, s.c(1)])])
    assert mask.shape == (s.m, s.m)
    x = np.zeros((2, 12, 5), np.float32)
    a, c = run_graph(b.graph([y, z]), {s.x: x})
    assert a.tolist() == [0, 1, 2, 3, 4] and c.tolist() == [2, 4, 6]


def test_constant_of_open_shape() -> None:
    s = Sheet()
    y = s.b.op("ConstantOfShape", [s.shape], value=np.array([1.5], np.float32))
    assert y.shape == (s.n, 12, s.m)
    (got,) = run_graph(s.b.graph([y]), {s.x: np.zeros((2, 12, 3), np.float32)})
    assert got.shape == (2, 12, 3) and (got == 1.5).all()


def test_data_does_not_fold() -> None:
    b = Builder()
    v = b.input("v", TensorType(dtypes.i64, (2,)))
    assert b.known(b.op("Add", [v, b.constant(i64(1, 1))])) is None
