# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Gathers, scatters and selections against onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from check import check, ours

from aotgen.core import dtypes
from aotgen.core.errors import ModelError
from aotgen.ir.graph import TensorType
from aotgen.ir.index import dim
from aotgen.ops.builder import Builder

RNG = np.random.default_rng(5)
DTYPES = ["float32", "float16", "int64", "int8", "uint8", "bool", "float64"]


def data(dtype: str, *shape: int) -> np.ndarray[Any, Any]:
    return RNG.integers(0, 2 if dtype == "bool" else 50, shape).astype(dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize(
    "axis,indices", [(0, [0, 2, -1]), (1, [[1, -4], [3, 0]]), (-1, 2), (2, [-1]), (0, [])], ids=str
)
def test_gather(axis: int, indices: Any, known: bool, dtype: str) -> None:
    for kind in (np.int64, np.int32):
        check(
            "Gather", [data(dtype, 3, 4, 5), np.array(indices, kind)], {"axis": axis}, const_inputs=[1] if known else []
        )


def test_gather_checks_known_indices_and_clamps_others() -> None:
    x = data("float32", 3)
    with pytest.raises(ModelError, match="out of range"):
        ours("Gather", [x, np.array(3)], {}, const_inputs=[1])
    assert ours("Gather", [x, np.array([99, -99])], {})[0].tolist() == [x[2], x[0]]


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_gather_elements(axis: int) -> None:
    check("GatherElements", [data("float32", 3, 4), RNG.integers(-3, 3, (3, 2) if axis else (2, 4))], {"axis": axis})


@pytest.mark.parametrize(
    "batch,shape,indices",
    [
        (0, (3, 4, 5), (2, 2)),
        (0, (3, 4), (5, 2)),
        (0, (3, 4), (2, 3, 1)),
        (1, (2, 4, 5), (2, 3, 1)),
        (1, (2, 4, 5), (2, 2)),
        (2, (2, 3, 4), (2, 3, 1)),
    ],
)
def test_gather_nd(batch: int, shape: tuple[int, ...], indices: tuple[int, ...]) -> None:
    check("GatherND", [data("float32", *shape), RNG.integers(-2, 2, indices)], {"batch_dims": batch})


@pytest.mark.parametrize("reduction", ["none", "add", "mul", "max", "min"])
@pytest.mark.parametrize("dtype", ["float32", "int64", "float64", "int32"])
@pytest.mark.parametrize("axis", [0, -1])
def test_scatter_elements(axis: int, dtype: str, reduction: str) -> None:
    at = RNG.permutation(4)[:3].reshape(3, 1) if axis == 0 else np.stack([RNG.permutation(5)[:2] - 2 for _ in range(3)])
    if reduction != "none":
        at = RNG.integers(-4, 4, (3, 2))  # duplicates accumulate
    x, updates = data(dtype, 4, 5), data(dtype, *at.shape)
    check("ScatterElements", [x, at, updates], {"axis": axis, "reduction": reduction})


@pytest.mark.parametrize("reduction", ["none", "add", "mul", "max", "min"])
@pytest.mark.parametrize(
    "indices,updates",
    [
        ([[0], [2]], (2, 3, 4)),
        ([[1, 2], [0, -1], [3, 0]], (3, 4)),
        ([[[1, 2, 3]]], (1, 1)),
        (np.zeros((0, 1)), (0, 3, 4)),
    ],
    ids=str,
)
def test_scatter_nd(indices: Any, updates: tuple[int, ...], reduction: str) -> None:
    check(
        "ScatterND",
        [data("float32", 4, 3, 4), np.array(indices, np.int64), data("float32", *updates)],
        {"reduction": reduction},
    )


def test_scatter_sets_in_order_and_clamps() -> None:
    x = np.zeros(3, np.float32)
    y = ours("ScatterElements", [x, np.array([1, 1, 50]), np.array([1, 2, 3], np.float32)], {})[0]
    assert y.tolist() == [0, 2, 3]


@pytest.mark.parametrize("dtype", ["float32", "int64", "uint8", "float16"])
@pytest.mark.parametrize("largest", [0, 1])
@pytest.mark.parametrize("axis,k", [(0, 2), (-1, 5), (1, 1), (1, 0)])
def test_top_k(axis: int, k: int, largest: int, dtype: str) -> None:
    x = data(dtype, 3, 5)
    want = np.argsort(-x.astype(float) if largest else x.astype(float), axis, kind="stable").take(np.arange(k), axis)
    check(
        "TopK",
        [x, np.array([k])],
        {"axis": axis, "largest": largest},
        2,
        const_inputs=[1],
        expected=[np.take_along_axis(x, want, axis), want],
    )


def test_top_k_refuses_too_many() -> None:
    with pytest.raises(ModelError):
        ours("TopK", [data("float32", 3), np.array([4])], {}, 2, const_inputs=[1])


@pytest.mark.parametrize("dtype", DTYPES)
def test_non_zero(dtype: str) -> None:
    x = data(dtype, 3, 4) * RNG.integers(0, 2, (3, 4)).astype(dtype)
    check("NonZero", [x])
    check("NonZero", [np.zeros((2, 3), dtype)])


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("axis", [None, 0, 1, -1])
def test_compress(axis: int | None, known: bool) -> None:
    keep = np.array([True, False, True])
    check(
        "Compress",
        [data("float32", 3, 4), keep],
        {} if axis is None else {"axis": axis},
        const_inputs=[1] if known else [],
    )


def test_open_dims() -> None:
    b, n = Builder(), dim("N")
    x = b.input("x", TensorType(dtypes.f32, (n, 3)))
    rows = b.input("rows", TensorType(dtypes.i64, (n, 2)))
    assert b.op("Gather", [x, rows]).shape == (n, 2, 3)
    assert b.op("GatherElements", [x, rows]).shape == (n, 2)
    assert b.op("ScatterElements", [x, rows, b.op("GatherElements", [x, rows])]).shape == (n, 3)
    found = b.op("NonZero", [x])
    again = b.op("NonZero", [x])
    assert found.shape == again.shape and found.shape[0] == 2, "the same data has the same count"
