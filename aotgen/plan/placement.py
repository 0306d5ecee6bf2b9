# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Offset assignment for buffers of known sizes: no two that share a tick overlap.

Buffers are placed one by one at the tightest gap among those they share a tick with (best fit by offset, "Efficient
Memory Management for Deep Neural Net Inference", arXiv 2001.03288); several orders are tried, then hill climbing over
orders with a fixed seed.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence

from aotgen.ir.program import Buffer
from aotgen.plan.liveness import Interval, max_live

CLIMB_LIMIT = 200  # buffers: above, the first orders are all that is tried
CLIMB_WORK = 60_000  # pair comparisons spent on climbing, so the time is bounded and the result deterministic


def place(spans: Mapping[Buffer, Interval], sizes: Mapping[Buffer, int]) -> tuple[dict[Buffer, int], int]:
    """Offsets (multiples of ``ALIGN``) without overlap of buffers that live together, and the bytes needed."""
    buffers = list(spans)
    bound = max_live(spans, sizes)
    rivals = rivals_of(buffers, spans)
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


def _orders(spans: Mapping[Buffer, Interval], sizes: Mapping[Buffer, int]) -> list[Callable[[Buffer], tuple[int, ...]]]:
    def length(b: Buffer) -> int:
        return spans[b][1] - spans[b][0] + 1

    return [
        lambda b: (-sizes[b], -length(b), spans[b][0]),
        lambda b: (-sizes[b] * length(b), spans[b][0]),
        lambda b: (-length(b), -sizes[b], spans[b][0]),
        lambda b: (spans[b][0], -sizes[b]),
        lambda b: (-spans[b][1], -sizes[b]),
    ]


def rivals_of(buffers: Sequence[Buffer], spans: Mapping[Buffer, Interval]) -> dict[Buffer, list[Buffer]]:
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
