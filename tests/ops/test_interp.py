# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The Graph interpreter: its fast forms against the lowerings, float64 runs, whole graphs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graphs import f32, run

from aotgen.core import dtypes
from aotgen.core.errors import ModelError
from aotgen.ir import index
from aotgen.ir.graph import TensorType
from aotgen.ops.builder import Builder
from aotgen.ops.interp import run_graph

CASES: list[tuple[str, list[tuple[int, ...]], dict[str, Any]]] = [
    ("MatMul", [(2, 3, 4), (4, 5)], {}),
    ("Conv", [(2, 4, 9, 8), (6, 2, 3, 3), (6,)], {"group": 2, "strides": [2, 1], "dilations": [1, 2], "pads": [1, 0, 2, 1]}),
    ("Conv", [(1, 2, 6, 6), (3, 2, 1, 1)], {"strides": [2, 2]}),
    ("Conv", [(1, 2, 7, 7), (3, 2, 3, 3)], {"pads": [-1, 0, 1, -1]}),
    ("ConvTranspose", [(1, 4, 4, 5), (4, 2, 3, 3)], {"group": 2, "strides": [2, 3], "pads": [1, 1, 0, 1], "output_padding": [1, 2]}),
    ("ConvTranspose", [(1, 2, 4), (2, 3, 2)], {"strides": [2], "dilations": [3], "pads": [2, 4]}),
    ("MaxPool", [(1, 2, 8, 9)], {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1, "dilations": [2, 1]}),
    ("GlobalAveragePool", [(2, 3, 4, 5)], {})]


@pytest.mark.parametrize(("op", "shapes", "attrs"), CASES)
@pytest.mark.parametrize("wide", [False, True])
def test_fast_forms(op: str, shapes: list[tuple[int, ...]], attrs: dict[str, Any], wide: bool) -> None:
    xs = [f32(*s) for s in shapes]
    fast, = run(op, xs, wide=wide, fast=True, **attrs)
    slow, = run(op, xs, wide=wide, **attrs)
    assert fast.dtype == slow.dtype == (np.float64 if wide else np.float32)
    np.testing.assert_allclose(fast, slow, rtol=0, atol=(1e-13 if wide else 5e-6) * np.abs(slow).max())


def test_wide_keeps_doubles_between_nodes() -> None:
    b = Builder("g")
    x = b.input("x", TensorType(dtypes.f32, (1000,)))
    y = b.op("Sub", [b.op("Add", [x, b.scalar(1e8, dtypes.f32)]), b.scalar(1e8, dtypes.f32)])
    data = f32(1000)
    got = run_graph(b.graph([y]), {"x": data}, wide=True)[y.name]
    np.testing.assert_allclose(got, data.astype(np.float64), atol=2e-8)
    assert np.abs(run_graph(b.graph([y]), {"x": data})[y.name] - data).max() > 1e-3


def test_open_dims_come_from_the_feeds() -> None:
    b = Builder("g")
    n = index.dim("N")
    x = b.input("x", TensorType(dtypes.f32, (n, 6)))
    y = b.op("Reshape", [x, b.op("Concat", [b.op("Shape", [x], end=1), b.constant(np.array([2, 3]))], axis=0)])
    assert str(y.type) == "f32[N,2,3]"
    data = f32(4, 6)
    np.testing.assert_array_equal(run_graph(b.graph([y]), {"x": data})[y.name], data.reshape(4, 2, 3))


def test_input_errors() -> None:
    b = Builder("g")
    x = b.input("x", TensorType(dtypes.f32, (2, 3)))
    g = b.graph([b.op("Relu", [x])])
    with pytest.raises(ModelError, match="'x' was not given"):
        run_graph(g, {})
    with pytest.raises(ModelError, match="shape"):
        run_graph(g, {"x": f32(2)})
