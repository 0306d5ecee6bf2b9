# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Lossy WebP whose headers say what a test wants and whose macroblocks are whatever bits drawn at random come to mean: in VP8
every string of bits means something."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence

import numpy as np

from aotgen.ops.image_webp import tables


class Code:
    """The arithmetic code of RFC 6386, section 7, in whole numbers of any length."""

    def __init__(self) -> None:
        self.low, self.range, self.bits = 0, 255, 8

    def bit(self, value: int, p: int = 128) -> None:
        split = 1 + ((self.range - 1) * p >> 8)
        self.low += split * value
        self.range = self.range - split if value else split
        while self.range < 128:
            self.low, self.range, self.bits = 2 * self.low, 2 * self.range, self.bits + 1

    def number(self, value: int, bits: int) -> None:
        for k in range(bits - 1, -1, -1):
            self.bit(value >> k & 1)

    def maybe(self, value: int, bits: int) -> None:
        """Nothing for 0, else size and sign."""
        self.bit(int(value != 0))
        if value:
            self.number(abs(value), bits)
            self.bit(int(value < 0))

    def bytes(self) -> bytes:
        pad = -self.bits % 8
        return (self.low << pad).to_bytes((self.bits + pad) // 8, "big")


def chunk(tag: bytes, body: bytes) -> bytes:
    return tag + struct.pack("<I", len(body)) + body + b"\0" * (len(body) % 2)


def riff(*chunks: bytes) -> bytes:
    body = b"WEBP" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def frame(height: int, width: int, seed: int, *, segments: Sequence[tuple[int, int]] = (), absolute: bool = False, mapped: bool = True,
          simple: bool = False, level: int = 20, sharpness: int = 0, deltas: Sequence[int] = (), parts: int = 1,
          steps: Sequence[int] = (20, 0, 0, 0, 0, 0), skip: int = 0, updates: float = 0.0) -> bytes:
    """``segments``: step and level of each of four; ``parts``: of the tokens; ``updates``: the share of probabilities told anew."""
    r, code = np.random.default_rng(seed), Code()
    code.number(0, 2)
    code.bit(int(bool(segments)))
    if segments:
        code.number(2 * mapped + 1, 2)
        code.bit(int(absolute))
        for values, bits in zip(zip(*segments, strict=True), (7, 6), strict=True):
            for value in values:
                code.maybe(value, bits)
        for _ in range(3 * mapped):
            code.number(1 << 8 | int(r.integers(30, 220)), 9)
    code.number(simple << 9 | level << 3 | sharpness, 10)
    code.bit(int(bool(deltas)))
    if deltas:
        code.bit(1)
        for value in deltas:
            code.maybe(value, 6)
    code.number(parts.bit_length() - 1, 2)
    code.number(steps[0], 7)
    for value in steps[1:]:
        code.maybe(value, 4)
    code.bit(0)
    for p in tables()["kVp8Updates"]:
        told = int(r.random() < updates)
        code.bit(told, p)
        if told:
            code.number(int(r.integers(1, 256)), 8)
    code.bit(int(skip > 0))
    if skip:
        code.number(skip, 8)
    units = -(-height // 16) * -(-width // 16)
    for bit in r.integers(0, 2, 200 * units + 64).tolist():
        code.bit(bit)
    first = code.bytes()
    sizes = [3000 * units // parts + 64] * (parts - 1)
    tokens = r.bytes(3000 * units + 64 * parts)
    start = struct.pack("<I", len(first) << 5 | 1 << 4)[:3] + b"\x9d\x01\x2a" + struct.pack("<HH", width, height)
    return start + first + b"".join(struct.pack("<I", n)[:3] for n in sizes) + tokens


def webps(height: int, width: int) -> Iterator[tuple[str, bytes]]:
    """A name and the encoded picture."""
    segments = ((0, 0), (-15, 10), (40, -20), (9, 63))
    absolute = ((3, 0), (60, 14), (127, 41), (0, 63))
    hows = {
        "plain": {}, "fine": {"steps": (0, 0, 0, 0, 0, 0), "level": 5}, "coarse": {"steps": (127, -3, 15, -15, 7, 4), "level": 63},
        "unfiltered": {"level": 0}, "simple": {"simple": True, "level": 40}, "sharp": {"sharpness": 7, "level": 50}, "less": {"sharpness": 3},
        "segments": {"segments": segments}, "absolute": {"segments": absolute, "absolute": True, "sharpness": 5},
        "unmapped": {"segments": segments[1:] + segments[:1], "mapped": False}, "adjusted": {"deltas": (5, 0, 0, 0, -20, 0, 0, 0)},
        "parts": {"parts": 4}, "more-parts": {"parts": 8, "skip": 128}, "skips": {"skip": 30}, "told": {"updates": 0.1, "skip": 200}}
    for seed, (name, how) in enumerate(hows.items()):
        yield f"webp-{name}", riff(chunk(b"VP8 ", frame(height, width, seed, **how)))  # type: ignore[arg-type]
    canvas = bytes(4) + b"".join(struct.pack("<I", n - 1)[:3] for n in (width, height))
    extended = chunk(b"VP8X", canvas) + chunk(b"EXIF", b"odd") + chunk(b"VP8 ", frame(height, width, 99))
    yield "webp-extended", riff(extended)
