# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""JPEG 2000 whose headers and packets say what a test wants and whose blocks are bytes drawn at random, each of which the
arithmetic code takes for something."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from aotgen.ops.image_j2k import Coding, Cut, Place, places, sequence


class Bits:
    """The bits of a packet's header; behind a byte of ones comes one bit less."""

    def __init__(self) -> None:
        self.out, self.held, self.room = bytearray(), 0, 8

    def bit(self, value: int) -> None:
        self.room -= 1
        self.held |= value << self.room
        if self.room == 0:
            self.out.append(self.held)
            self.room = 7 if self.held == 0xFF else 8
            self.held = 0

    def number(self, value: int, bits: int) -> None:
        for k in range(bits - 1, -1, -1):
            self.bit(value >> k & 1)

    def passes(self, count: int) -> None:
        for bits, base in ((1, 1), (1, 2), (2, 3), (5, 6)):
            most = (1 << bits) - 1
            if count < base + most:
                return self.number(count - base, bits)
            self.number(most, bits)
        return self.number(count - 37, 7)

    def bytes(self) -> bytes:
        last = bytes([self.held]) if self.room < 8 or (self.out and self.out[-1] == 0xFF) else b""
        return bytes(self.out) + last + (b"\0" if last == b"\xff" else b"")


class Tree:
    """Tells the leaves of ``values [down, across]`` bit by bit."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = [values]
        while values.size > 1:
            down, across = (-(-n // 2) for n in values.shape)
            values = np.array([[values[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].min() for x in range(across)] for y in range(down)])
            self.values.append(values)
        self.told = [np.zeros(v.shape, np.int64) for v in self.values]
        self.known = [np.zeros(v.shape, bool) for v in self.values]

    def below(self, bits: Bits, y: int, x: int, bound: int) -> None:
        least = 0
        for k in range(len(self.values) - 1, -1, -1):
            at = y >> k, x >> k
            least = max(least, int(self.told[k][at]))
            while least < bound and not self.known[k][at]:
                if self.values[k][at] == least:
                    self.known[k][at] = True
                    bits.bit(1)
                else:
                    bits.bit(0)
                    least += 1
            self.told[k][at] = least


class Told:
    """What the packets of a precinct in a band will have said."""

    def __init__(self, cut: Cut, layers: int, planes: int, r: np.random.Generator) -> None:
        shape = (len(cut.leaves) // cut.across, cut.across)
        self.layer = r.integers(0, layers + 1, shape)  # the first one of each block; none: behind the last
        self.zeros = r.integers(0, planes, shape)
        self.passes, self.length = np.zeros(shape, np.int64), np.full(shape, 3)
        self.trees = Tree(self.layer), Tree(self.zeros)


def _packet(c: Coding, told: list[Told], layer: int, number: int, r: np.random.Generator, planes: int) -> bytes:
    bits, body = Bits(), b""
    bits.bit(int(bool(told)))
    for t in told:
        for y, x in np.ndindex(t.layer.shape):
            more = int(r.integers(1, 12)) if t.layer[y, x] <= layer else 0
            if t.passes[y, x]:
                more = min(more, 3 * planes) if r.random() < 0.7 else 0
                bits.bit(int(more > 0))
            else:
                t.trees[0].below(bits, y, x, layer + 1)
            if not more:
                continue
            for bound in range(1, int(t.zeros[y, x]) + 2) if not t.passes[y, x] else ():
                t.trees[1].below(bits, y, x, bound)
            t.passes[y, x] += more
            size = int(r.integers(0, 60))
            own = more.bit_length() - 1
            grow = max(size.bit_length() - own - int(t.length[y, x]), 0)
            bits.passes(more)
            bits.number((1 << (grow + 1)) - 2, grow + 1)
            t.length[y, x] += grow
            bits.number(size, int(t.length[y, x]) + own)
            body += r.bytes(size)
    marks = (b"\xff\x91\0\4" + struct.pack(">H", number % 65536), b"\xff\x92") if c.marked else (b"", b"")
    return marks[0] + bits.bytes() + marks[1] + body


def _marker(code: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, code, len(body) + 2) + body


def _tile(c: Coding, n: int, tile: tuple[int, int, int, int], planes: int, r: np.random.Generator, parts: int) -> list[bytes]:
    """The parts of a tile."""
    told: dict[int, list[Told]] = {}
    packets = []
    for number, (p, layer) in enumerate(sequence(c, found := places(c, tile))):
        known = told.setdefault(_index(found, p), [Told(cut, c.layers, planes, r) for cut in p.cuts if cut.leaves])
        packets.append(_packet(c, known if r.random() < 0.9 or any(t.passes.any() for t in known) else [], layer, number, r, planes))
    cuts = [len(packets) * k // parts for k in range(parts + 1)]
    out = []
    for k in range(parts):
        body = b"\xff\x93" + b"".join(packets[cuts[k] : cuts[k + 1]])
        out.append(_marker(0x90, struct.pack(">HIBB", n, len(body) + 12, k, parts)) + body)
    return out


def _index(found: list[Place], p: Place) -> int:
    return next(k for k, other in enumerate(found) if other is p)


def codestream(c: Coding, seed: int, *, parts: int = 1, quantised: bool = False) -> bytes:
    """``quantised``: steps with a mantissa."""
    r, planes = np.random.default_rng(seed), 9
    (y0, x0, y1, x1), (top, left, bottom, right) = c.all, c.tile
    sizes = struct.pack(">HIIIIIIIIH", 0, x1, y1, x0, y0, right - left, bottom - top, left, top, c.parts)
    plain = all(p == (15, 15) for p in c.precincts)
    coding = bytes([(0 if plain else 1) | (6 if c.marked else 0), c.order, *divmod(c.layers, 256), c.mixed, c.levels, c.block[1] - 2,
                    c.block[0] - 2, c.style, c.reversible]) + (b"" if plain else bytes(y << 4 | x for y, x in c.precincts))
    exponent = planes + 1 - 2
    if quantised:
        words = [exponent << 11 | int(m) for m in r.integers(0, 2048, 1 if c.derived else 3 * c.levels + 1)]
        steps = struct.pack(f">B{len(words)}H", 2 << 5 | (1 if c.derived else 2), *words)
    else:
        steps = bytes([2 << 5]) + bytes([exponent << 3]) * (3 * c.levels + 1)
    head = b"\xff\x4f" + _marker(0x51, sizes + bytes([c.depth - 1, 1, 1]) * c.parts) + _marker(0x52, coding) + _marker(0x5C, steps)
    tiles = [_tile(c, n, tile, 4, r, parts) for n, tile in enumerate(c.tiles())]
    body = b"".join(tile[k] for k in range(parts) for tile in tiles)  # parts of different tiles in turn
    return head + _marker(0x64, b"\0\1test") + body + b"\xff\xd9"


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", 8 + len(body)) + kind + body


def jp2(stream: bytes, height: int, width: int, parts: int, depth: int) -> bytes:
    head = box(b"ihdr", struct.pack(">IIHBBBB", height, width, parts, depth - 1, 7, 0, 0))
    colr = box(b"colr", b"\1\0\0" + struct.pack(">I", 16 if parts > 2 else 17))
    return (box(b"jP  ", b"\r\n\x87\n") + box(b"ftyp", b"jp2 \0\0\0\0jp2 ") + box(b"jp2h", head + colr)
            + box(b"free", b"ab") + box(b"jp2c", stream))


def j2ks(height: int, width: int) -> Iterator[tuple[str, bytes]]:
    """A name and the encoded picture."""
    whole = (0, 0, height, width)
    base = Coding(all=whole, tile=whole, parts=3, mixed=True, levels=3, precincts=[(15, 15)] * 4, order=0)
    small = replace(base, tile=(0, 0, 11, 9), layers=2, precincts=[(2, 3), (2, 3), (3, 3), (3, 2)], block=(3, 2))
    hows: dict[str, tuple[Coding, dict[str, Any]]] = {f"order{k}": (replace(small, order=k), {"parts": 1 + k % 2}) for k in range(5)}
    hows |= {f"layers{k}": (replace(base, order=k, layers=3, block=(2, 2)), {}) for k in range(5)}
    hows |= {f"style{s}": (replace(base, style=s, block=(4, 4)), {}) for s in (2, 8, 32, 42, 16)}
    hows |= {
        "plain": (base, {}), "grey": (replace(base, parts=1, mixed=False), {}), "grey-alpha": (replace(base, parts=2, mixed=False), {}),
        "rgba": (replace(base, parts=4), {}), "apart": (replace(base, mixed=False, levels=0, precincts=[(15, 15)]), {}),
        "floats": (replace(base, reversible=False), {"quantised": True}),
        "derived": (replace(base, reversible=False, derived=True, mixed=False), {"quantised": True}),
        "marked": (replace(small, marked=True), {"parts": 2}), "deep": (replace(base, depth=12, levels=6, precincts=[(15, 15)] * 7), {}),
        "shallow": (replace(base, depth=3), {}),
        "moved": (replace(small, all=(5, 3, height + 5, width + 3), tile=(2, 1, 15, 12)), {})}
    for seed, (name, (c, how)) in enumerate(hows.items()):
        stream = codestream(c, seed, **how)
        yield f"j2k-{name}", stream
        if seed % 4 == 0:
            yield f"jp2-{name}", jp2(stream, height, width, c.parts, c.depth)
