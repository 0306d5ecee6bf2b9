# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Fourier transforms against NumPy's FFT, by matrix and by sum; determinants; caches; bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graphs import close, expect, f32, run

from aotgen.core import dtypes
from aotgen.ops import signal

KNOWN_OR_DATA = [(1, 2), ()]  # operands given as constants


def pairs(z: Any) -> np.ndarray[Any, Any]:
    return np.stack([z.real, z.imag], -1).astype(np.float32)


@pytest.fixture(params=["matrix", "sum"])
def way(request: Any, monkeypatch: Any) -> None:
    if request.param == "sum":
        monkeypatch.setattr(signal, "TABLE_LIMIT", 0)


@pytest.mark.parametrize("length", [None, 5, 8, 13])
@pytest.mark.parametrize("inverse", [0, 1])
def test_complex(way: None, length: int | None, inverse: int) -> None:
    x = f32(3, 8, 2)
    z = x[..., 0] + 1j * x[..., 1]
    want = np.fft.ifft(z, length, 1) if inverse else np.fft.fft(z, length, 1)
    size = None if length is None else np.array(length, np.int64)
    for const in KNOWN_OR_DATA:
        close(run("DFT", [x, size], const=const, inverse=inverse), [pairs(want)])


@pytest.mark.parametrize("axis", [0, 1, -2, -3])
def test_real_and_one_sided(way: None, axis: int) -> None:
    x = f32(6, 9, 1)
    where = np.array(axis, np.int64)
    a = axis % 3
    for const in KNOWN_OR_DATA:
        close(run("DFT", [x, None, where], const=const, onesided=1), [pairs(np.fft.rfft(x[..., 0], axis=a))])
        close(run("DFT", [x, None, where], const=const), [pairs(np.fft.fft(x[..., 0], axis=a))])


@pytest.mark.parametrize("length", [None, 7, 8, 12])
def test_inverse_of_half_a_spectrum(way: None, length: int | None) -> None:
    x = f32(2, 5, 2)
    size = None if length is None else np.array(length, np.int64)
    z = x[..., 0] + 1j * x[..., 1]
    for const in KNOWN_OR_DATA:
        close(run("DFT", [x, size], const=const, inverse=1, onesided=1), [np.fft.irfft(z, length, 1)[..., None].astype(np.float32)])


@pytest.mark.parametrize("const", [(1, 3), ()])
@pytest.mark.parametrize("given", ["window", "length", "both"])
def test_short_time(given: str, const: tuple[int, ...]) -> None:
    x, window = f32(2, 40), f32(16)
    shape = np.ones(16, np.float32) if given == "length" else window
    got, = run("STFT", [x, np.array(5, np.int64), None if given == "length" else window,
                        None if given == "window" else np.array(16, np.int64)], const=const)
    want = np.stack([np.fft.rfft(x[:, k : k + 16] * shape) for k in range(0, 25, 5)], 1)
    close([got], [pairs(want)])


@pytest.mark.parametrize("const", [(0, 1, 2, 3, 4), (), (0,), (1, 2)])
@pytest.mark.parametrize(("bins", "length", "rate", "low", "high"), [(8, 16, 8192, 0, 4096), (3, 9, 8000, 20, 3000), (12, 32, 16000, 100, 8000)])
def test_mel_filters(bins: int, length: int, rate: int, low: float, high: float, const: tuple[int, ...]) -> None:
    args = [*(np.array(v, np.int64) for v in (bins, length, rate)), *(np.array(v, np.float32) for v in (low, high))]
    close(run("MelWeightMatrix", args, const=const), expect("MelWeightMatrix", args))


@pytest.mark.parametrize("n", [1, 2, 3, 5, 8, 17])
def test_determinant(n: int) -> None:
    x = f32(4, n, n)
    x[0, 0, 0] = 0  # the first pivot is elsewhere, or there is none
    close(run("Det", [x]), [np.linalg.det(x)], 1e-5)


def test_singular_matrix_has_determinant_zero() -> None:
    assert run("Det", [np.ones((3, 3), np.float32)])[0] == 0


def test_large_determinants() -> None:
    """More rows than are spelled out: a library function."""
    for shape in ((17, 17), (2, 33, 33)):
        x = f32(*shape)
        np.testing.assert_allclose(run("Det", [x])[0], np.linalg.det(x.astype(np.float64)), rtol=1e-5)


@pytest.mark.parametrize("mode", ["linear", "circular"])
def test_cache(mode: str) -> None:
    past, new, at = f32(2, 3, 6, 2), f32(2, 3, 2, 2), np.array([1, 5 if mode == "circular" else 4], np.int64)
    want = past.copy()
    for b in range(2):
        for k in range(2):
            want[b, :, (at[b] + k) % 6] = new[b, :, k]
    np.testing.assert_array_equal(run("TensorScatter", [past, new, at], mode=mode)[0], want)


@pytest.mark.parametrize("source", ["f32", "f64", "i32", "u32", "i64", "u64", "f16", "bf16", "i16", "u16", "i8", "u8"])
def test_bits(source: str) -> None:
    a = dtypes.of(source)
    x = np.arange(1, 50).astype(a.numpy)
    for name in ("f32", "f64", "i32", "u32", "i64", "u64", "f16", "bf16", "i16", "u16", "i8", "u8"):
        t = dtypes.of(name)
        if t.bits == a.bits:
            got, = run("BitCast", [x], to=t.onnx)
            assert got.tobytes() == x.tobytes() and got.dtype == t.numpy


def test_bits_of_a_constant_are_folded() -> None:
    from aotgen.ir import expr

    folded = expr.bitcast(expr.const(1.5, "f32"), dtypes.f32, dtypes.u32)
    assert (folded.op, folded.attr) == ("const", 0x3FC00000)


def test_regions_cover_what_they_say() -> None:
    x = f32(1, 2, 8, 8)
    got, = run("MaxRoiPool", [x, np.array([[0, 2, 1, 5, 4]], np.float32)], pooled_shape=[1, 1])
    np.testing.assert_array_equal(got[0, :, 0, 0], x[0, :, 1:5, 2:6].max((1, 2)))
