# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Which steps thread 0 runs alone: those so small that sharing them costs more than the barriers it needs.

Nothing stands between two steps of one thread, so what counts is runs of neighbours: a sequence is cut where changing hands
costs least, by the work and barrier times of ``team`` for two threads. A larger team waits longer for less, so what pays
for two pays for every team. A Loop whose whole body is run so needs no barrier in its trips either.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aotgen.ir import index
from aotgen.ir.program import Copy, Fill, If, KernelCall, LibraryCall, Loop, LoopNest, Program, Refuse, Step, walk_steps
from aotgen.plan import shares, team
from aotgen.plan.barriers import waits_each_trip

THREADS = 2
SMALL = 20.0  # microseconds: what takes longer is worth sharing whatever the barriers
TRIPS = 16  # of a loop whose trips nobody knows: no decision hangs on it but whether to enter it alone
LEAVES = (LoopNest, KernelCall, Fill, Copy, LibraryCall)


@dataclass(frozen=True, slots=True)
class _Cost:
    """Microseconds of a step run by thread 0 (inf: it must not be), and shared (inf: it never is) with the steps ``inside`` it
    that thread 0 then runs."""

    alone: float
    shared: float
    inside: frozenset[Step] = frozenset()


def choose(program: Program, barriers: Mapping[Step, str]) -> frozenset[Step]:
    """The steps to run on thread 0, given where barriers stand when all that can be is shared."""
    inside = _sequence(program.steps, barriers).inside
    assert all(_cost(s, barriers).alone < math.inf for s in inside), "thread 0 alone runs what every thread must go through"
    return inside


def _sequence(steps: Sequence[Step], barriers: Mapping[Step, str]) -> _Cost:
    """The cheapest way through ``steps``; ``alone``: all of them on thread 0."""
    wait = team.barrier_time(THREADS)
    costs = [_cost(s, barriers) for s in steps]
    best: tuple[tuple[float, frozenset[Step]], ...] = ((0.0, frozenset()), (0.0, frozenset()))  # last was alone, shared
    first, after_region = True, False
    for step, c in zip(steps, costs, strict=True):
        region = isinstance(step, If | Loop)
        change = 0.0 if first else wait
        stay = wait if step in barriers or region or after_region else 0.0
        (a, in_a), (s, in_s) = best
        if a <= s + change:
            alone = (a + c.alone, in_a | {step})
        else:
            alone = (s + change + c.alone, in_s | {step})
        if s + stay <= a + change:
            shared = (s + stay + c.shared, in_s | c.inside)
        else:
            shared = (a + change + c.shared, in_a | c.inside)
        best, first, after_region = (alone, shared), False, region
    cheapest = min(best, key=lambda b: b[0])
    return _Cost(math.fsum(c.alone for c in costs), cheapest[0], cheapest[1])


def _cost(step: Step, barriers: Mapping[Step, str]) -> _Cost:
    if isinstance(step, If):
        branches = [_sequence(b, barriers) for b in (step.then_steps, step.else_steps)]
        inside = branches[0].inside | branches[1].inside
        return _Cost(_allowed(step, max(b.alone for b in branches)), max(b.shared for b in branches), inside)
    if isinstance(step, Loop):
        body = _sequence(step.body, barriers)
        # At least one: what a body must not do, it must not do in a loop that never runs.
        trips = max(1, shares.estimate(step.trips)) if isinstance(step.trips, int | index.Ix) else TRIPS
        waits = team.barrier_time(THREADS) * (2 if waits_each_trip(step) else 1)
        own = math.inf if step.ran is not None else _allowed(step, body.alone)  # every thread takes over the number of trips
        return _Cost(trips * own, trips * (body.shared + waits), body.inside)
    if isinstance(step, Refuse):
        return _Cost(0.0, 0.0)
    if not isinstance(step, LEAVES):
        return _Cost(math.inf, 0.0)
    us = shares.microseconds(step)
    if shares.never_shared(step):
        return _Cost(us, math.inf)
    return _Cost(_allowed(step, us) if us <= SMALL else math.inf, us * shares.busiest(step, THREADS))


def _allowed(step: Step, us: float) -> float:
    """``us``, or inf for what every thread must go through: to learn an extent, or which buffer is whose."""
    loops = [s for s in walk_steps([step]) if isinstance(s, Loop)]
    swaps = any(a.buffer is not b.buffer for s in loops for a, b in s.carried)
    return math.inf if swaps or any(s.ran is not None for s in loops) else us
