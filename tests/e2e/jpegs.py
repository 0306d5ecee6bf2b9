# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""An encoder of JPEG: coefficients made at random become scans of any kind, in codes that are not short but simple."""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

Array = np.ndarray
# How many codes of 1, 2, ... 16 bits: some that a table of 9 bits holds, most longer than that. Their symbols are 0 to 255.
COUNTS = (0, 1, 0, 2, 0, 8, 0, 0, 0, 0, 0, 245, 0, 0, 0, 0)
Band = tuple[Sequence[int], int, int, int, int]  # components, first and last coefficient, high and low bit
SEQUENTIAL: Sequence[Band] = (((0, 1, 2), 0, 63, 0, 0),)
PROGRESSIVE: Sequence[Band] = (
    ((0, 1, 2), 0, 0, 0, 1), ((0,), 1, 5, 0, 2), ((2,), 1, 63, 0, 1), ((1,), 1, 63, 0, 1), ((0,), 6, 63, 0, 2),
    ((0,), 1, 63, 2, 1), ((0, 1, 2), 0, 0, 1, 0), ((2,), 1, 63, 1, 0), ((1,), 1, 63, 1, 0), ((0,), 1, 63, 1, 0))


def _codes() -> list[str]:
    out, code = [], 0
    for length, count in enumerate(COUNTS, 1):
        for _ in range(count):
            out.append(format(code, f"0{length}b"))
            code += 1
        code *= 2
    return out


CODES = _codes()


def number(value: int) -> tuple[int, str]:
    """Its size and its bits."""
    size = abs(value).bit_length()
    return size, format(value if value > 0 else value + (1 << size) - 1, f"0{size}b") if size else ""


@dataclass
class Bits:
    """The bits of one interval between restarts."""

    first: int
    last: int
    high: int
    low: int
    text: str = ""
    before: list[int] = field(default_factory=lambda: [0, 0, 0])
    run: int = 0
    later: str = ""  # of the blocks of the run

    def symbol(self, symbol: int, more: str = "") -> None:
        self.text += CODES[symbol] + more

    def end_run(self) -> None:
        if self.run:
            size = self.run.bit_length() - 1
            self.symbol(size << 4, format(self.run - (1 << size), f"0{size}b") if size else "")
        self.text += self.later
        self.run, self.later = 0, ""

    def block(self, c: int, zigzag: Array, progressive: bool) -> None:
        if self.first == 0 and self.high:
            self.text += str(int(zigzag[0]) >> self.low & 1)
        elif self.first == 0:
            value = int(zigzag[0]) >> self.low
            size, bits = number(value - self.before[c])
            self.symbol(size, bits)
            self.before[c] = value
        if self.last > 0:
            (self.refined if self.high else self.coefficients)(zigzag, progressive)

    def coefficients(self, zigzag: Array, progressive: bool) -> None:
        zeros = 0
        for k in range(max(self.first, 1), self.last + 1):
            value = abs(int(zigzag[k])) >> self.low
            if value == 0:
                zeros += 1
                continue
            self.end_run()
            while zeros > 15:
                self.symbol(0xF0)
                zeros -= 16
            size, bits = number(value if zigzag[k] > 0 else -value)
            self.symbol(zeros << 4 | size, bits)
            zeros = 0
        if zeros:
            self.run += 1
            if not progressive or self.run == 0x7FFF:
                self.end_run()

    def refined(self, zigzag: Array, progressive: bool) -> None:
        values = [abs(int(v)) >> self.low for v in zigzag]
        fresh = max((k for k in range(self.first, self.last + 1) if values[k] == 1), default=0)
        zeros, own = 0, ""
        for k in range(self.first, self.last + 1):
            if values[k] == 0:
                zeros += 1
                continue
            while zeros > 15 and k <= fresh:
                self.end_run()
                self.symbol(0xF0, own)
                zeros, own = zeros - 16, ""
            if values[k] > 1:
                own += str(values[k] & 1)
                continue
            self.end_run()
            self.symbol(zeros << 4 | 1, str(int(zigzag[k] > 0)) + own)
            zeros, own = 0, ""
        if zeros or own:
            self.run += 1
            self.later += own

    def bytes(self) -> bytes:
        self.end_run()
        text = self.text + "1" * (-len(self.text) % 8)
        return int("1" + text, 2).to_bytes(len(text) // 8 + 1, "big")[1:].replace(b"\xff", b"\xff\x00")


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _coefficients(height: int, width: int, sampling: Sequence[tuple[int, int]], seed: int) -> list[Array]:
    """Blocks [down, across, 64] of each component, up to whole units."""
    r, out = np.random.default_rng(seed), []
    h, v = (max(s[k] for s in sampling) for k in (0, 1))
    for own in sampling:
        shape = (-(-height // (8 * v)) * own[1], -(-width // (8 * h)) * own[0], 64)
        steps = np.rint(r.laplace(0, 12 / (1 + np.arange(64) / 3), shape)).astype(np.int64)
        steps[..., 0] = np.rint(r.normal(0, 40, shape[:2]))
        out.append(np.where(r.random(shape) < 0.7 - np.arange(64) / 100, steps, 0))
    return out


def jpeg(height: int, width: int, *, sampling: Sequence[tuple[int, int]] = ((1, 1),) * 3, scans: Sequence[Band] = SEQUENTIAL,
         interval: int = 0, markers: bytes = b"", names: bytes = b"\1\2\3", seed: int = 0, wide: bool = False) -> bytes:
    """``sampling``: (across, down) of each component; ``interval``: units between restarts; ``wide``: steps of 16 bits."""
    progressive = len(scans) > 1 and any(low or high or last < 63 for _, _, last, high, low in scans)
    blocks = _coefficients(height, width, sampling, seed)
    count = len(sampling)
    steps = np.minimum(3 + np.arange(64) // 2, 200)
    tables = b"".join(bytes([k | wide << 4]) + steps.astype(">u2" if wide else "u1").tobytes() for k in range(2))
    parts = b"".join(bytes([names[k], h << 4 | v, min(k, 1)]) for k, (h, v) in enumerate(sampling))
    out = b"\xff\xd8" + markers + segment(0xDB, tables)
    out += segment(0xC2 if progressive else 0xC0, struct.pack(">BHHB", 8, height, width, count) + parts)
    dc = bytes([*COUNTS[:11], 5, *COUNTS[12:], *range(16)])  # the same codes, but only those that sizes need
    out += segment(0xC4, b"\0" + dc) + segment(0xC4, b"\x10" + bytes(COUNTS) + bytes(range(256)))
    out += segment(0xDD, struct.pack(">H", interval)) if interval else b""
    most = max(s[0] for s in sampling), max(s[1] for s in sampling)
    for parts_of, *band in scans:
        chosen = [c for c in parts_of if c < count]
        if not chosen:
            continue
        first, last, high, low = band
        head = bytes([len(chosen)]) + b"".join(bytes([names[c], 0]) for c in chosen)
        out += segment(0xDA, head + bytes([first, last, high << 4 | low]))
        units = list(_units(height, width, chosen, sampling, most))
        for n, at in enumerate(range(0, len(units), interval or len(units))):
            bits = Bits(first, last, high, low)
            for unit in units[at : at + (interval or len(units))]:
                for c, y, x in unit:
                    bits.block(c, blocks[c][y, x], progressive)
            out += (bytes([0xFF, 0xD0 + (n - 1) % 8]) if n else b"") + bits.bytes()
    return out + b"\xff\xd9"


def _units(height: int, width: int, chosen: Sequence[int], sampling: Sequence[tuple[int, int]], most: tuple[int, int]
           ) -> Iterator[list[tuple[int, int, int]]]:
    if len(chosen) == 1:
        c = chosen[0]
        down, across = (-(n * own // -whole // 8) for n, own, whole in zip((height, width), sampling[c][::-1], most[::-1], strict=True))
        for y, x in np.ndindex(down, across):
            yield [(c, y, x)]
        return
    for y, x in np.ndindex(-(-height // (8 * most[1])), -(-width // (8 * most[0]))):
        yield [(c, y * v + b, x * h + a) for c in chosen for h, v in [sampling[c]] for b in range(v) for a in range(h)]


SAMPLINGS = {"444": ((1, 1),) * 3, "422": ((2, 1), (1, 1), (1, 1)), "420": ((2, 2), (1, 1), (1, 1)), "440": ((1, 2), (1, 1), (1, 1)),
             "411": ((4, 1), (1, 1), (1, 1)), "410": ((4, 2), (1, 1), (1, 1)), "mixed": ((2, 2), (1, 2), (2, 1)), "third": ((3, 1), (1, 1), (1, 1)),
             "grey": ((1, 1),)}
APART: Sequence[Band] = tuple(((c,), 0, 63, 0, 0) for c in range(3))


def jpegs(height: int, width: int) -> Iterator[tuple[str, bytes]]:
    for name, sampling in SAMPLINGS.items():
        for kind, scans in (("", SEQUENTIAL), ("-apart", APART), ("-progressive", PROGRESSIVE)):
            for interval in (0, 1, 3):
                yield f"jpeg-{name}{kind}-{interval}", jpeg(height, width, sampling=sampling, scans=scans, interval=interval)
    adobe = segment(0xEE, b"Adobe\0\x64\0\0\0\0\0")
    yield "jpeg-adobe-rgb", jpeg(height, width, markers=adobe)
    yield "jpeg-named-rgb", jpeg(height, width, names=b"RGB")
    yield "jpeg-jfif", jpeg(height, width, markers=segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0") + adobe, wide=True)
