# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Det: Gaussian elimination with partial pivoting; matrices are batched over the leading axes. Small ones of known size are
one small Def a step, others a library function."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aotgen.core import dtypes
from aotgen.core.errors import ModelError
from aotgen.ir import expr, index
from aotgen.ir.define import Call, Def, call, compute, reduce_
from aotgen.ir.expr import E
from aotgen.ir.index import Ix
from aotgen.ir.interpret import Array, library
from aotgen.ops.registry import Ctx, lowering
from aotgen.ops.sized import sized

UNROLLED = 16  # rows of the largest matrix whose elimination is spelled out


@lowering("Det")
def det(ctx: Ctx, x: Def) -> Def:
    if x.rank < 2:
        raise ModelError(f"the determinant of {list(x.shape)}, which is not square")
    known = next((d for d in x.shape[-2:] if isinstance(d, int)), x.shape[-1])
    x = sized(x, {-2: known, -1: known}, "a matrix whose determinant is taken, which is square,")
    n = x.shape[-1]
    if not isinstance(n, int) or n > UNROLLED:
        wide = compute(x.shape, lambda *i: expr.cast(x[i], "f64"), dtypes.f64)
        whole, = call("library", "determinant", [wide], [(x.shape[:-2], dtypes.f64)])
        return compute(whole.shape, lambda *b: expr.cast(whole[b], x.dtype.compute), x.dtype)
    batch, kind = x.shape[:-2], x.dtype.compute
    product = compute(batch, lambda *b: expr.const(1, kind))
    rest = compute(x.shape, lambda *i: x[i]) if x.dtype.name == kind else compute(
        x.shape, lambda *i: expr.cast(x[i], kind), expr.const(0, kind).type)
    for size in range(n, 0, -1):
        product, rest = _eliminated(product, rest, size)
    return compute(batch, lambda *b: product[b], x.dtype)


def _eliminated(product: Def, a: Def, n: int) -> tuple[Def, Def]:
    """One column: the product of pivots so far times this one, and the trailing ``n - 1`` rows and columns."""
    batch = a.shape[:-2]
    if n == 1:
        return compute(batch, lambda *b: product[b] * a[(*b, index.ix(0), index.ix(0))]), a
    best = reduce_("argmax", batch, [n], lambda o, r: expr.fn("abs", a[(*o, r[0], index.ix(0))]))

    def pivot_row(b: tuple[Ix, ...], column: Ix) -> E:
        return a[(*b, expr.index_of(best[b], n), column)]

    def times(*b: Ix) -> E:
        p = pivot_row(b, index.ix(0))
        swapped = best[b].eq(0)
        return product[b] * expr.select(swapped, p, -p)

    def trailing(*i: Ix) -> E:
        b, row, column = i[:-2], i[-2] + 1, i[-1] + 1
        taken = best[b].eq(expr.ix_value(row))  # row 0 stands where the pivot row was
        here = expr.select(taken, a[(*b, index.ix(0), column)], a[(*b, row, column)])
        head = expr.select(taken, a[(*b, index.ix(0), index.ix(0))], a[(*b, row, index.ix(0))])
        p = pivot_row(b, index.ix(0))
        factor = expr.select(p.eq(0), expr.const(0, p.dtype), head / p)
        return here - factor * pivot_row(b, column)

    return compute(batch, times), compute((*batch, n - 1, n - 1), trailing)


@library("determinant")
def _determinant_reference(c: Call, args: Sequence[Array]) -> list[Array]:
    return [np.asarray(np.linalg.det(args[0]))]
