# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Running sums and products: a scan, on a flipped copy when it runs backwards."""

from __future__ import annotations

from aotgen.core.errors import ModelError
from aotgen.ir.define import Def, compute, scan
from aotgen.ir.expr import E, const, ge0, guard
from aotgen.ir.index import Ix
from aotgen.ops.registry import Ctx, lowering


@lowering("CumSum", "CumProd")
def cumulative(ctx: Ctx, x: Def, axis: Def) -> Def:
    """``exclusive``: element k leaves itself out (the first one is the identity). ``reverse``: from the end."""
    where = ctx.values(1, "axis")
    if len(where) != 1 or not isinstance(where[0], int):
        raise ModelError(f"axis {where} is not one number")
    return _along(ctx, x, ctx.axis_of(where[0], x.rank))


def _along(ctx: Ctx, x: Def, a: int) -> Def:
    """The running sum or product of ``x`` along axis ``a``."""
    reverse, exclusive = ctx.attr_int("reverse", 0), ctx.attr_int("exclusive", 0)
    fold, identity = ("add", 0) if ctx.node.op == "CumSum" else ("mul", 1)

    def flipped(i: tuple[Ix, ...]) -> tuple[Ix, ...]:
        return (*i[:a], x.shape[a] - 1 - i[a], *i[a + 1 :]) if reverse else i

    def f(*i: Ix) -> E:
        if not exclusive:
            return x[flipped(i)]
        previous = (*i[:a], i[a] - 1, *i[a + 1 :])
        return guard(ge0(i[a] - 1), x[flipped(previous)], const(identity, x.dtype.compute))

    running = scan(fold, x.shape, a, f, x.dtype)
    return compute(x.shape, lambda *i: running[flipped(i)], x.dtype) if reverse else running
