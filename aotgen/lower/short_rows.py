# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Rows whose length only the run knows, and that may turn out too short to fill vectors: then the rows are the lanes.

A softmax over 8 keys does eight of sixteen lanes' work in every vector, and merges lanes to a maximum and to a sum for each row;
sixteen rows side by side do the same in eight vectors and merge nothing. For a static length ``orient`` decides; here
the nest is prepared both ways, and dims decide when a run starts (never the number of threads: results must not depend on it).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial

from aotgen.ir import expr, index
from aotgen.ir.bounds import bound
from aotgen.ir.define import LONG, Def
from aotgen.ir.facts import Condition
from aotgen.ir.index import Ix
from aotgen.ir.program import Bound, LoopNest, ShortRows, Stage, Strip
from aotgen.lower.loops import accesses, extent, sink, substitute

VECTOR = 16  # lanes that rows are compared by, and the longest row that is short
BLOCK = 32  # rows side by side: two vectors, and temporaries of a page at most


def short_rows(nest: LoopNest) -> ShortRows | None:
    """``nest`` (whose lanes are not chosen yet) with its rows as the lanes; None where that is never worth it: values are cheap,
    rows are no neighbours, or their extents are known well enough to tell."""
    length = _length(nest)
    if length is None or not nest.is_dear or not all(map(partial(_side_by_side, nest), nest.stages)):
        return None
    conditions = _worth_it(extent(nest.outer[0]), length)
    if not conditions:
        return None
    row = nest.outer[0]
    first, end = index.fresh_var(extent(row), row.name), index.fresh_var(extent(row) + 1, "end")
    lane = index.fresh_var(BLOCK, "l")
    turned = replace(nest, outer=(first, lane), stages=tuple(substitute(s, {row: index.var(first) + index.var(lane)}) for s in nest.stages))
    turned = sink(turned, lane, (Bound(lane, (), (index.var(end) - index.var(first),)),))
    most = bound(index.as_dim(length))
    room = min(most, VECTOR) if isinstance(most, int) else VECTOR
    temps = {d: _within(d, length, room) for d in turned.temps}
    stages = tuple(_on(replace(s, lane=s.inner[-1]), temps) for s in turned.stages)
    return ShortRows(conditions, replace(turned, stages=stages, temps=tuple(temps.values()), strip=Strip(BLOCK, end)))


def _worth_it(rows: Ix, length: Ix) -> tuple[Condition, ...]:
    """Rows are short, and vectors across them fewer than the rows: what a run must find out; () if that is known."""
    tests = [VECTOR - length, rows - (rows + VECTOR - 1) // VECTOR * length - 1]
    if any(index.nonneg(-i - 1) for i in tests):
        return ()
    return tuple(Condition(i, False) for i in tests if not index.nonneg(i))


def by_rows(nest: LoopNest) -> LoopNest:
    """The way that long rows and few rows take: each stage's own loop is its lane."""
    return replace(nest, stages=tuple(replace(s, lane=s.loops[0] if s.loops else None) for s in nest.stages))


def _length(nest: LoopNest) -> Ix | None:
    """The extent of the rows of ``nest`` where there is one, which only the run knows and which may be short."""
    if len(nest.outer) != 1 or nest.outer[0].lo != 0 or any(d.dtype.kind == "s" for d in nest.tensors):
        return None
    if any(len(s.loops) > 1 or s.bounds or s.cond is not None for s in nest.stages):
        return None
    if any(st.red in ("scan", "scatter") for s in nest.stages for st in s.stmts):
        return None  # a row that is walked in order is no vector
    lengths = {extent(v) for s in nest.stages for v in s.loops}
    if len(lengths) != 1 or any(v.lo != 0 for s in nest.stages for v in s.loops):
        return None
    length = lengths.pop()
    return None if length.const() is not None or index.nonneg(length - VECTOR - 1) else length


def _side_by_side(nest: LoopNest, s: Stage) -> bool:
    """Are the elements of a row neighbours wherever the stage touches it?"""
    touched = [i for st in s.stmts for _, i in accesses(nest, st)]
    return all(i.coefficient(v) == 1 for v in s.loops for i in touched if v in i.vars())


def _within(d: Def, length: Ix, room: int) -> Def:
    """``d`` with ``room`` for the elements of a row."""
    shape = tuple(room if index.ix(n) == length else n for n in d.shape)
    return Def(d.name, shape, d.dtype, origin=d.origin)


def _on(s: Stage, temps: dict[Def, Def]) -> Stage:
    """``s`` with other storage for its temporaries, and without the care that long sums take."""

    def on_load(d: Def, idx: tuple[Ix, ...]) -> expr.E | None:
        return expr.load(temps[d], idx) if d in temps else None

    memo: dict[expr.E, expr.E] = {}
    stmts = []
    for st in s.stmts:
        value = expr.rebuild(st.value, {}, on_load, memo)
        stmts.append(replace(st, target=temps.get(st.target, st.target), value=value, fold="" if st.fold == LONG else st.fold))
    return replace(s, stmts=tuple(stmts))
