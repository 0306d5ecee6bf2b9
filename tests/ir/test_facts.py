# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What is noted about open dims while operators are lowered, and what sizes need."""

from __future__ import annotations

import itertools

import pytest

from aotgen.ir import choice, facts, index
from aotgen.ir.facts import Condition


def texts(found: dict[Condition, None]) -> list[str]:
    return [str(c) for c in found]


def test_equalities_are_noted_once_and_read_well() -> None:
    a, b = index.dim("a"), index.dim("b")
    with facts.assuming() as found:
        facts.assume_equal(a, b)
        facts.assume_equal(b, a)
        facts.assume_equal(a + b, b + a)
        facts.assume_equal(2 * a + 1, b)
        facts.assume_equal(a, 4)
    assert texts(found) == ["a == b", "2*a + 1 == b", "a == 4"]


def test_limits_are_read_off_equalities_with_a_minimum() -> None:
    n, m = index.dim("n", 0), index.dim("m", 0)
    with facts.assuming() as found:
        facts.assume_equal(n + 1, index.as_dim(choice.minimum(n + 1, index.ix(8))))
        facts.assume_equal(choice.minimum(n, index.ix(9)), n)
        facts.assume_equal(choice.minimum(m, index.ix(5)), n)
        facts.assume_equal(m, 4)
    assert facts.limits(found) == {index.single_atom(n): 7}


def test_nobody_listens() -> None:
    facts.assume_equal(index.dim("a"), index.dim("b"))
    with facts.assuming() as found:
        pass
    assert not found


def test_the_innermost_listens() -> None:
    a, b = index.dim("a"), index.dim("b")
    with facts.assuming() as outer:
        with pytest.raises(KeyError), facts.assuming() as inner:
            facts.assume_equal(a, b)
            raise KeyError
        facts.assume_nonneg(a - b)
    assert texts(inner) == ["a == b"] and texts(outer) == ["a >= b"]


def test_only_what_bounds_do_not_prove() -> None:
    n = index.dim("n", 3, 10)
    with facts.assuming() as found:
        facts.assume_nonneg(n - 3)
        facts.assume_nonneg(index.ix(10) - n)
        facts.assume_nonneg(n - 4)
    assert texts(found) == ["n >= 4"]


def test_extents_are_not_negative_and_divide_downwards() -> None:
    """Wherever the conditions hold, every extent is at least 0 and no division has a negative numerator or divisor."""
    h, w = index.dim("h"), index.dim("w", 0)
    extents = [h - 2, (h - 3) // 2 + 1, (w - 1) // 3, h * w, h // w, 7]
    found = facts.needed_by(extents)
    for p, q in itertools.product(range(1, 8), range(8)):
        dims = dict(zip((next(iter(h.atoms())), next(iter(w.atoms()))), (p, q), strict=True))
        holds = True
        for c in found:  # in order: a divisor is checked before the quotient is asked for
            value = c.value.evaluate(dims)
            holds = holds and (value == 0 if c.equal else value >= 0)
            if not holds:
                break
        assert holds == (p >= 2 and q >= 1)


def test_sides_are_positive() -> None:
    a, b = index.dim("a"), index.dim("b")
    left, right = Condition(2 * a - 3 * b - 4, False).sides()
    assert left == 2 * a and right == 3 * b + 4
    assert str(Condition((a + 1) // 2 - b, True)) == "((a + 1) // 2) == b"
