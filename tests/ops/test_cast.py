# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Cast: to block scales in every rounding, and between all types against onnx's reference."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import run
from onnx.numpy_helper import to_float8e8m0

from aotgen.core import dtypes
from aotgen.core.errors import UnsupportedError
from aotgen.ops.cast import ROUNDING

E8M0 = dtypes.of("f8e8m0").onnx


@pytest.mark.parametrize("mode", ROUNDING)
@pytest.mark.parametrize("saturate", [0, 1])
def test_to_block_scales(mode: str, saturate: int) -> None:
    x = np.exp2(np.random.default_rng(3).uniform(-126, 127, 400)).astype(np.float32)
    x = np.concatenate([x, np.exp2(np.arange(-126, 128)).astype(np.float32), np.array([1.5, 3, 6, np.nan], np.float32)])
    got, = run("Cast", [x], to=E8M0, round_mode=mode, saturate=saturate)
    want = to_float8e8m0(x, bool(saturate), mode).view(np.uint8)
    np.testing.assert_array_equal(got.view(np.uint8), want)


def test_ends_of_block_scales() -> None:
    """There is no 0 and no infinity: the table of the standard."""
    x = np.array([0, np.inf, 3.4e38, 2.0**-127, 2.0**-140], np.float32)
    got, = run("Cast", [x], to=E8M0)
    np.testing.assert_array_equal(got.view(np.uint8), [0, 254, 254, 0, 0])
    got, = run("Cast", [x], to=E8M0, saturate=0, round_mode="nearest")
    np.testing.assert_array_equal(got.view(np.uint8), [255, 255, 255, 0, 0])


def test_a_mode_that_is_none() -> None:
    with pytest.raises(UnsupportedError, match="round_mode sideways"):
        run("Cast", [np.zeros(1, np.float32)], to=E8M0, round_mode="sideways")


NUMBERS = [t for t in dtypes.TABLE if t.kind in "fiub" and t is not dtypes.of("f8e8m0")]


@pytest.mark.parametrize("source", NUMBERS, ids=str)
def test_every_type_to_every_type(source: dtypes.DType) -> None:
    values = np.array([0, 1, 1.5, 2, 3] if source.is_float else [0, 1, 1, 0, 1] if source.bits < 3 else [0, 1, 2, 3, 1])
    x = values.astype(source.numpy)
    for to in NUMBERS:
        got, = run("Cast", [x], to=to.onnx)
        assert got.dtype == to.numpy
        want = x.astype(np.float64) != 0 if to.is_bool else x.astype(np.float64)
        if to.is_integer:
            low = [int(v) % (1 << to.bits) for v in want]
            want = np.array([v - (1 << to.bits) if to.kind == "i" and v >> (to.bits - 1) else v for v in low])
        np.testing.assert_array_equal(got, want.astype(to.numpy))
