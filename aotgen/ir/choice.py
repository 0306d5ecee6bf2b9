# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Extents that are one of two: the smaller, the larger, or the one that an axis of both is broadcast to."""

from __future__ import annotations

from aotgen.ir import index
from aotgen.ir.atoms import Atom, interned
from aotgen.ir.index import Dim, Ix, ix


def has_minimum(value: Dim) -> bool:
    """Is there a minimum in ``value``? Slices of slices would make minima of minima without end."""
    return any(a.kind == "min" for a in ix(value).walk())


def minimum(x: Ix | int, y: Ix | int) -> Ix:
    """The smaller of two polynomials of dims; what they have in common is taken out."""
    x, y = ix(x), ix(y)
    if index.nonneg(y - x):
        return x
    if index.nonneg(x - y):
        return y
    shared = {m: c for m, c in x.terms.items() if m and y.terms.get(m) == c}
    common = Ix({**shared, (): min(x.terms.get((), 0), y.terms.get((), 0))})
    return common + _of_dims("min", *sorted((x - common, y - common), key=_order))


def maximum(x: Ix | int, y: Ix | int) -> Ix:
    """The larger of two polynomials of dims."""
    return ix(x) + y - minimum(x, y)


def broadcast(x: Ix | int, y: Ix | int) -> Ix:
    """The extent of an axis that two extents share where one of them gives way if it is 1: ``y`` where ``x`` is 1, else ``x``.
    They are equal or one is 1; so one that is known not to be 1 is the answer."""
    x, y = ix(x), ix(y)
    if x == y or y == 1 or index.nonneg(x - 2):
        return x
    if x == 1 or index.nonneg(y - 2):
        return y
    first, *rest = sorted(dict.fromkeys((*_sides(x), *_sides(y))), key=_order)
    for side in rest:
        first = _of_dims("broadcast", first, side)
    return first


def many(x: Ix | int) -> Ix:
    """0 where the extent ``x`` is 1 (or 0), 1 where it is larger: the stride by which a broadcast axis is read."""
    return minimum(1, maximum(0, ix(x) - 1))


def _of_dims(kind: str, x: Ix, y: Ix) -> Ix:
    assert not x.vars() | y.vars(), f"{kind} of {x} and {y}, which are not of dims alone"
    return index.var(interned((kind, x, y), lambda: Atom(kind, a=x, b=y)))


def _sides(e: Ix) -> list[Ix]:
    """The extents that a broadcast one is made of."""
    a = index.single_atom(e)
    return [e] if a is None or a.kind != "broadcast" else [side for part in a.parts() for side in _sides(part)]


def _order(e: Ix) -> list[tuple[list[int], int]]:
    return [([a.serial for a in m], c) for m, c in e.sorted_terms()]


index.MAKE.update({"min": minimum, "broadcast": broadcast})
