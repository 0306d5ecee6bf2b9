# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Guards out of the way: ``clip`` tightens folds whose guard yields the identity, ``segment`` cuts the vector loop where a
guard changes and makes stages conditional where it does not depend on the vector.

Both replace a condition by what is then known: inside the tighter loop the condition holds.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from aotgen.core.dtypes import DType
from aotgen.ir import expr, index
from aotgen.ir.expr import E
from aotgen.ir.index import Atom, Ix
from aotgen.ir.program import Bound, Stage, Stmt
from aotgen.lower.loops import extent, merge_bounds, narrow, substitute, swap, with_loops

MAX_PIECES = 8
SHORT = 3  # iterations below which a piece of the vector loop is not worth a vector


@dataclass(frozen=True, slots=True)
class Known:
    """Facts: every polynomial of ``holds`` is >= 0, and of each set in ``fails`` not all are."""

    holds: tuple[Ix, ...] = ()
    fails: tuple[frozenset[Ix], ...] = ()


def conjuncts(c: E) -> list[E]:
    """The conditions whose conjunction ``c`` is."""
    return [x for a in c.args for x in conjuncts(a)] if c.op == "and" else [c]


def assume(e: E, known: Known, memo: dict[E, E]) -> E:
    """``e`` simplified where ``known`` holds."""
    done = memo.get(e)
    if done is not None:
        return done
    out = e
    if e.op == "ge0":
        if any(index.nonneg(e.attr - k) for k in known.holds):
            out = expr.true()
        elif any(index.nonneg(-1 - e.attr - k) for k in known.holds):
            out = expr.false()
    elif e.op == "and" and any(f <= {x.attr for x in conjuncts(e) if x.op == "ge0"} for f in known.fails):
        out = expr.false()
    if out is e and e.args:
        args = tuple(assume(a, known, memo) for a in e.args)
        if args != e.args:
            out = expr.mk(e.op, args, e.dtype, e.attr)
    memo[e] = out
    return out


def assume_stage(s: Stage, known: Known) -> Stage:
    memo: dict[E, E] = {}
    return replace(s, stmts=tuple(replace(st, value=assume(st.value, known, memo)) for st in s.stmts))


# ---------------------------------------------------------------------------------------------------- clip


def clip(s: Stage) -> list[Stage]:
    """``s`` with its folds bounded to where guarded values are not the identity; statements with different guards part."""
    if not s.folds or any(st.red is None or st.red == "scan" for st in s.stmts):
        return [s]
    sets: dict[frozenset[E], list[Stmt]] = {}
    for st in s.stmts:
        sets.setdefault(frozenset(_absorbed(st)), []).append(st)
    return [_clip_all(replace(s, stmts=tuple(stmts)), _absorbed(stmts[0])) for stmts in sets.values()]


def _clip_all(s: Stage, conditions: Sequence[E]) -> Stage:
    whole = s
    holds: list[Ix] = []
    for c in conditions:
        for g in conjuncts(c):
            bound = _fold_bound(s, g.attr) if g.op == "ge0" else None
            if bound is not None:
                s = replace(s, bounds=merge_bounds((*s.bounds, bound)))
                holds.append(g.attr)
    narrow_types = any(st.red in ("max", "min") and st.value.dtype != st.target.dtype.name and not st.value.type.is_float
                       for st in s.stmts)  # fmt: skip
    if narrow_types and not _never_empty(s):
        return whole  # an empty fold would yield the compute type's identity, not the storage type's
    return assume_stage(s, Known(tuple(holds))) if holds else s


def _fold_bound(s: Stage, g: Ix) -> Bound | None:
    """The bound on one fold that makes ``g >= 0`` hold, where ``g`` is affine in it and knows no loop inside it."""
    order = [v for v in s.loops if v in s.folds]
    used = [v for v in order if v in g.vars()]
    if not used or (s.lane is not None and s.lane in g.vars() and s.lane is not used[-1]):
        return None
    r = used[-1]
    k = g.coefficient(r)
    step = k.const() if k is not None else None
    if k is None or not step:
        return None
    rest = g - k * index.var(r)
    return Bound(r, (-(rest // step),), ()) if step > 0 else Bound(r, (), (rest // -step + 1,))


def _absorbed(st: Stmt) -> list[E]:
    """Conditions under whose failure the value is the identity of the statement's reduction."""
    if st.red in ("sum", "or"):
        return _zero_unless(st.value)
    identity: float | None = {"prod": 1, "and": True}.get(st.red or "")
    if st.red in ("max", "min"):
        t = st.value.type if st.value.type.is_float else st.target.dtype
        low = st.red == "max"
        if t.is_float:
            identity = -math.inf if low else math.inf
        elif t.is_integer:
            identity = expr.cast_value(-math.inf if low else math.inf, t) if t.bits >= 32 else _limit(t, low)
    return _equals_unless(st.value, identity) if identity is not None else []


def _limit(t: DType, low: bool) -> int:
    """The smallest or largest value of a narrow integer type."""
    if low:
        return -(1 << (t.bits - 1)) if t.kind == "i" else 0
    return (1 << (t.bits - (t.kind == "i"))) - 1


def _never_empty(s: Stage) -> bool:
    """Do the bounds of every fold leave at least one iteration?"""
    for b in s.bounds:
        if b.var in s.folds and b.var.lo is not None:
            lows, highs = (b.var.lo, *b.lows), (b.var.lo + extent(b.var), *b.highs)
            if not all(index.nonneg(h - low - 1) for low in lows for h in highs):
                return False
    return True


def _equals_unless(e: E, identity: float) -> list[E]:
    if e.op in ("guard", "select") and e.args[2].op == "const" and e.args[2].attr == identity:
        return [e.args[0], *_equals_unless(e.args[1], identity)]
    return []


def _zero_unless(e: E) -> list[E]:
    """Conditions under whose failure ``e`` is 0 (a product with a padded factor counts as 0)."""
    if e.op in ("guard", "select") and e.args[2].op == "const" and not e.args[2].attr:
        return [e.args[0], *_zero_unless(e.args[1])]
    if e.op == "mul":
        return [c for a in e.args for c in _zero_unless(a)]
    return _zero_unless(e.args[0]) if e.op in ("cast", "neg") else []


# ---------------------------------------------------------------------------------------------------- segment


def segment(s: Stage) -> list[Stage]:
    """``s`` in at most ``MAX_PIECES`` pieces, each without the guards that its ranges or its condition decide."""
    pieces = _tail(s)
    done: list[Stage] = []
    tried: set[tuple[int, Ix]] = set()
    while pieces:
        piece = pieces.pop(0)
        parts = _cut(piece, tried) if len(pieces) + len(done) + 2 <= MAX_PIECES else None
        if parts is None:
            done.append(piece)
        else:
            pieces = [p for p in parts if not _empty(p)] + pieces
    return [c for p in done for c in clip(_scalar(p))]


def _empty(s: Stage) -> bool:
    return any(extent(v).const() == 0 for v in s.inner)


def _tail(s: Stage) -> list[Stage]:
    """A short vector loop bounded in the last block only: one piece of full blocks, one of the constant rest."""
    v = s.lane
    if v is None or v in s.folds or not s.bound(v).highs or v.lo != 0 or (extent(v).const() or 1 << 30) > 32:
        return [s]
    (high, *more), n = s.bound(v).highs, extent(v).const()
    total = high.terms.get((), 0)
    assert n is not None
    if more or s.bound(v).lows or total % n == 0 or any(c % n for m, c in high.terms.items() if m):
        return [s]
    rest = replace(s, bounds=tuple(b for b in s.bounds if b.var is not v))
    full = expr.ge0(high - n)
    return [_when(rest, full), _ranged(_when(rest, expr.fn("not", full)), v, 0, total % n)]


def _when(s: Stage, c: E) -> Stage:
    return replace(s, cond=c if s.cond is None else expr.fn("and", s.cond, c))


def _ranged(s: Stage, v: Atom, lo: Ix | int, hi: Ix | int) -> Stage:
    """``s`` with its loop ``v`` over ``lo <= v < hi`` instead."""
    new = narrow(v, lo, hi)
    s = with_loops(s, swap(v, (new,)))
    s = substitute(s, {v: index.var(new)})
    bounds = tuple(replace(b, var=new) if b.var is v else b for b in s.bounds)
    return replace(s, bounds=bounds, lane=new if s.lane is v else s.lane)


def _scalar(s: Stage) -> Stage:
    """A lane of a few iterations is an ordinary loop (so that folds inside it can be clipped by it); of one, no loop."""
    v = s.lane
    if v is None or v not in s.inner or (extent(v).const() or SHORT + 1) > SHORT:
        return s
    bound = s.bound(v)
    if v.ext != 1 or v.lo is None or bound.lows or bound.highs:
        return replace(s, lane=None)
    inner = tuple(x for x in s.inner if x is not v)
    return substitute(replace(s, inner=inner, lane=None), {v: v.lo})


def _cut(s: Stage, tried: set[tuple[int, Ix]]) -> list[Stage] | None:
    """``s`` cut at the first guard that can be decided; None when none is left."""
    for c in _guards(s):
        parts = conjuncts(c)
        here = {*s.folds} | ({s.lane} if s.lane is not None else set())
        free = [g for g in parts if not g.vars() & here]
        if any(g.vars() & set(s.inner) for g in free) and any(st.red == "scatter" for st in s.stmts):
            free = []  # running some points of a scatter before others would reorder it
        if free and all(_pure(g) for g in free):
            return _conditional(s, free)
        for g in parts:
            key = (s.lane.serial if s.lane is not None else -1, g.attr)
            if g.op == "ge0" and s.lane is not None and s.lane in s.inner and s.lane in g.vars() and key not in tried:
                tried.add(key)
                cut = _cut_lane(s, g.attr)
                if cut is not None:
                    return cut
    return None


def _guards(s: Stage) -> list[E]:
    """Conditions of the guards that are reached without passing another guard's arm."""
    out: dict[E, None] = {}
    seen: set[E] = set()
    stack = [st.value for st in reversed(s.stmts)]
    while stack:
        e = stack.pop()
        if e in seen:
            continue
        seen.add(e)
        if e.op == "guard":
            out[e.args[0]] = None
        else:
            stack.extend(reversed(e.args))
    return list(out)


def _pure(c: E) -> bool:
    """Made of conditions on indices alone, none of them loaded."""
    if c.op == "ge0":
        return all(a.kind != "ind" for a in c.attr.walk())
    return c.op in ("and", "or", "not") and all(map(_pure, c.args))


def _conditional(s: Stage, free: Sequence[E]) -> list[Stage]:
    """One piece where all of ``free`` hold, one where they do not."""
    c = expr.all_(list(free))
    flat = [g for f in free for g in conjuncts(f)]
    holds = Known(tuple(g.attr for g in flat if g.op == "ge0"))
    yes = _replace_conditions(assume_stage(_when(s, c), holds), flat, True)
    no = _replace_conditions(_when(s, expr.fn("not", c)), flat, False)
    return [yes, no]


def _replace_conditions(s: Stage, free: Collection[E], value: bool) -> Stage:
    """Every guard whose condition contains all of ``free`` decided: those conjuncts hold, or the condition fails."""
    memo: dict[E, E] = {}
    wanted = set(free)

    def visit(e: E) -> E:
        if e not in memo:
            args = tuple(visit(a) for a in e.args)
            if e.op == "guard" and wanted <= set(conjuncts(e.args[0])):
                rest = [g for g in conjuncts(e.args[0]) if g not in wanted]
                args = (expr.all_(rest) if value else expr.false(), *args[1:])
            memo[e] = e if args == e.args else expr.mk(e.op, args, e.dtype, e.attr)
        return memo[e]

    return replace(s, stmts=tuple(replace(st, value=visit(st.value)) for st in s.stmts))


def _cut_lane(s: Stage, g: Ix) -> list[Stage] | None:
    """Two pieces of the lane: where ``g >= 0`` holds for every fold, and the rest."""
    v = s.lane
    assert v is not None
    assert v.lo is not None
    if any(a.kind == "ind" for a in g.walk()):
        return None
    k = g.coefficient(v)
    step = k.const() if k is not None else None
    worst = _worst(g, s.folds)
    if not step or worst is None:
        return None
    rest = worst - step * index.var(v)
    hi = v.lo + extent(v)
    at = -(rest // step) if step > 0 else rest // -step + 1
    if index.nonneg(at - hi) or index.nonneg(v.lo - at):
        return None
    if not at.vars() and index.nonneg(at - v.lo - 1) and index.nonneg(hi - at - 1):
        low, high = _ranged(s, v, v.lo, at), _ranged(s, v, at, hi)
    else:
        low = replace(s, bounds=merge_bounds((*s.bounds, Bound(v, (), (at,)))))
        high = replace(s, bounds=merge_bounds((*s.bounds, Bound(v, (at,), ()))))
    if step > 0:
        return [_assume_if(low, g, worst, False, v), _assume_if(high, g, worst, True, v)]
    return [_assume_if(low, g, worst, True, v), _assume_if(high, g, worst, False, v)]


def _assume_if(s: Stage, g: Ix, worst: Ix, holds: bool, v: Atom) -> Stage:
    """``s`` knowing that ``worst >= 0``, or (when no fold is involved) that ``g < 0``."""
    assert s.lane is not None
    env = {v: index.var(s.lane)}
    if holds:
        return assume_stage(s, Known((worst.subst(env),)))
    return assume_stage(s, Known((-1 - g.subst(env),))) if worst == g else s


def _worst(g: Ix, folds: Iterable[Atom]) -> Ix | None:
    """``g`` with every fold at the end of its range that makes it smallest."""
    for r in folds:
        if r not in g.vars():
            continue
        k = g.coefficient(r)
        step = k.const() if k is not None else None
        if k is None or step is None or r.lo is None:
            return None
        g = g - k * index.var(r) + k * (r.lo if step > 0 else r.lo + extent(r) - 1)
    return g
