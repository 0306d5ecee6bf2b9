# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""How many threads a model can use: a network of a microsecond must not wake sixty-four.

A step of w operations on t threads takes ``w / (t * RATE)`` plus a barrier that grows with t; the default team is the
smallest power of two that is within a tenth of the quickest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from aotgen.ir import expr, index
from aotgen.ir.bounds import before_run, bound
from aotgen.ir.index import Dim, Ix
from aotgen.ir.program import Copy, If, KernelCall, Loop, LoopNest, Program, Stage, Step

RATE = 5e4  # operations a microsecond and thread: half of what the kernels reach, loop nests being slower
START, BARRIER, SHARE = 0.6, 0.2, 0.05  # microseconds: starting a team, a barrier, and each more thread at either
GAIN = 1.1  # times quicker than half the team must a team be
TEAMS = (1, 2, 4, 8, 16, 32, 64, 128, 256)



@dataclass(frozen=True, slots=True)
class Demand:
    """What one run comes to, by the dims it is given: ``work``: operations in all, ``steps``: how many they are spread over."""

    work: Dim
    steps: Dim


def demand(program: Program) -> Demand | None:
    """The demand of ``program``; None where data decides how much there is to do, without a bound."""
    work = steps = index.ix(0)
    for part in _parts(program.steps):
        runs, each = (None if d is None else before_run(d, program.dims) for d in part)
        if runs is None or each is None:
            return None
        work, steps = work + index.ix(runs) * each, steps + runs
    return Demand(index.as_dim(work), index.as_dim(steps))


def useful_threads(program: Program) -> int:
    """The default team's upper limit, at the largest dims; the largest team where a dim is open without a bound."""
    wanted = demand(program)
    work, steps = (None, None) if wanted is None else (bound(wanted.work), bound(wanted.steps))
    if not isinstance(work, int) or not isinstance(steps, int):
        return TEAMS[-1]
    times = [run_time(work, steps, t) for t in TEAMS]
    return next(t for t, us in zip(TEAMS, times, strict=True) if us <= GAIN * min(times))


def run_time(work: float, steps: float, threads: int) -> float:
    """Microseconds of a run on a team."""
    start = 0.0 if threads == 1 else START + SHARE * threads
    return start + work / (threads * RATE) + steps * barrier_time(threads)


def barrier_time(threads: int) -> float:
    """Microseconds that a team spends in one barrier."""
    return 0.0 if threads == 1 else BARRIER + SHARE * threads


def _parts(steps: Sequence[Step], runs: Dim | None = 1) -> Iterator[tuple[Dim | None, Dim | None]]:
    """Every step that computes: how often it runs and its operations each time; None for what nothing bounds."""
    for s in steps:
        if isinstance(s, Loop):
            trips = s.trips if isinstance(s.trips, int | index.Ix) else None
            yield from _parts(s.body, None if runs is None or trips is None else index.as_dim(index.ix(runs) * trips))
        elif isinstance(s, If):
            yield from _parts(s.then_steps, runs)
            yield from _parts(s.else_steps, runs)
        else:
            work = operations(s)
            yield runs, None if any(a.kind == "var" for a in index.ix(work).walk()) else work


def operations(s: Step) -> Dim:
    """What a step outside regions computes."""
    if isinstance(s, KernelCall):
        return s.flops
    if isinstance(s, Copy):
        return s.dst.layout.size
    return _nest(s) if isinstance(s, LoopNest) else 0


def _nest(nest: LoopNest) -> Dim:
    total = index.ix(0)
    for stage in nest.stages:
        points = index.prod_dims(map(index.as_dim, _extents(nest, stage)))
        total = total + index.ix(points) * sum(1 + expr.flops(st.value) for st in stage.stmts)
    return index.as_dim(total)


def _extents(nest: LoopNest, stage: Stage) -> list[Ix]:
    """The extents of a stage's loops and those around it; a loop and the blocks it was cut into, the last of them shorter, as
    one."""
    extents = {v: v.ext for v in (*nest.outer, *stage.loops) if v.ext is not None}
    for b in stage.bounds:
        for o in nest.outer:
            for whole in (h + index.var(o) * extents[b.var] for h in b.highs):
                if o in extents and not any(a.kind == "var" for a in whole.walk()):
                    extents[b.var] = whole
                    del extents[o]
    return list(extents.values())
