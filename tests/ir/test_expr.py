# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Expressions: sharing, folding that never changes a value, conditions, casts, rebuilding."""

from __future__ import annotations

import math

import numpy as np
import pytest

from aotgen.core import dtypes
from aotgen.core.errors import InternalError
from aotgen.ir import expr, index
from aotgen.ir.define import source
from aotgen.ir.expr import cast, const, fn, ge0, guard, ix_value, select
from aotgen.ir.index import var

X = source("x", (8, 8), dtypes.f32)
I, J = (index.fresh_var(8, n) for n in "ij")  # noqa: E741


def test_same_parts_are_one_object():
    assert X[I, J] + 1.0 is X[I, J] + 1.0
    assert X[I, J] is not X[J, I]
    assert const(0.0, "f32") is not const(-0.0, "f32")


def test_mixed_types_are_an_error():
    with pytest.raises(InternalError):
        fn("add", X[I, J], const(1, "i32"))
    with pytest.raises(InternalError):
        X[I]


@pytest.mark.parametrize(("value", "dtype", "want"), [(300, "u8", 44), (-1, "u8", 255), (200, "i8", -56), (2.9, "i32", 2),
                                                      (-2.9, "i32", -2), (math.nan, "i64", 0), (1e30, "i32", 2**31 - 1),
                                                      (0.1, "f16", float(np.float16(0.1))), (5, "bool", True)])  # fmt: skip
def test_casts_of_constants(value, dtype, want):
    e = cast(const(value, "f32" if isinstance(value, float) else "i64"), dtype)
    assert e.op == "const"
    assert e.attr == pytest.approx(want, rel=1e-3)


def test_simplification_keeps_every_value():
    v = X[I, J]
    assert v * 1.0 is v
    assert v / 1.0 is v
    assert v - 0.0 is v
    assert (v + 0.0) is not v, "-0.0 + 0.0 is 0.0"
    assert (v * 0.0).op == "mul", "NaN times 0 is NaN"
    assert fn("not", v < 1.0).op == "not", "comparisons are never negated: NaN"


def test_index_values_stay_polynomials():
    a, b = ix_value(var(I)), ix_value(var(J))
    assert (a * 8 + b).attr == var(I) * 8 + var(J)
    assert (a < 8).attr is True
    assert (a < 0).attr is False
    assert fn("min", a, const(7, "i64")) is a
    assert fn("div", a * 8 + b, const(8, "i64")) is a


def test_conditions_fold_and_lose_divisions():
    assert ge0(var(I)).attr is True
    assert ge0(var(I) - 8).attr is False
    assert ge0(var(I) - 3).attr == var(I) - 3
    w = index.fresh_var(64, "w")
    assert ge0(var(w) // 8 - 3).attr == var(w) - 24
    assert ge0(3 - var(w) // 8).attr == 31 - var(w)
    assert ge0(2 * var(I) - 1).attr == var(I) - 1
    assert ge0(16 * var(I) - 16 + var(J)).attr == var(I) - 1


def test_choices():
    v, c = X[I, J], ge0(var(I) - 3)
    assert guard(expr.true(), v, v * 2.0) is v
    assert select(c, v, v) is v
    assert guard(c, v, const(0, "f32")).subst({I: index.ix(5)}) is X[5, J]
    assert guard(c, v, const(0, "f32")).subst({I: index.ix(2)}).attr == 0.0


def test_rebuild_replaces_loads_inside_indices_too():
    ids = source("ids", (8,), dtypes.i64)
    e = X[expr.wrap_negative(ids[I], 8), J]
    assert {ld.attr[0] for ld in expr.loads_of(e)} == {X, ids}
    fixed = expr.rebuild(e, {}, lambda d, i: ix_value(i[0]) if d is ids else None)
    assert fixed is X[I, J]
    assert e.subst({I: index.ix(2)}).vars() == {J}


def test_vars_and_flops():
    e = fn("exp", X[I, J]) * X[I, J]
    assert e.vars() == {I, J}
    assert expr.flops(e) == 21
    assert expr.flops(fn("add", e, e)) == 22, "shared parts count once"


def test_an_index_loaded_at_a_loaded_index_is_rebuilt_once() -> None:
    """Forty of them one in the other, each used twice: not 2 ** 40 ways."""
    table = source("table", (7,), dtypes.i64)

    def step(e: expr.E) -> expr.E:
        return expr.fn("add", e, table[expr.index_of(e, 7)])

    d = source("x", (5,), dtypes.i64)
    axis, other = index.fresh_var(5), index.fresh_var(5)
    deep = d[axis]
    for _ in range(40):
        deep = step(deep)
    moved = deep.subst({axis: index.var(other)})
    assert moved.vars() == {other}
    assert moved.subst({other: index.var(axis)}) is deep
