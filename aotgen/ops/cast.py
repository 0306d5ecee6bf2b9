# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Cast and CastLike."""

from __future__ import annotations

import ml_dtypes
import numpy as np

from aotgen.core import dtypes
from aotgen.core.dtypes import DType
from aotgen.ir import expr
from aotgen.ir.define import Def, compute
from aotgen.ir.expr import E, const, fn
from aotgen.ops.registry import Ctx, lowering
from aotgen.ops.string_numbers import from_text, to_text

WRAPPING_FLOATS = (
    "f8e4m3fn",
    "f8e4m3fnuz",
    "f8e5m2",
    "f8e5m2fnuz",
)  # out of range is NaN or infinity unless saturated


def convert(e: E, to: DType, saturate: bool = True) -> E:
    """``e`` rounded to storage type ``to``. ``saturate`` matters to 8-bit floats only: out of range (and infinities) become
    the largest finite value instead of NaN or infinity."""
    if to.name in WRAPPING_FLOATS and saturate:
        e = e if e.type.is_float else expr.cast(e, "f32")
        top = float(np.asarray(ml_dtypes.finfo(to.numpy).max, np.float64))  # type: ignore[no-untyped-call]
        e = fn("max", fn("min", e, const(top, e.dtype)), const(-top, e.dtype))
    return expr.cast(e, to)


def _converted(ctx: Ctx, x: Def, to: DType) -> Def:
    for t in (x.dtype, to):
        if t.kind == "c":
            raise ctx.refuse(f"Cast from {x.dtype} to {to} is not compiled", "cast outside the model")
    if to.name == "f8e8m0":
        raise ctx.refuse("Cast to float8e8m0 is not compiled", "keep block scales as constants")
    saturate = bool(ctx.attr_int("saturate", 1))
    if to is dtypes.string:
        return to_text(x) if x.dtype is not to else compute(x.shape, lambda *i: x[i], to)
    if x.dtype is dtypes.string:
        x = from_text(x, to)
    return compute(x.shape, lambda *i: convert(x[i], to, saturate), to)


@lowering("Cast")
def cast(ctx: Ctx, x: Def) -> Def:
    """Floats to integers truncate and saturate at 32 and 64 bits; narrower integers wrap; anything but 0 is true. Strings: see
    ``string_numbers``."""
    return _converted(ctx, x, ctx.attr_dtype("to"))


@lowering("CastLike")
def cast_like(ctx: Ctx, x: Def, like: Def) -> Def:
    return _converted(ctx, x, like.dtype)
