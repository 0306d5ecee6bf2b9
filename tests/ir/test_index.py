# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Index arithmetic against brute force: the one place where a wrong rule is silent everywhere."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aotgen.ir import choice, index
from aotgen.ir.expr import undivided
from aotgen.ir.index import Ix, extremes, ix, nonneg, var

RANGES = {"a": (0, 6), "b": (0, 16), "c": (2, 5), "d": (-3, 4)}
DIMS = {"P": (1, 3), "Q": (2, 4), "Z": (0, 2)}


class Space:
    """Variables and dims, and every assignment of them."""

    def __init__(self) -> None:
        self.vars = {n: index.fresh_var(hi - lo, n, lo) for n, (lo, hi) in RANGES.items()}
        self.dims = {n: index.dim(n, lo, hi) for n, (lo, hi) in DIMS.items()}
        p = self.dims["P"]
        self.vars["e"] = index.fresh_var(p * 4, "e")  # a variable whose range is open
        self.vars["f"] = index.fresh_var(self.dims["Z"] * 2, "f")  # one that may have no value at all
        self.leaves = [*map(var, self.vars.values()), *self.dims.values()]

    def points(self, e: Ix):
        used = sorted({a for a in e.walk() if a.kind in ("var", "dim")} | e.vars())
        need = set(used) | {a for v in used if v.kind == "var" for a in index.dims_of(v.ext)}
        dims = [a for a in sorted(need) if a.kind == "dim"]
        free = [a for a in sorted(need) if a.kind == "var"]
        for values in itertools.product(*(range(DIMS[a.name][0], DIMS[a.name][1] + 1) for a in dims)):
            env = dict(zip(dims, values, strict=True))
            ranges = [range(v.lo.const(), v.lo.const() + v.ext.evaluate(env)) for v in free]
            for point in itertools.product(*ranges):
                yield {**env, **dict(zip(free, point, strict=True))}


SPACE = Space()
NAMES = [*RANGES, "e", "f", *DIMS]


@st.composite
def extents(draw, depth=2):
    """Minima, maxima and broadcasts of dims."""
    if depth == 0 or draw(st.integers(0, 2)) == 0:
        return draw(st.one_of(st.integers(-3, 4), st.sampled_from([*DIMS, ("+", "P", "Z"), ("*", "Q", "Z")])))
    left, right = draw(extents(depth - 1)), draw(extents(depth - 1))
    return (draw(st.sampled_from(["min", "max", "-", "many"])), left, right)


@st.composite
def trees(draw, depth=3, division=True):
    """An expression as nested tuples, so that it can be evaluated without any simplifier."""
    if depth == 0 or draw(st.integers(0, 3)) == 0:
        return draw(st.one_of(st.integers(-20, 20), st.sampled_from(NAMES), extents()))
    op = draw(st.sampled_from(["+", "-", "*", "+", "-"] + (["/", "%", "/", "%"] if division else [])))
    left = draw(trees(depth - 1, division))
    if op == "*":
        right = draw(st.one_of(st.integers(-6, 6), st.sampled_from(["P", "Q", "a"])))
    elif op in "/%":
        right = draw(st.one_of(st.integers(1, 20), st.sampled_from(["P", "Q", "Z", ("*", "P", "Z")])))
    else:
        right = draw(trees(depth - 1, division))
    return (op, left, right)


def build(t) -> Ix:
    if isinstance(t, int):
        return ix(t)
    if isinstance(t, str):
        return var(SPACE.vars[t]) if t in SPACE.vars else SPACE.dims[t]
    a, b = build(t[1]), build(t[2])
    return {"+": a.__add__, "-": a.__sub__, "*": a.__mul__, "/": a.__floordiv__, "%": a.__mod__,
            "min": lambda y: choice.minimum(a, y), "max": lambda y: choice.maximum(a, y),
            "many": lambda y: choice.many(a) + y}[t[0]](b)


def value(t, env) -> int:
    if isinstance(t, int):
        return t
    if isinstance(t, str):
        atom = SPACE.vars[t] if t in SPACE.vars else next(iter(SPACE.dims[t].atoms()))
        return env[atom]
    a, b = value(t[1], env), value(t[2], env)
    return {"+": a + b, "-": a - b, "*": a * b, "/": b and a // b, "%": b and a % b,
            "min": min(a, b), "max": max(a, b), "many": (a > 1) + b}[t[0]]


def defined(t, env) -> bool:
    """Is nothing divided by 0? Nobody cares about the answer where something is."""
    if not isinstance(t, tuple):
        return True
    return all(defined(part, env) for part in t[1:]) and (t[0] not in "/%" or value(t[2], env) != 0)


def names(t) -> set[str]:
    return {t} if isinstance(t, str) else set() if isinstance(t, int) else names(t[1]) | names(t[2])


def over(t, limit=6000):
    """Some points of everything that ``t`` mentions (what the simplifier dropped included)."""
    whole = ix(0)
    for n in sorted(names(t)):
        whole = whole + (var(SPACE.vars[n]) if n in SPACE.vars else SPACE.dims[n])
    whole = whole + sum((SPACE.dims[n] for n in DIMS), ix(0))  # bounds of open ranges need them
    points = [env for env in SPACE.points(whole) if defined(t, env)]
    step = max(1, len(points) // limit) | 1
    return points[::step]


@settings(max_examples=400, deadline=None, derandomize=True)
@given(trees())
def test_simplified_equals_literal(t):
    e = build(t)
    for env in over(t, 400):
        assert e.evaluate(env) == value(t, env)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(trees())
def test_nonneg_is_never_wrong(t):
    e = build(t)
    if nonneg(e):
        assert all(value(t, env) >= 0 for env in over(t))


@settings(max_examples=200, deadline=None, derandomize=True)
@given(trees(division=False))
def test_extremes_bound(t):
    low, high = extremes(build(t))
    for env in over(t, 600):
        v = value(t, env)
        assert low is None or low.evaluate(env) <= v
        assert high is None or v <= high.evaluate(env)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(trees())
def test_undivided_has_the_same_sign(t):
    e = undivided(build(t))
    for env in over(t, 400):
        assert (e.evaluate(env) >= 0) == (value(t, env) >= 0)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(trees(), st.sampled_from(sorted(RANGES)), st.integers(1, 4))
def test_substitution(t, name, c):
    """Splitting a variable and moving it keep the value."""
    v = SPACE.vars[name]
    t = ("+", t, name)
    lo, n = v.lo.const(), v.ext.const()
    outer, inner = index.fresh_var(-(-n // c), "o"), index.fresh_var(c, "i")
    e = build(t).subst({v: var(outer) * c + var(inner) + lo})
    for env in over(t, 200):
        k = env[v] - lo
        assert e.evaluate({**env, outer: k // c, inner: k % c}) == value(t, env)


@settings(max_examples=200, deadline=None, derandomize=True)
@given(trees())
def test_coefficient(t):
    e = build(t)
    for v in sorted(e.vars()):
        k = e.coefficient(v)
        if k is not None:
            rest = e - k * var(v)
            assert v not in k.vars()
            assert v not in rest.vars()


def test_broadcast_extents():
    """Of equal extents, or where one is 1; in any order; read in steps of 0 or 1; empty where one of them is."""
    shapes = {n: index.dim(n, 0, 3) for n in "STU"}
    s, t, u = shapes.values()
    e = choice.broadcast(choice.broadcast(s, t), u)
    assert e == choice.broadcast(u, choice.broadcast(t, s))
    i = index.fresh_var(e, "i")
    assert nonneg(e) and nonneg(choice.many(s) * var(i)) and not nonneg(e - 1)
    atoms = [index.dims_of(d)[0] for d in shapes.values()]
    for values in itertools.product(range(4), repeat=3):
        wide = {v for v in values if v != 1}
        if len(wide) > 1:
            continue
        env = dict(zip(atoms, values, strict=True))
        n = wide.pop() if wide else 1
        assert e.evaluate(env) == n
        if n:
            assert [choice.many(d).evaluate(env) for d in shapes.values()] == [int(v != 1) for v in values]


def test_broadcast_with_a_number():
    s, at_least_two = index.dim("S", 0, 3), index.dim("T", 2, 3)
    assert choice.broadcast(s, 1) == s and choice.broadcast(s, s) == s
    assert choice.broadcast(s, 5) == 5 and choice.broadcast(5, s) == 5
    assert choice.broadcast(s, at_least_two) == at_least_two


def test_slices_stay_within():
    """Whatever is clamped is provably so."""
    n, m = index.dim("N", 0), index.dim("M", 0)
    low = choice.maximum(0, choice.minimum(n - 2, m))
    assert nonneg(low) and nonneg(m - low)
    count = choice.maximum(0, m - low)
    k = index.fresh_var(count, "k")
    assert nonneg(m - 1 - low - var(k))
    assert choice.minimum(n + 1, m + 1) == choice.minimum(n, m) + 1
    assert choice.maximum(n, m) == choice.maximum(m, n)


def test_common_factors_leave_a_quotient():
    n, m, k = (index.dim(name, 0) for name in "NMK")
    assert (n * m) // n == m and (n * m) % n == 0
    assert (n * m * k) // (4 * n * m) == k // 4
    assert (n * m + n * k) // (n * k) == (m + k) // k


def test_equal_polynomials_are_equal():
    i, j = (var(SPACE.vars[n]) for n in "ab")
    assert (i + j) * (i - j) == i * i - j * j
    assert hash(i + j) == hash(j + i)
    assert 2 * i - i - i == 0


def test_rules_of_reshape():
    n, m = SPACE.dims["P"], SPACE.dims["Q"]
    i = index.fresh_var(n, "i")
    j = index.fresh_var(m, "j")
    flat = var(i) * m + var(j)
    assert flat // m == var(i)
    assert flat % m == var(j)
    w = index.fresh_var(n * m, "w")
    assert (var(w) // m) * m + var(w) % m == var(w)
    v = var(index.fresh_var(51200, "v"))
    parts = (v // 400) // 64 * 25600 + (v // 400) % 64 * 400 + (v % 400) // 20 * 20 + (v % 400) % 20
    assert parts == v
    x = var(index.fresh_var(768, "x"))
    assert (x // 4) // 8 == x // 32
    assert (x % 64) // 16 == (x // 16) % 4
    assert (8 * x + 1) // 2 == 4 * x


def test_division_by_a_sum():
    p, q, z = (SPACE.dims[n] for n in "PQZ")
    r = var(index.fresh_var(z + 1, "r"))
    a, b = var(SPACE.vars["a"]), var(SPACE.vars["b"])
    assert ((a * (z + 1) * 2 + r) // (z + 1), (a * (z + 1) * 2 + r) % (z + 1)) == (2 * a, r)
    assert (z * z * p + z * p) // (z + 1) == z * p
    for e in (a * z + b, (a + 1) * (p + q) - b, z * z + 2 * z * q + a, (p * q + 1) * a - z, z * p - 3):
        for by in (z + 1, p + q, p * q + 1, z * z + 2 * z + 3):
            for env in SPACE.points(e * e + by * by * 97 + e * 31):
                n, d = e.evaluate(env), by.evaluate(env)
                assert ((e // by).evaluate(env), (e % by).evaluate(env)) == (n // d, n % d), (e, by, env)


def test_a_flat_copy_of_blocks_that_is_cut():
    """[24, 14, 14, 16] read and written through one flat index in pieces of 1024: no division is left."""
    flat = var(index.fresh_var(74, "i")) * 1024 + var(index.fresh_var(1024, "l"))
    at = flat // 3136 * 3136 + flat // 224 % 14 * 224 + flat // 16 % 14 * 16 + flat % 16
    assert at == flat
    assert (flat // 224) // 14 == flat // 3136


def test_division_by_a_negative_is_an_error():
    with pytest.raises(ZeroDivisionError):
        ix(3) % -2


def test_a_block_count_of_an_open_extent_is_not_zero():
    n = index.dim("n", 1)
    blocks = (n + 15) // 16
    assert nonneg(blocks - 1) and blocks // blocks == 1 and blocks % blocks == 0
    assert not nonneg((index.dim("m", 0) + 15) // 16 - 1)


def test_dividing_by_an_extent_of_zero_is_harmless():
    # Nothing of an empty axis is ever evaluated, but its index expressions are still built.
    assert (ix(3) // 0, ix(3) % 0) == (0, 0)


def test_reset_makes_serials_repeat():
    names_before = repr(index.fresh_var(3))
    assert names_before.startswith("i")
