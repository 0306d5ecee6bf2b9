# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""How many threads a model can use: a network of a microsecond must not wake sixty-four.

A step of w operations on t threads takes ``w / (t * RATE)`` plus a barrier that grows with t; the default team is the
smallest power of two that is within a tenth of the quickest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aotgen.ir import expr, index
from aotgen.ir.bounds import bound
from aotgen.ir.index import Dim
from aotgen.ir.program import Copy, If, KernelCall, Loop, LoopNest, Program, Step

RATE = 5e4  # operations a microsecond and thread: half of what the kernels reach, loop nests being slower
START, BARRIER, SHARE = 0.6, 0.2, 0.05  # microseconds: starting a team, a barrier, and each more thread at either
TEAMS = (1, 2, 4, 8, 16, 32, 64, 128, 256)

Work = tuple[float, float]  # how often a step runs, operations each time


def useful_threads(program: Program) -> int:
    """The default team's upper limit, at the largest dims; the largest team where a dim is open without a bound."""
    steps = list(_work(program.steps))
    if any(work is None for work in steps):
        return TEAMS[-1]
    known = [work for work in steps if work is not None]
    times = [_time(known, t) for t in TEAMS]
    return next(t for t, us in zip(TEAMS, times, strict=True) if us <= 1.1 * min(times))


def _time(steps: Sequence[Work], threads: int) -> float:
    waits = barrier_time(threads)
    start = 0.0 if threads == 1 else START + SHARE * threads
    return start + sum(runs * (work / (threads * RATE) + waits) for runs, work in steps)


def barrier_time(threads: int) -> float:
    """Microseconds that a team spends in one barrier."""
    return 0.0 if threads == 1 else BARRIER + SHARE * threads


def _work(steps: Sequence[Step], runs: float = 1.0) -> Iterator[Work | None]:
    """Every step as (runs, operations); None for one whose work has no bound."""
    for s in steps:
        if isinstance(s, Loop):
            trips = _largest(s.trips) if isinstance(s.trips, int | index.Ix) else None
            if trips is None:
                yield None
            else:
                yield from _work(s.body, runs * trips)
        elif isinstance(s, If):
            yield from _work(s.then_steps, runs)
            yield from _work(s.else_steps, runs)
        else:
            work = _largest(operations(s))
            yield None if work is None else (runs, work)


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
        loops = (*nest.outer, *stage.loops)
        points = index.prod_dims(index.as_dim(v.ext) for v in loops if v.ext is not None)
        total = total + index.ix(points) * sum(1 + expr.flops(st.value) for st in stage.stmts)
    return index.as_dim(total)


def _largest(d: Dim) -> float | None:
    """The value of an extent at every dim's upper bound; None where one has none."""
    if any(a.kind == "var" for a in index.ix(d).walk()):
        return None
    most = bound(d)
    return float(most) if isinstance(most, int) else None
