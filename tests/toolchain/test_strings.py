# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Strings handed to a library and taken back."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from aotgen.core.errors import UsageError
from aotgen.toolchain.strings import from_native, to_native


@pytest.mark.parametrize("array", [
    np.array([["a", ""], ["日本語", "x" * 1000]], object), np.array("alone", object), np.empty((0, 3), object), np.array(["a", "bc"]),
    np.array(["nul\0", "\udcff"], object),
])
def test_there_and_back(array: np.ndarray) -> None:
    rows, block = to_native(array)
    assert rows.shape == (array.size, 2)
    back = from_native(rows.ctypes.data, array.shape)
    assert back.dtype == object
    assert back.shape == array.shape
    assert back.tolist() == array.tolist()
    assert all(block.ctypes.data <= at and at + n <= block.ctypes.data + block.size for at, n in rows.tolist())


def test_bytes_are_taken_as_they_are() -> None:
    rows, _kept = to_native(np.array([b"\xc3\xa9", b"\xff"], object))
    assert from_native(rows.ctypes.data, (2,)).tolist() == ["é", "\udcff"]


def test_nothing_to_point_at() -> None:
    assert from_native(None, (0,)).tolist() == []
    rows = (ctypes.c_size_t * 2)(0, 0)
    assert from_native(ctypes.addressof(rows), (1,)).tolist() == [""]


@pytest.mark.parametrize("bad", [np.array([1], object), np.array([None], object), np.array(["\ud800"], object)])
def test_what_is_no_string(bad: np.ndarray) -> None:
    with pytest.raises(UsageError, match="port"):
        to_native(bad, "port")
