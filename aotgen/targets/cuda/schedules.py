# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""How a loop nest lies on a GPU. Tried in this order:

flat    no folds: one thread an element;
row     lanes inside: one warp an outer iteration, row temporaries in registers (element l of a row is element l / 32 of lane
        l % 32), folds merged by shuffles: a row is read once and never touches shared memory;
column  anything else: one thread an outer iteration, its loops serial, neighbours coalesced.

There is no barrier: no kernel here lets a thread read what a thread of another warp wrote.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from aotgen.targets.base import Fold, Nest

WARP = 32
WARPS_PER_BLOCK = 4
MOST_IN_REGISTERS = 1024  # elements of a row kept by one warp: 32 a lane
LOCAL_BYTES = 256 << 10  # per thread; the hardware's limit is 512 KB

_MERGE = {"+": "warp_sum", "*": "warp_prod", "max": "warp_max", "min": "warp_min", "&": "warp_and", "|": "warp_or"}


@dataclass(frozen=True)
class _Grid:
    """What the schedules share. ``threads``: of a block; ``per_item``: threads that share an outer iteration."""

    name: str
    threads: int
    per_item: int
    flattens: bool
    local_bytes: int = LOCAL_BYTES
    counts: bool = False
    remainder: int = 0
    turns: bool = False

    def signature(self, name: str, params: Sequence[str], uses_thread: bool) -> str:
        return f"__global__ void __launch_bounds__({self.threads}) {name}({', '.join(params)})"

    def outer(self, text: Any, flat: str, total: str, index: str, serial: bool, quantum: str, radices: Sequence[str], block: int = 1) -> Any:
        wide = "blockIdx.x" if index == "int" else f"static_cast<{index}>(blockIdx.x)"
        place = "threadIdx.x" if self.per_item == 1 else f"threadIdx.x / {self.per_item}"
        if serial:
            text.line(f"if (blockIdx.x + {place} != 0) return;")
        else:
            at = f"{wide} * {self.threads // self.per_item} + {place}"
            text.line(f"const {index} {flat} = static_cast<{index}>({at});")
            text.line(f"if ({flat} >= {total}) return;")
        return text.part()

    def lane_loop(
        self, text: Any, var: str, lo: str, hi: str, index: str, folds: Sequence[tuple[Fold, str]], vector: bool, within: str = ""
    ) -> Any:
        return text.block(f"for ({index} {var} = {lo}; {var} < {hi}; ++{var})")

    def row_array(self, text: Any, ctype: str, name: str, size: str) -> None:
        text.line(f"{ctype} {name}[{size}];")

    def row_element(self, name: str, at: str, lane_index: bool) -> str:
        return f"{name}[{at}]"

    def merge(self, text: Any, fold: Fold, acc: str) -> None:
        return None

    def single(self, text: Any) -> Any:
        return text

    def launch(self, name: str, args: Sequence[str], nest: Nest, total: str, team: tuple[str, str]) -> str:
        items = self.threads // self.per_item
        blocks = "1" if nest.serial else f"({total} + {items - 1}) / {items}"
        return f"AOT_LAUNCH({', '.join((name, blocks, str(self.threads), 'stream', *args))});"


class Flat(_Grid):
    def declines(self, nest: Nest) -> str:
        return "" if nest.straight and nest.stages == 1 and not nest.row_temps else "it has inner loops"


class Column(_Grid):
    def declines(self, nest: Nest) -> str:
        if None in nest.row_temps:
            return "a row temporary has no bound"
        return (
            "" if sum(n or 0 for n in nest.row_temps) * 8 <= self.local_bytes else "row temporaries exceed local memory"
        )


class Row(_Grid):
    def declines(self, nest: Nest) -> str:
        if nest.width == 0 or not nest.lanes_only or nest.arg_folds:
            return "lanes are not the only loop"
        if nest.temp_reads_across:
            return "a lane reads what another one stored"
        if nest.width is not None and nest.width < WARP:
            return "rows are narrower than a warp"
        if nest.row_temps and (nest.width is None or nest.width > MOST_IN_REGISTERS):
            return "rows are too wide for registers"
        return ""

    def outer(self, text: Any, flat: str, total: str, index: str, serial: bool, quantum: str, radices: Sequence[str], block: int = 1) -> Any:
        body = super().outer(text, flat, total, index, serial, quantum, radices)
        body.line(f"const int lane = static_cast<int>(threadIdx.x % {WARP});")
        return body.part()

    def lane_loop(
        self, text: Any, var: str, lo: str, hi: str, index: str, folds: Sequence[tuple[Fold, str]], vector: bool, within: str = ""
    ) -> Any:
        first = "lane" if lo == "0" else f"{lo} + lane"
        if not (lo.isdigit() and hi.isdigit()):
            step = text.block(f"for ({index} w = 0; {first} + w * {WARP} < {hi}; ++w)")
            step.line(f"const {index} {var} = {first} + w * {WARP};")
            return step
        count = int(hi) - int(lo)
        text.raw("#pragma unroll")
        step = text.block(f"for (int w = 0; w < {-(-count // WARP)}; ++w)")
        step.line(f"const {index} {var} = {first} + w * {WARP};")
        return step if count % WARP == 0 else step.block(f"if ({var} < {hi})")

    def row_array(self, text: Any, ctype: str, name: str, size: str) -> None:
        text.line(f"{ctype} {name}[{-(-int(size) // WARP)}];")

    def row_element(self, name: str, at: str, lane_index: bool) -> str:
        return f"{name}[w]"

    def merge(self, text: Any, fold: Fold, acc: str) -> None:
        text.line(f"{acc} = {_MERGE[fold.combine]}({acc});")

    def single(self, text: Any) -> Any:
        return text.block("if (lane == 0)")


FLAT = Flat("flat", 256, 1, flattens=True)
ROW = Row("row", WARP * WARPS_PER_BLOCK, WARP, flattens=False)
COLUMN = Column("column", 128, 1, flattens=True)
