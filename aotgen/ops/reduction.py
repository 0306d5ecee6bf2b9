# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Reductions. Partial results (a sum below a mean, a maximum below a log-sum-exp) are Defs of their own in the compute
type: a 16-bit tensor is not rounded on the way, and the fuser decides what shares a row."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from aotgen.core import dtypes
from aotgen.core.dtypes import DType
from aotgen.ir import index
from aotgen.ir.define import Def, compute, reduce_
from aotgen.ir.expr import E, cast, const, fn, ix_value, select
from aotgen.ir.index import Dim, Ix, ix
from aotgen.ops.registry import Ctx, lowering

Map = Callable[[E], E]


def _same(e: E) -> E:
    return e


def kept_shape(x: Def, axes: Sequence[int], keepdims: bool) -> list[Dim]:
    """The shape of ``x`` without ``axes``, or with 1 in their place."""
    return [1 if k in axes else d for k, d in enumerate(x.shape) if keepdims or k not in axes]


def kept_point(x: Def, axes: Sequence[int], keepdims: bool, i: Sequence[Ix]) -> list[Ix]:
    """A point of a reduced tensor as a point of its ``keepdims`` form."""
    if keepdims:
        return list(i)
    rest = iter(i)
    return [ix(0) if k in axes else next(rest) for k in range(x.rank)]


def reduced(
    kind: str,
    x: Def,
    axes: Sequence[int],
    keepdims: bool = True,
    of: Callable[..., E] | None = None,
    dtype: DType | None = None,
) -> Def:
    """The ``kind`` reduction over ``axes`` of ``of(*point)`` (by default the element of ``x``), an identity where empty."""
    order = sorted(axes)
    value = of or (lambda *i: x[i])
    shape = kept_shape(x, order, keepdims)

    def f(o: list[Ix], r: list[Ix]) -> E:
        point = kept_point(x, order, keepdims, o)
        for axis, k in zip(order, r, strict=True):
            point[axis] = k
        return value(*point)

    if any(x.shape[a] == 0 for a in order) and kind in ("max", "min"):
        return compute(shape, lambda *_: _extreme(x.dtype, kind), dtype or dtypes.compute_of(x.dtype))
    return reduce_(kind, shape, [x.shape[a] for a in order], f, dtype)


def _extreme(t: DType, kind: str) -> E:
    """The identity of max or min over a tensor of storage type ``t``."""
    if t.is_float:
        return const(-math.inf if kind == "max" else math.inf, t.compute)
    info = np.iinfo(t.numpy)  # type: ignore[type-var]
    return const(info.min if kind == "max" else info.max, t.compute)


def count_of(x: Def, axes: Sequence[int]) -> Ix:
    """How many elements a reduction over ``axes`` combines."""
    return ix(index.prod_dims(x.shape[a] for a in axes))


def reduce_axes(ctx: Ctx, x: Def) -> list[int] | None:
    """The axes of a Reduce operator; None when it reduces nothing (empty axes and ``noop_with_empty_axes``)."""
    axes = ctx.axes(1, x.rank, [])
    if axes:
        return sorted(set(axes))
    return None if ctx.attr_int("noop_with_empty_axes", 0) else list(range(x.rank))


def _register_plain(name: str, kind: str, logical: str = "") -> None:
    def lower(ctx: Ctx, x: Def, axes: Def | None = None) -> Def:
        over = reduce_axes(ctx, x)
        if over is None:
            return compute(x.shape, lambda *i: x[i], x.dtype)
        how = logical if x.dtype.is_bool else kind
        return reduced(how, x, over, bool(ctx.attr_int("keepdims", 1)), dtype=x.dtype)

    lowering(name)(lower)


for _name, _kind, _logical in (
    ("ReduceSum", "sum", ""),
    ("ReduceProd", "prod", ""),
    ("ReduceMax", "max", "or"),
    ("ReduceMin", "min", "and"),
):
    _register_plain(_name, _kind, _logical)


def mean_of(
    x: Def, axes: Sequence[int], keepdims: bool = True, of: Callable[..., E] | None = None, dtype: DType | None = None
) -> Def:
    """The mean over ``axes``: a sum Def, and a division of it stored as ``dtype`` (default: the compute type)."""
    total = reduced("sum", x, axes, keepdims, of)
    n = cast(ix_value(count_of(x, axes)), total.dtype)
    return compute(total.shape, lambda *i: total[i] / n, dtype)


@lowering("ReduceMean")
def reduce_mean(ctx: Ctx, x: Def, axes: Def | None = None) -> Def:
    over = reduce_axes(ctx, x)
    if over is None:
        return compute(x.shape, lambda *i: x[i], x.dtype)
    return mean_of(x, over, bool(ctx.attr_int("keepdims", 1)), dtype=x.dtype)


# name -> (what is summed, what is made of the sum); reducing nothing applies both to each element
SUMS: dict[str, tuple[Map, Map]] = {
    "ReduceSumSquare": (lambda e: e * e, _same),
    "ReduceL1": (lambda e: e if e.type.kind == "u" else fn("abs", e), _same),
    "ReduceL2": (lambda e: e * e, lambda s: fn("sqrt", s)),
    "ReduceLogSum": (_same, lambda s: fn("log", s)),
}
INEXACT = ("ReduceL2", "ReduceLogSum", "ReduceLogSumExp")  # integers go through f64


def _working(name: str, x: Def) -> str:
    """The type a reduction computes in."""
    return "f64" if name in INEXACT and not x.dtype.is_float else x.dtype.compute


def _register_sum(name: str, before: Map, after: Map) -> None:
    def lower(ctx: Ctx, x: Def, axes: Def | None = None) -> Def:
        over, work = reduce_axes(ctx, x), _working(name, x)
        back: Map = (lambda e: cast(e, x.dtype)) if work != x.dtype.compute else _same
        if over is None:
            return compute(x.shape, lambda *i: back(after(before(cast(x[i], work)))), x.dtype)
        total = reduced(
            "sum",
            x,
            over,
            bool(ctx.attr_int("keepdims", 1)),
            lambda *i: before(cast(x[i], work)),
            x.dtype if after is _same else None,
        )
        return total if after is _same else compute(total.shape, lambda *i: back(after(total[i])), x.dtype)

    lowering(name)(lower)


for _name, (_before, _after) in SUMS.items():
    _register_sum(_name, _before, _after)


@lowering("ReduceLogSumExp")
def reduce_log_sum_exp(ctx: Ctx, x: Def, axes: Def | None = None) -> Def:
    """m + log(sum(exp(x - m))) with m the maximum, or 0 where that is not finite (so infinities come out right)."""
    over, work = reduce_axes(ctx, x), _working("ReduceLogSumExp", x)
    if over is None:
        return compute(x.shape, lambda *i: x[i], x.dtype)
    keep = bool(ctx.attr_int("keepdims", 1))
    peak = reduced("max", x, over, True, lambda *i: cast(x[i], work), dtypes.of(work))
    shift = compute(peak.shape, lambda *i: select(fn("abs", peak[i]) < math.inf, peak[i], const(0, work)))

    def at(i: Sequence[Ix]) -> E:
        return shift[tuple(ix(0) if k in over else p for k, p in enumerate(i))]

    total = reduced("sum", x, over, keep, lambda *i: fn("exp", cast(x[i], work) - at(i)))
    return compute(
        total.shape,
        lambda *i: cast(
            fn("log", total[i]) + at(kept_point(x, over, keep, i)), x.dtype if work != x.dtype.compute else work
        ),
        x.dtype,
    )


@lowering("ArgMax", "ArgMin")
def arg_extreme(ctx: Ctx, x: Def) -> Def:
    """The index of the first (or last: ``select_last_index``) extreme along one axis, i64."""
    kind = ctx.node.op.lower() + ("_last" if ctx.attr_int("select_last_index", 0) else "")
    return reduced(kind, x, [ctx.axis(x.rank, 0)], bool(ctx.attr_int("keepdims", 1)))
