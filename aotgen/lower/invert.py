# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Inverting an index map: given that reader ``r`` loads ``d`` at ``f(r's axes)``, which point of ``r`` sees ``d[target]``?

Transposes, reshapes and interleavings are mixed-radix maps: once every axis that is divided is split, each component is
a sum of distinct variables times strides, and a variable is a digit of it. The answer is checked by substitution, so a map
this cannot invert is refused, never guessed.
"""

from __future__ import annotations

from collections.abc import Sequence

from aotgen.ir import index
from aotgen.ir.atoms import OVER_DIMS
from aotgen.ir.index import Atom, Ix


def invert(loads_at: Sequence[Ix], axes: Sequence[Atom], target: Sequence[Ix]) -> dict[Atom, Ix] | None:
    """Values for ``axes`` such that ``loads_at`` equals ``target``; None when the map is not an invertible mixed radix."""
    split, env = _split_axes(list(loads_at), axes)
    digits: dict[Atom, Ix] = {}
    for component, value in zip(split, target, strict=True):
        found = _digits(component, value)
        if found is None or any(a in digits for a in found):
            return None
        digits.update(found)
    out: dict[Atom, Ix] = {}
    for a in axes:
        whole = env.get(a, index.var(a))
        if a.ext == 1 and a.lo == 0:
            whole = index.ix(0)
        if any(v not in digits for v in whole.vars()):
            return None
        out[a] = whole.subst(digits)
    back = [c.subst(out) for c in loads_at]
    return out if all(b == t for b, t in zip(back, target, strict=True)) else None


def _split_axes(components: list[Ix], axes: Sequence[Atom]) -> tuple[list[Ix], dict[Atom, Ix]]:
    """Replace every axis that occurs divided by a constant with ``c * outer + inner`` until no division is left."""
    env: dict[Atom, Ix] = {}
    for _ in range(16):
        pick = _divided(components)
        if pick is None:
            break
        a, c = pick
        assert a.ext is not None
        if (a.ext % c) != 0:
            break
        outer, inner = index.fresh_var(a.ext // c, a.name + "o"), index.fresh_var(c, a.name + "i")
        whole = index.var(outer) * c + index.var(inner)
        components = [x.subst({a: whole}) for x in components]
        env = {k: v.subst({a: whole}) for k, v in env.items()}
        env.setdefault(a, whole)
    return components, env


def _divided(components: Sequence[Ix]) -> tuple[Atom, Ix] | None:
    """A variable that is directly divided (or taken modulo) by something that holds no variable, largest divisor first."""
    best: tuple[Atom, Ix] | None = None
    for component in components:
        for atom in component.walk():
            if atom.kind not in ("div", "mod") or atom.a is None or atom.b is None:
                continue
            for v in atom.a.atoms():
                if v.kind == "var" and not atom.b.vars() and atom.a.coefficient(v) == 1:
                    if best is None or index.nonneg(atom.b - best[1]):
                        best = (v, atom.b)
    return best


def _digits(component: Ix, value: Ix) -> dict[Atom, Ix] | None:
    """``component`` = sum of strides times variables (mixed radix): each variable as a digit of ``value``."""
    terms: list[tuple[Ix, Atom]] = []
    rest = component
    for a in sorted(component.atoms()):
        if a.kind == "dim" or a.kind in OVER_DIMS:
            continue
        if a.kind != "var":
            return None
        k = component.coefficient(a)
        if k is None:
            return None
        terms.append((k, a))
        rest = rest - k * index.var(a)
    if rest.vars() or any(not index.nonneg(k) for k, _ in terms):
        return None
    value = value - rest
    ordered = _descending(terms)
    if ordered is None:
        return None
    out: dict[Atom, Ix] = {}
    for n, (k, a) in enumerate(ordered):
        assert a.ext is not None
        below = ordered[n + 1] if n + 1 < len(ordered) else None
        if below is not None and below[0] * (below[1].ext or 1) != k:
            return None
        if below is None and k != 1:
            return None
        out[a] = value // k if n == 0 else (value // k) % a.ext
    return out


def _descending(terms: list[tuple[Ix, Atom]]) -> list[tuple[Ix, Atom]] | None:
    """Strides from large to small, or None when two cannot be compared."""
    out: list[tuple[Ix, Atom]] = []
    for k, a in terms:
        at = 0
        while at < len(out) and out[at][0] != k and _reaches(out[at][0], k):
            at += 1
        if at < len(out) and not _reaches(k, out[at][0]):
            return None
        out.insert(at, (k, a))
    return out


def _reaches(k: Ix, other: Ix) -> bool:
    """Is stride ``k`` no less than ``other``, or a multiple of it? (A multiple of 0 belongs to a space without points.)"""
    return index.nonneg(k - other) or ((k % other).const() == 0 and index.nonneg(k // other))
