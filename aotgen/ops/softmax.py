# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Softmax, LogSoftmax and Hardmax along any one axis. Stable: the row's maximum is taken off first."""

from __future__ import annotations

from collections.abc import Sequence

from aotgen.core import dtypes
from aotgen.ir import expr
from aotgen.ir.define import Def, compute, reduce_
from aotgen.ir.expr import E
from aotgen.ir.index import Ix
from aotgen.ops.registry import Ctx, lowering


def _dropped(i: Sequence[Ix], axis: int) -> tuple[Ix, ...]:
    return (*i[:axis], *i[axis + 1 :])


def _along(kind: str, x: Def, axis: int) -> Def:
    """``kind`` of ``x`` along ``axis``, which disappears."""
    shape = (*x.shape[:axis], *x.shape[axis + 1 :])
    return reduce_(kind, shape, [x.shape[axis]], lambda o, r: x[tuple(o[:axis] + r + o[axis:])])


def _exponentials(x: Def, axis: int) -> tuple[Def, Def, Def]:
    """Row maxima, ``exp(x - max)`` in the compute type, and its row sums."""
    top = _along("max", x, axis)
    e = compute(x.shape, lambda *i: expr.fn("exp", x[i] - top[_dropped(i, axis)]), dtypes.compute_of(x.dtype))
    return top, e, _along("sum", e, axis)


@lowering("Softmax")
def softmax(ctx: Ctx, x: Def) -> Def:
    axis = ctx.axis(x.rank, -1)
    _, e, total = _exponentials(x, axis)
    inverse = compute(total.shape, lambda *i: 1.0 / total[i])
    return compute(x.shape, lambda *i: e[i] * inverse[_dropped(i, axis)], x.dtype)


@lowering("LogSoftmax")
def log_softmax(ctx: Ctx, x: Def) -> Def:
    axis = ctx.axis(x.rank, -1)
    top, _, total = _exponentials(x, axis)
    log = compute(total.shape, lambda *i: expr.fn("log", total[i]))
    return compute(x.shape, lambda *i: x[i] - top[_dropped(i, axis)] - log[_dropped(i, axis)], x.dtype)


@lowering("Hardmax")
def hardmax(ctx: Ctx, x: Def) -> Def:
    """1 at the first maximum along the axis, 0 elsewhere."""
    axis = ctx.axis(x.rank, -1)
    best = _along("argmax", x, axis)

    def f(*i: Ix) -> E:
        hit = best[_dropped(i, axis)].eq(expr.ix_value(i[axis]))
        kind = dtypes.compute_of(x.dtype).name
        return expr.select(hit, expr.const(1, kind), expr.const(0, kind))

    return compute(x.shape, f, x.dtype)
