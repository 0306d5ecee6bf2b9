# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Operators on shapes. Their contents are polynomials of dims, so exporters' shape arithmetic folds while typing."""

from __future__ import annotations

from aotgen.ir import facts
from aotgen.ir.define import Def, compute
from aotgen.ir.expr import E, const, ge0, ix_value, select
from aotgen.ir.index import Ix
from aotgen.ops.registry import Ctx, lowering


@lowering("Shape")
def shape(ctx: Ctx, x: Def) -> Def:
    """Extents ``start`` to ``end`` (both may count from the end, both are clamped) as i64[n]."""
    dims = x.shape[slice(ctx.attr_int("start", 0), ctx.attr_int("end", x.rank))]

    def f(k: Ix) -> E:
        out = ix_value(dims[-1]) if dims else const(0, "i64")
        for n in range(len(dims) - 2, -1, -1):
            out = select(ge0(n - k), ix_value(dims[n]), out)
        return out

    return compute((len(dims),), f)


@lowering("Assuming", domain="aotgen")
def assuming(ctx: Ctx, x: Def, a: Def, b: Def) -> Def:
    """``x``, for runs in which two extents are equal: others are refused."""
    facts.assume_equal(ctx.values(1, "a")[0], ctx.values(2, "b")[0])
    return compute(x.shape, lambda *i: x[i], x.dtype)


@lowering("Size")
def size(ctx: Ctx, x: Def) -> Def:
    return compute((), lambda: ix_value(x.size))
