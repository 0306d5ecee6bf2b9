# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What open dims must satisfy for a model to make sense: noted while operators are lowered, checked at the start of a run.

``[a, 4] + [b, 4]`` is valid where ``a == b``, which nobody knows before the dims have values. Lowering goes on as if it were
so and notes the fact; whoever lowers a whole model listens, and the library refuses dims for which it does not hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from aotgen.ir import index
from aotgen.ir.index import Dim, Ix


@dataclass(frozen=True, slots=True)
class Condition:
    """``value == 0`` where ``equal``, else ``value >= 0``: a polynomial of open dims that every run must satisfy, ``unless``
    one of those is 0."""

    value: Ix
    equal: bool
    unless: tuple[Ix, ...] = ()

    def dims(self) -> set[index.Atom]:
        """The dims that it mentions."""
        return {a for p in (self.value, *self.unless) for a in p.walk() if a.kind == "dim"}

    def sides(self) -> tuple[Ix, Ix]:
        """Two polynomials of positive terms whose difference is ``value``."""
        terms = self.value.terms.items()
        return Ix({m: c for m, c in terms if c > 0}), Ix({m: -c for m, c in terms if c < 0})

    def parts(self) -> list[Condition]:
        """Conditions without ``unless``, of which one must hold."""
        return [Condition(self.value, self.equal), *(Condition(p, True) for p in self.unless)]

    def __str__(self) -> str:
        if self.unless:
            return " or ".join(map(str, self.parts()))
        left, right = self.sides()
        return f"{left} {'==' if self.equal else '>='} {right}"


_listeners: list[dict[Condition, None]] = []


@contextmanager
def assuming() -> Iterator[dict[Condition, None]]:
    """Collects the facts noted meanwhile, in order, each once."""
    found: dict[Condition, None] = {}
    _listeners.append(found)
    try:
        yield found
    finally:
        _listeners.pop()


def limits(conditions: Iterable[Condition]) -> dict[index.Atom, int]:
    """The largest values of dims for which ``dim == min(dim, limit)``, where the conditions say so."""
    found: dict[index.Atom, int] = {}
    for c in conditions:
        if not c.equal or c.unless or len(c.value.terms) != 2:
            continue
        dim = next((a for a in c.value.atoms() if a.kind == "dim"), None)
        low = next((a for a in c.value.atoms() if a.kind == "min"), None)
        if dim is None or low is None or c.value.coefficient(dim) != -(c.value.coefficient(low) or 0):
            continue
        limit = next((p.const() for p in low.parts() if p.const() is not None), None)
        if limit is not None and index.var(dim) in low.parts():
            found[dim] = min(limit, found.get(dim, limit))
    return found


def assume_equal(a: Dim, b: Dim, unless: Sequence[Dim] = ()) -> None:
    """Note that two extents are equal, or else that one of ``unless`` is 0. Equal ones and listeners absent: nothing."""
    difference = index.ix(a) - b
    if difference.terms and _listeners:
        leading = next(c for _, c in difference.sorted_terms())
        possible = _possibly_zero(unless)
        _listeners[-1][Condition(difference if leading > 0 else -difference, True, possible)] = None


def assume_broadcast(a: Dim, b: Dim) -> None:
    """Note that two extents are equal or one of them is 1, as far as their bounds let it be."""
    difference = index.ix(a) - b
    if difference.terms and _listeners:
        ones = tuple(x - 1 for x in map(index.ix, (a, b)) if not index.nonneg(x - 2) and not index.nonneg(-x))
        leading = next(c for _, c in difference.sorted_terms())
        _listeners[-1][Condition(difference if leading > 0 else -difference, True, ones)] = None


def assume_nonneg(value: Ix, unless: Sequence[Dim] = ()) -> None:
    """Note that a polynomial of open dims is not negative, where that is not true of all dims in their bounds, or else that
    one of ``unless`` is 0."""
    if _listeners and value.const() is None and not index.nonneg(value):
        _listeners[-1][Condition(value, False, _possibly_zero(unless))] = None


def _possibly_zero(extents: Sequence[Dim]) -> tuple[Ix, ...]:
    polys = tuple(dict.fromkeys(index.ix(p) for p in extents))
    return tuple(p for p in polys if not index.nonneg(p - 1) and not index.nonneg(-1 - p))


def needed_by(extents: Sequence[Dim]) -> dict[Condition, None]:
    """What must hold so that no extent is negative and no division in one has a negative numerator or divisor, where that is
    not true of all dims in their bounds."""
    found: dict[Condition, None] = {}
    for extent in dict.fromkeys(extents):
        found.update(needed_to_divide(extent))
        _at_least(index.ix(extent), found)
    return found


def needed_to_divide(value: Dim) -> dict[Condition, None]:
    """What must hold for the divisions in ``value``."""
    found: dict[Condition, None] = {}
    for atom in index.ix(value).walk():
        if atom.kind in ("div", "mod") and atom.a is not None and atom.b is not None:
            _at_least(atom.b, found)
            _at_least(atom.a, found)
    return found


def _at_least(value: Ix, found: dict[Condition, None]) -> None:
    if not index.nonneg(value):
        found[Condition(value, False)] = None
