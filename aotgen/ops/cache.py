# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""TensorScatter: new keys or values written into a cache of fixed length. Read as a choice for every cache element, so it
fuses like any other elementwise operator."""

from __future__ import annotations

from aotgen.core.errors import ModelError
from aotgen.ir import expr, index
from aotgen.ir.define import Def, compute
from aotgen.ir.expr import E
from aotgen.ir.index import Ix
from aotgen.ops.broadcast import replaced
from aotgen.ops.registry import Ctx, lowering


@lowering("TensorScatter")
def tensor_scatter(ctx: Ctx, past: Def, update: Def, starts: Def | None = None) -> Def:
    """past: ``[B, ..., max, ...]``, update: the same with fewer along ``axis``, starts: ``[B]`` i64 (absent: 0). In mode
    ``circular`` positions wrap at the end of the cache."""
    axis = ctx.axis(past.rank, -2)
    mode = ctx.attr_str("mode", "linear")
    if mode not in ("linear", "circular"):
        raise ModelError(f"unknown mode '{mode}'")
    if axis == 0 or past.rank != update.rank:
        raise ModelError(f"a cache of shape {list(past.shape)} updated with {list(update.shape)} along axis {axis}")
    most, count = past.shape[axis], update.shape[axis]

    def f(*i: Ix) -> E:
        start = expr.const(0, "i64") if starts is None else starts[i[0]]
        place = expr.ix_value(i[axis], "i64") - start
        if mode == "circular":
            place = expr.fn("mod", place, expr.ix_value(most, "i64"))
        fresh = expr.all_([expr.const(0, "i64") <= place, place < expr.ix_value(count, "i64")])
        return expr.guard(fresh, update[replaced(i, axis, expr.index_of(place, count))], past[i])

    if index.ix(count) == 0:
        return compute(past.shape, lambda *i: past[i], past.dtype)
    return compute(past.shape, f, past.dtype)
