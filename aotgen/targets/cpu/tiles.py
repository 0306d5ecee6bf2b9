# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Choosing register tiles: a row of candidates per ISA, scored by issue slots, tails and thread balance.

A tile is MR rows x NV panels of 16 columns. It must fit the registers: ``MR*v + v <= registers`` where ``v`` is NV times
the vectors in a panel (the broadcast operand folds into memory operands on AVX-512 and takes one more register elsewhere).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aotgen.ir.program import BLOCK


@dataclass(frozen=True, slots=True)
class TileRow:
    """``mr`` x ``nv`` panels; ``rate``: fraction of peak FMA throughput measured for it in steady state."""

    mr: int
    nv: int
    rate: float


# Rates: share of peak measured on a Zen 4 core with K = 768 and the panel in L2; few-row tiles are load-bound.
ROWS: Mapping[str, tuple[TileRow, ...]] = {
    "avx512": (
        TileRow(14, 1, 0.97),
        TileRow(14, 2, 0.96),
        TileRow(12, 2, 0.97),
        TileRow(8, 3, 1.0),
        TileRow(7, 3, 0.99),
        TileRow(7, 4, 0.99),
        TileRow(6, 4, 1.0),
        TileRow(5, 4, 1.0),
        TileRow(4, 4, 1.0),
        TileRow(8, 2, 0.99),
        TileRow(6, 3, 0.99),
        TileRow(4, 3, 0.98),
        TileRow(3, 4, 0.95),
        TileRow(2, 4, 0.85),
        TileRow(8, 1, 0.9),
        TileRow(4, 2, 0.97),
        TileRow(2, 8, 0.9),
        TileRow(1, 8, 0.45),
        TileRow(1, 4, 0.4),
        TileRow(4, 1, 0.6),
        TileRow(2, 2, 0.6),
        TileRow(1, 2, 0.3),
        TileRow(1, 1, 0.2),
        TileRow(2, 1, 0.35),
        TileRow(16, 1, 0.99),
    ),
    "avx2": (
        TileRow(6, 1, 1.0),
        TileRow(5, 1, 0.96),
        TileRow(4, 1, 0.93),
        TileRow(3, 1, 0.85),
        TileRow(3, 2, 0.99),
        TileRow(2, 2, 0.8),
        TileRow(2, 1, 0.6),
        TileRow(1, 4, 0.45),
        TileRow(1, 2, 0.4),
        TileRow(1, 1, 0.3),
    ),
    "neon": (
        TileRow(6, 1, 1.0),
        TileRow(5, 1, 0.97),
        TileRow(4, 1, 0.95),
        TileRow(3, 1, 0.9),
        TileRow(2, 1, 0.7),
        TileRow(1, 2, 0.5),
        TileRow(1, 1, 0.4),
    ),
    "scalar": (TileRow(4, 1, 1.0), TileRow(2, 1, 0.8), TileRow(1, 1, 0.6)),
}


def _steps(total: int, tile: int) -> float:
    """How many tile-times ``total`` rows take: whole tiles, and a tail that costs nearly a whole one."""
    whole, rest = divmod(total, tile)
    return whole + (0.25 + 0.75 * rest / tile if rest else 0.0)


def score(row: TileRow, rows: int, columns: int) -> float:
    """Relative time for ``rows`` x ``columns`` (columns in elements) with this tile."""
    panels = -(-columns // BLOCK)
    return _steps(rows, row.mr) * _steps(panels, row.nv) * row.mr * row.nv / row.rate


def choose(rows: int, columns: int) -> dict[str, tuple[int, ...]]:
    """The best tile for every ISA for an accumulator of ``rows`` x ``columns``; first in the table wins ties."""
    return {isa: _arguments(min(table, key=lambda r: score(r, rows, columns))) for isa, table in ROWS.items()}


def _arguments(row: TileRow) -> tuple[int, ...]:
    return (row.mr, row.nv)


def depthwise(out: tuple[object, object], stride: tuple[int, int]) -> dict[str, tuple[int, ...]]:
    """Output tile (rows, pixels) of the sliding-window depthwise kernel: rows share loaded columns at stride 1."""
    height, width = (d if isinstance(d, int) else 64 for d in out)
    pixels = min((7, 4, 2, 1), key=lambda p: (_steps(width, p) * p, -p))
    rows = 2 if stride[0] == 1 and height > 1 else 1
    return {
        isa: (rows, pixels if isa == "avx512" else min(pixels, 4 if isa != "scalar" else 1)) for isa in ROWS
    }
