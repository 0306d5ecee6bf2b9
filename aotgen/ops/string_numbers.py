# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Cast between strings and numbers.

To strings: integers in full, floats with at most eight significant digits as ``%.8g`` prints them, NaN, INF and -INF, false
and true as 0 and 1: onnxruntime's answers, where the standard only says "plain". From strings: decimal numbers, rounded once
to the type asked for; what is no number is NaN, as an integer 0.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np

from aotgen.core import dtypes
from aotgen.core.dtypes import DType
from aotgen.ir import expr
from aotgen.ir.define import Call, Def, call, compute
from aotgen.ir.interpret import Array, library

_NUMBER = re.compile(r"[ \t\n\v\f\r]*([+-]?)(?:(inf(?:inity)?)|(\d+\.?\d*|\.\d+)(?:e([+-]?\d+))?)[ \t\n\v\f\r]*", re.I | re.A)
BEYOND = 400  # powers of ten that no double has


def to_text(x: Def) -> Def:
    """``x``, of any numeric type, as strings."""
    wide = dtypes.f64 if x.dtype.is_float else dtypes.u64 if x.dtype is dtypes.u64 else dtypes.i64
    exact = x if x.dtype is wide else compute(x.shape, lambda *i: expr.cast(x[i], wide), wide)
    return call("library", "texts_of_numbers", [exact], [(x.shape, dtypes.string)])[0]


def from_text(x: Def, to: DType) -> Def:
    """Strings as numbers: f64 rounded to the precision of ``to`` where that is a float, or its bool; else whole numbers."""
    if to.is_integer:
        wide = dtypes.u64 if to is dtypes.u64 else dtypes.i64
        return call("library", "integers_of_texts", [x], [(x.shape, wide)])[0]
    info = ml_dtypes.finfo(to.numpy if to.is_float else np.float64)  # type: ignore[no-untyped-call]
    return call("library", "numbers_of_texts", [x], [(x.shape, dtypes.f64)], precision=int(info.nmant) + 1,
                lowest=int(info.minexp))[0]


def number_text(value: Any) -> str:
    """One number as a string."""
    if not isinstance(value, (float, np.floating)):
        return str(int(value))
    text = f"{float(value):.8g}"
    return {"nan": "NaN", "inf": "INF", "-inf": "-INF"}.get(text, text)


@library("texts_of_numbers")
def _to_reference(c: Call, args: Sequence[Array]) -> list[Array]:
    out = np.empty(args[0].shape, object)
    out.reshape(-1)[:] = [number_text(v) for v in args[0].ravel()]
    return [out]


def _read(text: str) -> Fraction | float:
    """The number a text says, exactly; an infinity, a negative zero or NaN as a float."""
    found = _NUMBER.fullmatch(text)
    if found is None:
        return float("nan")
    sign, infinite, digits, power = found.groups()
    if infinite:
        return float(f"{sign}inf")
    size = Decimal(digits).adjusted() + int(power or 0)
    if not Decimal(digits) or abs(size) > BEYOND:
        return float(f"{sign}{'inf' if size > BEYOND and Decimal(digits) else 0}")
    return Fraction(digits) * Fraction(10) ** int(power or 0) * (-1 if sign == "-" else 1)


def rounded(value: Fraction, precision: int, lowest: int) -> float:
    """``value`` to the nearest number of ``precision`` bits whose smallest normal exponent is ``lowest``, ties to even."""
    size = abs(value)
    power = size.numerator.bit_length() - size.denominator.bit_length()
    power -= size < Fraction(2) ** power
    last = max(power, lowest) - precision + 1
    whole = round(size / Fraction(2) ** last)
    with np.errstate(over="ignore"):
        return float(np.ldexp(float(whole), last)) * (-1 if value < 0 else 1)


@library("numbers_of_texts")
def _number_reference(c: Call, args: Sequence[Array]) -> list[Array]:
    read = map(_read, args[0].ravel())
    values = [rounded(v, c.params["precision"], c.params["lowest"]) if isinstance(v, Fraction) else v for v in read]
    return [np.array(values, np.float64).reshape(args[0].shape)]


@library("integers_of_texts")
def _integer_reference(c: Call, args: Sequence[Array]) -> list[Array]:
    kind: Any = c.results[0].dtype.numpy
    low, high = int(np.iinfo(kind).min), int(np.iinfo(kind).max)

    def whole(v: Fraction | float) -> int:
        if isinstance(v, float) and abs(v) == float("inf"):
            return high if v > 0 else low
        return 0 if v != v else min(max(int(v), low), high)

    return [np.array([whole(_read(t)) for t in args[0].ravel()], kind).reshape(args[0].shape)]
