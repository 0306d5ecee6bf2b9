# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Pools of any rank over ``[N, C, ...]``: sliding windows (Max, Average, Lp) and their global forms."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aotgen.core import dtypes
from aotgen.core.dtypes import DType
from aotgen.core.errors import ModelError
from aotgen.ir import expr, index
from aotgen.ir.define import Def, compute, reduce_, scatter
from aotgen.ir.expr import E
from aotgen.ir.index import Ix
from aotgen.ops.registry import Ctx, lowering
from aotgen.ops.window import Window, inside_all, per_axis, reads, windows


def _windows(ctx: Ctx, x: Def) -> list[Window]:
    if x.rank < 3:
        raise ModelError(f"a pool takes [N, C, ...] but the input has rank {x.rank}")
    return windows(ctx, x.shape[2:], per_axis(ctx, "kernel_shape", x.rank - 2, 1))


def lowest(t: DType) -> E:
    """The smallest value of a storage type, as a compute value: the identity of max."""
    if t.is_float:
        return expr.const(float("-inf"), dtypes.compute_of(t).name)
    return expr.const(-(1 << (t.bits - 1)) if t.kind == "i" else 0, dtypes.compute_of(t).name)


def _pooled(
    kind: str, x: Def, axes: Sequence[Window], outside: E, f: Callable[[E], E] | None = None, dtype: DType | None = None
) -> Def:
    """``kind`` over each window of ``f(x)``; elements of padding count as ``outside``."""

    def term(o: list[Ix], k: list[Ix]) -> E:
        value = x[tuple(o[:2] + reads(axes, o[2:], k))]
        value = value if f is None else f(value)
        return expr.guard(inside_all(axes, o[2:], k), value, outside)

    return reduce_(kind, (*x.shape[:2], *(a.out for a in axes)), [a.taps for a in axes], term, dtype)


@lowering("MaxPool")
def max_pool(ctx: Ctx, x: Def) -> Def | tuple[Def, Def]:
    axes = _windows(ctx, x)
    top = _pooled("max", x, axes, lowest(x.dtype), dtype=x.dtype)
    if not ctx.wants(1):
        return top
    return top, _max_indices(ctx, x, axes)


def _max_indices(ctx: Ctx, x: Def, axes: Sequence[Window]) -> Def:
    """i64: where each window's first maximum is in the flattened input (column-major within an image for
    ``storage_order`` 1)."""
    tap = _pooled("argmax", x, axes, lowest(x.dtype))
    order = list(range(len(axes)))
    if ctx.attr_int("storage_order", 0):
        order.reverse()

    def f(*o: Ix) -> E:
        rest, place = tap[o], [expr.const(0, "i64")] * len(axes)
        for a in reversed(range(len(axes))):
            w = axes[a]
            k = rest if a == 0 else expr.fn("mod", rest, expr.const(w.taps, "i64"))
            rest = expr.fn("div", rest, expr.const(w.taps, "i64"))
            place[a] = k * w.dilation + expr.ix_value(o[2 + a] * w.stride - w.before)
        flat = expr.const(0, "i64")
        for a in order:
            flat = flat * expr.ix_value(axes[a].extent) + place[a]
        image = index.prod_dims(w.extent for w in axes)
        return flat + expr.ix_value((o[0] * x.shape[1] + o[1]) * image)

    return compute(tap.shape, f, dtypes.i64)


@lowering("MaxUnpool")
def max_unpool(ctx: Ctx, x: Def, places: Def, output_shape: Def | None = None) -> Def:
    """Every element of ``x`` put back where ``places`` (flat indices of the unpooled tensor) says, 0 elsewhere; with
    ``output_shape`` zeros follow at the end of each axis."""
    n = x.rank - 2
    taps, strides = per_axis(ctx, "kernel_shape", n, 1), per_axis(ctx, "strides", n, 1)
    pads = ctx.attr_ints("pads", [0] * (2 * n))
    inner = [index.as_dim((index.ix(d) - 1) * s + k - pads[a] - pads[n + a])
             for a, (d, k, s) in enumerate(zip(x.shape[2:], taps, strides, strict=True))]
    shape = (*x.shape[:2], *inner)
    size = index.prod_dims(shape)
    zero = expr.const(0, dtypes.compute_of(x.dtype).name)
    empty = compute([size], lambda _: zero, x.dtype)
    filled = scatter("set", empty, x.shape, lambda *u: [expr.index_of(places[u], size)], lambda *u: x[u])

    def f(*o: Ix) -> E:
        flat = index.ix(0)
        for i, d in zip(o, shape, strict=True):
            flat = flat * d + i
        inside = expr.all_([expr.ge0(index.ix(d) - 1 - i) for i, d in zip(o, shape, strict=True)])
        return expr.guard(inside, filled[flat], zero)

    return compute(ctx.values(2, "output_shape") if output_shape is not None else shape, f, x.dtype)


@lowering("AveragePool")
def average_pool(ctx: Ctx, x: Def) -> Def:
    axes = _windows(ctx, x)
    padded = bool(ctx.attr_int("count_include_pad", 0))
    kind = dtypes.compute_of(x.dtype)
    total = _pooled("sum", x, axes, expr.const(0, kind.name), dtype=kind)

    def f(*o: Ix) -> E:
        count = expr.const(1, "i32")
        for w, i in zip(axes, o[2:], strict=True):
            count = count * w.count(i, padded)
        return total[o] / expr.cast(count, kind)

    return compute(total.shape, f, x.dtype)


def _root(x: E, p: int) -> E:
    """``x ** (1/p)`` for x >= 0."""
    if p == 1:
        return x
    return expr.fn("sqrt", x) if p == 2 else expr.fn("pow", x, expr.const(1 / p, x.dtype))


def _power(x: E, p: int) -> E:
    """``|x| ** p``."""
    if p == 2:
        return x * x
    x = expr.fn("abs", x)
    return x if p == 1 else expr.fn("pow", x, expr.const(p, x.dtype))


@lowering("LpPool")
def lp_pool(ctx: Ctx, x: Def) -> Def:
    p = ctx.attr_int("p", 2)
    kind = dtypes.compute_of(x.dtype)
    total = _pooled("sum", x, _windows(ctx, x), expr.const(0, kind.name), lambda v: _power(v, p), kind)
    return compute(total.shape, lambda *o: _root(total[o], p), x.dtype)


# -- global forms


def _global(kind: str, x: Def, f: Callable[[E], E] | None = None, dtype: DType | None = None) -> Def:
    if x.rank < 2:
        raise ModelError(f"a global pool takes [N, C, ...] but the input has rank {x.rank}")
    shape = (*x.shape[:2], *[1] * (x.rank - 2))

    def term(o: list[Ix], r: list[Ix]) -> E:
        value = x[tuple(o[:2] + r)]
        return value if f is None else f(value)

    return reduce_(kind, shape, x.shape[2:], term, dtype)


@lowering("GlobalMaxPool")
def global_max_pool(ctx: Ctx, x: Def) -> Def:
    return _global("max", x, dtype=x.dtype)


@lowering("GlobalAveragePool")
def global_average_pool(ctx: Ctx, x: Def) -> Def:
    kind = dtypes.compute_of(x.dtype)
    total = _global("sum", x, dtype=kind)
    count = expr.cast(expr.ix_value(index.prod_dims(x.shape[2:])), kind)
    return compute(total.shape, lambda *o: total[o] / count, x.dtype)


@lowering("GlobalLpPool")
def global_lp_pool(ctx: Ctx, x: Def) -> Def:
    p = ctx.attr_int("p", 2)
    total = _global("sum", x, lambda v: _power(v, p), dtypes.compute_of(x.dtype))
    return compute(total.shape, lambda *o: _root(total[o], p), x.dtype)
