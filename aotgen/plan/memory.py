# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The workspace: where in one arena each buffer lies.

Known sizes: offset assignment (``placement``). Sizes that depend on open dims: the same, at the dims' upper bounds; then
only who lies above whom is kept, among buffers that share a tick. At run time an offset is the largest end of the
buffers right below: free of overlap at any dims, and as tight as offset assignment at those it was made for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from aotgen.ir import index
from aotgen.ir.index import Atom
from aotgen.ir.program import Buffer, Program
from aotgen.plan.liveness import ALIGN, Interval, at_dims, bytes_of, live_ranges, max_live
from aotgen.plan.placement import place, rivals_of

UNBOUNDED = 128  # stands for an open dim without an upper bound where a figure is needed to compare


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """``offsets``: byte offset of each workspace buffer. ``size``: bytes of the arena; ``bound``: the most bytes alive at
    once. ``spans``: first and last tick of each buffer. With open dims ``stack`` says which buffers lie right below each
    one, in the order in which offsets can be computed; ``under``: all that lie below; the figures then hold at the dims'
    upper bounds, or at ``UNBOUNDED`` where a dim has none (``exact`` is False)."""

    offsets: Mapping[Buffer, int]
    size: int
    bound: int
    spans: Mapping[Buffer, Interval]
    stack: Mapping[Buffer, tuple[Buffer, ...]] = field(default_factory=dict)
    under: Mapping[Buffer, frozenset[Buffer]] = field(default_factory=dict)
    exact: bool = True

    @property
    def is_open(self) -> bool:
        """Are offsets computed at run time?"""
        return bool(self.stack)

    def overlap(self, a: Buffer, b: Buffer) -> bool:
        """May two workspace buffers share bytes?"""
        if a is b:
            return True
        if a not in self.offsets or b not in self.offsets:
            return False
        if self.stack:
            return a not in self.under[b] and b not in self.under[a]
        low, high = sorted((a, b), key=lambda x: self.offsets[x])
        return self.offsets[low] + at_dims(bytes_of(low), {}) > self.offsets[high]

    def distance(self, a: Buffer, b: Buffer) -> int | None:
        """Bytes from the start of one workspace buffer to that of another; None where that depends on open dims."""
        return None if self.stack else self.offsets[b] - self.offsets[a]


def plan_memory(program: Program) -> MemoryPlan:
    """Place every workspace buffer of ``program``."""
    spans = live_ranges(program)
    sizes = {b: bytes_of(b) for b in spans}
    atoms = sorted({a for n in sizes.values() for a in index.dims_of(n)}, key=lambda a: a.name)
    largest = {a: a.hi if isinstance(a.hi, int) else max(UNBOUNDED, _lowest(a)) for a in atoms}
    known = {b: at_dims(n, largest) for b, n in sizes.items()}
    offsets, size = place(spans, known)
    stack = _stack(spans, offsets) if atoms else {}
    exact = all(a.hi is not None for a in atoms)
    return MemoryPlan(offsets, size, max_live(spans, known), spans, stack, _under(stack), exact)


def _lowest(a: Atom) -> int:
    return (a.lo if a.lo is not None else index.ix(1)).const() or 1


def _stack(spans: Mapping[Buffer, Interval], offsets: Mapping[Buffer, int]) -> dict[Buffer, tuple[Buffer, ...]]:
    """For each buffer, lowest first, those it must stay above and that no other of them is above already."""
    order = sorted(offsets, key=lambda b: offsets[b])
    rank = {b: k for k, b in enumerate(order)}
    rivals = rivals_of(order, spans)
    below = {b: {r for r in rivals[b] if rank[r] < rank[b]} for b in order}
    out = {}
    for b in order:
        implied = set[Buffer]().union(*(below[k] for k in below[b]))
        out[b] = tuple(sorted(below[b] - implied, key=lambda r: rank[r]))
    return out


def _under(stack: Mapping[Buffer, tuple[Buffer, ...]]) -> dict[Buffer, frozenset[Buffer]]:
    out: dict[Buffer, frozenset[Buffer]] = {}
    for b, below in stack.items():
        out[b] = frozenset(below).union(*(out[k] for k in below))
    return out


def offsets_at(plan: MemoryPlan, dims: Mapping[Atom, int]) -> tuple[dict[Buffer, int], int]:
    """Offsets and size of the arena at given dims: what the generated code computes."""
    if not plan.stack:
        return dict(plan.offsets), plan.size
    ends: dict[Buffer, int] = {}
    offsets = {}
    for b, below in plan.stack.items():
        offsets[b] = max((ends[k] for k in below), default=0)
        ends[b] = offsets[b] + at_dims(bytes_of(b), dims)
    return offsets, max(ends.values(), default=0)


def summary(plan: MemoryPlan) -> str:
    """One line for people: bytes, and how far from the least possible."""
    over = 0.0 if plan.bound == 0 else 100.0 * (plan.size / plan.bound - 1.0)
    what = "workspace" if plan.exact else f"workspace at open dims of {UNBOUNDED}"
    what = "workspace at the largest dims" if plan.exact and plan.is_open else what
    return f"{what} {plan.size} bytes, at least {plan.bound} are alive at once (+{over:.1f}%)"


__all__ = ["ALIGN", "MemoryPlan", "offsets_at", "plan_memory", "summary"]
