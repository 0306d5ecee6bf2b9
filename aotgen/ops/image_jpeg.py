# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""JPEG in NumPy: the reference of ``runtime/image_jpeg*.h``, with the same integer transform, upsampling and colours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from aotgen.ir.interpret import Array
from aotgen.ops.image_bitmaps import checked_size, require

ZIGZAG = np.array(sorted(range(64), key=lambda k: (k // 8 + k % 8, (k // 8 if (k // 8 + k % 8) % 2 else k % 8))))
Code = Mapping[tuple[int, int], int]  # (length, bits) -> symbol


@dataclass(slots=True)
class Part:
    """A component: its coefficients in blocks, and what of each is known (1 + the lowest bit)."""

    name: int
    h: int
    v: int
    table: int
    shape: tuple[int, int] = (0, 0)
    blocks: Array = field(default_factory=lambda: np.zeros(0))
    steps: Array | None = None
    known: list[int] = field(default_factory=lambda: [0] * 64)


@dataclass(slots=True)
class Frame:
    size: tuple[int, int] = (0, 0)
    progressive: bool = False
    parts: list[Part] = field(default_factory=list)
    steps: dict[int, Array] = field(default_factory=dict)
    codes: dict[tuple[int, int], Code] = field(default_factory=dict)
    interval: int = 0
    rgb: bool | None = None  # what a marker says

    @property
    def most(self) -> tuple[int, int]:
        return max(p.v for p in self.parts), max(p.h for p in self.parts)


class Bits:
    """The bits between two markers."""

    def __init__(self, data: bytes) -> None:
        self.text = "".join(f"{b:08b}" for b in data.replace(b"\xff\x00", b"\xff"))
        self.at = 0

    def take(self, n: int) -> int:
        require(self.at + n <= len(self.text), "the bits end early")
        self.at += n
        return int(self.text[self.at - n : self.at] or "0", 2)

    def symbol(self, code: Code) -> int:
        value = 0
        for length in range(1, 17):
            value = 2 * value + self.take(1)
            if (length, value) in code:
                return code[length, value]
        require(False, "a code that stands for nothing")
        return 0

    def number(self, n: int) -> int:
        value = self.take(n)
        return value if n == 0 or value >> (n - 1) else value - (1 << n) + 1


@dataclass(slots=True)
class Scan:
    """One scan: coefficients ``first`` to ``last``, known to bit ``high`` before and to ``low`` afterwards."""

    frame: Frame
    parts: list[Part]
    codes: list[tuple[int, int]]
    first: int = 0
    last: int = 63
    high: int = 0
    low: int = 0
    run: int = 0
    before: list[int] = field(default_factory=lambda: [0, 0, 0])

    def block(self, bits: Bits, c: int, y: int, x: int) -> None:
        block = self.parts[c].blocks[y, x]
        if self.first == 0:
            if self.high == 0:
                self.before[c] += bits.number(bits.symbol(self.frame.codes[0, self.codes[c][0]]))
                block[0] = self.before[c] << self.low
            elif bits.take(1):
                block[0] |= 1 << self.low
        if self.last > 0:
            code = self.frame.codes[1, self.codes[c][1]]
            (self.refine if self.high else self.runs)(bits, code, block)

    def runs(self, bits: Bits, code: Code, block: Array) -> None:
        """Coefficients behind runs of zeros."""
        if self.run > 0:
            self.run -= 1
            return
        k = max(self.first, 1)
        while k <= self.last:
            zeros, size = divmod(bits.symbol(code), 16)
            if size == 0 and zeros < 15:
                self.run = (1 << zeros) + bits.take(zeros) - 1 if self.frame.progressive else 0
                return
            k += zeros
            if size:
                require(k <= self.last, "a coefficient outside its band")
                block[ZIGZAG[k]] = bits.number(size) * (1 << self.low)
            k += 1

    def refine(self, bits: Bits, code: Code, block: Array) -> None:
        """A bit more of the coefficients that are not zero, and those that become so."""
        k = self.first
        while k <= self.last and self.run == 0:
            zeros, size = divmod(bits.symbol(code), 16)
            require(size < 2, "a new coefficient of more than a bit")
            fresh = 0 if size == 0 else 1 if bits.take(1) else -1
            if size == 0 and zeros < 15:
                self.run = (1 << zeros) + bits.take(zeros)
                break
            while k <= self.last and (block[ZIGZAG[k]] != 0 or zeros > 0):
                zeros -= self.sharpen(bits, block, ZIGZAG[k])
                k += 1
            if fresh:
                require(k <= self.last, "a coefficient outside its band")
                block[ZIGZAG[k]] = fresh * (1 << self.low)
            k += 1
        if self.run > 0:
            for rest in range(k, self.last + 1):
                self.sharpen(bits, block, ZIGZAG[rest])
            self.run -= 1

    def sharpen(self, bits: Bits, block: Array, at: int) -> int:
        """1 where the coefficient is zero; else it gains a bit."""
        if block[at] == 0:
            return 1
        if bits.take(1) and not int(block[at]) & (1 << self.low):
            block[at] += (1 << self.low) if block[at] > 0 else -(1 << self.low)
        return 0

    def units(self) -> Iterator[list[tuple[int, int, int]]]:
        """The blocks of each unit: component, row, column."""
        if len(self.parts) == 1:
            h, w = (-(-n // 8) for n in self.parts[0].shape)
            yield from ([(0, y, x)] for y in range(h) for x in range(w))
            return
        v, h = self.frame.most
        down, across = -(-self.frame.size[0] // (8 * v)), -(-self.frame.size[1] // (8 * h))
        for y, x in np.ndindex(down, across):
            yield [(c, y * p.v + b, x * p.h + a) for c, p in enumerate(self.parts) for b in range(p.v) for a in range(p.h)]

    def decode(self, pieces: Sequence[bytes]) -> None:
        bits = Bits(pieces[0])
        for n, unit in enumerate(self.units()):
            if self.frame.interval and n and n % self.frame.interval == 0:
                require(n // self.frame.interval < len(pieces), "a restart is missing")
                bits, self.run, self.before = Bits(pieces[n // self.frame.interval]), 0, [0, 0, 0]
            for c, y, x in unit:
                self.block(bits, c, y, x)


def _pieces(data: bytes, at: int) -> tuple[list[bytes], int]:
    """The entropy-coded bytes from ``at`` on, cut at restarts, and where the next marker is."""
    pieces, start = [], at
    while at + 1 < len(data):
        if data[at] != 0xFF or data[at + 1] in (0, 0xFF):
            at += 2 if data[at] == 0xFF and data[at + 1] == 0 else 1
            continue
        pieces.append(data[start:at].rstrip(b"\xff"))
        if data[at + 1] != 0xD0 + (len(pieces) - 1) % 8:
            return pieces, at
        at = start = at + 2
    return [*pieces, data[start:]], len(data)


def _huffman(body: bytes) -> Iterator[tuple[tuple[int, int], Code]]:
    while body:
        counts, total = body[1:17], sum(body[1:17])
        require(len(body) >= 17 + total and total <= 256 and body[0] >> 4 < 2, "a table ends early")
        code, at, out = 0, 17, {}
        for length, count in enumerate(counts, 1):
            require(code + count <= 1 << length, "too many codes")
            for _ in range(count):
                out[length, code] = body[at]
                code, at = code + 1, at + 1
            code *= 2
        yield (body[0] >> 4, body[0] & 15), out
        body = body[at:]


def _quantisation(body: bytes) -> Iterator[tuple[int, Array]]:
    while body:
        size = 128 if body[0] >> 4 else 64
        require(len(body) > size, "a table ends early")
        table = np.zeros(64, np.int64)
        table[ZIGZAG] = np.frombuffer(body[1 : 1 + size], ">u2" if size == 128 else np.uint8)
        yield body[0] & 15, table
        body = body[1 + size :]


def _frame(f: Frame, marker: int, body: bytes) -> None:
    require(marker <= 0xC2 and not f.parts and body[0] == 8 and body[5] in (1, 3), "a frame of a kind that is not decoded")
    f.size = checked_size(int.from_bytes(body[1:3], "big"), int.from_bytes(body[3:5], "big"))
    f.progressive = marker == 0xC2
    for c in range(body[5]):
        name, sampling, table = body[6 + 3 * c : 9 + 3 * c]
        f.parts.append(Part(name, *((sampling >> 4, sampling & 15) if body[5] > 1 else (1, 1)), table))
    require(all(0 < p.h < 5 and 0 < p.v < 5 for p in f.parts), "a sampling factor")
    v, h = f.most
    for p in f.parts:
        require(h % p.h == 0 and v % p.v == 0, "a sampling factor")
        p.shape = -(-f.size[0] * p.v // v), -(-f.size[1] * p.h // h)
        units = [-(-n // (8 * k)) * k for n, k in zip(p.shape, (p.v, p.h), strict=True)]
        p.blocks = np.zeros((*units, 64), np.int64)


def _scan(f: Frame, body: bytes) -> Scan:
    count = body[0]
    require(len(body) == 4 + 2 * count and bool(f.parts), "the header of a scan")
    names = {p.name: p for p in f.parts}
    require(all(body[1 + 2 * c] in names for c in range(count)), "a component that is unknown")
    scan = Scan(f, [names[body[1 + 2 * c]] for c in range(count)], [divmod(body[2 + 2 * c] & 0x33, 16) for c in range(count)])
    if f.progressive:
        scan.first, scan.last, (scan.high, scan.low) = body[-3], body[-2], divmod(body[-1], 16)
        require(scan.last == 0 if scan.first == 0 else count == 1 and scan.first <= scan.last < 64, "the band of a scan")
        require(scan.low <= 13 and scan.high in (0, scan.low + 1), "the bits of a scan")
    for p in scan.parts:
        band = range(scan.first, scan.last + 1)
        require({p.known[k] for k in band} == {scan.high + 1 if scan.high else 0}, "a scan that tells what is known")
        if p.known[0] == 0:
            require(scan.first == 0 and p.table in f.steps, "a table is missing")
            p.steps = f.steps[p.table]
        for k in band:
            p.known[k] = scan.low + 1
    return scan


def _read(data: bytes) -> Frame:
    f, at = Frame(), 2
    while True:
        at = data.find(b"\xff", at)
        require(at >= 0, "the data end early")
        while data[at] == 0xFF:
            at += 1
        marker = data[at]
        at += 1
        if marker == 0xD9:
            require(bool(f.parts) and all(p.known[0] for p in f.parts), "a component is missing")
            return f
        if marker <= 1 or 0xD0 <= marker <= 0xD8:
            continue
        size = int.from_bytes(data[at : at + 2], "big")
        require(2 <= size <= len(data) - at, "a segment ends early")
        body, at = data[at + 2 : at + size], at + size
        if marker == 0xDA:
            scan = _scan(f, body)
            pieces, at = _pieces(data, at)
            require(all((0, a) in f.codes or scan.first > 0 or scan.high > 0 for a, _ in scan.codes), "a table is missing")
            require(all((1, b) in f.codes or scan.last == 0 for _, b in scan.codes), "a table is missing")
            scan.decode(pieces)
        elif marker in SEGMENTS:
            SEGMENTS[marker](f, body)
        elif 0xC0 <= marker <= 0xCF:
            _frame(f, marker, body)


def _jfif(f: Frame, body: bytes) -> None:
    f.rgb = False if body.startswith(b"JFIF\0") else f.rgb


def _adobe(f: Frame, body: bytes) -> None:
    if body.startswith(b"Adobe") and len(body) >= 12 and f.rgb is None:
        f.rgb = body[11] == 0


SEGMENTS: Mapping[int, Callable[[Frame, bytes], None]] = {
    0xC4: lambda f, body: f.codes.update(_huffman(body)),
    0xDB: lambda f, body: f.steps.update(_quantisation(body)),
    0xDD: lambda f, body: setattr(f, "interval", int.from_bytes(body[:2], "big")),
    0xE0: _jfif,
    0xEE: _adobe,
}


def jpeg(data: bytes) -> Array:
    f = _read(data)
    height, width = f.size
    planes = [_upsampled(_samples(p), p, f)[:height, :width] for p in f.parts]
    if len(planes) == 1:
        return np.repeat(planes[0][..., None], 3, -1).astype(np.uint8)
    if f.rgb if f.rgb is not None else [p.name for p in f.parts] == list(b"RGB"):
        return np.stack(planes, -1).astype(np.uint8)
    y, b, r = planes[0], planes[1] - 128, planes[2] - 128
    red, blue = y + ((91881 * r + 32768) >> 16), y + ((116130 * b + 32768) >> 16)
    green = y + ((-22554 * b - 46802 * r + 32768) >> 16)
    rgb: Array = np.clip(np.stack([red, green, blue], -1), 0, 255)
    return rgb.astype(np.uint8)


def _samples(p: Part) -> Array:
    """The inverse transform of every block, by columns and then by rows."""
    assert p.steps is not None
    rows, across, _ = p.blocks.shape
    v = (p.blocks * p.steps).reshape(rows, across, 8, 8)
    v = _transform(_transform(v, 2, 11), 3, 18)
    plane: Array = np.clip(v + 128, 0, 255).transpose(0, 2, 1, 3).reshape(8 * rows, 8 * across)
    return plane[: p.shape[0], : p.shape[1]]


def _transform(v: Array, axis: int, shift: int) -> Array:
    """Loeffler, Ligtenberg and Moschytz: eight values along ``axis``, with constants of 13 bits."""
    i0, i1, i2, i3, i4, i5, i6, i7 = np.moveaxis(v, axis, 0)
    turn = (i2 + i6) * 4433
    a, b = turn - i6 * 15137, turn + i2 * 6270
    even = (i0 + i4) * 8192 + b, (i0 - i4) * 8192 + a, (i0 - i4) * 8192 - a, (i0 + i4) * 8192 - b
    every = (i7 + i3 + i5 + i1) * 9633
    outer, inner = (i7 + i1) * -7373, (i5 + i3) * -20995
    left, right = every - (i7 + i3) * 16069, every - (i5 + i1) * 3196
    odd = i1 * 12299 + outer + right, i3 * 25172 + inner + left, i5 * 16819 + inner + right, i7 * 2446 + outer + left
    sums = [e + o for e, o in zip(even, odd, strict=True)] + [e - o for e, o in zip(even[::-1], odd[::-1], strict=True)]
    return np.moveaxis((np.stack(sums) + (1 << (shift - 1))) >> shift, 0, axis)


def _between(plane: Array, axis: int) -> Array:
    """Twice as many along ``axis``: three times the nearer sample and once the next one beyond, the edges repeated."""
    first, last = np.take(plane, [0], axis), np.take(plane, [-1], axis)
    inner = np.arange(plane.shape[axis])
    before = np.take(np.concatenate([first, plane], axis), inner, axis)
    behind = np.take(np.concatenate([plane, last], axis), inner + 1, axis)
    both = np.stack([3 * plane + before, 3 * plane + behind], axis + 1)
    return both.reshape([2 * n if k == axis else n for k, n in enumerate(plane.shape)])


def _upsampled(plane: Array, p: Part, f: Frame) -> Array:
    v, h = f.most[0] // p.v, f.most[1] // p.h
    across = h == 2 and v <= 2 and plane.shape[1] > 2
    down = v == 2 and (h == 1 or across)
    if not (across or down):
        return plane.repeat(v, 0).repeat(h, 1)
    out = _between(plane, 0) if down else plane
    out = _between(out, 1) if across else out
    y, x = np.indices(out.shape) % 2
    if down and across:
        return (out + 8 - x) >> 4
    return (out + 1 + (x if across else y)) >> 2


DECODERS = {b"\xff\xd8\xff": jpeg}
