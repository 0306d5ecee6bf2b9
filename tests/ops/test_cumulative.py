# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""CumSum and CumProd."""

from __future__ import annotations

import numpy as np
import pytest
from check import check, ours

from aotgen.core import dtypes
from aotgen.ir.graph import TensorType
from aotgen.ir.index import dim
from aotgen.ops.builder import Builder


@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64"])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_cum_sum(axis: int, dtype: str, reverse: int, exclusive: int) -> None:
    x = np.random.default_rng(1).integers(-4, 5, (3, 4)).astype(dtype)
    check("CumSum", [x, np.array(axis)], {"reverse": reverse, "exclusive": exclusive}, const_inputs=[1])


@pytest.mark.parametrize(
    "exclusive,reverse,want", [(0, 0, [2, 6, 24]), (1, 0, [1, 2, 6]), (0, 1, [24, 12, 4]), (1, 1, [12, 4, 1])]
)
def test_cum_prod(exclusive: int, reverse: int, want: list[float]) -> None:
    x = np.array([2, 3, 4], np.float32)
    y = ours("CumProd", [x, np.array(0)], {"exclusive": exclusive, "reverse": reverse}, const_inputs=[1])[0]
    assert y.tolist() == want


def test_edge_shapes() -> None:
    for shape in ((0,), (1,), (2, 0), (1, 1)):
        x = np.ones(shape, np.float32)
        np.testing.assert_array_equal(ours("CumSum", [x, np.array(-1)], {}, const_inputs=[1])[0], np.cumsum(x, -1))


def test_open_dim() -> None:
    b, n = Builder(), dim("N")
    x = b.input("x", TensorType(dtypes.i64, (2, n)))
    assert b.op("CumSum", [x, b.constant(np.array(1))], exclusive=1, reverse=1).shape == (2, n)
