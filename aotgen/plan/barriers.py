# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Where threads must wait for each other: before a step that touches bytes another wrote since the last barrier, or
writes bytes another read. Asked of storage, so reuse of arena bytes counts as well as data flow.

Regions wait on both edges: their condition is read by every thread, and what follows may depend on either branch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from aotgen.ir.program import Buffer, If, Loop, Program, Step, Take, reads
from aotgen.plan.liveness import accesses
from aotgen.plan.memory import MemoryPlan


def plan_barriers(program: Program, memory: MemoryPlan) -> dict[Step, str]:
    """For each step that needs a barrier before it, why."""
    out: dict[Step, str] = {}
    _visit(program.steps, memory, out, {})
    return out


def waits_each_trip(loop: Loop) -> bool:
    """Does a trip start with a barrier of its own? Yes where threads read a condition or wait for the counter."""
    return loop.cond is not None or loop.counter is not None


def _visit(steps: Sequence[Step], memory: MemoryPlan, out: dict[Step, str], header: dict[Buffer, Step]) -> None:
    """``header``: what threads have read since the last barrier before the first of ``steps``."""
    read: dict[Buffer, Step] = dict(header)
    written: dict[Buffer, Step] = {}
    after_region = False
    for step in steps:
        region = isinstance(step, (If, Loop))
        r, w = accesses(step)
        why = _conflict(r, w, read, written, memory)
        if after_region:
            why = "end of region"
        elif region and not why and (read or written):
            why = "start of region"
        if why:
            out[step] = why
            read, written = {}, {}
        read.update(dict.fromkeys(r, step))
        written.update(dict.fromkeys(w, step))
        if isinstance(step, Take):  # it ends in a barrier of its own
            read, written = {}, {}
        after_region = region
        seen = {t.buffer: step for t in reads(step)}
        if isinstance(step, If):
            _visit(step.then_steps, memory, out, seen)
            _visit(step.else_steps, memory, out, seen)
        elif isinstance(step, Loop):
            _visit(step.body, memory, out, {} if waits_each_trip(step) else seen)


def _conflict(
    r: Iterable[Buffer],
    w: Iterable[Buffer],
    read: dict[Buffer, Step],
    written: dict[Buffer, Step],
    memory: MemoryPlan,
) -> str:
    touched, changed = dict.fromkeys(r), dict.fromkeys(w)
    for b in (*touched, *changed):
        for other in written:
            if memory.overlap(b, other):
                kind = "reads" if b is other and b in touched else "reuses" if b is not other else "rewrites"
                return f"{kind} {_what(written[other], other)}"
    for b in changed:
        for other in read:
            if memory.overlap(b, other):
                return f"overwrites what {_what(read[other], other)} reads"
    return ""


def _what(step: Step, buffer: Buffer) -> str:
    return step.name or buffer.name
