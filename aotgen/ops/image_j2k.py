# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""JPEG 2000 in Python: the reference of ``runtime/image_j2k.h`` and ``image_j2k_packet.h`` (ITU-T T.800, annexes A and B)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from aotgen.ir.interpret import Array
from aotgen.ops.image_bitmaps import checked_size, require
from aotgen.ops.image_j2k_blocks import CAUSAL, HH, HL, LH, LL, MARKS, RESETS, Block, joined

Area = tuple[int, int, int, int]  # y0, x0, y1, x1
MOST_RATIO = 65536  # pixels of a byte


@dataclass(slots=True)
class Coding:
    """What the main header says."""

    all: Area = (0, 0, 0, 0)
    tile: Area = (0, 0, 0, 0)
    parts: int = 1
    depth: int = 8
    order: int = 0
    layers: int = 1
    mixed: bool = False
    levels: int = 0
    block: tuple[int, int] = (6, 6)  # down, across, as powers of 2
    style: int = 0
    reversible: bool = True
    marked: bool = False
    precincts: list[tuple[int, int]] = field(default_factory=list)
    guard: int = 2
    derived: bool = False
    steps: list[int] = field(default_factory=list)

    def tiles(self) -> list[Area]:
        (y, x, y1, x1), (top, left, bottom, right) = self.tile, self.all
        rows, columns = range(y, bottom, y1 - y), range(x, right, x1 - x)
        return [(max(a, top), max(b, left), min(a + y1 - y, bottom), min(b + x1 - x, right)) for a in rows for b in columns]


@dataclass(slots=True)
class Leaf:
    """A block: where in its band, and what packets said of it."""

    area: Area
    zeros: int = 0
    length: int = 3
    passes: int = 0
    data: bytes = b""


class Tree:
    """A tree of minima, of which bits tell what each node is at least."""

    def __init__(self, down: int, across: int) -> None:
        self.levels = [(down, across)]
        while down * across > 1:
            down, across = (down + 1) // 2, (across + 1) // 2
            self.levels.append((down, across))
        self.least = [np.zeros(s, np.int64) for s in self.levels]
        self.known = [np.zeros(s, bool) for s in self.levels]

    def below(self, bits: Bits, y: int, x: int, bound: int) -> bool:
        least = 0
        for k in range(len(self.levels) - 1, -1, -1):
            at = y >> k, x >> k
            self.least[k][at] = least = max(least, int(self.least[k][at]))
            while least < bound and not self.known[k][at]:
                if bits.bit():
                    self.known[k][at] = True
                else:
                    least += 1
                    self.least[k][at] = least
        return bool(self.known[0][y, x]) and int(self.least[0][y, x]) < bound


@dataclass(slots=True)
class Cut:
    """A precinct in one band."""

    leaves: list[Leaf]
    across: int
    included: Tree
    zeros: Tree


@dataclass(slots=True)
class Place:
    """What one packet of each layer is about."""

    r: int
    part: int
    k: int
    y: int
    x: int
    cuts: list[Cut]

    def key(self, order: int) -> tuple[int, ...]:
        r, c, k, y, x = self.r, self.part, self.k, self.y, self.x
        return ((r, c, k), (r, c, k), (r, y, x, c, k), (y, x, c, r, k), (c, y, x, r, k))[order]


class Bits:
    """The bits of a packet's header; behind a byte of ones comes one bit less."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at, self.held, self.count = data, at, 0, 0

    def bit(self) -> int:
        if self.count == 0:
            self.count = 7 if self.held == 0xFF else 8
            self.held, self.at = self.data[self.at], self.at + 1
        self.count -= 1
        return self.held >> self.count & 1

    def number(self, bits: int) -> int:
        return sum(self.bit() << k for k in range(bits - 1, -1, -1))

    def passes(self) -> int:
        for bits, base in ((1, 1), (1, 2), (2, 3), (5, 6)):
            value = self.number(bits)
            if value < (1 << bits) - 1:
                return base + value
        return 37 + self.number(7)


def _up(v: int, shift: int) -> int:
    return -(-v >> shift)


def area_of(c: Coding, tile: Area, r: int, band: int = LL) -> Area:
    """Resolution ``r`` of a tile, or a band of the transform that makes it."""
    shift = c.levels - r + (band != LL)
    half = 1 << (shift - 1) if band != LL else 0
    y, x = half * (band in (LH, HH)), half * (band in (HL, HH))
    return _up(tile[0] - y, shift), _up(tile[1] - x, shift), _up(tile[2] - y, shift), _up(tile[3] - x, shift)


def _clipped(a: Area, y: int, x: int, down: int, across: int) -> Area:
    """The part of ``a`` in cell ``(y, x)`` of a grid of powers of 2."""
    return max(a[0], y << down), max(a[1], x << across), min(a[2], (y + 1) << down), min(a[3], (x + 1) << across)


def _cut(c: Coding, a: Area, size: tuple[int, int]) -> Cut:
    down, across = min(c.block[0], size[0]), min(c.block[1], size[1])
    if a[2] <= a[0] or a[3] <= a[1]:
        return Cut([], 0, Tree(0, 0), Tree(0, 0))
    rows, columns = range(a[0] >> down, _up(a[2], down)), range(a[1] >> across, _up(a[3], across))
    leaves = [Leaf(_clipped(a, y, x, down, across)) for y in rows for x in columns]
    return Cut(leaves, len(columns), Tree(len(rows), len(columns)), Tree(len(rows), len(columns)))


def places(c: Coding, tile: Area, most: int = 1 << 30) -> list[Place]:
    """All places of a tile in the order of their packets. At most ``most`` of them."""
    out: list[Place] = []
    for r in range(c.levels + 1):
        a, (down, across), less = area_of(c, tile, r), c.precincts[r], int(r > 0)
        if a[2] <= a[0] or a[3] <= a[1]:
            continue
        rows, columns = range(a[0] >> down, _up(a[2], down)), range(a[1] >> across, _up(a[3], across))
        require(len(out) + len(rows) * len(columns) * c.parts <= most, "more packets than bytes")
        for part in range(c.parts):
            for k, (y, x) in enumerate((y, x) for y in rows for x in columns):
                size = down - less, across - less
                cuts = [_cut(c, _clipped(area_of(c, tile, r, b), y, x, *size), size) for b in ((HL, LH, HH) if r else (LL,))]
                at = max(tile[0], y << (down + c.levels - r)), max(tile[1], x << (across + c.levels - r))
                out.append(Place(r, part, k, *at, cuts))
    return sorted(out, key=lambda p: p.key(c.order))


def sequence(c: Coding, sorted_places: list[Place]) -> Iterator[tuple[Place, int]]:
    """Every packet: its place and layer."""
    groups: dict[int, list[Place]] = {}
    for n, p in enumerate(sorted_places):
        groups.setdefault((0, p.r, n, n, n)[c.order], []).append(p)
    for group in groups.values():
        yield from ((p, layer) for layer in range(c.layers) for p in group)


def _packet(c: Coding, p: Place, layer: int, data: bytes, at: int) -> int:
    """Read a packet; where the next one begins."""
    at += 6 if c.marked and data[at : at + 2] == b"\xff\x91" else 0
    bits = Bits(data, at)
    found: list[tuple[Leaf, int]] = []
    if bits.bit():
        for cut in p.cuts:
            for k, leaf in enumerate(cut.leaves):
                y, x = divmod(k, cut.across)
                if not (bits.bit() if leaf.passes else cut.included.below(bits, y, x, layer + 1)):
                    continue
                while not leaf.passes and leaf.zeros < 64 and not cut.zeros.below(bits, y, x, leaf.zeros + 1):
                    leaf.zeros += 1
                passes = bits.passes()
                while bits.bit():
                    leaf.length += 1
                leaf.passes += passes
                found.append((leaf, bits.number(leaf.length + passes.bit_length() - 1)))
    at = bits.at + (bits.held == 0xFF)
    at += 2 if c.marked and data[at : at + 2] == b"\xff\x92" else 0
    for leaf, size in found:
        require(at + size <= len(data), "a packet ends early")
        leaf.data, at = leaf.data + data[at : at + size], at + size
    require(at <= len(data), "a packet ends early")
    return at


# -- headers


def _sizes(c: Coding, body: bytes) -> None:
    x1, y1, x0, y0, width, height, left, top = (int.from_bytes(body[k : k + 4], "big") for k in range(2, 34, 4))
    c.all, c.tile = (y0, x0, y1, x1), (top, left, top + height, left + width)
    checked_size(y1 - y0, x1 - x0)
    c.parts = int.from_bytes(body[34:36], "big")
    kinds = {body[k : k + 3] for k in range(36, 36 + 3 * c.parts, 3)}
    require(1 <= c.parts <= 4 and len(kinds) == 1, "components of several kinds")
    (kind,) = kinds
    c.depth = kind[0] + 1
    require(c.depth <= 16 and kind[1:] == b"\1\1" and width > 0 and height > 0, "components that are signed or sampled")
    require(left <= x0 < left + width and top <= y0 < top + height, "tiles beside the picture")


def _coding(c: Coding, body: bytes) -> None:
    style, c.order, c.layers, c.mixed, c.levels = body[0], body[1], body[2] << 8 | body[3], body[4] == 1, body[5]
    c.block, c.style, c.reversible, c.marked = (body[7] + 2, body[6] + 2), body[8], body[9] == 1, style & 6 != 0
    require(c.order < 5 and c.layers > 0 and c.levels <= 32 and style < 8, "a coding that is unknown")
    require(max(c.block) <= 10 and sum(c.block) <= 12, "the size of blocks")
    sizes = body[10 : 11 + c.levels] if style & 1 else b"\xff" * (c.levels + 1)
    c.precincts = [(s >> 4, s & 15) for s in sizes]
    require(len(sizes) == c.levels + 1 and all(min(p) > 0 for p in c.precincts[1:]), "the size of precincts")
    require(c.style & ~(RESETS | CAUSAL | MARKS | 16) == 0 and (not c.mixed or c.parts > 2), "a style of blocks")


def _quantisation(c: Coding, body: bytes) -> None:
    c.guard, kind = body[0] >> 5, body[0] & 31
    require(kind < 3, "a quantisation that is unknown")
    c.derived = kind == 1
    words = [(b >> 3 << 11) for b in body[1:]] if kind == 0 else [body[k] << 8 | body[k + 1] for k in range(1, len(body), 2)]
    c.steps = (words + [0] * 97)[:97]


def header(data: bytes) -> tuple[Coding, int]:
    """The main header, and where the first tile part begins."""
    c, at, known = Coding(), 2, set()
    while data[at : at + 2] != b"\xff\x90":
        marker, size = data[at + 1], int.from_bytes(data[at + 2 : at + 4], "big")
        require(data[at] == 0xFF and 2 <= size <= len(data) - at - 2, "a marker is missing")
        body = data[at + 4 : at + 2 + size]
        read = {0x51: _sizes, 0x52: _coding, 0x5C: _quantisation}.get(marker)
        require(read is not None or marker in (0x55, 0x57, 0x63, 0x64), f"marker {marker:#x}")
        require(marker != 0x52 or 0x51 in known, "the coding before the sizes")
        if read is not None:
            read(c, body)
            known.add(marker)
        at += 2 + size
    require(known == {0x51, 0x52, 0x5C}, "the main header is not complete")
    require((c.all[2] - c.all[0]) * (c.all[3] - c.all[1]) <= MOST_RATIO * len(data), "more pixels than bytes can tell")
    return c, at


def _tile_parts(data: bytes, at: int) -> dict[int, list[bytes]]:
    out: dict[int, list[bytes]] = {}
    while data[at : at + 2] == b"\xff\x90" and at + 14 <= len(data):
        tile, size = int.from_bytes(data[at + 4 : at + 6], "big"), int.from_bytes(data[at + 6 : at + 10], "big")
        end, start = at + (size or len(data) - at), at + 12
        while data[start : start + 2] in (b"\xff\x58", b"\xff\x64"):
            start += 2 + int.from_bytes(data[start + 2 : start + 4], "big")
        require(data[start : start + 2] == b"\xff\x93" and start + 2 <= end <= len(data), "a tile part ends early")
        out.setdefault(tile, []).append(data[start + 2 : end])
        at = end
    return out


def _scale(c: Coding, r: int, band: int) -> tuple[np.float32, int]:
    """Half a step of a band, and its planes."""
    word = c.steps[0 if c.derived or r == 0 else 3 * (r - 1) + band]
    exponent = (word >> 11) - (r - 1 if c.derived and r > 1 else 0)
    gain = {LL: 0, HH: 2}.get(band, 1)
    return np.float32(np.ldexp(np.float32(1 + (word & 2047) / 2048), c.depth + gain - exponent) / 2), c.guard + exponent - 1


def _tile(c: Coding, tile: Area, parts: list[bytes]) -> Array:
    """The samples of a tile, [height, width, components]."""
    budget = sum(map(len, parts))
    found = places(c, tile, budget)
    require(len(found) * c.layers <= budget, "more packets than bytes")
    left, at = list(parts), 0
    for p, layer in sequence(c, found):
        while at >= len(left[0]) and len(left) > 1:
            left, at = left[1:], 0
        at = _packet(c, p, layer, left[0], at)
    kind = np.int64 if c.reversible else np.float32
    planes = [np.zeros((tile[2] - tile[0], tile[3] - tile[1]), kind) for _ in range(c.parts)]
    for p in found:
        low = area_of(c, tile, p.r - 1) if p.r else (0, 0, 0, 0)
        for band, cut in zip((HL, LH, HH) if p.r else (LL,), p.cuts, strict=True):
            whole, (step, planes_of) = area_of(c, tile, p.r, band), _scale(c, p.r, band)
            down, right = (low[2] - low[0]) * (band in (LH, HH)) - whole[0], (low[3] - low[1]) * (band in (HL, HH)) - whole[1]
            for leaf in (leaf for leaf in cut.leaves if leaf.passes):
                require(1 <= planes_of - leaf.zeros <= 30, "the planes of a block")
                y0, x0, y1, x1 = leaf.area
                values = Block(leaf.data, y1 - y0, x1 - x0, band, c.style).decode(planes_of - leaf.zeros, leaf.passes)
                scaled = np.trunc(values / 2).astype(np.int64) if c.reversible else values.astype(np.float32) * step
                planes[p.part][y0 + down : y1 + down, x0 + right : x1 + right] = scaled
    for plane in planes:
        for r in range(1, c.levels + 1):
            y0, x0, y1, x1 = area_of(c, tile, r)
            plane[: y1 - y0, : x1 - x0] = joined(plane[: y1 - y0, : x1 - x0], y0, x0)
    return np.stack(planes, -1)


def _colors(c: Coding, v: Array) -> Array:
    """Samples as colours, u8."""
    used = [v[..., k] for k in range(1 if c.parts < 3 else 3)]
    if c.mixed and c.reversible:
        green = used[0] - ((used[1] + used[2]) >> 2)
        used = [green + used[2], green, green + used[1]]
    elif c.mixed:
        y, b, r = used
        used = [y + r * np.float32(1.402), y - b * np.float32(0.34413) - r * np.float32(0.71414), y + b * np.float32(1.772)]
    whole = np.clip(np.rint(np.stack(used, -1)).astype(np.int64) + (1 << (c.depth - 1)), 0, (1 << c.depth) - 1)
    more = c.depth - 8
    eight = np.minimum((whole + (1 << (more - 1))) >> more, 255) if more > 0 else whole << -more
    return np.broadcast_to(eight, (*v.shape[:2], 3)).astype(np.uint8)


def _stream(data: bytes) -> bytes:
    """The codestream: the content of a box."""
    at = 0
    while data[:2] != b"\xff\x4f" and at + 8 <= len(data):
        size, kind, start = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], at + 8
        if size == 1:
            size, start = int.from_bytes(data[at + 8 : at + 16], "big"), at + 16
        end = at + (size or len(data) - at)
        require(start <= end <= len(data), "a box ends early")
        if kind == b"jp2c":
            return data[start:end]
        body = data[start:end]
        require(kind != b"pclr" and not (kind == b"colr" and body[:1] == b"\1" and body[6:7] == b"\x12"), "no plain colours")
        at = start if kind == b"jp2h" else end
    require(data[:2] == b"\xff\x4f", "no codestream")
    return data


def j2k(data: bytes) -> Array:
    stream = _stream(data)
    c, at = header(stream)
    parts, tiles = _tile_parts(stream, at), c.tiles()
    require(len(tiles) <= 65535 and parts.keys() == set(range(len(tiles))), "tiles are missing")
    top, left, bottom, right = c.all
    out = np.zeros((bottom - top, right - left, 3), np.uint8)
    for n, tile in enumerate(tiles):
        y0, x0, y1, x1 = tile
        out[y0 - top : y1 - top, x0 - left : x1 - left] = _colors(c, _tile(c, tile, parts[n]))
    return out


DECODERS = {b"\0\0\0\x0cjP  \r\n\x87\n": j2k, b"\xff\x4f\xff\x51": j2k}
