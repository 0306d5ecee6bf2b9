# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Random tensors: counter-based, so an element is a pure function of (seed, position) and any thread may make it.

The bits are two rounds of Wellons' ``lowbias32`` hash (Chris Wellons, "Prospecting for hash functions", 2018) keyed by the
seed. The same model gives the same numbers on every run and machine; they are not onnxruntime's, whose generator the
standard does not name. Without a ``seed`` the node's own name is the seed.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from math import pi

from aotgen.core import dtypes
from aotgen.core.dtypes import DType
from aotgen.ir import expr
from aotgen.ir.define import Def, compute, reduce_, scan
from aotgen.ir.expr import E, const, fn
from aotgen.ir.index import Dim, Ix
from aotgen.ops.broadcast import known_or_loaded
from aotgen.ops.registry import Ctx, lowering


def key_of(ctx: Ctx) -> int:
    """32 bits that tell this node's stream from others."""
    if ctx.has("seed"):
        return zlib.crc32(struct.pack("<f", ctx.attr_float("seed"))) ^ 0x9E3779B9
    named = [ctx.node.origin, *(v.name for v in (*ctx.node.inputs, *ctx.node.outputs) if v is not None)]
    return zlib.crc32("|".join(named).encode())


def _mixed(x: E) -> E:
    """lowbias32"""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x = fn("bitxor", x, fn("shr", x, const(shift, "u32"))) * factor
    return fn("bitxor", x, fn("shr", x, const(16, "u32")))


def random_bits(shape: Sequence[Dim], point: Sequence[Ix], key: int, stream: int) -> E:
    """32 hashed bits for the element at ``point``; ``stream`` numbers independent draws."""
    flat = expr.ix_value(0)
    for i, d in zip(point, shape, strict=True):
        flat = flat * expr.ix_value(d) + expr.ix_value(i)
    counter = _mixed(expr.cast(flat, "u32") + const(key, "u32"))
    return _mixed(fn("bitxor", counter, const((key * 0x85EBCA6B + stream * 0xC2B2AE35 + 1) & 0xFFFFFFFF, "u32")))


def uniform(shape: Sequence[Dim], point: Sequence[Ix], key: int, stream: int = 0) -> E:
    """A float32 in ``[0, 1)`` with 24 random bits."""
    top = fn("shr", random_bits(shape, point, key, stream), const(8, "u32"))
    return expr.cast(expr.cast(top, "i32"), "f32") * 2.0**-24


def normal(shape: Sequence[Dim], point: Sequence[Ix], key: int) -> E:
    """A standard normal float32 by the transform of Box and Muller (1958)."""
    radius = fn("sqrt", fn("log", 1.0 - uniform(shape, point, key, 0)) * -2.0)
    return radius * fn("cos", uniform(shape, point, key, 1) * (2 * pi))


def _drawn(ctx: Ctx, shape: Sequence[Dim], dtype: DType, gaussian: bool) -> Def:
    key = key_of(ctx)
    kind = dtype.compute
    first, second = ("mean", "scale") if gaussian else ("low", "high")
    a, b = ctx.attr_float(first, 0.0), ctx.attr_float(second, 1.0)

    def f(*i: Ix) -> E:
        e = normal(shape, i, key) if gaussian else uniform(shape, i, key)
        return expr.cast(e, kind) * (b if gaussian else b - a) + a

    return compute(shape, f, dtype)


@lowering("RandomUniform", "RandomNormal")
def random(ctx: Ctx) -> Def:
    return _drawn(ctx, ctx.attr_ints("shape"), ctx.attr_dtype("dtype", dtypes.f32), ctx.node.op == "RandomNormal")


@lowering("RandomUniformLike", "RandomNormalLike")
def random_like(ctx: Ctx, x: Def) -> Def:
    dtype = ctx.attr_dtype("dtype", x.dtype)
    if not dtype.is_float:
        raise ctx.refuse(f"{ctx.node.op} of {dtype}", "give a float dtype")
    return _drawn(ctx, x.shape, dtype, ctx.node.op == "RandomNormalLike")


@lowering("Bernoulli")
def bernoulli(ctx: Ctx, x: Def) -> Def:
    """1 with probability ``x``."""
    dtype, key = ctx.attr_dtype("dtype", x.dtype), key_of(ctx)

    def f(*i: Ix) -> E:
        hit = expr.cast(uniform(x.shape, i, key), x.dtype.compute) < x[i]
        return hit if dtype.is_bool else expr.select(hit, const(1, dtype.compute), const(0, dtype.compute))

    return compute(x.shape, f, dtype)


@lowering("Multinomial")
def multinomial(ctx: Ctx, x: Def) -> Def:
    """``[B, sample_size]`` classes drawn from the unnormalised log-probabilities ``[B, C]``, by inversion."""
    count, key = ctx.attr_int("sample_size", 1), key_of(ctx)
    dtype = ctx.attr_dtype("dtype", dtypes.i32)
    batch, classes = x.shape
    top = reduce_("max", [batch], [classes], lambda o, r: x[o[0], r[0]])
    mass = compute(x.shape, lambda b, c: fn("exp", expr.cast(x[b, c] - top[b], "f32")))
    below = scan("add", x.shape, 1, lambda b, c: mass[b, c])
    shape = (batch, count)
    points = compute(shape, lambda b, k: uniform(shape, (b, k), key) * below[b, classes - 1])

    def passed(o: list[Ix], r: list[Ix]) -> E:
        over = below[o[0], r[0]] <= points[o[0], o[1]]
        return expr.select(over, const(1, dtype.compute), const(0, dtype.compute))

    drawn = reduce_("sum", shape, [classes], passed)
    return compute(shape, lambda b, k: fn("min", drawn[b, k], expr.ix_value(classes, dtype.compute) - 1), dtype)


@lowering("Dropout")
def dropout(ctx: Ctx, x: Def, ratio: Def | None = None, training: Def | None = None) -> tuple[Def, ...]:
    """Inference: the identity and a mask of ones. Training: each element is kept with probability ``1 - ratio`` and divided
    by it. Both operands may be run-time values."""
    mode, rate = ctx.const(2), ctx.const(1)
    kind = x.dtype.compute
    if training is None or (mode is not None and not mode.any()) or (rate is not None and not rate.any()):
        return _with_mask(ctx, compute(x.shape, lambda *i: x[i], x.dtype), lambda *i: const(True, "bool"))
    share = known_or_loaded(ctx, 1, ratio) or const(0.5, kind)
    active = known_or_loaded(ctx, 2, training) or const(True, "bool")
    lost, key = expr.cast(share, kind), key_of(ctx)
    lost = expr.select(active, lost, const(0, kind))

    def kept(*i: Ix) -> E:
        return lost <= expr.cast(uniform(x.shape, i, key), kind)

    y = compute(x.shape, lambda *i: expr.select(kept(*i), x[i] / (1.0 - lost), const(0, kind)), x.dtype)
    return _with_mask(ctx, y, kept)


def _with_mask(ctx: Ctx, y: Def, kept: Callable[..., E]) -> tuple[Def, ...]:
    return (y, compute(y.shape, kept)) if ctx.n_outputs > 1 else (y,)
