# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Index arithmetic: canonical integer polynomials over loop variables, named dims, floor divisions and remainders, and what
``ir.choice`` adds of dims.

Two ``Ix`` are equal iff their terms are. Reshape, transpose, head splits, blocked layouts and loop collapsing all
reduce to the simplifications made here, so a wrong rule is silent everywhere: every rule is property-tested against
brute force (``tests/ir/test_index.py``). Division and remainder are floor division and its remainder.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache
from math import gcd
from typing import Any

from aotgen.ir import atoms
from aotgen.ir.atoms import OPERATIONS, OVER_DIMS, Monomial
from aotgen.ir.atoms import Atom as Atom
from aotgen.ir.atoms import interned as _intern


def reset() -> None:
    """Forget all interned atoms and restart the counter: called once per compile, so output never depends on what
    was compiled before in the same process."""
    atoms.reset()
    for cached in (_divmod, _nonneg):
        cached.cache_clear()


class Ix:
    """A canonical integer polynomial. Immutable, hashable; supports ``+ - * // %`` with ints and other ``Ix``."""

    __slots__ = ("terms", "_hash", "_vars")

    def __init__(self, terms: Mapping[Monomial, int]) -> None:
        self.terms: dict[Monomial, int] = {m: c for m, c in terms.items() if c}
        self._hash: int | None = None
        self._vars: frozenset[Atom] | None = None

    # -- identity
    def __hash__(self) -> int:
        if self._hash is None:
            self._hash = hash(frozenset(self.terms.items()))
        return self._hash

    def __eq__(self, other: object) -> bool:
        if isinstance(other, int):
            return self.terms == ({(): other} if other else {})
        return isinstance(other, Ix) and self.terms == other.terms

    # -- queries
    def const(self) -> int | None:
        """The value when this is a constant, else None."""
        if not self.terms:
            return 0
        return self.terms.get(()) if len(self.terms) == 1 else None

    def atoms(self) -> frozenset[Atom]:
        """The atoms that occur directly as factors."""
        return frozenset(a for m in self.terms for a in m)

    def vars(self) -> frozenset[Atom]:
        """Every ``var`` atom, also those inside divisions, remainders and loaded indices."""
        if self._vars is None:
            self._vars = frozenset(v for a in self.walk() for v in _own_vars(a))
        return self._vars

    def walk(self) -> Iterator[Atom]:
        """Every atom once, nested ones included (not into ``ind`` payloads)."""
        return self._walk(set())

    def _walk(self, seen: set[Atom]) -> Iterator[Atom]:
        for a in sorted(self.atoms()):
            if a not in seen:
                seen.add(a)
                yield a
                for part in a.parts():
                    yield from part._walk(seen)

    def sorted_terms(self) -> list[tuple[Monomial, int]]:
        """Terms in a deterministic order: larger strides first, the constant last."""
        return sorted(self.terms.items(), key=lambda t: (not t[0], -abs(t[1]), [a.serial for a in t[0]]))

    def coefficient(self, v: Atom) -> Ix | None:
        """``k`` when this is ``k * v + rest`` with ``v`` nowhere in ``k`` and ``rest``; None when it is not affine in v."""
        out: dict[Monomial, int] = {}
        for m, c in self.terms.items():
            hits = sum(a is v for a in m)
            if hits > 1 or any(a is not v and a.kind not in ("var", "dim") and v in Ix({(a,): 1}).vars() for a in m):
                return None
            if hits:
                out[tuple(a for a in m if a is not v)] = c
        return Ix(out)

    # -- arithmetic
    def __add__(self, other: Ix | int) -> Ix:
        o = ix(other)
        if not o.terms:
            return self
        out = dict(self.terms)
        for m, c in o.terms.items():
            out[m] = out.get(m, 0) + c
        return _recombine(out)

    __radd__ = __add__

    def __neg__(self) -> Ix:
        return Ix({m: -c for m, c in self.terms.items()})

    def __sub__(self, other: Ix | int) -> Ix:
        return self + (-ix(other))

    def __rsub__(self, other: Ix | int) -> Ix:
        return ix(other) - self

    def __mul__(self, other: Ix | int) -> Ix:
        o = ix(other)
        out: dict[Monomial, int] = {}
        for (m, c), (n, d) in itertools.product(self.terms.items(), o.terms.items()):
            k = tuple(sorted(m + n))
            out[k] = out.get(k, 0) + c * d
        return _recombine(out)

    __rmul__ = __mul__

    def __floordiv__(self, other: Ix | int) -> Ix:
        return _divmod(self, ix(other))[0]

    def __mod__(self, other: Ix | int) -> Ix:
        return _divmod(self, ix(other))[1]

    def subst(self, env: Mapping[Atom, Ix], memo: dict[Atom, Ix] | None = None) -> Ix:
        """Replace ``var``/``dim`` atoms, simplifying on the way. ``memo``: what nested atoms have become, so that each is
        visited once."""
        if not env or not any(a in env or a.kind not in ("var", "dim") for a in self.atoms()):
            return self
        memo = {} if memo is None else memo
        out = ix(0)
        for m, c in self.terms.items():
            term = ix(c)
            for a in m:
                term = term * _subst_atom(a, env, memo)
            out = out + term
        return out

    def evaluate(self, env: Mapping[Atom, Any], indirect: Callable[[Any], Any] | None = None,
                 memo: dict[Atom, Any] | None = None) -> Any:
        """The value with ``env[atom]`` (int or integer array) for every var and dim; ``indirect`` evaluates payloads."""
        total: Any = 0
        memo = {} if memo is None else memo
        for m, c in self.terms.items():
            prod: Any = c
            for a in m:
                prod = prod * _eval_atom(a, env, indirect, memo)
            total = total + prod
        return total

    def __repr__(self) -> str:
        if not self.terms:
            return "0"
        parts = []
        for m, c in self.sorted_terms():
            body = "*".join(map(repr, m))
            parts.append(str(c) if not m else body if c == 1 else f"-{body}" if c == -1 else f"{c}*{body}")
        return " + ".join(parts).replace("+ -", "- ")


Dim = int | Ix  # an extent: a plain int when known, else a polynomial of named dims


def ix(value: Ix | int) -> Ix:
    """``value`` as an ``Ix``."""
    return value if isinstance(value, Ix) else Ix({(): int(value)})


def as_dim(value: Ix | int) -> Dim:
    """``value`` as a Dim: a plain int when it is constant."""
    e = ix(value)
    c = e.const()
    return e if c is None else c


def prod_dims(dims: Iterable[Dim]) -> Dim:
    """The product of extents."""
    out: Ix = ix(1)
    for d in dims:
        out = out * d
    return as_dim(out)


def fresh_var(ext: Ix | int, name: str = "", lo: Ix | int = 0) -> Atom:
    """A new loop variable with ``lo <= v < lo + ext``."""
    return Atom("var", name, lo=ix(lo), ext=ix(ext))


def dim(name: str, lo: int = 1, hi: Dim | None = None) -> Ix:
    """The named open dim ``lo <= name <= hi`` (interned by name)."""
    return Ix({(_intern(("dim", name, lo, hi), lambda: Atom("dim", name, lo=ix(lo), hi=hi)),): 1})


def var(atom: Atom) -> Ix:
    """An atom as an ``Ix``."""
    return Ix({(atom,): 1})


def indirect(payload: Any, ext: Ix | int, lo: int = 0) -> Ix:
    """A loaded value used as an index, known to lie in ``[lo, lo + ext)``."""
    key = ("ind", payload, ix(ext), lo)
    return var(_intern(key, lambda: Atom("ind", payload=payload, lo=ix(lo), ext=ix(ext))))


def dims_of(value: Dim) -> list[Atom]:
    """The ``dim`` atoms of an extent, sorted by name."""
    return sorted({a for a in ix(value).walk() if a.kind == "dim"}, key=lambda a: a.name)


# -- internals

# How an atom made of two others is made again of what these have become; ``ir.choice`` adds its own.
MAKE: dict[str, Callable[[Ix, Ix], Ix]] = {"div": lambda x, y: x // y, "mod": lambda x, y: x % y}


def _own_vars(a: Atom) -> Iterable[Atom]:
    if a.kind == "var":
        return (a,)
    return a.payload.vars() if a.kind == "ind" else ()


def _subst_atom(a: Atom, env: Mapping[Atom, Ix], memo: dict[Atom, Ix]) -> Ix:
    if a in env:
        return env[a]
    if a.kind in OPERATIONS:
        if a not in memo:
            x, y = (part.subst(env, memo) for part in a.parts())
            memo[a] = var(a) if (x, y) == a.parts() else MAKE[a.kind](x, y)
        return memo[a]
    if a.kind == "ind":
        new = a.payload.subst(env)
        return var(a) if new is a.payload else indirect(new, a.ext.subst(env), a.lo.const() or 0)  # type: ignore
    return var(a)


def _eval_atom(a: Atom, env: Mapping[Atom, Any], ind: Callable[[Any], Any] | None, memo: dict[Atom, Any]) -> Any:
    if a.kind == "ind":
        assert ind is not None, "an indirect index needs an evaluator"
        return ind(a.payload)
    if a.kind in ("var", "dim"):
        return env[a]
    if a not in memo:
        x, y = (part.evaluate(env, ind, memo) for part in a.parts())
        memo[a] = OPERATIONS[a.kind](x, y)
    return memo[a]


def _recombine(terms: dict[Monomial, int]) -> Ix:
    """Rule: ``k*c*(x // c) + k*(x % c) = k*x``, for a constant or single-term ``c``."""
    for m, k in list(terms.items()):
        for a in m:
            if a.kind != "mod" or not terms.get(m) or a.b is None or a.a is None or len(a.b.terms) != 1:
                continue
            ((cm, cc),) = a.b.terms.items()
            rest = list(m)
            rest.remove(a)
            twin = single_atom(a.a // a.b)  # canonical: the twin of (w // 20) % 20 is w // 400
            if twin is None:
                continue
            other = tuple(sorted((*rest, twin, *cm)))
            if terms.get(other) == k * cc:
                left = {t: c for t, c in terms.items() if t not in (m, other)}
                return Ix(left) + Ix({tuple(rest): k}) * a.a
    return Ix(terms)


def _divide_exact(m: Monomial, c: int, by: Ix) -> tuple[Monomial, int] | None:
    """``c*m / by`` when ``by`` is a single term that divides it."""
    if len(by.terms) != 1:
        return None
    ((bm, bc),) = by.terms.items()
    rest = list(m)
    for a in bm:
        if a not in rest:
            return None
        rest.remove(a)
    return (tuple(rest), c // bc) if c % bc == 0 else None


@lru_cache(maxsize=1 << 16)
def _divmod(e: Ix, by: Ix) -> tuple[Ix, Ix]:
    """Floor quotient and remainder of ``e`` by a positive ``by``. Where open dims make ``by`` 0, nothing is ever
    evaluated that depends on the answer, so any will do."""
    c = by.const()
    if c == 1:
        return e, ix(0)
    if c == 0:
        return ix(0), ix(0)
    if c is not None and c < 0:
        raise ZeroDivisionError(f"index division of {e} by {c}")
    if c is None and (common := _common_factor(e, by)) is not None:
        q, r = _divmod(_reduced(e, common), _reduced(by, common))
        return q, r * common
    quotient, rest = _split_multiples(e, by, c)
    if not rest.terms or (nonneg(rest) and _nonneg(by - 1 - rest, present(rest) | _factors(by))):
        return quotient, rest
    if c is not None:
        low, high = (None if x is None else x.const() for x in extremes(rest))
        if low is not None and high is not None and low // c == high // c:
            return quotient + low // c, rest - low // c * c
        if (k := rest.const()) is not None:
            return quotient + k // c, ix(k % c)
        g = gcd(c, *(abs(v) for m, v in rest.terms.items() if m))
        if g > 1:
            k = rest.terms.get((), 0)
            inner = Ix({m: (v if m else v - k % g) // g for m, v in rest.terms.items()})
            q, r = _divmod(inner, ix(c // g)) if c > g else (inner, ix(0))
            return quotient + q, r * g + k % g
    if c is not None and (nested := _nested(rest, c)) is not None:
        return quotient + nested[0], nested[1]
    q_atom = _intern(("div", rest, by), lambda: Atom("div", a=rest, b=by))
    r_atom = _intern(("mod", rest, by), lambda: Atom("mod", a=rest, b=by))
    return quotient + var(q_atom), var(r_atom)


def _split_multiples(e: Ix, by: Ix, c: int | None) -> tuple[Ix, Ix]:
    """Rule: what ``by`` divides leaves; a constant divisor also reduces larger coefficients."""
    if len(by.terms) > 1:
        return _split_polynomial(e, by)
    quot: dict[Monomial, int] = {}
    rest: dict[Monomial, int] = {}
    for m, k in e.terms.items():
        exact = _divide_exact(m, k, by)
        if exact is not None:
            quot[exact[0]] = quot.get(exact[0], 0) + exact[1]
        elif c is not None and (abs(k) >= c or (not m and k < 0)):
            q, r = divmod(k, c)
            quot[m] = quot.get(m, 0) + q
            rest[m] = r
        else:
            rest[m] = k
    return Ix(quot), Ix(rest)


def _split_polynomial(e: Ix, by: Ix) -> tuple[Ix, Ix]:
    """Rule: ``x*(n + 1) + y`` over ``n + 1``: long division by the leading term, where that leaves fewer terms than there were."""
    lead = max(by.terms, key=lambda m: (len(m), [-a.serial for a in m]))
    first, quotient, rest = Ix({lead: by.terms[lead]}), ix(0), e
    for _ in range(len(e.terms) + 4):
        whole = next((x for m, k in rest.terms.items() if (x := _divide_exact(m, k, first)) is not None), None)
        if whole is None:
            break
        quotient, rest = quotient + Ix(dict((whole,))), rest - Ix(dict((whole,))) * by
    return (quotient, rest) if len(rest.terms) < len(e.terms) else (ix(0), e)


def _common_factor(e: Ix, by: Ix) -> Ix | None:
    """The largest monomial, its coefficient included, that divides every term of ``e`` and ``by``; None when that is 1."""
    terms = [*e.terms.items(), *by.terms.items()]
    number = gcd(*(c for _, c in terms))
    shared: list[Atom] = []
    for a in terms[-1][0]:
        if all(m.count(a) > shared.count(a) for m, _ in terms):
            shared.append(a)
    return Ix({tuple(shared): number}) if shared or number > 1 else None


def _reduced(e: Ix, by: Ix) -> Ix:
    """``e`` divided by a single term that divides every one of its own."""
    return Ix(dict(t for m, c in e.terms.items() if (t := _divide_exact(m, c, by)) is not None))


def single_atom(e: Ix) -> Atom | None:
    if len(e.terms) == 1:
        ((m, k),) = e.terms.items()
        if k == 1 and len(m) == 1:
            return m[0]
    return None


def _nested(e: Ix, c: int) -> tuple[Ix, Ix] | None:
    """Rules ``(y + x // d) // c = (y*d + x) // (d*c)`` and, for ``c | d``: ``(x % d) // c = (x // c) % (d/c)``, ``(x % d) % c = x % c``."""
    for m, k in e.sorted_terms():
        a = m[0] if len(m) == 1 and k == 1 else None
        if a is None or a.a is None or a.b is None or (d := a.b.const()) is None:
            continue
        if a.kind == "mod" and d % c == 0 and len(e.terms) == 1:
            return (a.a // c) % (d // c), a.a % c
        if a.kind == "div":
            r_atom = _intern(("mod", e, ix(c)), lambda: Atom("mod", a=e, b=ix(c)))
            return ((e - var(a)) * d + a.a) // (d * c), var(r_atom)
    return None


def nonneg(e: Ix | int, where: Ix | None = None) -> bool:
    """Is ``e >= 0`` provable for every value of its variables and dims? False means "not proved". Where a loop is empty its
    variable has no value: a factor of the extent of one in ``e`` (or in ``where``) is at least 1."""
    e = ix(e)
    return _nonneg(e, present(e) if where is None else present(e) | present(where))


def present(e: Ix) -> frozenset[Atom]:
    """The dims that are not 0 wherever the variables of ``e`` have values."""
    return frozenset(d for v in e.vars() if v.ext is not None for d in _factors(v.ext))


def _factors(e: Ix) -> frozenset[Atom]:
    """The dims that cannot be 0 where the product ``e`` is not."""
    if len(e.terms) != 1:
        return frozenset()
    ((m, _),) = e.terms.items()
    sides = frozenset(d for a in m if a.kind in OVER_DIMS for part in a.parts() for d in _factors(part))
    return sides | frozenset(a for a in m if a.kind == "dim" and a.lo == 0)


@lru_cache(maxsize=1 << 16)
def _nonneg(e: Ix, positive: frozenset[Atom]) -> bool:
    """``nonneg`` where the dims in ``positive`` are at least 1."""
    c = e.const()
    if c is not None:
        return c >= 0
    for a in sorted((x for x in e.atoms() if x.kind != "dim"), key=lambda x: -x.serial):
        k = e.coefficient(a)
        if k is None or not k.terms:
            continue
        rest = e - k * var(a)
        if a.kind in OVER_DIMS:  # it is one of its two sides, and the smaller one is below both
            enough = any if a.kind == "min" and _nonneg(-k, positive) else all
            return enough(_nonneg(rest + k * side, positive) for side in a.parts())
        lo, hi = _bounds(a)
        if lo is not None and _nonneg(k, positive):
            return _nonneg(rest + k * lo, positive)
        if hi is not None and _nonneg(-k, positive):
            return _nonneg(rest + k * hi, positive)
        return False
    return all(x.kind == "dim" for x in e.atoms()) and _nonneg_dims(e, positive)


def _nonneg_dims(e: Ix, positive: frozenset[Atom]) -> bool:
    """Shift every dim by its lower bound and ask for non-negative coefficients; then try upper bounds of negative ones."""
    low = {a: ix(1) if a in positive else a.lo or ix(0) for a in e.atoms()}
    shifted = e
    for a, lo in low.items():
        shifted = shifted.subst({a: var(a) + lo})
    if all(c >= 0 for c in shifted.terms.values()):
        return True
    for a in sorted(e.atoms()):
        k = e.coefficient(a)
        if k is not None and a.hi is not None and _nonneg(-k, positive):
            return _nonneg(e - k * var(a) + k * a.hi, positive)
        if k is not None and a.lo is not None and _nonneg(k, positive):
            rest = e - k * var(a)
            if len(rest.atoms()) < len(e.atoms()):
                return _nonneg(rest + k * low[a], positive)
    return False


def _bounds(a: Atom) -> tuple[Ix | None, Ix | None]:
    """Inclusive bounds of one atom."""
    if a.kind in ("var", "ind"):
        assert a.lo is not None and a.ext is not None
        return a.lo, a.lo + a.ext - 1
    assert a.a is not None and a.b is not None
    if a.kind == "mod":
        return ix(0), a.b - 1
    lo, hi = extremes(a.a)
    d = a.b.const()
    least = _least(lo) if lo is not None and d else None
    low = ix(least // d) if least is not None and d else ix(0) if nonneg(a.a) else None
    high = hi // a.b if hi is not None and d and hi.const() is not None else None
    if high is None and hi is not None:
        q, _ = _split_multiples(hi + 1, a.b, d)
        high = q - 1 if q * a.b == hi + 1 else None
    return low, high


def _least(e: Ix) -> int | None:
    """A number that a polynomial of dims is never below: its value at their lower bounds, where it grows with each."""
    if any(a.kind != "dim" for a in e.atoms()):
        return None
    shifted = e.subst({a: var(a) + (a.lo or 0) for a in e.atoms()})
    return shifted.terms.get((), 0) if all(c >= 0 for m, c in shifted.terms.items() if m) else None


def extremes(e: Ix) -> tuple[Ix | None, Ix | None]:
    """Inclusive lower and upper bounds of ``e`` with every variable at an end of its range; None where unknown."""
    out: list[Ix | None] = []
    for sign in (1, -1):
        cur: Ix | None = e
        for a in sorted((x for x in e.atoms() if x.kind != "dim" and x.kind not in OVER_DIMS), key=lambda x: -x.serial):
            k = cur.coefficient(a) if cur is not None else None
            if cur is None or k is None:
                cur = None
                break
            if not k.terms:
                continue
            lo, hi = _bounds(a)
            end = (lo if sign > 0 else hi) if nonneg(k) else (hi if sign > 0 else lo) if nonneg(-k) else None
            cur = None if end is None else cur - k * var(a) + k * end
        out.append(cur)
    return out[0], out[1]
