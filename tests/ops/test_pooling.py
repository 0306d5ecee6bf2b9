# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Pools against onnxruntime: every attribute, any rank, indices, open extents."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graphs import check, check_open, f32, ints

WINDOWS: list[tuple[tuple[int, ...], dict[str, Any]]] = [
    ((1, 2, 7), {"kernel_shape": [3]}),
    ((2, 2, 9), {"kernel_shape": [3], "strides": [2], "pads": [1, 1], "ceil_mode": 1}),
    ((1, 2, 7, 6), {"kernel_shape": [2, 3], "strides": [2, 1], "pads": [0, 1, 1, 1]}),
    ((1, 2, 8, 9), {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
    ((1, 2, 8, 9), {"kernel_shape": [3, 3], "strides": [3, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1}),
    ((1, 2, 9, 9), {"kernel_shape": [3, 2], "dilations": [2, 3], "pads": [1, 1, 1, 1]}),
    ((1, 2, 6, 7), {"kernel_shape": [3, 2], "auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    ((1, 2, 6, 7), {"kernel_shape": [3, 2], "auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    ((1, 2, 6, 7), {"kernel_shape": [3, 2], "auto_pad": "VALID", "strides": [2, 2]}),
    ((1, 2, 5, 4, 6), {"kernel_shape": [2, 2, 3], "strides": [2, 1, 2], "pads": [1, 0, 1, 0, 1, 1]})]


@pytest.mark.parametrize(("shape", "attrs"), WINDOWS)
def test_max_pool(shape: tuple[int, ...], attrs: dict[str, Any]) -> None:
    check("MaxPool", [f32(*shape)], **attrs)


@pytest.mark.parametrize(("shape", "attrs"), WINDOWS)
@pytest.mark.parametrize("order", [0, 1])
def test_max_pool_indices(shape: tuple[int, ...], attrs: dict[str, Any], order: int) -> None:
    check("MaxPool", [f32(*shape)], n=2, storage_order=order, **attrs)


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.float64, np.float16])
def test_max_pool_types(dtype: type) -> None:
    x = -ints(dtype, 1, 90, 1, 2, 6, 6) if dtype != np.uint8 else ints(dtype, 0, 9, 1, 2, 6, 6)
    check("MaxPool", [x], kernel_shape=[3, 3], pads=[1, 1, 1, 1], strides=[2, 2])


@pytest.mark.parametrize(("shape", "attrs"), WINDOWS)
@pytest.mark.parametrize("padded", [0, 1])
def test_average_pool(shape: tuple[int, ...], attrs: dict[str, Any], padded: int) -> None:
    check("AveragePool", [f32(*shape)], count_include_pad=padded, **attrs)


@pytest.mark.parametrize(("shape", "attrs"), [w for w in WINDOWS if "ceil_mode" not in w[1]])
@pytest.mark.parametrize("p", [1, 2, 3])
def test_lp_pool(shape: tuple[int, ...], attrs: dict[str, Any], p: int) -> None:
    check("LpPool", [f32(*shape)], p=p, tol=1e-5, **attrs)


@pytest.mark.parametrize("op", ["GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"])
@pytest.mark.parametrize("shape", [(2, 3, 5), (1, 2, 4, 5), (1, 2, 3, 2, 2)])
def test_global(op: str, shape: tuple[int, ...]) -> None:
    check(op, [f32(*shape)], opset=21)


@pytest.mark.parametrize("attrs", [{}, {"ceil_mode": 1}, {"pads": [1, 1, 1, 1], "ceil_mode": 1}, {"auto_pad": "SAME_UPPER"}])
@pytest.mark.parametrize("op", ["MaxPool", "AveragePool"])
def test_open(op: str, attrs: dict[str, Any]) -> None:
    for size in (6, 7, 8, 9):
        check_open(op, [f32(2, 3, size, size + 1)], {0: ["N", 3, "H", "W"]}, kernel_shape=[3, 3], strides=[2, 2], **attrs)


@pytest.mark.parametrize("bigger", [False, True])
def test_max_unpool(bigger: bool) -> None:
    x, places = f32(1, 2, 2, 2), np.array([[[[1, 3], [8, 11]], [[17, 18], [24, 31]]]], np.int64)
    args = [x, places, np.array([1, 2, 5, 6], np.int64)] if bigger else [x, places]
    check("MaxUnpool", args, const=[2], by="ref", kernel_shape=[2, 2], strides=[2, 2])
