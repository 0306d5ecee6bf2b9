# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Transformations of the loops of a nest that keep what it computes: split, order, collapse, sink.

``substitute`` is the only way a variable is replaced; whether a replacement helps or is legal is read off the offsets
that come out of the simplifier.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from aotgen.ir import expr, index
from aotgen.ir.atoms import OVER_DIMS
from aotgen.ir.define import Def
from aotgen.ir.expr import E
from aotgen.ir.index import Atom, Ix
from aotgen.ir.program import Bound, LoopNest, Stage, Stmt, row_major
from aotgen.lower.fuse import estimate

Env = Mapping[Atom, Ix]
ORDERED = ("scan", "scatter")


def extent(v: Atom) -> Ix:
    assert v.ext is not None
    return v.ext


# ---------------------------------------------------------------------------------------------------- what a nest touches


def offset(nest: LoopNest, d: Def, idx: Sequence[Ix]) -> Ix:
    """The element offset of a load or store of ``d``, in its tensor or temporary."""
    return nest.tensors[d].offset(idx) if d in nest.tensors else row_major(d.shape).offset(idx)


def accesses(nest: LoopNest, s: Stmt) -> list[tuple[Def, Ix]]:
    """Every (Def, offset) that a statement touches, the store first."""
    out = [(s.target, offset(nest, s.target, s.index))]
    out += [(ld.attr[0], offset(nest, *ld.attr)) for ld in loads_in(s)]
    return out


def loads_in(s: Stmt) -> list[E]:
    """The loads of a statement, those of its store's index included."""
    out = dict.fromkeys(expr.loads_of(s.value))
    for i in s.index:
        for a in i.walk():
            if a.kind == "ind":
                out.update(dict.fromkeys(expr.loads_of(a.payload)))
    return list(out)


def polynomials(nest: LoopNest, stage: Stage) -> Iterator[Ix]:
    """Every index polynomial that printing a stage evaluates: offsets, index values, conditions, positions, bounds."""
    for b in stage.bounds:
        yield from (*b.lows, *b.highs)
    stack = [stage.cond] if stage.cond is not None else []
    for s in stage.stmts:
        if s.position is not None:
            yield s.position
        stack.append(s.value)
        for _, i in accesses(nest, s):
            yield i
    seen: set[E] = set()
    while stack:
        e = stack.pop()
        if e in seen:
            continue
        seen.add(e)
        stack.extend(e.args)
        if e.op in ("ix", "ge0"):
            yield e.attr


def divided(polys: Iterable[Ix]) -> list[Atom]:
    """The distinct quotients and remainders in ``polys``, in first-seen order."""
    return list(dict.fromkeys(a for i in polys for a in i.walk() if a.kind in ("div", "mod")))


# ---------------------------------------------------------------------------------------------------- rewriting


def substitute(stage: Stage, env: Env) -> Stage:
    """``stage`` with variables replaced in everything it computes (its loops are the caller's business)."""
    if not env:
        return stage
    memo: dict[E, E] = {}

    def ixs(i: Ix) -> Ix:
        return i.subst(env)

    def stmt(s: Stmt) -> Stmt:
        position = None if s.position is None else ixs(s.position)
        value = expr.rebuild(s.value, env, None, memo)
        return replace(s, index=tuple(map(ixs, s.index)), value=value, position=position)

    bounds = tuple(Bound(b.var, tuple(map(ixs, b.lows)), tuple(map(ixs, b.highs))) for b in stage.bounds)
    cond = None if stage.cond is None else expr.rebuild(stage.cond, env, None, memo)
    return replace(stage, stmts=tuple(map(stmt, stage.stmts)), bounds=bounds, cond=cond)


def with_loops(stage: Stage, change: Callable[[Sequence[Atom]], Sequence[Atom]]) -> Stage:
    """``stage`` with ``change`` applied to its inner loops and to its folds."""
    folds = tuple(change(stage.folds))
    stmts = tuple(replace(s, rvars=folds) if s.red not in (None, "scatter") else s for s in stage.stmts)
    return replace(stage, inner=tuple(change(stage.inner)), folds=folds, stmts=stmts)


def swap(old: Atom, new: Sequence[Atom]) -> Callable[[Sequence[Atom]], Sequence[Atom]]:
    """Replace one loop by others in a list of loops."""
    return lambda vs: [x for v in vs for x in (new if v is old else (v,))]


def narrow(v: Atom, lo: Ix | int, hi: Ix | int) -> Atom:
    """A copy of ``v`` over ``lo <= v < hi``."""
    return index.fresh_var(index.ix(hi) - lo, v.name, lo)


# ---------------------------------------------------------------------------------------------------- split


def split(nest: LoopNest) -> LoopNest:
    """Replace ``v`` by ``c*vo + vi`` while ``v // c`` or ``v % c`` occurs, so that head splits, depth-to-space and blocked
    layouts are free of divisions. Where ``c`` does not divide the extent, ``vi`` is bounded in the last block; for an
    outer ``v`` it then becomes an inner loop of every stage."""
    for _ in range(16):
        found = next(((v, c) for s in nest.stages for v, c in _splittable(nest, s)), None)
        if found is None:
            break
        nest = split_at(nest, *found)
    return nest


def _splittable(nest: LoopNest, stage: Stage) -> list[tuple[Atom, Ix]]:
    """Variables of ``stage`` divided by something that is worth a split, the largest divisor first."""
    out = []
    loops = {*nest.outer, *stage.loops}
    ordered = {v for s in stage.stmts if s.red in ORDERED for v in stage.loops}
    for a in divided(polynomials(nest, stage)):
        assert a.a is not None
        assert a.b is not None
        for v in sorted(a.a.atoms()):
            if v not in loops or v.lo != 0 or v in ordered or a.a.coefficient(v) != 1 or not _dims_only(a.b):
                continue
            rest = a.a - index.var(v)
            if rest.terms and not (index.nonneg(extent(v) - a.b) and rest % a.b == 0):
                continue
            if extent(v) % a.b == 0 or a.b.const() is not None:
                out.append((v, a.b))
    return sorted(out, key=lambda t: -estimate([t[1]]))


def _dims_only(i: Ix) -> bool:
    return all(a.kind == "dim" or a.kind in OVER_DIMS for a in i.atoms())


def split_at(nest: LoopNest, v: Atom, c: Ix | int) -> LoopNest:
    """``v = c*vo + vi`` everywhere; ``v`` starts at 0."""
    c = index.ix(c)
    exact = extent(v) % c == 0
    count = extent(v) // c if exact else (extent(v) + c - 1) // c
    vo, vi = index.fresh_var(count, v.name + "o"), index.fresh_var(c, v.name + "i")
    env = {v: index.var(vo) * c + index.var(vi)}
    bound = () if exact else (Bound(vi, (), (extent(v) - index.var(vo) * c,)),)
    stages = []
    for s in nest.stages:
        if v not in nest.outer and v not in s.loops:
            stages.append(s)
            continue
        s = substitute(with_loops(s, swap(v, (vo, vi))), env)
        old = s.bound(v)
        moved = tuple(
            Bound(vi, tuple(x - index.var(vo) * c for x in old.lows), tuple(x - index.var(vo) * c for x in old.highs))
            for _ in (0,)
            if old.lows or old.highs
        )
        own = bound if v not in nest.outer else ()
        lane = vi if s.lane is v else s.lane
        kept = tuple(b for b in s.bounds if b.var is not v)
        stages.append(replace(s, bounds=merge_bounds((*kept, *own, *moved)), lane=lane))
    nest = replace(nest, outer=tuple(swap(v, (vo, vi))(nest.outer)), stages=tuple(stages))
    return sink(nest, vi, bound) if vi in nest.outer and not exact else nest


def merge_bounds(bounds: Sequence[Bound]) -> tuple[Bound, ...]:
    """One Bound a variable."""
    out: dict[Atom, Bound] = {}
    for b in bounds:
        o = out.get(b.var, Bound(b.var))
        lows, highs = dict.fromkeys((*o.lows, *b.lows)), dict.fromkeys((*o.highs, *b.highs))
        out[b.var] = Bound(b.var, tuple(lows), tuple(highs))
    return tuple(out.values())


def sink(nest: LoopNest, v: Atom, bounds: tuple[Bound, ...] = ()) -> LoopNest:
    """Move the outer loop ``v`` (from 0) into every stage, innermost of its inner loops but for those that it bounds; each
    temporary gains an axis for it."""
    wide = {d: Def(d.name, (*d.shape, index.as_dim(extent(v))), d.dtype, origin=d.origin) for d in nest.temps}
    stages = []
    for s in nest.stages:
        own = index.fresh_var(extent(v), v.name)
        env = {v: index.var(own)}

        def on_load(d: Def, idx: tuple[Ix, ...], own: Atom = own) -> E | None:
            return expr.load(wide[d], (*idx, index.var(own))) if d in wide else None

        memo: dict[E, E] = {}
        stmts = []
        for st in s.stmts:
            at = tuple(expr._rebuild_index(i, env, on_load, memo) for i in st.index)
            target = wide.get(st.target, st.target)
            if target is not st.target:
                at = (*at, index.var(own))
            value = expr.rebuild(st.value, env, on_load, memo)
            position = None if st.position is None else st.position.subst(env)
            stmts.append(replace(st, target=target, index=at, value=value, position=position))
        mine = tuple(Bound(own if b.var is v else b.var, b.lows, b.highs) for b in bounds)
        moved = substitute(replace(s, stmts=()), env)
        limited = {b.var for b in moved.bounds if any(own in i.vars() for i in (*b.lows, *b.highs))}
        place = next((n for n, w in enumerate(s.inner) if w in limited), len(s.inner))
        stages.append(replace(moved, inner=(*s.inner[:place], own, *s.inner[place:]), stmts=tuple(stmts),
                              bounds=merge_bounds((*moved.bounds, *mine))))  # fmt: skip
    outer = tuple(x for x in nest.outer if x is not v)
    return replace(nest, outer=outer, stages=tuple(stages), temps=tuple(wide.values()))


# ---------------------------------------------------------------------------------------------------- order


def order(nest: LoopNest) -> LoopNest:
    """Loops sorted by the stride of the largest access, large strides outside, where order is free."""
    every = [a for s in nest.stages for st in s.stmts for a in accesses(nest, st)]
    main = _main(every, nest.outer)
    outer = tuple(_sorted(nest.outer, main))
    stages = []
    for s in nest.stages:
        if any(st.red in ORDERED or (st.red or "").startswith("arg") for st in s.stmts):
            stages.append(s)
            continue
        main = _main([a for st in s.stmts for a in accesses(nest, st)], s.loops)
        limited = {v for b in s.bounds for i in (*b.lows, *b.highs) for v in i.vars()}
        if limited & set(s.loops):
            stages.append(s)
        else:
            stages.append(with_loops(s, lambda vs, m=main: _sorted(vs, m)))  # type: ignore[misc]
    return replace(nest, outer=outer, stages=tuple(stages))


def _main(every: Sequence[tuple[Def, Ix]], loops: Sequence[Atom]) -> Ix:
    """The offset that depends on most of ``loops`` (by points touched); the first of equals, stores come first."""

    def touched(i: Ix) -> int:
        return estimate(extent(v) for v in loops if v in i.vars())

    return max((i for _, i in every), key=touched, default=index.ix(0))


def _sorted(loops: Sequence[Atom], main: Ix) -> list[Atom]:
    """Stable: loops the main access does not know keep their place in front of the next one that it does."""

    def stride(v: Atom) -> int:
        k = main.coefficient(v)
        return abs(int(k.evaluate(_Hints()))) if k is not None and not k.vars() else 0

    if any(not stride(v) for v in loops):
        return list(loops)
    return sorted(loops, key=lambda v: -stride(v))


class _Hints(dict[Atom, int]):
    def __missing__(self, a: Atom) -> int:
        return estimate([index.var(a)])


# ---------------------------------------------------------------------------------------------------- collapse


def collapse(nest: LoopNest) -> LoopNest:
    """Merge neighbouring loops ``a, b`` into one of ``ext(a) * ext(b)`` wherever no new division is left."""
    n = 0
    while n + 1 < len(nest.outer):
        merged = _merge_outer(nest, nest.outer[n], nest.outer[n + 1])
        if merged is None:
            n += 1
        else:
            nest, n = merged, max(n - 1, 0)
    return replace(nest, stages=tuple(_collapse_stage(nest, s) for s in nest.stages))


def _merge_outer(nest: LoopNest, a: Atom, b: Atom) -> LoopNest | None:
    w, env = _fused(a, b)
    if env is None:
        return None
    stages = []
    for s in nest.stages:
        new = substitute(s, env)
        if _divides(nest, new, w):
            return None
        stages.append(new)
    outer = tuple(x for v in nest.outer for x in ((w,) if v is a else () if v is b else (v,)))
    return replace(nest, outer=outer, stages=tuple(stages))


def _divides(nest: LoopNest, stage: Stage, w: Atom) -> bool:
    """Is a quotient or remainder of the merged loop left?"""
    return any(w in index.var(a).vars() for i in polynomials(nest, stage) for a in i.walk() if a.kind in ("div", "mod"))


def _fused(a: Atom, b: Atom) -> tuple[Atom, dict[Atom, Ix] | None]:
    if a.lo != 0 or b.lo != 0:
        return a, None
    w = index.fresh_var(extent(a) * extent(b), a.name)
    return w, {a: index.var(w) // extent(b), b: index.var(w) % extent(b)}


def _collapse_stage(nest: LoopNest, s: Stage) -> Stage:
    if any(st.red in ORDERED for st in s.stmts):
        return s
    bounded = {b.var for b in s.bounds} | {v for b in s.bounds for i in (*b.lows, *b.highs) for v in i.vars()}
    for loops in (s.inner, s.folds):
        for a, b in itertools.pairwise(loops):
            w, env = _fused(a, b)
            if env is None or {a, b} & bounded or s.lane in (a, b):
                continue
            new = substitute(s, env)
            if not _divides(nest, new, w):
                new = with_loops(new, lambda vs, a=a, b=b, w=w: [w if v is a else v for v in vs if v is not b])  # type: ignore[misc]
                return _collapse_stage(nest, new)
    return s
