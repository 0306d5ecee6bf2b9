# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The largest an extent can be: what storage is made for where the extent is known only at run time."""

from __future__ import annotations

from collections.abc import Collection

from aotgen.ir.atoms import OVER_DIMS
from aotgen.ir.choice import minimum
from aotgen.ir.index import Atom, Dim, Ix, as_dim, ix, nonneg, var


def bound(value: Dim, dims: Collection[Atom] | None = None) -> Dim | None:
    """The largest ``value`` can be with ``dims`` (default: all) anywhere in their ranges, a polynomial of what is left;
    None where one of them has no upper bound. Extents: none is negative."""
    out = _end(ix(value), dims, True)
    return None if out is None else as_dim(out)


def before_run(value: Dim, dims: Collection[Atom]) -> Dim | None:
    """The largest ``value`` can be as a polynomial of ``dims``, those a run is given; None where nothing bounds another."""
    out: Dim | None = value
    while out is not None and (made := [a for a in ix(out).walk() if a.kind == "dim" and a not in dims]):
        out = bound(out, made)
    return out


def _end(e: Ix, dims: Collection[Atom] | None, up: bool) -> Ix | None:
    total = ix(0)
    for m, c in e.terms.items():
        term = ix(c)
        for a in m:
            end = _atom_end(a, dims, up == (c > 0))
            if end is None:
                return None
            term = term * end
        total = total + term
    return total


def _atom_end(a: Atom, dims: Collection[Atom] | None, up: bool) -> Ix | None:
    if a.kind == "dim":
        if dims is not None and a not in dims:
            return var(a)
        if not up:
            return a.lo if a.lo is not None else ix(0)
        return None if a.hi is None else _end(ix(a.hi), dims, True)
    if a.a is None or a.b is None:
        return None
    if not {x for x in var(a).walk() if x.kind == "dim" and (dims is None or x in dims)}:
        return var(a)
    if a.kind == "mod":
        top = _end(a.b, dims, True)
        return ix(0) if not up else None if top is None else top - 1
    if a.kind in OVER_DIMS:
        return _side_end(a, dims, up)
    top, bottom = _end(a.a, dims, up), _end(a.b, dims, not up)
    if top is None or bottom is None:
        return None
    return top // (bottom if nonneg(bottom - 1) else ix(1))


def _side_end(a: Atom, dims: Collection[Atom] | None, up: bool) -> Ix | None:
    """Of a minimum or a broadcast extent: an end that neither side passes; for the top of a minimum, that of one side."""
    ends = [_end(part, dims, up) for part in a.parts()]
    known = [e for e in ends if e is not None]
    if len(known) == 2:
        low = minimum(*known)
        return low if not up or a.kind == "min" else known[0] + known[1] - low
    return known[0] if known and up and a.kind == "min" else None
