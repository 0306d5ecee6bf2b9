# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Order of the top-level steps: the model's own, unless another lowers the peak of live bytes clearly.

The other order is greedy list scheduling: of the steps whose dependences are met, take the one that leaves the fewest
live bytes (frees most, allocates least), earliest first among equals.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from aotgen.ir.program import Buffer, Program, Step
from aotgen.plan.liveness import accesses, bytes_of, live_ranges, max_live

CLEARLY = 0.9  # a new order must cut the peak by a tenth: the model's own is easier to read
MOST_STEPS = 1500  # the schedule is quadratic


@dataclass(slots=True)
class _Job:
    step: Step
    position: int
    touched: set[Buffer]
    after: set[int]


def reorder(program: Program) -> Program:
    """``program``, or the same steps in an order whose peak is at most ``CLEARLY`` of it. Open sizes: unchanged."""
    spans = live_ranges(program)
    sizes = {b: n for b in spans if isinstance(n := bytes_of(b), int)}
    if program.data_dims or len(sizes) < len(spans) or not 2 < len(program.steps) <= MOST_STEPS:
        return program
    other = replace(program, steps=tuple(j.step for j in _schedule(_jobs(program), sizes)))
    better = max_live(live_ranges(other), sizes) <= CLEARLY * max_live(spans, sizes)
    return other if better else program


def _jobs(program: Program) -> list[_Job]:
    """Steps with what each must follow: the last writer of all it touches, and all readers since of what it writes."""
    writer: dict[Buffer, int] = {}
    readers: dict[Buffer, list[int]] = {}
    jobs = []
    for n, step in enumerate(program.steps):
        read, written = accesses(step)
        after = {writer[b] for b in (*read, *written) if b in writer}
        for b in written:
            after.update(readers.pop(b, ()))
        for b in written:
            writer[b] = n
        for b in read:
            readers.setdefault(b, []).append(n)
        jobs.append(_Job(step, n, {b for b in (*read, *written) if b.place == "workspace"}, after - {n}))
    return jobs


def _schedule(jobs: list[_Job], sizes: dict[Buffer, int]) -> list[_Job]:
    pending = {b: sum(b in j.touched for j in jobs) for b in sizes}
    live: set[Buffer] = set()
    done: set[int] = set()
    todo, out = list(jobs), []

    def growth(job: _Job) -> tuple[int, int]:
        new = sum(sizes[b] for b in job.touched if b not in live)
        freed = sum(sizes[b] for b in job.touched if pending[b] == 1)
        return new - freed, job.position

    while todo:
        job = min((j for j in todo if j.after <= done), key=growth)
        todo.remove(job)
        done.add(job.position)
        out.append(job)
        live |= job.touched
        for b in job.touched:
            pending[b] -= 1
    return out
