# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The workspace: where in one arena each buffer lies.

Sizes that are known: offset assignment. Buffers are placed one by one at the tightest gap among those they share a tick
with (best fit by offset, "Efficient Memory Management for Deep Neural Net Inference", arXiv 2001.03288); several orders
are tried, then hill climbing over orders with a fixed seed. Sizes that depend on open dims: slot assignment by interval
colouring; a slot is as large as its largest member, and offsets are sums of slot sizes, computed at run time.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from aotgen.ir import index
from aotgen.ir.index import Atom, Dim
from aotgen.ir.program import Buffer, Program
from aotgen.plan.liveness import ALIGN, Interval, at_dims, bytes_of, live_ranges, max_live

CLIMB_LIMIT = 200  # buffers: above, the first orders are all that is tried
CLIMB_WORK = 60_000  # pair comparisons spent on climbing, so the time is bounded and the result deterministic
UNBOUNDED = 128  # stands for an open dim without an upper bound where a figure is needed to compare


@dataclass(frozen=True, slots=True)
class Slot:
    """Bytes shared by buffers that never live together. ``sizes``: bytes of its members, the largest counts."""

    sizes: tuple[Dim, ...]


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """``offsets``: byte offset of each workspace buffer, or with ``slots`` the number of its slot. ``size``: bytes of
    the arena; ``bound``: the most bytes alive at once (both at the largest dims, or at ``UNBOUNDED`` where a dim has no
    upper bound; then ``exact`` is False). ``spans``: first and last tick of each buffer."""

    offsets: Mapping[Buffer, int]
    size: int
    bound: int
    spans: Mapping[Buffer, Interval]
    slots: tuple[Slot, ...] = ()
    exact: bool = True

    @property
    def is_open(self) -> bool:
        """Are offsets computed at run time?"""
        return bool(self.slots)

    def overlap(self, a: Buffer, b: Buffer) -> bool:
        """May two workspace buffers share bytes?"""
        if a is b:
            return True
        if a not in self.offsets or b not in self.offsets:
            return False
        if self.slots:
            return self.offsets[a] == self.offsets[b]
        low, high = sorted((a, b), key=lambda x: self.offsets[x])
        return self.offsets[low] + at_dims(bytes_of(low), {}) > self.offsets[high]


def plan_memory(program: Program) -> MemoryPlan:
    """Place every workspace buffer of ``program``."""
    spans = live_ranges(program)
    sizes = {b: bytes_of(b) for b in spans}
    fixed = {b: n for b, n in sizes.items() if isinstance(n, int)}
    if len(fixed) == len(sizes):
        offsets, size = place(spans, fixed)
        return MemoryPlan(offsets, size, max_live(spans, fixed), spans)
    return _plan_slots(spans, sizes)


# ---------------------------------------------------------------------------------------------------- known sizes


def place(spans: Mapping[Buffer, Interval], sizes: Mapping[Buffer, int]) -> tuple[dict[Buffer, int], int]:
    """Offsets (multiples of ``ALIGN``) without overlap of buffers that live together, and the bytes needed."""
    buffers = list(spans)
    bound = max_live(spans, sizes)
    rivals = _rivals(buffers, spans)
    orders = [sorted(buffers, key=key) for key in _orders(spans, sizes)]
    best_order, best, best_size = buffers, dict[Buffer, int](), -1
    for order in orders:
        offsets, size = _fit(order, rivals, sizes)
        if best_size < 0 or size < best_size:
            best_order, best, best_size = order, offsets, size
        if best_size == bound:
            break
    if best_size > bound and len(buffers) <= CLIMB_LIMIT:
        best, best_size = _climb(best_order, rivals, sizes, bound, best, best_size)
    return {b: best[b] for b in buffers}, max(best_size, 0)


def _orders(
    spans: Mapping[Buffer, Interval], sizes: Mapping[Buffer, int]
) -> list[Callable[[Buffer], tuple[int, ...]]]:
    def length(b: Buffer) -> int:
        return spans[b][1] - spans[b][0] + 1

    return [
        lambda b: (-sizes[b], -length(b), spans[b][0]),
        lambda b: (-sizes[b] * length(b), spans[b][0]),
        lambda b: (-length(b), -sizes[b], spans[b][0]),
        lambda b: (spans[b][0], -sizes[b]),
        lambda b: (-spans[b][1], -sizes[b]),
    ]


def _rivals(buffers: Sequence[Buffer], spans: Mapping[Buffer, Interval]) -> dict[Buffer, list[Buffer]]:
    """Which buffers live at a common tick, by a sweep over starts."""
    out: dict[Buffer, list[Buffer]] = {b: [] for b in buffers}
    active: list[Buffer] = []
    for b in sorted(buffers, key=lambda b: spans[b][0]):
        active = [a for a in active if spans[a][1] >= spans[b][0]]
        for a in active:
            out[a].append(b)
            out[b].append(a)
        active.append(b)
    return out


def _fit(
    order: Sequence[Buffer], rivals: Mapping[Buffer, Sequence[Buffer]], sizes: Mapping[Buffer, int]
) -> tuple[dict[Buffer, int], int]:
    """Place in ``order``, each at the smallest gap that holds it, else after the last of its rivals."""
    offsets: dict[Buffer, int] = {}
    top = 0
    for b in order:
        need, end, at, tightest = sizes[b], 0, -1, 0
        for start, stop in sorted((offsets[r], offsets[r] + sizes[r]) for r in rivals[b] if r in offsets):
            gap = start - end
            if gap >= need and (at < 0 or gap < tightest):
                at, tightest = end, gap
            end = max(end, stop)
        offsets[b] = end if at < 0 else at
        top = max(top, offsets[b] + need)
    return offsets, top


def _climb(
    order: Sequence[Buffer],
    rivals: Mapping[Buffer, Sequence[Buffer]],
    sizes: Mapping[Buffer, int],
    bound: int,
    best: dict[Buffer, int],
    best_size: int,
) -> tuple[dict[Buffer, int], int]:
    """Swap two buffers in the order, or move one that touches the top forward; keep what is not worse."""
    rng = random.Random(0)
    current = list(order)
    cost = sum(map(len, rivals.values())) + len(current)
    for _ in range(min(2000, 20 + 40 * CLIMB_WORK // cost)):
        if best_size == bound:
            break
        trial = list(current)
        highest = [b for b in current if best[b] + sizes[b] == best_size]
        i = rng.randrange(len(trial))
        if highest and rng.random() < 0.5:
            top = rng.choice(highest)
            trial.remove(top)
            trial.insert(rng.randrange(len(trial) + 1) if rng.random() < 0.5 else min(i, 3), top)
        else:
            j = rng.randrange(len(trial))
            trial[i], trial[j] = trial[j], trial[i]
        offsets, size = _fit(trial, rivals, sizes)
        if size <= best_size:
            current, best, best_size = trial, offsets, size
    return best, best_size


# ---------------------------------------------------------------------------------------------------- open sizes


def _plan_slots(spans: Mapping[Buffer, Interval], sizes: Mapping[Buffer, Dim]) -> MemoryPlan:
    """Interval colouring, largest first (a slot never grows at typical dims) and by start (fewest slots); the colouring
    that needs less counts."""
    atoms = sorted({a for n in sizes.values() for a in index.dims_of(n)}, key=lambda a: a.name)
    typical = {a: a.hi if a.hi is not None else max(UNBOUNDED, (a.lo or index.ix(1)).const() or 1) for a in atoms}
    at = {b: at_dims(n, typical) for b, n in sizes.items()}

    def total(members: Sequence[Sequence[Buffer]]) -> int:
        return sum(max(at[m] for m in slot) for slot in members)

    by_size = sorted(spans, key=lambda b: (-at[b], spans[b][0]))
    by_start = sorted(spans, key=lambda b: (spans[b][0], -at[b]))
    members = min((_colour(order, spans, sizes, at) for order in (by_size, by_start)), key=total)
    offsets = {b: k for k, slot in enumerate(members) for b in slot}
    slots = tuple(Slot(tuple(_undominated([sizes[m] for m in slot]))) for slot in members)
    return MemoryPlan({b: offsets[b] for b in spans}, total(members), max_live(spans, at), spans, slots,
                      all(a.hi is not None for a in atoms))


def _colour(order: Sequence[Buffer], spans: Mapping[Buffer, Interval], sizes: Mapping[Buffer, Dim],
            at: Mapping[Buffer, int]) -> list[list[Buffer]]:
    """Each buffer into a free slot: one with a member of the same polynomial, else the nearest in size at typical dims,
    one that need not grow first."""
    members: list[list[Buffer]] = []
    for b in order:
        free = [slot for slot in members
                if all(spans[m][1] < spans[b][0] or spans[b][1] < spans[m][0] for m in slot)]

        def distance(slot: list[Buffer], b: Buffer = b) -> tuple[bool, bool, int]:
            large = max(at[m] for m in slot)
            return sizes[b] not in [sizes[m] for m in slot], large < at[b], abs(large - at[b])

        if free:
            min(free, key=distance).append(b)
        else:
            members.append([b])
    return members


def _undominated(sizes: Sequence[Dim]) -> list[Dim]:
    """Sizes without those another one is provably never smaller than."""
    kept: list[Dim] = []
    for n in dict.fromkeys(sizes):
        if any(index.nonneg(index.ix(k) - n) for k in kept):
            continue
        kept = [k for k in kept if not index.nonneg(index.ix(n) - k)] + [n]
    return kept


def arena_size(plan: MemoryPlan, dims: Mapping[Atom, int]) -> int:
    """Bytes of the arena at given dims."""
    if not plan.slots:
        return plan.size
    return sum(max(at_dims(n, dims) for n in slot.sizes) for slot in plan.slots)


def summary(plan: MemoryPlan) -> str:
    """One line for people: bytes, and how far from the least possible."""
    over = 0.0 if plan.bound == 0 else 100.0 * (plan.size / plan.bound - 1.0)
    what = "workspace" if plan.exact else f"workspace at open dims of {UNBOUNDED}"
    return f"{what} {plan.size} bytes, at least {plan.bound} are alive at once (+{over:.1f}%)"


__all__ = ["ALIGN", "MemoryPlan", "Slot", "arena_size", "place", "plan_memory", "summary"]
