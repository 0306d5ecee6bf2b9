# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Where threads must wait for each other, and how each step is shared so that they seldom must.

A barrier stands before a step that touches bytes another wrote since the last barrier, or writes bytes another read, unless the
slab test (``slab``) shows that no two threads meet there: both steps run on thread 0, or both are cut into the same number
of parts and what a part of the one touches, no other part of the other does. Arena bytes that one buffer hands on to the next
are asked the same question. Every step since the last barrier is compared with, so what holds between neighbours
holds between all.

Regions wait on both edges: their condition is read by every thread, and what follows may depend on either branch. Unless they
run on thread 0 alone (``alone``): then they are a step like any other.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from aotgen.ir import index
from aotgen.ir.index import Dim, ix
from aotgen.ir.program import Buffer, Fill, If, Loop, Program, Step, Swap, Take, reads, walk_steps
from aotgen.plan import shares, slab
from aotgen.plan.liveness import accesses
from aotgen.plan.memory import MemoryPlan
from aotgen.plan.shares import Share
from aotgen.plan.slab import Cut

Known = dict[tuple[Step, Dim], Cut | None]


@dataclass(frozen=True, slots=True)
class Sharing:
    """``barriers``: for each step that needs a barrier before it, why. ``shares``: how threads share each step, absent where
    each takes any near-equal run of its iterations."""

    barriers: Mapping[Step, str]
    shares: Mapping[Step, Share]


def plan_barriers(
    program: Program, memory: MemoryPlan, alone: frozenset[Step] = frozenset(), known: Known | None = None
) -> Sharing:
    """Barriers and shares of all steps. ``alone``: those that thread 0 runs, besides the ones that never are shared. ``known``:
    answers of the slab test, kept from one plan of the same Program to the next."""
    walk = _Walk(memory, alone, shares.teams(program), {} if known is None else known)
    walk.visit(program.steps, {})
    return Sharing(walk.barriers, walk.shares)


def waits_each_trip(loop: Loop) -> bool:
    """Does a trip start with a barrier of its own? Yes where threads read a condition or wait for the counter."""
    return loop.cond is not None or loop.counter is not None


@dataclass(slots=True, eq=False)
class _Group:
    """Steps since the last barrier that must be cut alike. ``options``: the numbers of parts that will do, finest first;
    None for a step that stands for itself. ``saved``: barriers that this spares."""

    members: list[_Member]
    options: list[Dim] | None = None
    saved: int = 0


@dataclass(slots=True, eq=False)
class _Member:
    """A step since the last barrier. ``everyone``: all threads read the whole of what it reads (headers of regions);
    ``moved``: buffers of the pool whose place they ask for."""

    step: Step
    read: dict[Buffer, None]
    written: dict[Buffer, None]
    alone: bool = False
    everyone: bool = False
    moved: dict[Buffer, None] = field(default_factory=dict)
    group: _Group = field(init=False)

    def __post_init__(self) -> None:
        self.group = _Group([self])


@dataclass(slots=True)
class _Walk:
    memory: MemoryPlan
    alone: frozenset[Step]
    teams: Sequence[int]
    known: Known
    barriers: dict[Step, str] = field(default_factory=dict)
    shares: dict[Step, Share] = field(default_factory=dict)
    phase: list[_Member] = field(default_factory=list)

    def visit(self, steps: Sequence[Step], header: dict[Buffer, Step]) -> None:
        """``header``: what all threads have read since the last barrier before the first of ``steps``."""
        self.phase = [_Member(s, {b: None}, {}, everyone=True) for b, s in header.items()]
        after_region = False
        for step in steps:
            alone = step in self.alone or shares.never_shared(step)
            region = isinstance(step, If | Loop) and not alone
            read, written = accesses(step)
            member = _Member(step, dict.fromkeys(read), dict.fromkeys(written), alone=alone)
            why = "end of region" if after_region else self._conflict(member)
            if region and not why and self.phase:
                why = "start of region"
            if why:
                self.barriers[step] = why
                self._close()
            self.phase.append(member)
            if alone:
                self.shares.update((s, Share(alone=True)) for s in walk_steps([step]))
            elif region:
                self._close()
                self._bodies(step)
            if isinstance(step, Take):  # it ends in a barrier of its own, behind which threads ask the pool where it is
                self._close()
                self.phase = [_Member(step, {}, {}, moved={step.tensor.buffer: None})]
            after_region = region
        self._close()

    def _bodies(self, step: Step) -> None:
        seen = {t.buffer: step for t in reads(step)}
        if isinstance(step, If):
            self.visit(step.then_steps, seen)
            self.visit(step.else_steps, seen)
        elif isinstance(step, Loop):
            self.visit(step.body, {} if waits_each_trip(step) else seen)

    def _close(self) -> None:
        """A barrier: groups are cut as finely as all of their members allow."""
        for m in self.phase:
            if m.group.options:
                self.shares[m.step] = Share(parts=m.group.options[0])
        self.phase = []

    # -- a step against those since the last barrier
    def _conflict(self, new: _Member) -> str:
        """Why ``new`` must wait; empty where it joins the phase."""
        bound: list[_Member] = []
        for old in reversed(self.phase):
            why = self._meet(old, new)
            if not why or (old.alone and new.alone) or self._separate(old, new):
                continue
            if old.everyone or old.alone or new.alone or self._cut(new.step, 1) is None:
                return why
            bound.append(old)
        return "" if not bound or self._join(bound, new) else self._meet(bound[0], new)

    def _meet(self, old: _Member, new: _Member) -> str:
        """What ``new`` does to bytes of ``old``, in words; empty where they share none or only read them."""
        name = old.step.name
        if isinstance(new.step, Take | Swap) and old.moved.keys() & {*new.read, *new.written}:
            return f"moves what {name} took"
        for b in (*new.read, *new.written):
            for other in old.written:
                if self.memory.overlap(b, other):
                    kind = "reads" if b is other and b in new.read else "reuses" if b is not other else "rewrites"
                    return f"{kind} {name or other.name}"
        for b in new.written:
            for other in old.read:
                if self.memory.overlap(b, other):
                    return f"overwrites what {name or other.name} reads"
        return ""

    def _separate(self, old: _Member, new: _Member) -> bool:
        """Do they touch different bytes, however they are shared: the halo of a tensor and what it surrounds?"""
        fills = isinstance(old.step, Fill) or isinstance(new.step, Fill)
        return fills and not old.everyone and self._apart(old, new, 1)

    def _apart(self, old: _Member, new: _Member, parts: Dim) -> bool:
        """With both cut into ``parts``, do no two parts of different number meet?"""
        a, b = self._cut(old.step, parts), self._cut(new.step, parts)
        if a is None or b is None:
            return False
        pairs = [(x, y) for x in (*old.written, *old.read) for y in (*new.written, *new.read)
                 if (x in old.written or y in new.written) and self.memory.overlap(x, y)]  # fmt: skip
        return all(self._clear(a, x, b, y) for x, y in dict.fromkeys(pairs))

    def _clear(self, a: Cut, x: Buffer, b: Cut, y: Buffer) -> bool:
        distance = 0 if x is y else self.memory.distance(x, y)
        return distance is not None and all(
            slab.apart(v, w, distance, a.parts) for v in a.windows(x) for w in b.windows(y)
        )

    def _cut(self, step: Step, parts: Dim) -> Cut | None:
        key = (step, parts)
        if key not in self.known:
            self.known[key] = slab.cut(step, parts)
        return self.known[key]

    def _join(self, bound: Sequence[_Member], new: _Member) -> bool:
        """Cut ``new`` and the groups of ``bound`` alike, if there is a way that costs less than a barrier."""
        groups = list(dict.fromkeys(m.group for m in bound))
        members = [*(m for g in groups for m in g.members), new]
        saved = 1 + sum(g.saved for g in groups)
        steps = [m.step for m in members]
        options = [
            n
            for n in _candidates(groups, new.step)
            if all(self._cut(s, n) is not None for s in steps)
            and shares.pays(steps, n, saved, self.teams)
            and all(self._apart(m, new, n) for m in bound)
        ]
        if not options:
            return False
        group = _Group(members, options, saved)
        for m in members:
            m.group = group
        return True


def _candidates(groups: Iterable[_Group], step: Step) -> list[Dim]:
    """Numbers of parts worth trying, finest first: what groups have settled on, else what the steps offer."""
    settled = [g.options for g in groups if g.options is not None]
    if settled:
        return [n for n in settled[0] if all(n in other for other in settled[1:])]
    offered = [n for g in groups for m in g.members for n in slab.cuts(m.step)] + slab.cuts(step)
    return sorted(dict.fromkeys(map(index.as_dim, map(ix, offered))), key=lambda n: -shares.estimate(n))
