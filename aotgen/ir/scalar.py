# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The table of scalar operations an expression may use: one row each, shared by every target.

A row says how many arguments, what type comes out, what NumPy computes for it (the reference) and what it costs.
How a target spells it is the target's own table (``targets/*/dialect.py``), keyed by the same name.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aotgen.core.dtypes import DType, encode

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class ScalarOp:
    """``result``: ``same`` (type of the first argument) or ``bool``. ``flops``: cost relative to one add."""

    name: str
    arity: int
    result: str
    flops: int
    numpy: Callable[..., Array]


def _erf(x: Array) -> Array:
    """erf by Abramowitz & Stegun's series for |x| < 2.5 and Lentz's continued fraction of erfc beyond; float64."""
    v = np.asarray(x, np.float64)
    a = np.minimum(np.abs(np.where(np.isnan(v), 0.0, v)), 6.0)
    term, total = a.copy(), a.copy()
    for n in range(1, 60):
        term = term * (-a * a) / n
        total = total + term / (2 * n + 1)
    series = total * 2 / np.sqrt(np.pi)
    frac = np.zeros_like(a)
    for n in range(60, 0, -1):
        frac = (n / 2) / (a + frac)
    tail = 1.0 - np.exp(-a * a) / (np.sqrt(np.pi) * np.maximum(a + frac, 1e-300))
    out = np.sign(v) * np.where(a < 2.5, series, tail)
    return np.where(np.isnan(v), np.nan, out).astype(np.asarray(x).dtype)


def _idiv(a: Array, b: Array) -> Array:
    """Float division, or the truncating integer division of ONNX (0 for a zero divisor, lowest / -1 wraps)."""
    if np.issubdtype(np.result_type(a), np.floating):
        return np.divide(a, b)
    a, b = np.asarray(a), np.asarray(b)
    with np.errstate(divide="ignore", over="ignore"):
        safe = np.where(b == 0, np.ones_like(b), b)
        q = np.floor_divide(a, safe)
        q = q + ((np.remainder(a, safe) != 0) & ((a < 0) != (safe < 0)))
        q = np.where(safe == -1, np.negative(a), q) if np.issubdtype(a.dtype, np.signedinteger) else q
    return np.where(b == 0, 0, q).astype(a.dtype)


def _mod(a: Array, b: Array) -> Array:
    """Remainder with the divisor's sign (ONNX Mod, fmod=0)."""
    if np.issubdtype(np.result_type(a), np.integer):
        return np.where(np.asarray(b) == 0, 0, np.mod(a, np.where(np.asarray(b) == 0, 1, b))).astype(
            np.result_type(a)
        )
    return np.mod(a, b)


def _fmod(a: Array, b: Array) -> Array:
    if np.issubdtype(np.result_type(a), np.integer):
        return np.where(np.asarray(b) == 0, 0, np.fmod(a, np.where(np.asarray(b) == 0, 1, b))).astype(
            np.result_type(a)
        )
    return np.fmod(a, b)


def _shift(fn: Callable[..., Array]) -> Callable[..., Array]:
    def apply(a: Array, b: Array) -> Array:
        width = np.asarray(a).dtype.itemsize * 8
        b = np.asarray(b)
        return np.where(b >= width, 0, fn(a, np.minimum(b, width - 1))).astype(np.asarray(a).dtype)

    return apply


def _ordered(fn: Callable[..., Array]) -> Callable[..., Array]:
    """A comparison that orders strings by their bytes, as the library does (by characters is the same but for bytes that
    are no UTF-8)."""

    def apply(a: Array, b: Array) -> Array:
        if np.asarray(a).dtype != object:
            return fn(a, b)
        return np.asarray(fn(_encoded(a), _encoded(b))).astype(np.bool_)

    return apply


_encoded = np.frompyfunc(encode, 1, 1)


def _pow(a: Array, b: Array) -> Array:
    """Float power; of integers wrapping, the truncated reciprocal for a negative exponent."""
    a, b = np.asarray(a), np.asarray(b)
    if not np.issubdtype(a.dtype, np.integer):
        return np.power(a.astype(np.float64), b.astype(np.float64)).astype(a.dtype)
    left = np.where(b < 0, 0, b).astype(np.uint64)
    a, left = np.broadcast_arrays(a, left)
    result, square = np.ones_like(a), a
    with np.errstate(over="ignore"):
        while left.any():
            result = np.where(left & np.uint64(1), result * square, result)
            square, left = square * square, left >> np.uint64(1)
        inverse = np.where(a == 1, 1, np.where(a + 1 == 0, np.where(b % 2 == 0, 1, a), 0))
    return np.where(b < 0, inverse, result).astype(a.dtype)


_ROWS: tuple[tuple[str, int, str, int, Any], ...] = (
    ("neg", 1, "same", 1, np.negative),
    ("abs", 1, "same", 1, np.abs),
    ("sign", 1, "same", 2, np.sign),
    ("exp", 1, "same", 20, np.exp),
    ("expm1", 1, "same", 22, np.expm1),
    ("log", 1, "same", 20, np.log),
    ("log1p", 1, "same", 22, np.log1p),
    ("sqrt", 1, "same", 6, np.sqrt),
    ("rsqrt", 1, "same", 8, lambda x: 1 / np.sqrt(x)),
    ("sin", 1, "same", 24, np.sin),
    ("cos", 1, "same", 24, np.cos),
    ("tan", 1, "same", 30, np.tan),
    ("asin", 1, "same", 24, np.arcsin),
    ("acos", 1, "same", 24, np.arccos),
    ("atan", 1, "same", 24, np.arctan),
    ("sinh", 1, "same", 24, np.sinh),
    ("cosh", 1, "same", 24, np.cosh),
    ("tanh", 1, "same", 20, np.tanh),
    ("asinh", 1, "same", 30, np.arcsinh),
    ("acosh", 1, "same", 30, np.arccosh),
    ("atanh", 1, "same", 30, np.arctanh),
    ("erf", 1, "same", 24, _erf),
    ("sigmoid", 1, "same", 24, lambda x: (1 / (1 + np.exp(-np.asarray(x)))).astype(np.asarray(x).dtype)),
    ("floor", 1, "same", 1, np.floor),
    ("ceil", 1, "same", 1, np.ceil),
    ("trunc", 1, "same", 1, np.trunc),
    ("rint", 1, "same", 1, np.rint),
    ("isnan", 1, "bool", 1, np.isnan),
    ("isinf", 1, "bool", 1, np.isinf),
    ("not", 1, "same", 1, np.logical_not),
    ("bitnot", 1, "same", 1, np.invert),
    ("add", 2, "same", 1, np.add),
    ("sub", 2, "same", 1, np.subtract),
    ("mul", 2, "same", 1, np.multiply),
    ("div", 2, "same", 4, _idiv),
    ("mod", 2, "same", 8, _mod),
    ("fmod", 2, "same", 8, _fmod),
    ("pow", 2, "same", 40, _pow),
    ("min", 2, "same", 1, np.minimum),
    ("max", 2, "same", 1, np.maximum),
    ("and", 2, "same", 1, np.logical_and),
    ("or", 2, "same", 1, np.logical_or),
    ("xor", 2, "same", 1, np.logical_xor),
    ("bitand", 2, "same", 1, np.bitwise_and),
    ("bitor", 2, "same", 1, np.bitwise_or),
    ("bitxor", 2, "same", 1, np.bitwise_xor),
    ("shl", 2, "same", 1, _shift(np.left_shift)),
    ("shr", 2, "same", 1, _shift(np.right_shift)),
    ("eq", 2, "bool", 1, lambda a, b: np.asarray(np.equal(a, b)).astype(np.bool_)),
    ("lt", 2, "bool", 1, _ordered(np.less)),
    ("le", 2, "bool", 1, _ordered(np.less_equal)),
)

OPS: dict[str, ScalarOp] = {
    name: ScalarOp(name, arity, result, flops, fn) for name, arity, result, flops, fn in _ROWS
}


# -- conversions


def reread(a: Array, source: DType, to: DType) -> Array:
    """An array stored as ``source`` with its bits read as ``to``. Types below a byte are one byte each in NumPy."""
    if source.bits >= 8:
        return np.ascontiguousarray(a).view(to.numpy).reshape(np.shape(a))
    raw = np.asarray(a).astype(np.int64) & ((1 << source.bits) - 1) if source.is_integer else a.view(np.uint8)
    if not to.is_integer:
        return raw.astype(np.uint8).view(to.numpy)
    return (np.where(raw >> (to.bits - 1) == 1, raw - (1 << to.bits), raw) if to.kind == "i" else raw).astype(to.numpy)


def cast_value(value: Any, to: DType) -> Any:
    """One Python scalar converted as the ``cast`` node converts it: floats to integers truncate and saturate at 32
    and 64 bits (below 0 as signed, then wrapped), NaN becomes 0, narrower integers wrap."""
    if to.is_bool:
        return bool(value)
    if to.kind == "c":
        return complex(to.numpy.type(value))
    if to.is_float:
        with np.errstate(over="ignore"):
            return float(np.asarray(value).astype(to.numpy))
    if isinstance(value, float):
        if value != value:
            return 0
        signed = value < 0 or to.kind == "i" or to.bits < 32
        kind: Any = np.dtype(f"{'' if signed else 'u'}int{64 if to.bits > 32 else 32}")
        info = np.iinfo(kind)
        value = int(min(max(value, float(info.min)), float(info.max)))
        value = min(value, int(info.max))
    bits = max(to.bits, 1)
    raw = int(value) & ((1 << bits) - 1)
    return raw - (1 << bits) if to.kind == "i" and raw >> (bits - 1) else raw
