# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The blocks and the wavelets of JPEG 2000 (ITU-T T.800, annexes C, D and F): references of ``runtime/image_j2k_block.h`` and
``image_j2k_wavelet.h``."""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np

from aotgen import _paths
from aotgen.ir.interpret import Array

RUNS, PLAIN = 17, 18  # contexts
RESETS, CAUSAL, MARKS = 2, 8, 32  # styles
LL, HL, LH, HH = range(4)


@lru_cache(maxsize=1)
def states() -> list[tuple[int, int, int, int]]:
    """Table C.2: the width of the less likely symbol, the states after the likely and the other one, whether these turn."""
    text = (_paths.data("runtime") / "image_j2k_bits.h").read_text("utf-8")
    found = re.findall(r"\{(0x[0-9A-F]{4}), (\d+), (\d+), (\d)\}", text)
    return [(int(w, 16), int(a), int(b), int(t)) for w, a, b, t in found]


class Code:
    """The arithmetic code; behind its end come ones."""

    def __init__(self, data: bytes) -> None:
        self.data, self.at = data + b"\xff\xff", 0
        self.range, self.count, self.value = 0x8000, 0, self.data[0] << 16
        self.reset()
        self.load()
        self.value <<= 7
        self.count -= 7

    def reset(self) -> None:
        self.states, self.likely = [0] * 19, [0] * 19
        self.states[0], self.states[RUNS], self.states[PLAIN] = 4, 3, 46

    def load(self) -> None:
        full = self.data[self.at] == 0xFF
        if full and self.data[self.at + 1] > 0x8F:
            self.value, self.count = self.value + 0xFF00, 8
            return
        self.at += 1
        self.value += self.data[self.at] << (9 if full else 8)
        self.count = 7 if full else 8

    def bit(self, context: int) -> int:
        width, more, less, turns = states()[self.states[context]]
        self.range -= width
        low = self.value >> 16 < width
        if not low:
            self.value -= width << 16
            if self.range & 0x8000:
                return self.likely[context]
        unlikely = low != (self.range < width)
        self.range = width if low else self.range
        got = self.likely[context] ^ unlikely
        self.likely[context] ^= unlikely and turns
        self.states[context] = less if unlikely else more
        while True:
            if self.count == 0:
                self.load()
            self.range, self.value, self.count = 2 * self.range, 2 * self.value & 0xFFFFFFFF, self.count - 1
            if self.range & 0x8000:
                return got


class Block:
    """Coefficients as the C++ has them: twice each, and half a step of what is left open."""

    def __init__(self, data: bytes, height: int, width: int, band: int, style: int) -> None:
        self.code, self.band, self.style = Code(data), band, style
        self.height, self.width = height, width
        self.values = np.zeros((height, width), np.int64)
        self.signs = np.zeros((height + 2, width + 2), np.int64)  # of what is not 0, with a border
        self.seen: set[tuple[int, int]] = set()
        self.refined: set[tuple[int, int]] = set()
        self.one = 0

    def around(self, y: int, x: int) -> list[list[int]]:
        """The signs of the nine at and around a place; those of the next stripe are none where it may not be looked at."""
        near: list[list[int]] = self.signs[y : y + 3, x : x + 3].tolist()
        if self.style & CAUSAL and y % 4 == 3:
            near[2] = [0, 0, 0]
        return near

    def zero_context(self, y: int, x: int) -> int:
        (a, b, c), (d, _, e), (f, g, h) = self.around(y, x)
        across, down, slanted = abs(d) + abs(e), abs(b) + abs(g), abs(a) + abs(c) + abs(f) + abs(h)
        if self.band == HH:
            both = across + down
            return 8 if slanted > 2 else 6 + min(both, 1) if slanted == 2 else 3 * slanted + min(both, 2)
        if self.band == HL:
            across, down = down, across
        if across == 2:
            return 8
        if across == 1:
            return 7 if down else 5 + min(slanted, 1)
        return 2 + down if down else min(slanted, 2)

    def appear(self, y: int, x: int) -> None:
        (_, b, _), (d, _, e), (_, g, _) = self.around(y, x)
        across, down = max(-1, min(1, d + e)), max(-1, min(1, b + g))
        turned = across < 0 or (across == 0 and down < 0)
        context = 9 + (abs(down) if across == 0 else 3 + (-down if turned else down))
        sign = -1 if self.code.bit(context) ^ turned else 1
        self.signs[y + 1, x + 1] = sign
        self.values[y, x] = sign * (self.one + self.one // 2)

    def spread(self, y: int, x: int) -> None:
        context = 0 if self.signs[y + 1, x + 1] else self.zero_context(y, x)
        if context:
            if self.code.bit(context):
                self.appear(y, x)
            self.seen.add((y, x))

    def refine(self, y: int, x: int) -> None:
        if not self.signs[y + 1, x + 1] or (y, x) in self.seen:
            return
        context = 16 if (y, x) in self.refined else 14 + (self.zero_context(y, x) > 0)
        up = self.code.bit(context) == (self.values[y, x] > 0)
        self.values[y, x] += self.one // 2 if up else -(self.one // 2)
        self.refined.add((y, x))

    def clean(self, top: int, x: int) -> None:
        rows = list(range(top, min(top + 4, self.height)))

        def idle(y: int) -> bool:
            return not self.signs[y + 1, x + 1] and (y, x) not in self.seen

        if len(rows) == 4 and all(idle(y) and self.zero_context(y, x) == 0 for y in rows):
            if not self.code.bit(RUNS):
                return
            first = 2 * self.code.bit(PLAIN) + self.code.bit(PLAIN)
            self.appear(rows[first], x)
            rows = rows[first + 1 :]
        for y in rows:
            if idle(y) and self.code.bit(self.zero_context(y, x)):
                self.appear(y, x)

    def decode(self, planes: int, passes: int) -> Array:
        kind = 2
        for _ in range(passes):
            if planes == 0:
                break
            self.one = 1 << planes
            for top in range(0, self.height, 4):
                for x in range(self.width):
                    if kind == 2:
                        self.clean(top, x)
                    for y in range(top, min(top + 4, self.height) if kind < 2 else top):
                        (self.spread, self.refine)[kind](y, x)
            if kind == 2:
                self.seen.clear()
                planes -= 1
                for _ in range(4 if self.style & MARKS else 0):
                    self.code.bit(PLAIN)
            if self.style & RESETS:
                self.code.reset()
            kind = (kind + 1) % 3
        return self.values


def _line(v: Array, first: int) -> Array:
    """The inverse transform along the first axis, whose lower half comes first; ``first``: the place of its first element."""
    n, odd = len(v), first % 2
    out = np.empty_like(v)
    lows = (n + 1 - odd) // 2
    out[odd::2], out[1 - odd :: 2] = v[:lows], v[lows:]
    whole = v.dtype.kind == "i"
    if n == 1:
        return (np.trunc(out / 2) if whole else out / 2).astype(v.dtype) if odd else out
    at = np.arange(n)
    before, behind = abs(at - 1), np.where(at + 1 >= n, 2 * (n - 1) - at - 1, at + 1)
    low, high = at % 2 == odd, at % 2 != odd
    if whole:
        out[low] -= (out[before[low]] + out[behind[low]] + 2) >> 2
        out[high] += (out[before[high]] + out[behind[high]]) >> 1
        return out
    out[low] *= np.float32(1.230174105)
    out[high] *= np.float32(0.812866211)
    for k, step in enumerate((0.443506852, 0.882911075, -0.052980118, -1.586134342)):
        part = high if k % 2 else low
        out[part] -= np.float32(step) * (out[before[part]] + out[behind[part]])
    return out


def joined(v: Array, y: int, x: int) -> Array:
    """The four bands of a resolution that begins at ``(y, x)`` as its samples: rows first, then columns."""
    return v if v.size == 0 else _line(_line(v.T, x).T, y)
