# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""NumPy's strings and a library's: arrays of str (or of bytes, taken as UTF-8) on one side, of pointers and sizes on the other."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aotgen.core import dtypes
from aotgen.core.errors import UsageError

KINDS = "OUST"  # of NumPy arrays that hold strings


def _encoded(text: Any, name: str) -> bytes:
    if isinstance(text, bytes):
        return text
    if not isinstance(text, str):
        raise UsageError(f"an element is a {type(text).__name__}, not a str", node=name)
    try:
        return dtypes.encode(text)
    except UnicodeEncodeError as e:
        raise UsageError(f"an element is no text: {e}", node=name) from None


def to_native(array: NDArray[Any], name: str = "") -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
    """The elements of ``array`` in row-major order as ``[n, 2]`` pointers and sizes, and the bytes they point into, which must
    be kept as long. ``name``: of the input, for errors. Raises UsageError for an element that is no string."""
    pieces = [_encoded(t, name) for t in array.ravel().tolist()]
    block = np.frombuffer(bytearray(b"".join(pieces) + b"\0"), np.uint8)
    out = np.zeros((len(pieces), 2), np.uint64)
    out[:, 1] = [len(p) for p in pieces]
    out[:, 0] = block.ctypes.data + np.cumsum(out[:, 1]) - out[:, 1]
    return out, block


def from_native(address: int | None, shape: Sequence[int]) -> NDArray[Any]:
    """An array of str of ``shape`` from the strings that start at ``address``."""
    out = np.empty(tuple(shape), object)
    if out.size:
        rows = (ctypes.c_size_t * (2 * out.size)).from_address(address or 0)
        out.reshape(-1)[:] = [dtypes.decode(ctypes.string_at(rows[k], rows[k + 1])) if rows[k + 1] else ""
                              for k in range(0, len(rows), 2)]
    return out
