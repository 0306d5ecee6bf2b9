# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""QuantizeLinear, DequantizeLinear and DynamicQuantizeLinear: per tensor, per axis or in blocks."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aotgen.core import dtypes
from aotgen.core.dtypes import DType
from aotgen.core.errors import ModelError
from aotgen.ir.define import Def, compute
from aotgen.ir.expr import E, cast, const, fn, select
from aotgen.ir.index import Ix
from aotgen.ops.broadcast import along, broadcast, known_scalar, replaced
from aotgen.ops.cast import convert
from aotgen.ops.reduction import reduced
from aotgen.ops.registry import Ctx, lowering
from aotgen.ops.sized import sized


def parameter(ctx: Ctx, k: int, x: Def, p: Def) -> Callable[[Sequence[Ix]], E]:
    """The scale or zero point ``p`` (operand ``k``) that goes with the element of ``x`` at a point."""
    if p.size == 1 and p.rank <= 1:
        known = known_scalar(ctx, k, p)
        return lambda i: p[(0,) * p.rank] if known is None else known
    if p.rank == 1 and not isinstance(p.shape[0], int) and not -x.rank <= ctx.attr_int("axis", 1) < x.rank:
        p = sized(p, {0: 1}, "a scale or zero point of a tensor without that axis")
        return lambda i: p[0]
    axis, block = ctx.axis(x.rank, 1), ctx.attr_int("block_size", 0)
    if p.rank == 1 and not block:
        broadcast(p.shape, (x.shape[axis],))  # one, or one per slice of the axis: where extents are open, run checks it
        return lambda i: p[along(p.shape[0], i[axis])]
    if p.rank != x.rank:
        raise ModelError(f"scale or zero point of shape {list(p.shape)} for {list(x.shape)}")
    if not block:
        extent, blocks = x.shape[axis], p.shape[axis]
        if not isinstance(extent, int) or not isinstance(blocks, int):
            raise ctx.refuse("blocked quantisation of an open axis without block_size", "fix that dim with --dim")
        block = -(-extent // blocks)
    return lambda i: p[replaced(i, axis, i[axis] // block)]


def zero_point(ctx: Ctx, x: Def, zero: Def | None) -> Callable[[Sequence[Ix]], E] | None:
    """The zero point at a point; None when it is absent or known to be 0 everywhere (symmetric quantisation)."""
    known = ctx.const(2)
    if zero is None or (known is not None and not known.astype(bool).any()):
        return None
    return parameter(ctx, 2, x, zero)


def limits(t: DType) -> tuple[int, int]:
    """The smallest and largest value of an integer type, sub-byte ones included."""
    return (-(1 << (t.bits - 1)), (1 << (t.bits - 1)) - 1) if t.kind == "i" else (0, (1 << t.bits) - 1)


def saturated(e: E, to: DType) -> E:
    """A rounded float clamped into an integer type."""
    low, high = limits(to)
    return cast(fn("min", fn("max", e, const(low, e.dtype)), const(high, e.dtype)), to)


@lowering("QuantizeLinear")
@lowering("QuantizeLinear", domain="com.microsoft")
def quantize_linear(ctx: Ctx, x: Def, scale: Def, zero: Def | None = None) -> Def:
    """saturate(round_half_even(x / scale) + zero_point); an 8-bit float output is x / scale itself, rounded."""
    to = zero.dtype if zero is not None else dtypes.of(ctx.attr_int("output_dtype", 0) or dtypes.u8.onnx)
    precision = ctx.attr_int("precision", 0)
    given = "f64" if scale.dtype.is_integer else scale.dtype.compute  # a quotient of integers is a fraction
    work = dtypes.of(precision).compute if precision else given
    scale_at, zero_at = parameter(ctx, 1, x, scale), zero_point(ctx, x, zero)
    saturate = bool(ctx.attr_int("saturate", 1))

    def f(*i: Ix) -> E:
        q = cast(x[i], work) / cast(scale_at(i), work)
        if to.is_float:
            return convert(q if zero_at is None else q + cast(zero_at(i), work), to, saturate)
        q = fn("rint", q)
        return saturated(q if zero_at is None else q + cast(zero_at(i), work), to)

    return compute(x.shape, f, to)


@lowering("DequantizeLinear")
@lowering("DequantizeLinear", domain="com.microsoft")
def dequantize_linear(ctx: Ctx, x: Def, scale: Def, zero: Def | None = None) -> Def:
    """(x - zero_point) * scale"""
    to = dtypes.of(ctx.attr_int("output_dtype", 0) or scale.dtype.onnx)
    work = scale.dtype.compute
    scale_at, zero_at = parameter(ctx, 1, x, scale), zero_point(ctx, x, zero)

    def f(*i: Ix) -> E:
        q = x[i] if zero_at is None else x[i] - zero_at(i)
        return cast(cast(q, work) * scale_at(i), to.compute)

    return compute(x.shape, f, to)


@lowering("DynamicQuantizeLinear")
def dynamic_quantize_linear(ctx: Ctx, x: Def) -> tuple[Def, Def, Def]:
    """u8 over the range of the data, widened to hold 0; a constant 0 tensor gets scale 1, as onnxruntime gives it."""
    axes = range(x.rank)
    high, low = (reduced(kind, x, axes, keepdims=False) for kind in ("max", "min"))
    zero = const(0, "f32")

    def step() -> E:
        span = fn("max", high[()], zero) - fn("min", low[()], zero)
        return select(span.eq(0.0), const(1, "f32"), span / 255.0)

    scale = compute((), step)
    point = compute((), lambda: saturated(fn("rint", -fn("min", low[()], zero) / scale[()]), dtypes.u8), dtypes.u8)
    y = compute(
        x.shape, lambda *i: saturated(fn("rint", x[i] / scale[()]) + cast(point[()], "f32"), dtypes.u8), dtypes.u8
    )
    return y, scale, point
