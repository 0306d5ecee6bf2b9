# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Inlining: pointwise Defs are substituted into their readers where recomputing is cheaper than a round trip.

One cost rule decides everything: views and casts vanish, ``x - mean`` is recomputed in each use, ``exp(x - m)`` with two
readers is kept. Nothing is inlined through a reduction, and an expression never outgrows ``MAX_LOADS`` or ``MAX_NODES``.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from aotgen.core.dtypes import DType
from aotgen.ir import define, expr, index
from aotgen.ir.define import Def, axes_for
from aotgen.ir.expr import E
from aotgen.ir.index import Atom, Dim, Ix
from aotgen.ir.scalar import OPS

MAX_LOADS = 32
MAX_NODES = 256
HINT = 64  # stands for an open dim in cost estimates only, moved into the dim's own range


@dataclass(frozen=True, slots=True)
class Balance:
    """Flops worth one byte moved: ``row`` where the value would stay in the reader's row (first-level cache), ``memory``
    where it would be written out and read back."""

    row: float = 1.0
    memory: float = 4.0


def inline(outputs: Sequence[Def], keep: Collection[Def] = (), balance: Balance = Balance()) -> None:
    """Substitute cheap pointwise producers into the readers of every Def that ``outputs`` depend on, in place: what is
    keyed by a Def (layouts, operands, calls) stays valid, and what nobody reads any more is simply not reachable.

    Defs in ``keep``, arguments of calls and targets of scatters stay materialised; readers still see through those that
    are pure views. Float storage types are not rounded to when a value is inlined (an explicit ``cast`` in the
    expression is); narrow integers wrap as their store would.
    """
    order = define.topological(outputs)
    kept = set(keep)
    readers: dict[Def, list[Def]] = {}
    for d in order:
        for p in d.reads():
            readers.setdefault(p, []).append(d)
        if d.call is not None:
            kept.update(d.call.args)
        if d.into is not None:
            kept.add(d.into)
    work = _Inliner(kept, readers, balance)
    for d in order:
        if d.expr is not None:
            work.rewrite(d)
            if work.worth(d) or work.worth_in_part(d):
                work.inlined.add(d)


class _Inliner:
    def __init__(self, kept: set[Def], readers: Mapping[Def, list[Def]], balance: Balance) -> None:
        self.kept, self.readers, self.balance = kept, readers, balance
        self.inlined: set[Def] = set()
        self.written: dict[Def, E] = {}

    def rewrite(self, d: Def) -> None:
        """Substitute into ``d``; the largest producers stay loads while the result is over the caps."""
        stay: set[Def] = set()
        while True:
            e, at = self._substitute(d, stay)
            used = [p for p in d.reads() if p in self.inlined and p not in stay and not p.is_view]
            if not self._too_big(e) or not used:
                break
            stay.add(max(used, key=lambda p: nodes(p.expr)))
        assert d.expr is not None
        self.written[d] = d.expr
        d.expr, d.at = e, at

    def _substitute(self, d: Def, stay: Collection[Def]) -> tuple[E, tuple[Ix, ...]]:
        assert d.expr is not None

        def on_load(p: Def, idx: tuple[Ix, ...]) -> E | None:
            if p not in self.inlined or p in stay:
                return None
            assert p.expr is not None
            return wrapped(expr.rebuild(p.expr, dict(zip(p.axes, idx, strict=True))), p.dtype)

        memo: dict[E, E] = {}
        e = expr.rebuild(d.expr, {}, on_load, memo)
        at = tuple(expr._rebuild_index(i, {}, on_load, memo) for i in d.at)
        return e, at

    @staticmethod
    def _too_big(e: E) -> bool:
        return nodes(e) > MAX_NODES or len(expr.loads_of(e)) > MAX_LOADS

    def worth(self, d: Def) -> bool:
        """The cost rule: should the readers of ``d`` (as they were written) substitute it (as rewritten)?"""
        if d.red is not None or d.expr is None:
            return False
        if d in self.kept:
            return d.is_view and not _indirect(d.expr)
        if self._too_big(d.expr):
            return False
        size, readers = estimate(d.shape), self.readers.get(d, ())
        if sum(evaluations(r, d) for r in readers) > size and _widens(d):
            return False
        cost = costs(d.expr)
        if not cost:
            return True
        balance = self.balance.row if _stays_in_row(d, readers) else self.balance.memory
        more = sum(effort(cost, r, at) for r in readers for at in _reads(r, d)) - effort(cost, d, {a: {a} for a in d.axes})
        return more <= balance * 2 * d.dtype.bytes * size

    def worth_in_part(self, d: Def) -> bool:
        """Is it ``d`` without the producers that its own loops hoist, as a table looked up and turned (a bias by relative
        position) is without the buckets that index it? They then stay loads."""
        whole, written = d.expr, self.written[d]
        if d.red is not None or d in self.kept or whole is written:
            return False
        d.expr = written
        few = [p for p in d.reads() if p in self.inlined and costs(p.expr) and estimate(p.shape) < estimate(d.shape)]
        d.expr = self._substitute(d, few)[0] if few else whole
        if few and self.worth(d):
            return True
        d.expr = whole
        return False


def _widens(d: Def) -> bool:
    """Does ``d`` load bytes of which it makes floats? A loop over both has as many lanes as bytes fit a vector, more than a
    row may have."""
    assert d.expr is not None
    return d.dtype.bytes >= 4 and not d.is_view and any(ld.attr[0].dtype.bytes == 1 for ld in expr.loads_of(d.expr))


def wrapped(e: E, dtype: DType) -> E:
    """``e`` as it reads back from storage ``dtype``: narrow integers wrap, floats are left unrounded."""
    if not dtype.is_integer or dtype.bits >= 32 or _fits(e, dtype):
        return e
    return expr.cast(e, dtype)


def _fits(e: E, dtype: DType) -> bool:
    """Is ``e`` known to be representable in a narrow integer type?"""
    if e.op == "load":
        return e.attr[0].dtype is dtype
    if e.op == "cast":
        return bool(e.attr == dtype.name)
    if e.op == "const":
        return bool(expr.cast_value(e.attr, dtype) == e.attr)
    if e.op in ("guard", "select"):
        return _fits(e.args[1], dtype) and _fits(e.args[2], dtype)
    return e.op in ("min", "max") and all(_fits(a, dtype) for a in e.args)


def nodes(e: E | None) -> int:
    """Distinct nodes of ``e``, those inside indices included."""
    return len(_nodes(e))


def _nodes(e: E | None) -> dict[E, None]:
    seen: dict[E, None] = {}
    stack = [e] if e is not None else []
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen[node] = None
        stack.extend(node.args)
        for i in node.indices():
            stack.extend(a.payload for a in i.walk() if a.kind == "ind")
    return seen


def estimate(extents: Iterable[Dim | None]) -> int:
    """The product of extents, with ``HINT`` for each open dim (moved into the dim's range)."""
    out = 1
    for d in extents:
        if not isinstance(d, int):
            d = index.ix(d if d is not None else 1)
            d = int(d.evaluate({a: hint(a) for a in d.walk() if a.kind == "dim"}))
        out *= d
    return max(out, 0)


def hint(dim: Atom) -> int:
    low = max((dim.lo.const() if dim.lo is not None else 0) or 0, 0)
    return max(low, HINT if dim.hi is None else min(HINT, estimate([dim.hi])))


def evaluations(reader: Def, d: Def) -> int:
    """How often ``reader`` would evaluate an inlined ``d``."""
    return sum(_times(reader, frozenset().union(*at.values())) for at in _reads(reader, d))


def _reads(reader: Def, d: Def) -> list[dict[Atom, Collection[Atom]]]:
    """For each distinct load of ``d``: which variables of ``reader`` stand for which axis of ``d``."""
    if reader.expr is None:
        return []
    loads = [ld for ld in _loads(reader) if ld.attr[0] is d]
    axes = d.axes or axes_for(d.shape)
    return [{a: i.vars() for a, i in zip(axes, ld.attr[1], strict=True)} for ld in loads]


def _times(reader: Def, used: Collection[Atom]) -> int:
    """How often ``reader`` evaluates what depends on ``used``: once per point of its space, or once per point of the leading
    axes when it depends on those alone (the printer hoists it)."""
    loops = [*reader.axes, *(r for r in reader.rvars if r not in reader.axes)]
    last = max((n for n, v in enumerate(loops) if v in used), default=-1)
    live = [v for v in loops[: last + 1] if v.ext != 1]
    return estimate(v.ext for v in (live if all(v in used for v in live) else loops))


Costs = dict[frozenset[Atom], int]


def costs(e: E | None) -> Costs:
    """Flops of ``e``, those inside indices included, by the variables they depend on."""
    out: Costs = {}
    for node in _nodes(e):
        if (n := OPS[node.op].flops if node.op in OPS else 0) > 0:
            out[node.vars()] = out.get(node.vars(), 0) + n
    return out


def effort(cost: Costs, reader: Def, at: Mapping[Atom, Collection[Atom]]) -> int:
    """Flops that ``reader`` spends on an expression whose variables are ``at`` its own."""
    return sum(n * _times(reader, frozenset().union(*(at.get(v, ()) for v in used))) for used, n in cost.items())


def _loads(d: Def) -> list[E]:
    """Distinct loads of a Def's expression and of its store index."""
    out = dict.fromkeys(expr.loads_of(d.expr)) if d.expr is not None else {}
    for i in d.at:
        for a in i.walk():
            if a.kind == "ind":
                out.update(dict.fromkeys(expr.loads_of(a.payload)))
    return list(out)


def _stays_in_row(d: Def, readers: Iterable[Def]) -> bool:
    """Do all readers read some axis of ``d`` at one of their own bare axes (so that they can share an outer loop)?"""
    shared = {k for k, n in enumerate(d.shape) if n != 1}
    for r in readers:
        own = {a for a in r.axes if a not in r.rvars}
        for ld in _loads(r):
            if ld.attr[0] is d:
                shared = {k for k in shared if bare(ld.attr[1][k]) in own}
    return bool(shared)


def bare(i: Ix) -> Atom | None:
    """The variable when ``i`` is just one."""
    if len(i.terms) == 1:
        ((m, c),) = i.terms.items()
        if c == 1 and len(m) == 1 and m[0].kind == "var":
            return m[0]
    return None


def _indirect(e: E) -> bool:
    return any(a.kind == "ind" for i in e.indices() for a in i.walk())
