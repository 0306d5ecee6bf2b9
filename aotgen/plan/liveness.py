# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""When each workspace buffer holds something: inclusive intervals over the flattened step order.

Every step outside a region's header takes one tick; a region also takes one before its first body and one after its
last. Branches of an If follow each other on the time line, so what lives in one branch only may share bytes with what
lives in the other. A buffer stays alive through the whole of a Loop when it is touched outside it, carried, or read by
the body before the body writes it; else it lives from its first write to its last read, anew every trip.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from aotgen.ir import index
from aotgen.ir.index import Dim, Ix
from aotgen.ir.program import Buffer, If, Loop, Program, Step, Tensor, reads, writes

ALIGN = 64  # bytes: every buffer starts on a cache line

Interval = tuple[int, int]


@dataclass(slots=True)
class _Region:
    start: int
    end: int = 0
    held: set[Buffer] = field(default_factory=set)  # must survive from trip to trip
    seen: set[Buffer] = field(default_factory=set)


@dataclass(slots=True)
class _Clock:
    now: int = 0
    spans: dict[Buffer, Interval] = field(default_factory=dict)
    loops: list[_Region] = field(default_factory=list)
    open: list[_Region] = field(default_factory=list)

    def touch(self, tensors: Sequence[Tensor], reading: bool) -> None:
        for buffer in (t.buffer for t in tensors):
            first, _ = self.spans.get(buffer, (self.now, self.now))
            self.spans[buffer] = (first, self.now)
            for region in self.open:
                if reading and buffer not in region.seen:
                    region.held.add(buffer)
                region.seen.add(buffer)


def live_ranges(program: Program) -> dict[Buffer, Interval]:
    """First and last tick of every workspace buffer, in order of first use."""
    clock = _Clock()
    _visit(program.steps, clock)
    spans = clock.spans
    for region in clock.loops:
        for buffer in region.seen:
            start, end = spans[buffer]
            if buffer in region.held or start < region.start or end > region.end:
                spans[buffer] = (min(start, region.start), max(end, region.end))
    return {b: s for b, s in spans.items() if b.place == "workspace"}


def _visit(steps: Sequence[Step], clock: _Clock) -> None:
    for step in steps:
        if isinstance(step, Loop):
            _visit_loop(step, clock)
            continue
        clock.touch(reads(step), True)
        clock.touch(writes(step), False)
        clock.now += 1
        if isinstance(step, If):
            _visit(step.then_steps, clock)
            _visit(step.else_steps, clock)
            clock.now += 1


def _visit_loop(step: Loop, clock: _Clock) -> None:
    header = [*reads(step), *writes(step), *(t for pair in step.carried for t in pair)]
    region = _Region(clock.now)
    region.held.update(t.buffer for t in header)
    clock.open.append(region)
    clock.touch(header, True)
    clock.now += 1
    _visit(step.body, clock)
    clock.touch(header, True)
    region.end = clock.now
    clock.now += 1
    clock.open.remove(region)
    clock.loops.append(region)


def bytes_of(buffer: Buffer) -> Dim:
    """Bytes of a buffer, rounded up to ``ALIGN``."""
    raw = index.ix(buffer.size) * buffer.dtype.bytes
    return index.as_dim((raw + (ALIGN - 1)) // ALIGN * ALIGN)


def max_live(spans: Mapping[Buffer, Interval], sizes: Mapping[Buffer, int]) -> int:
    """The largest sum of sizes alive at one tick: no placement can need less."""
    events: dict[int, int] = {}
    for buffer, (start, end) in spans.items():
        events[start] = events.get(start, 0) + sizes[buffer]
        events[end + 1] = events.get(end + 1, 0) - sizes[buffer]
    peak = level = 0
    for tick in sorted(events):
        level += events[tick]
        peak = max(peak, level)
    return peak


def accesses(step: Step) -> tuple[list[Buffer], list[Buffer]]:
    """Buffers a step reads and writes, everything inside a region included."""
    read, written = [t.buffer for t in reads(step)], [t.buffer for t in writes(step)]
    for inner in _bodies(step):
        r, w = accesses(inner)
        read += r
        written += w
    if isinstance(step, Loop):
        pairs = [t.buffer for pair in step.carried for t in pair]
        read += pairs
        written += pairs
    return read, written


def _bodies(step: Step) -> Iterator[Step]:
    if isinstance(step, If):
        yield from (*step.then_steps, *step.else_steps)
    elif isinstance(step, Loop):
        yield from step.body


def at_dims(value: Dim, dims: Mapping[index.Atom, int]) -> int:
    """A size at given dims."""
    return value if isinstance(value, int) else int(Ix.evaluate(value, dims))
