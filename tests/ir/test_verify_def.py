# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Loads are proved in bounds, with the conditions of guards as facts, and reported where they are not."""

from __future__ import annotations

import pytest

from aotgen.core import dtypes
from aotgen.core.errors import InternalError
from aotgen.ir import expr, index
from aotgen.ir.define import compute, reduce_, source
from aotgen.ir.expr import all_, between, ge0, guard, select
from aotgen.ir.verify_def import problems, verify

X = source("x", (4, 10), dtypes.f32)
ZERO = expr.const(0, "f32")


def test_identity_and_views_are_fine():
    assert not problems(compute((4, 10), lambda i, j: X[i, j]))
    assert not problems(compute((40,), lambda i: X[i // 10, i % 10]))
    assert not problems(compute((4, 5), lambda i, j: X[3 - i, 9 - 2 * j]))


def test_a_shifted_load_is_not():
    assert problems(compute((4, 10), lambda i, j: X[i, j + 1]))
    assert problems(compute((5, 10), lambda i, j: X[i, j]))
    with pytest.raises(InternalError, match="out of bounds"):
        verify([compute((4, 10), lambda i, j: X[i, j - 1])])


def test_guards_are_facts_and_selects_are_not():
    def padded(choose):
        return compute((4, 13), lambda i, j: choose(between(0, j - 2, 10), X[i, j - 2], ZERO))

    assert not problems(padded(guard))
    assert problems(padded(select))


def test_the_other_arm_knows_that_the_condition_failed():
    y = source("y", (4, 3), dtypes.f32)
    assert not problems(compute((4, 13), lambda i, j: guard(ge0(9 - j), X[i, j], y[i, j - 10])))
    assert problems(compute((4, 13), lambda i, j: guard(ge0(8 - j), X[i, j], y[i, j - 10])))


def test_windows():
    def pool(stride, inside):
        def term(o, r):
            k = o[1] * stride + r[0] - 1
            return guard(all_([ge0(k), ge0(9 - k)]) if inside else ge0(k), X[o[0], k], ZERO)

        return reduce_("sum", (4, 6), (3,), term)

    assert not problems(pool(2, True))
    assert problems(pool(2, False))


def test_divisions_under_a_fact():
    y = source("y", (4, 5), dtypes.f32)
    good = compute((4, 12), lambda i, j: guard(between(2, j, 12), y[i, (j - 2) // 2], ZERO))
    assert not problems(good)


def test_indirect_loads_are_clamped_and_their_own_indices_checked():
    ids = source("ids", (6,), dtypes.i64)
    ok = compute((6, 10), lambda i, j: X[expr.wrap_negative(ids[i], 4), j])
    assert not problems(ok)
    bad = compute((7, 10), lambda i, j: X[expr.wrap_negative(ids[i], 4), j])
    assert any("ids" in p for p in problems(bad))


def test_open_dims():
    n = index.dim("N", 1, 64)
    a, b = source("a", (n,), dtypes.f32), source("b", (3,), dtypes.f32)
    assert not problems(compute((n + 3,), lambda i: guard(ge0(n - 1 - i), a[i], b[i - n])))
    assert problems(compute((n + 3,), lambda i: guard(ge0(n - i), a[i], b[i - n])))
