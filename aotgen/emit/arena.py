# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The workspace whose sizes only a run knows: C expressions for where its buffers start and end.

Layers that do the same need the same room above the same buffers: what is equal is computed once, and such buffers have one
place between them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from aotgen.emit.dims import at_most, rough, spell
from aotgen.ir.index import Dim
from aotgen.ir.program import Buffer
from aotgen.plan.liveness import bytes_of
from aotgen.plan.memory import MemoryPlan

SAFE = 1e15  # bytes: no sum of sizes up to here is near overflow, and no machine has them


@dataclass(frozen=True, slots=True)
class Arena:
    """``places``: number of distinct places other than the workspace's first byte; ``place``: which one each buffer has, None
    for that byte; ``lines``: statements that compute ``at[]`` and ``end[]``; ``ends``: number of distinct ends."""

    places: int
    place: Mapping[Buffer, int | None]
    lines: tuple[str, ...]
    ends: int

    def offset(self, b: Buffer) -> str:
        """Where ``b`` starts, as a term to add to the workspace's address; nothing at its first byte."""
        k = self.place[b]
        return "" if k is None else f" + f.at[{k}]"


def arena(memory: MemoryPlan) -> Arena:
    """The places of the buffers of ``memory``: none when all sizes are known."""
    starts: dict[frozenset[int], int | None] = {frozenset(): None}
    ends: dict[tuple[int | None, Dim], int] = {}
    end_of: dict[Buffer, int] = {}
    place: dict[Buffer, int | None] = {}
    lines = []
    for b, below in memory.stack.items():
        key = frozenset(end_of[k] for k in below)
        if key not in starts:
            starts[key] = len(starts) - 1
            lines.append(f"c->frame.at[{starts[key]}] = {_latest(sorted(key))};")
        at = place[b] = starts[key]
        if (at, bytes_of(b)) not in ends:
            ends[at, bytes_of(b)] = len(ends)
            start = "" if at is None else f"c->frame.at[{at}] + "
            lines.append(f"end[{len(ends) - 1}] = {start}{spell(bytes_of(b))};")
        end_of[b] = ends[at, bytes_of(b)]
    return Arena(len(starts) - 1, place, tuple(lines), len(ends))


def _latest(ends: list[int]) -> str:
    out = f"end[{ends[0]}]"
    for k in ends[1:]:
        out = f"larger({out}, end[{k}])"
    return out


def rough_sizes(sizes: Iterable[Dim]) -> list[str]:
    """``sizes`` in bytes as far as they depend on open dims, roughly: none where their sum is safe at any dims."""
    open_ = [s for s in dict.fromkeys(sizes) if not isinstance(s, int)]
    return [] if sum(map(at_most, open_)) <= SAFE else [rough(s) for s in open_]
