# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""How a step is shared between threads: by all, in parts that stay whole, or by thread 0 alone; and what that costs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from aotgen.ir import index
from aotgen.ir.bounds import bound
from aotgen.ir.index import Dim
from aotgen.ir.program import Copy, LibraryCall, LoopNest, Program, Step
from aotgen.plan import slab, team
from aotgen.plan.memory import UNBOUNDED

SMALL_COPY = 1 << 14  # bytes: below, one thread copies


@dataclass(frozen=True, slots=True)
class Share:
    """``alone``: thread 0 runs the step, the others go on. ``parts``: threads take whole ones of so many equal parts of the
    step's iterations; 0: any near-equal runs."""

    alone: bool = False
    parts: Dim = 0

    def quantum(self, total: Dim) -> Dim:
        """Iterations of a part, of ``total``."""
        return 1 if self.parts == 0 else index.as_dim(index.ix(total) // self.parts)


ALL = Share()


def never_shared(step: Step) -> bool:
    """Does one thread run the step in any case: nests in order, functions with memory for one thread, small copies?"""
    if isinstance(step, Copy):
        size = index.as_dim(index.ix(step.dst.layout.size) * step.dst.dtype.bytes)
        return isinstance(size, int) and size <= SMALL_COPY
    if isinstance(step, LibraryCall):
        return step.scratch is not None or step.takes_pool
    return isinstance(step, LoopNest) and not step.outer


def estimate(d: Dim) -> float:
    """A number for cost estimates: open dims at their upper bound, or ``UNBOUNDED``."""
    most = bound(d)
    if isinstance(most, int):
        return float(most)
    atoms = {a for a in index.ix(d).walk() if a.kind in ("dim", "var")}
    return float(index.ix(d).evaluate({a: a.hi if isinstance(a.hi, int) else UNBOUNDED for a in atoms}))


def microseconds(step: Step) -> float:
    """What one thread takes for a step outside regions, by the rate of ``team``."""
    return estimate(team.operations(step)) / team.RATE


def teams(program: Program) -> Sequence[int]:
    """The numbers of threads that a plan is weighed for: all up to the default team, two at least."""
    most = max(team.useful_threads(program), 2)
    return [t for t in team.TEAMS if 1 < t <= most]


def pays(steps: Sequence[Step], parts: Dim, saved: int, threads: Sequence[int]) -> bool:
    """Does cutting ``steps`` into ``parts`` cost less than ``saved`` barriers, whatever the team? Few parts leave threads
    idle while others have one more."""
    costs = [(microseconds(s), _finest(s)) for s in steps]
    n = max(estimate(parts), 1.0)
    return all(
        sum(us * (_longest(n, t) - _longest(max(m, n), t)) for us, m in costs) <= saved * team.barrier_time(t)
        for t in threads
    )


def _finest(step: Step) -> float:
    """Into how many parts threads may cut a step: a kernel's tiles are as good as any number."""
    offered = [1.0, *(estimate(n) for n in slab.cuts(step))]  # a difference of open dims may be estimated as nothing
    return max(offered) if isinstance(step, LoopNest) else math.inf


def busiest(step: Step, threads: int) -> float:
    """What share of a step its busiest thread has, cut as finely as it can be."""
    return _longest(_finest(step), threads)


def _longest(parts: float, threads: int) -> float:
    """What share of the work the busiest thread has; of no work, all of it."""
    parts = max(parts, 1.0)
    return 1 / threads if parts == math.inf else -(-parts // threads) / parts
