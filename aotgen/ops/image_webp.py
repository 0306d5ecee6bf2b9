# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Lossy WebP in Python: the reference of ``runtime/image_webp.h`` and ``image_vp8*.h``. The numbers that RFC 6386 fixes are read
from ``image_vp8_tables.h``; the section of each step is in the headers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from aotgen import _paths
from aotgen.ir.interpret import Array
from aotgen.ops.image_bitmaps import BrokenImageError, checked_size, little, require
from aotgen.ops.image_vp8_pixels import DC, SUB, TM, H, V, add, near_sum, smooth, spread, square, subblock

MODE_TREE, MODES = (-SUB, 2, 4, 6, -DC, -V, -H, -TM), (145, 156, 163, 128)
CHROMA_TREE, CHROMA = (-DC, 2, -V, 4, -H, -TM), (142, 114, 183)
SUB_TREE = (0, 2, -1, 4, -2, 6, 8, 12, -3, 10, -5, -6, -4, 14, -7, 16, -8, -9)  # DC, TM, V, H, then the slanted ones
AS_SUB = {DC: 0, V: 2, H: 3, TM: 1}
BANDS = (0, 1, 2, 3, 6, 4, 5, 6, 6, 6, 6, 6, 6, 6, 6, 7)
ZIGZAG = (0, 1, 4, 8, 5, 2, 3, 6, 9, 12, 13, 10, 7, 11, 14, 15)
EXTRA = ((5, (159,)), (7, (165, 145)), (11, (173, 148, 140)), (19, (176, 155, 140, 135)), (35, (180, 157, 141, 134, 130)),
         (67, (254, 254, 243, 230, 196, 177, 153, 140, 133, 130, 129)))


@lru_cache(maxsize=1)
def tables() -> dict[str, list[int]]:
    text = (_paths.data("runtime") / "image_vp8_tables.h").read_text("utf-8")
    found = re.findall(r"(kVp8\w+)\[\d+\] = \{([^}]*)\}", text)
    return {name: [int(n) for n in numbers.split(",")] for name, numbers in found}


class Bits:
    """The arithmetic code."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at, self.range, self.shifted = data, 2, 255, 0
        self.value = int.from_bytes(data[:2].ljust(2, b"\0"), "big")

    def bit(self, p: int) -> int:
        split = 1 + ((self.range - 1) * p >> 8)
        one = self.value >= split << 8
        self.value -= (split << 8) * one
        self.range = self.range - split if one else split
        while self.range < 128:
            self.range, self.value, self.shifted = 2 * self.range, 2 * self.value, self.shifted + 1
            if self.shifted == 8:
                require(self.at < len(self.data) + 2, "the bits end early")
                self.value |= self.data[self.at] if self.at < len(self.data) else 0
                self.at, self.shifted = self.at + 1, 0
        return int(one)

    def number(self, bits: int) -> int:
        return sum(self.bit(128) << k for k in range(bits - 1, -1, -1))

    def maybe(self, bits: int) -> int:
        if not self.bit(128):
            return 0
        size = self.number(bits)
        return -size if self.bit(128) else size

    def leaf(self, tree: Sequence[int], probabilities: Sequence[int]) -> int:
        at = tree[self.bit(probabilities[0])]
        while at > 0:
            at = tree[at + self.bit(probabilities[at >> 1])]
        return -at


@dataclass(slots=True)
class Frame:
    """What the header says."""

    mapped: bool = False
    absolute: bool = False
    segmented: bool = False
    segment_step: list[int] = field(default_factory=lambda: [0] * 4)
    segment_level: list[int] = field(default_factory=lambda: [0] * 4)
    segment_tree: list[int] = field(default_factory=lambda: [255] * 3)
    simple: bool = False
    level: int = 0
    sharpness: int = 0
    deltas: list[int] | None = None
    parts: int = 1
    step: list[int] = field(default_factory=list)
    skip: int | None = None
    tokens: list[int] = field(default_factory=list)


def _header(b: Bits) -> Frame:
    f = Frame()
    b.number(2)
    f.segmented = bool(b.bit(128))
    if f.segmented:
        f.mapped = bool(b.bit(128))
        if b.bit(128):
            f.absolute = bool(b.bit(128))
            f.segment_step = [b.maybe(7) for _ in range(4)]
            f.segment_level = [b.maybe(6) for _ in range(4)]
        if f.mapped:
            f.segment_tree = [b.number(8) if b.bit(128) else 255 for _ in range(3)]
    f.simple, f.level, f.sharpness = bool(b.bit(128)), b.number(6), b.number(3)
    if b.bit(128):
        f.deltas = [b.maybe(6) for _ in range(8)] if b.bit(128) else [0] * 8
    f.parts = 1 << b.number(2)
    f.step = [b.number(7), *(b.maybe(4) for _ in range(5))]
    b.bit(128)
    known = tables()
    f.tokens = [b.number(8) if b.bit(p) else t for p, t in zip(known["kVp8Updates"], known["kVp8Tokens"], strict=True)]
    f.skip = b.number(8) if b.bit(128) else None
    return f


@dataclass(slots=True)
class Block:
    """A macroblock, and what it leaves to its neighbours: which subblocks have coefficients (4 Y, 2 U, 2 V, Y2) and the modes
    along its lower and its right side."""

    low: list[int] = field(default_factory=lambda: [0] * 9)
    right: list[int] = field(default_factory=lambda: [0] * 9)
    low_modes: list[int] = field(default_factory=lambda: [0] * 4)
    right_modes: list[int] = field(default_factory=lambda: [0] * 4)
    segment: int = 0
    mode: int = DC
    chroma: int = DC
    sub: list[int] = field(default_factory=list)
    corrected: bool = False


class Decoder:
    """The planes of a frame, with a border: a row above, a column to the left, four columns to the right."""

    def __init__(self, data: bytes) -> None:
        tag = little(data, 0, 3)
        require(tag & 1 == 0 and tag >> 1 & 7 <= 3 and tag >> 4 & 1 == 1 and data[3:6] == b"\x9d\x01\x2a", "no key frame")
        self.height, self.width = checked_size(little(data, 8, 2) & 0x3FFF, little(data, 6, 2) & 0x3FFF)
        first = tag >> 5
        require(10 + first <= len(data), "the first part ends early")
        self.modes = Bits(data[10 : 10 + first])
        self.f = _header(self.modes)
        self.parts = self._parts(data[10 + first :])
        self.down, self.across = -(-self.height // 16), -(-self.width // 16)
        self.planes = []
        for n in (16, 8, 8):
            plane = np.zeros((n * self.down + 1, n * self.across + 5), np.int64)
            plane[0], plane[1:, 0] = 127, 129
            self.planes.append(plane)
        self.blocks: list[list[Block]] = []
        for y in range(self.down):
            self._row(y)
        self._smooth()

    def _parts(self, data: bytes) -> list[Bits]:
        count = self.f.parts
        at, out = 3 * (count - 1), []
        for k in range(count):
            size = little(data, 3 * k, 3) if k + 1 < count else len(data) - at
            require(0 <= size <= len(data) - at, "a part ends early")
            out.append(Bits(data[at : at + size]))
            at += size
        return out

    def _row(self, y: int) -> None:
        row: list[Block] = []
        self.blocks.append(row)
        for x in range(self.across):
            left, above = row[-1] if row else Block(), self.blocks[y - 1][x] if y else Block()
            block = Block()
            skipped = self._read_modes(block, left, above)
            values = [[0] * 16 for _ in range(24)]
            if skipped:
                block.low[8], block.right[8] = (above.low[8], left.right[8]) if block.mode == SUB else (0, 0)
                block.corrected = block.mode == SUB
            else:
                self._read_tokens(self.parts[y % self.f.parts], block, left, above, values)
            self._draw(block, values, y, x)
            row.append(block)

    def _read_modes(self, block: Block, left: Block, above: Block) -> bool:
        b, f = self.modes, self.f
        if f.mapped:
            high = b.bit(f.segment_tree[0])
            block.segment = 2 * high + b.bit(f.segment_tree[1 + high])
        skipped = f.skip is not None and bool(b.bit(f.skip))
        block.mode = b.leaf(MODE_TREE, MODES)
        known = tables()["kVp8SubModes"]
        for k in range(16):
            if block.mode != SUB:
                block.sub.append(AS_SUB[block.mode])
                continue
            a = above.low_modes[k] if k < 4 else block.sub[k - 4]
            beside = left.right_modes[k // 4] if k % 4 == 0 else block.sub[k - 1]
            at = (10 * a + beside) * 9
            block.sub.append(b.leaf(SUB_TREE, known[at : at + 9]))
        block.low_modes, block.right_modes = block.sub[12:], block.sub[3::4]
        block.chroma = b.leaf(CHROMA_TREE, CHROMA)
        return skipped

    def _steps(self, segment: int, plane: int) -> tuple[int, int]:
        """The steps of DC and AC of a plane: 0 Y, 1 Y2, 2 U and V."""
        f, known = self.f, tables()
        index = f.step[0] if not f.segmented else f.segment_step[segment] + (0 if f.absolute else f.step[0])
        more = ((f.step[1], 0), (f.step[2], f.step[3]), (f.step[4], f.step[5]))[plane]
        dc, ac = (known[name][min(max(index + m, 0), 127)] for name, m in zip(("kVp8DcSteps", "kVp8AcSteps"), more, strict=True))
        return ((dc, ac), (2 * dc, max(ac * 155 // 100, 8)), (min(dc, 132), ac))[plane]

    def _read_tokens(self, b: Bits, block: Block, left: Block, above: Block, values: list[list[int]]) -> None:
        second = block.mode != SUB
        block.corrected = not second
        if second:
            dc = [0] * 16
            block.low[8] = block.right[8] = self._read_block(b, 1, 0, above.low[8] + left.right[8], block.segment, dc)
            for k, v in enumerate(spread(dc)):
                values[k][0] = v
        else:
            block.low[8], block.right[8] = above.low[8], left.right[8]
        block.low[:8], block.right[:8] = above.low[:8], left.right[:8]
        for k in range(24):
            wide, at, start = (4, k, 0) if k < 16 else (2, k % 4, 4 if k < 20 else 6)
            row, column = start + at // wide, start + at % wide
            kind = 2 if k >= 16 else 0 if second else 3
            near = block.low[column] + block.right[row]
            found = self._read_block(b, kind, int(kind == 0), near, block.segment, values[k])
            block.low[column] = block.right[row] = found
            block.corrected |= bool(found or values[k][0])

    def _read_block(self, b: Bits, kind: int, first: int, near: int, segment: int, to: list[int]) -> int:
        steps, zero = self._steps(segment, 0 if kind == 3 else kind), False
        for k in range(first, 16):
            at = ((kind * 8 + BANDS[k]) * 3 + near) * 11
            p = self.f.tokens[at : at + 11]
            if not zero and not b.bit(p[0]):
                return int(k > first)
            zero, near = not b.bit(p[1]), 0
            if not zero:
                size = self._size(b, p)
                near = min(size, 2)
                to[ZIGZAG[k]] = (-size if b.bit(128) else size) * steps[k > 0]
        return 1

    @staticmethod
    def _size(b: Bits, p: Sequence[int]) -> int:
        if not b.bit(p[2]):
            return 1
        if not b.bit(p[3]):
            return 3 + b.bit(p[5]) if b.bit(p[4]) else 2
        if not b.bit(p[6]):
            kind = b.bit(p[7])
        else:
            high = b.bit(p[8])
            kind = 2 + 2 * high + b.bit(p[9 + high])
        base, more = EXTRA[kind]
        value = 0
        for q in more:
            value = 2 * value + b.bit(q)
        return base + value

    def _draw(self, block: Block, values: list[list[int]], y: int, x: int) -> None:
        luma = self.planes[0]
        top, side = 16 * y + 1, 16 * x + 1
        if block.mode != SUB:
            square(luma, top, side, 16, block.mode, y > 0, x > 0)
        corner = luma[top - 1, side + 16 : side + 20].copy()
        if y and x + 1 == self.across:
            corner[:] = luma[top - 1, side + 15]
        for k in range(16):
            row, column = top + k // 4 * 4, side + k % 4 * 4
            if block.mode == SUB:
                subblock(luma, row, column, block.sub[k], corner if k % 4 == 3 else luma[row - 1, column + 4 : column + 8])
            add(luma, row, column, values[k])
        for n in (1, 2):
            plane, top, side = self.planes[n], 8 * y + 1, 8 * x + 1
            square(plane, top, side, 8, block.chroma, y > 0, x > 0)
            for k in range(4):
                add(plane, top + k // 2 * 4, side + k % 2 * 4, values[12 + 4 * n + k])

    def _strength(self, block: Block) -> tuple[int, int, int]:
        """Level, the largest difference beside an edge, and that from which a neighbour is an edge too."""
        f = self.f
        level = f.level if not f.segmented else f.segment_level[block.segment] + (0 if f.absolute else f.level)
        level = min(max(level, 0), 63)
        if f.deltas is not None:
            level = min(max(level + f.deltas[0] + (f.deltas[4] if block.mode == SUB else 0), 0), 63)
        interior = level
        if f.sharpness:
            interior = min(interior >> (2 if f.sharpness > 4 else 1), 9 - f.sharpness)
        return level, max(interior, 1), 2 if level >= 40 else 1 if level >= 15 else 0

    def _smooth(self) -> None:
        for y, x in np.ndindex(self.down, self.across):
            block = self.blocks[y][x]
            level, interior, sharp = self._strength(block)
            if self.f.level and level:
                for plane, n in zip(self.planes[: 1 if self.f.simple else 3], (16, 8, 8), strict=False):
                    smooth(plane[1:, 1:], n * y, n * x, n, self.f.simple, block.corrected, (level, interior, sharp))


def webp(data: bytes) -> Array:
    at, frame = 12, None
    while frame is None and at + 8 <= len(data):
        size = little(data, at + 4)
        require(at + 8 + size <= len(data), "a chunk ends early")
        frame = data[at + 8 : at + 8 + size] if data[at : at + 4] == b"VP8 " else None
        at += 8 + size + size % 2
    if data[8:12] != b"WEBP" or frame is None:
        raise BrokenImageError("no WebP with a frame of VP8")
    d = Decoder(frame)
    h, w = d.height, d.width
    y = d.planes[0][1 : h + 1, 1 : w + 1] * 19077 >> 8
    u, v = (near_sum(p[1 : (h + 1) // 2 + 1, 1 : (w + 1) // 2 + 1], h, w) for p in d.planes[1:])
    red, blue = y + (v * 26149 >> 8) - 14234, y + (u * 33050 >> 8) - 17685
    green = y - (u * 6419 >> 8) - (v * 13320 >> 8) + 8708
    rgb: Array = np.clip(np.stack([red, green, blue], -1) >> 6, 0, 255)
    return rgb.astype(np.uint8)


DECODERS = {b"RIFF": webp}
