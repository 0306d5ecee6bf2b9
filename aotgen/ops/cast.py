# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Cast and CastLike."""

from __future__ import annotations

import math

import ml_dtypes
import numpy as np

from aotgen.core import dtypes
from aotgen.core.dtypes import DType
from aotgen.ir import expr
from aotgen.ir.define import Def, compute
from aotgen.ir.expr import E, const, fn, select
from aotgen.ir.graph import Value
from aotgen.ops.builder import Builder
from aotgen.ops.registry import Ctx, expansion, lowering
from aotgen.ops.shorthand import Sub
from aotgen.ops.string_numbers import from_text, to_text

WRAPPING_FLOATS = (
    "f8e4m3fn",
    "f8e4m3fnuz",
    "f8e5m2",
    "f8e5m2fnuz",
)  # out of range is NaN or infinity unless saturated
E8M0 = dtypes.of("f8e8m0")
# What is added to a float32's bits before its mantissa is cut off, to round to a power of two: of a normal number, and of
# a denormal one, which has no implicit bit (there 2^-127 is exact and all below it is the smallest).
ROUNDING = {"up": (0x7FFFFF, 0x3FFFFF), "nearest": (0x400000, 0x3FFFFF), "down": (0, 0)}


def convert(e: E, to: DType, saturate: bool = True, round_mode: str = "up") -> E:
    """``e`` rounded to storage type ``to``. ``saturate`` matters to 8-bit floats only: out of range (and infinities) become
    the largest finite value instead of NaN or infinity; ``round_mode`` to block scales."""
    if to is E8M0:
        e = power_of_two(e, saturate, round_mode)
    elif to.name in WRAPPING_FLOATS and saturate:
        e = e if e.type.is_float else expr.cast(e, "f32")
        top = float(np.asarray(ml_dtypes.finfo(to.numpy).max, np.float64))  # type: ignore[no-untyped-call]
        e = fn("max", fn("min", e, const(top, e.dtype)), const(-top, e.dtype))
    return expr.cast(e, to)


def power_of_two(e: E, saturate: bool, round_mode: str) -> E:
    """The size of ``e`` as a block scale (e8m0) holds it: its exponent, after rounding as ``round_mode`` says (a key of
    ``ROUNDING``). There is no 0 and no infinity: saturated they are the smallest and the largest power, else NaN."""
    x = expr.cast(e, "f32")
    bits = fn("bitand", expr.bitcast(x, dtypes.f32, dtypes.u32), const(0x7FFFFFFF, "u32"))
    normal, denormal = (const(k, "u32") for k in ROUNDING[round_mode])
    field = fn("shr", bits + select(bits < 0x800000, denormal, normal), const(23, "u32"))
    scale = expr.bitcast(fn("shl", fn("min", field, const(254, "u32")), const(23, "u32")), dtypes.u32, dtypes.f32)
    scale = select(field.eq(0), const(2.0**-127, "f32"), scale)
    lost = fn("isnan", x) if saturate else fn("or", field > 254, fn("or", fn("isnan", x), x.eq(0)))
    return select(lost, const(math.nan, "f32"), scale)


def _converted(ctx: Ctx, x: Def, to: DType) -> Def:
    for t in (x.dtype, to):
        if t.kind == "c":
            raise ctx.refuse(f"Cast from {x.dtype} to {to} is not compiled", "cast outside the model")
    saturate, mode = bool(ctx.attr_int("saturate", 1)), ctx.attr_str("round_mode", "up")
    if mode not in ROUNDING:
        raise ctx.refuse(f"round_mode {mode}", f"one of {', '.join(ROUNDING)}")
    if to is dtypes.string:
        return to_text(x) if x.dtype is not to else compute(x.shape, lambda *i: x[i], to)
    if x.dtype is dtypes.string:
        x = from_text(x, to)
    return compute(x.shape, lambda *i: convert(x[i], to, saturate, mode), to)


@lowering("Cast")
def cast(ctx: Ctx, x: Def) -> Def:
    """Floats to integers truncate and saturate at 32 and 64 bits; narrower integers wrap; anything but 0 is true. Strings: see
    ``string_numbers``."""
    return _converted(ctx, x, ctx.attr_dtype("to"))


@expansion("CastLike")
def cast_like(ctx: Ctx, builder: Builder, x: Value, like: Value) -> Value:
    out: Value = Sub(ctx, builder)("Cast", x, to=like.dtype.onnx, **dict(ctx.node.attrs))
    return out
