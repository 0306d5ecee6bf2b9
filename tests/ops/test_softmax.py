# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Softmax, LogSoftmax and Hardmax against onnxruntime, any axis, extreme rows."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import check, check_open, close, f32, run


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax", "Hardmax"])
@pytest.mark.parametrize("axis", [-1, 0, 1, -3])
def test_axes(op: str, axis: int) -> None:
    check(op, [f32(3, 4, 5)], axis=axis)


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
def test_large_values(op: str) -> None:
    check(op, [np.array([[1000, 999, -1000], [-1e4, 3, 4], [0, 0, 0]], np.float32)])
    check(op, [f32(2, 3).astype(np.float64)], tol=1e-14)


def test_hardmax_ties_take_the_first() -> None:
    got, = run("Hardmax", [np.array([[1, 3, 3], [2, 2, 1]], np.float32)])
    np.testing.assert_array_equal(got, [[0, 1, 0], [1, 0, 0]])


def test_half() -> None:
    x = f32(4, 50).astype(np.float16)
    e = np.exp(x.astype(np.float64))
    close(run("Softmax", [x]), [(e / e.sum(-1, keepdims=True)).astype(np.float16)], 1e-3)


def test_open() -> None:
    check_open("Softmax", [f32(2, 3, 4)], {0: ["N", "T", "C"]}, axis=1)
