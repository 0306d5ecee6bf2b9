# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Which loop is the vector.

Either each stage takes one of its own loops (a row kernel), or one outer loop is sunk into every stage and is the vector of
all of them (softmax over axis 1, pooling in blocked layouts, column means): then what was a scalar of a row is a short
array over the lanes. The side with more unit-stride accesses wins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from aotgen.ir.define import Def
from aotgen.ir.index import Atom, Ix
from aotgen.ir.program import LANES, LoopNest, Stage
from aotgen.lower.fuse import estimate
from aotgen.lower.loops import accesses, extent, loads_in, sink, split_at, substitute

FLAT = 1024  # elements of a vector loop without folds or temporaries: what one thread takes at a time
SHORT = 16  # lanes: no block is shorter
RAGGED = 0.5  # what vectors gain where short loops have a length that only the run knows
L1 = 24 << 10  # bytes of temporaries that a block of lanes may use


def orient(nest: LoopNest, simd_min: int = 16) -> LoopNest:
    """``nest`` with every stage's lane chosen: None where no loop is at least ``simd_min`` long, nor an outer one half as long
    all of whose elements are neighbours."""
    rows = [_best(nest, s, _row_loops(s), simd_min) for s in nest.stages]
    inside = sum(score for _, score in rows)
    best, most = None, inside
    for v in reversed(nest.outer):
        steps = {i.coefficient(v) == 1 for s in nest.stages for st in s.stmts for _, i in accesses(nest, st) if v in i.vars()}
        least = simd_min // 2 if steps == {True} else simd_min
        # Where no access has unit stride, lanes only pay for what they compute, and gain nothing on rows that stride as well.
        if _legal_outer(nest, v) and (True in steps or (inside == 0 and nest.is_dear)) and _length(v) >= least:
            score = sum(_score(nest, s, v) for s in nest.stages) * _fullness(nest, v) * min(1.0, _length(v) / simd_min)
            if score > most:
                best, most = v, score
    if best is not None:
        return _spread(nest, best)
    stages = tuple(_with_lane(s, v) for s, (v, _) in zip(nest.stages, rows, strict=True))
    return _in_runs(replace(nest, stages=stages))


def _in_runs(nest: LoopNest) -> LoopNest:
    """``nest`` with short inner loops where an outer iteration would be a single point, and finding its place (a division a
    loop) dearer than what is done there."""
    if nest.temps or any(s.loops or _has_strings(s) or any(st.red for st in s.stmts) for s in nest.stages):
        return nest
    points = 1
    while len(nest.outer) > 2 and points < SHORT and _short(nest.outer[-1], SHORT) and _legal_outer(nest, nest.outer[-1]):
        points *= extent(nest.outer[-1]).const() or 1
        nest = sink(nest, nest.outer[-1])
    return replace(nest, stages=tuple(replace(s, inner=s.inner[::-1]) for s in nest.stages))


def _fullness(nest: LoopNest, v: Atom) -> float:
    """How much of a vector loop over blocks of ``v`` is vectors: short blocks of an extent they may not divide are loops of
    unknown length."""
    block = _block(nest)
    return 1.0 if block > 4 * SHORT or _short(v, block) or extent(v) % block == 0 else RAGGED


def _length(v: Atom) -> int:
    return estimate([extent(v)])


def _row_loops(s: Stage) -> list[Atom]:
    """Loops of a stage that may be its lane: not scanned, not part of a scatter's order, and nothing's bound depends on
    them."""
    if any(st.red == "scatter" for st in s.stmts) or _has_strings(s):
        return []
    scanned = s.folds if any(st.red == "scan" for st in s.stmts) else ()
    used = {v for b in s.bounds for i in (*b.lows, *b.highs) for v in i.vars()}
    return [v for v in s.loops if v not in scanned and v not in used]


def _legal_outer(nest: LoopNest, v: Atom) -> bool:
    if any(map(_has_strings, nest.stages)):
        return False
    return all(v not in i.vars() for s in nest.stages for b in s.bounds for i in (*b.lows, *b.highs))


def _has_strings(s: Stage) -> bool:
    """Does the stage touch strings, which are no lanes of anything?"""
    return any(e.dtype == "string" for st in s.stmts for e in (st.value, *loads_in(st)))


def _best(nest: LoopNest, s: Stage, loops: Sequence[Atom], simd_min: int) -> tuple[Atom | None, float]:
    best: tuple[Atom | None, float] = (None, 0.0)
    for v in reversed(loops):
        score = _score(nest, s, v) if _length(v) >= simd_min else 0.0
        if score > best[1]:
            best = v, score
    return best


def _score(nest: LoopNest, s: Stage, v: Atom) -> float:
    """Points of the stage times the share of accesses that a vector over ``v`` makes cheap."""
    total = 0.0
    for st in s.stmts:
        total += sum(_worth(d, i, v, nest) for d, i in accesses(nest, st))
    points = estimate(extent(x) for x in (*nest.outer, *s.loops))
    bound = s.bound(v)
    return total * points * (RAGGED if s.folds and v not in s.folds and (bound.lows or bound.highs) else 1.0)


def _worth(d: Def, i: Ix, v: Atom, nest: LoopNest) -> float:
    if v not in i.vars():
        return 0.75 if d in nest.tensors or v not in nest.outer else 1.0  # a temporary gains a unit-stride axis
    k = i.coefficient(v)
    if k is None:
        return 0.1
    return 1.0 if k == 1 else 0.3


def _with_lane(s: Stage, v: Atom | None) -> Stage:
    """``s`` with lane ``v``; one that is spread is cut into blocks of at most ``LANES``."""
    if v is None:
        return s
    if s.folds and v in s.inner and not _short(v, LANES):
        only = LoopNest("", (), (s,), {})
        s = split_at(only, v, LANES).stages[0]
        v = next(x for x in s.inner if x.ext == LANES and x.name == v.name + "i")
    return replace(s, lane=v)


def _short(v: Atom, most: int) -> bool:
    c = extent(v).const()
    return c is not None and c <= most


def _block(nest: LoopNest) -> int:
    """Lanes of an outer loop that is spread: temporaries of that many rows stay in the first-level cache."""
    if not nest.temps and not any(s.folds for s in nest.stages):
        return FLAT
    block, row = LANES, sum(estimate(d.shape) * d.dtype.bytes for d in nest.temps)
    while block > SHORT and block * row > L1:
        block //= 2
    return block


def _spread(nest: LoopNest, v: Atom) -> LoopNest:
    """Sink the outer loop ``v`` as the lane of every stage, in blocks that keep work for other threads."""
    block = _block(nest)
    if not _short(v, block):
        before = set(nest.outer)
        nest = split_at(nest, v, block)
        fresh = [x for x in nest.outer if x not in before]
        if len(fresh) == 2:  # an exact split leaves the block outside, a ragged one has sunk it already
            nest = sink(nest, fresh[1])
    else:
        nest = sink(nest, v)
    stages = tuple(_alone(replace(s, lane=s.inner[-1])) for s in nest.stages)
    return replace(nest, stages=stages)


def _alone(s: Stage) -> Stage:
    """``s`` without loops of a single iteration."""
    env = {v: v.lo for v in s.loops if v.ext == 1 and v is not s.lane and v.lo is not None}
    if not env or s.bounds:
        return s
    s = substitute(s, env)
    inner = tuple(v for v in s.inner if v not in env)
    return replace(s, inner=inner)
