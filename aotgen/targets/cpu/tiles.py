# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Choosing register tiles: every tile an ISA's registers can hold, scored by a small model of the core.

A tile is MR rows x NV panels of 16 columns. Kernels cut M and N into tiles that differ by at most one row or panel, so the
model prices the tiles that will really run, not a nominal one and its tail.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from aotgen.ir.program import BLOCK


@dataclass(frozen=True, slots=True)
class Core:
    """``vectors``: vector registers in a panel of 16, ``registers``: how many there are, ``most``: panels beyond which a wider
    tile never paid."""

    vectors: int
    registers: int
    most: int


CORES: Mapping[str, Core] = {
    "avx512": Core(1, 32, 8),
    "avx2": Core(2, 16, 3),
    "sse4": Core(4, 16, 2),
    "neon": Core(4, 32, 4),
    "scalar": Core(16, 64, 1),
}


def cycles(mr: int, nv: int) -> float:
    """Cycles of one k-step of a tile, panels in the second-level cache: one 16-wide multiply-add a cycle, two cycles to
    load a panel's row, half a cycle a broadcast, and four for the latency of a multiply-add. On a Zen 4 core this gives
    the measured shares of peak within a few per cent: 8x3 and 4x2 100, 2x8 94 (90), 2x6 92 (88), 1x8 48 (45). A tenth of a
    cycle for each panel beyond four breaks ties: of tiles that keep the core equally busy, those read more (3x8 took a
    seventh longer than 7x4 on 40 x 512 x 48)."""
    return max(float(mr * nv), 2.0 * nv + 0.5 * mr, 4.0) + 0.1 * max(nv - 4, 0)


def _cuts(total: int, tile: int) -> list[tuple[int, int]]:
    """(size, count) of the tiles that ``total`` is cut into."""
    n = -(-total // tile)
    small, larger = divmod(total, n)
    return [(small, n - larger), (small + 1, larger)] if larger else [(small, n)]


@cache
def score(rows: int, panels: int, mr: int, nv: int) -> float:
    """Cycles per k for an accumulator of ``rows`` x ``panels``, with a little for starting each tile."""
    return sum(cm * cn * (cycles(m, n) + 0.05 * (m * n + 4))
               for m, cm in _cuts(rows, mr) for n, cn in _cuts(panels, nv))


@cache
def legal(isa: str) -> tuple[tuple[int, int], ...]:
    """Tiles whose accumulators, one row of panels and (off AVX-512) a broadcast fit the registers; 7x4 on 32 registers runs
    at full speed although it is one over."""
    core = CORES[isa]
    spare = 1 if core.registers == 32 and core.vectors == 1 else -1
    found = []
    for nv in range(1, core.most + 1):
        for mr in range(1, 17):
            if mr * nv * core.vectors + nv * core.vectors <= core.registers + spare and (mr <= 8 or nv <= 2):
                found.append((mr, nv))
    return tuple(found) or ((1, 1),)


def choose(rows: Sequence[int], columns: int, most_rows: int = 16) -> dict[str, tuple[int, ...]]:
    """The best tile for every ISA for accumulators of each of ``rows`` x ``columns``, all of which are as likely; the smaller
    tile wins ties. ``most_rows``: 8 where rows may lie a multiple of 4 KiB apart, since more of them fall into one set of
    the first-level cache."""
    panels = -(-columns // BLOCK)
    out: dict[str, tuple[int, ...]] = {}
    for isa in CORES:
        tiles = [t for t in legal(isa) if t[0] <= most_rows]
        best = {m: min(score(m, panels, *t) for t in tiles) for m in rows}
        out[isa] = min(tiles, key=lambda t, best=best: (sum(score(m, panels, *t) / best[m] for m in rows), t))  # type: ignore[misc]
    return out


def depthwise(out: tuple[object, object], stride: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    """Output tile (rows, pixels) of the sliding-window depthwise kernel: rows share loaded columns at stride 1."""
    height, width = (d if isinstance(d, int) else 64 for d in out)
    pixels = min((7, 6, 5, 4), key=lambda p: (-(-width // p) * p, -p)) if width >= 4 else width
    rows = 2 if stride[0] == 1 and height > 1 else 1
    narrow = {"avx512": pixels, "scalar": 1}
    return {isa: (rows, narrow.get(isa, min(pixels, 4))) for isa in CORES}
