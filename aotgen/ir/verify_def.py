# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The verifier of Defs: every load that is evaluated is provably in bounds, or indirect (clamped at run time).

Conditions of enclosing guards are facts inside their arms; ``select`` evaluates both sides, so its condition is none. What
cannot be proved is reported, not assumed: a load like that is a real fault waiting for a shape.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aotgen.core.errors import InternalError
from aotgen.ir import index
from aotgen.ir.define import Def
from aotgen.ir.expr import E
from aotgen.ir.index import Atom, Ix

Facts = tuple[Ix, ...]  # each is >= 0


@dataclass(frozen=True, slots=True)
class Unproved:
    """An access that may be out of bounds: ``what`` in words; it is in bounds where ``needs`` is >= 0, ``always`` evaluated
    or (not always) under the condition of a guard."""

    what: str
    needs: Ix
    always: bool


def problems(d: Def) -> list[str]:
    """Every load (and scatter store) of ``d`` not provably in bounds, in words."""
    return list(dict.fromkeys(u.what for u in unproved(d)))


def unproved(d: Def) -> list[Unproved]:
    """Every load (and scatter store) of ``d`` not provably in bounds."""
    found: dict[Unproved, None] = {}
    roots = [d.expr] if d.expr is not None else []
    for i in d.at:
        roots += _payloads(i)
    for e in roots:
        _visit(e, (), found, set())
    if d.into is not None:
        _check(d.into, d.at, (), found, "store to")
    return list(found)


def verify(defs: Sequence[Def]) -> None:
    """Raise InternalError naming the first Def with a load that may be out of bounds."""
    for d in defs:
        for p in problems(d):
            raise InternalError(f"{p} in {d!r}", node=d.origin)


def _visit(e: E, facts: Facts, found: dict[Unproved, None], seen: set[tuple[E, Facts]]) -> None:
    if (e, facts) in seen:
        return
    seen.add((e, facts))
    for i in e.indices():
        for payload in _payloads(i):
            _visit(payload, facts, found, seen)
    if e.op == "load":
        _check(e.attr[0], e.attr[1], facts, found, "load of")
    elif e.op == "guard":
        _visit(e.args[0], facts, found, seen)
        _visit(e.args[1], facts + _true(e.args[0]), found, seen)
        _visit(e.args[2], facts + _false(e.args[0]), found, seen)
    else:
        for a in e.args:
            _visit(a, facts, found, seen)


def _payloads(i: Ix) -> list[E]:
    return [a.payload for a in i.walk() if a.kind == "ind"]


def _true(c: E) -> Facts:
    """What holds where ``c`` does."""
    if c.op == "and":
        return _true(c.args[0]) + _true(c.args[1])
    if c.op == "not":
        return _false(c.args[0])
    return (c.attr,) if c.op == "ge0" else ()


def _false(c: E) -> Facts:
    """What holds where ``c`` does not."""
    if c.op == "or":
        return _false(c.args[0]) + _false(c.args[1])
    if c.op == "not":
        return _true(c.args[0])
    return (-1 - c.attr,) if c.op == "ge0" else ()


def _check(d: Def, idx: Sequence[Ix], facts: Facts, found: dict[Unproved, None], what: str) -> None:
    for axis, (i, n) in enumerate(zip(idx, d.shape, strict=True)):
        for needs in (i, n - 1 - i):
            if not proved(needs, facts):
                where = f"{what} {d.name or 'a tensor'}{list(d.shape)} at {i} on axis {axis} may be out of bounds"
                found[Unproved(where, needs, not facts)] = None


def proved(e: Ix | int, facts: Facts) -> bool:
    """Is ``e >= 0`` wherever every fact is >= 0? Facts serve as summands, and as tighter ranges of variables, which also
    decide divisions."""
    e = index.ix(e)
    if index.nonneg(e) or any(index.nonneg(e - f) for f in facts):
        return True
    env = _ranges(facts)
    if not env:
        return False
    tight = tuple(f.subst(env) for f in facts)
    e = e.subst(env)
    return index.nonneg(e) or any(index.nonneg(e - f) for f in tight)


def _ranges(facts: Facts) -> dict[Atom, Ix]:
    """Variables that facts bound by expressions without variables, replaced by ones with the tighter range. A bound is used
    only where it is provably not looser than the variable's own."""
    low: dict[Atom, Ix] = {}
    high: dict[Atom, Ix] = {}
    for f in facts:
        if len(f.vars()) != 1:
            continue
        (v,) = f.vars()
        k = f.coefficient(v)
        step = k.const() if k is not None else None
        if k is None or not step or v.lo is None or v.ext is None:
            continue
        rest = f - k * index.var(v)
        if step > 0 and index.nonneg(-(rest // step) - low.get(v, v.lo)):
            low[v] = -(rest // step)
        if step < 0 and index.nonneg(high.get(v, v.lo + v.ext) - (rest // -step + 1)):
            high[v] = rest // -step + 1
    env = {}
    for v in sorted({*low, *high}):
        assert v.lo is not None
        assert v.ext is not None
        lo = low.get(v, v.lo)
        hi = high.get(v, v.lo + v.ext)
        if index.nonneg(hi - lo - 1):
            env[v] = index.var(index.fresh_var(hi - lo, v.name, lo))
    return env
