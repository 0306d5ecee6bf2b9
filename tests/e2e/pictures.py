# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Encoders of BMP, PNM, PNG and TIFF, and a set of pictures in every form of them with what they show."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

Array = np.ndarray
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))


def scene(height: int, width: int) -> Array:
    """Waves with noise, u8[height, width, 3]."""
    y, x = np.mgrid[0:height, 0:width]
    waves = np.stack([100 * np.sin(x / 5 + y / 9), 90 * np.cos(x / 7 - y / 4), (3 * x + 5 * y) % 256 - 128], -1)
    noise = np.random.default_rng(height * 99 + width).normal(0, 8, waves.shape)
    return np.clip(waves + noise + 128, 0, 255).astype(np.uint8)


def packed(samples: Array, depth: int, words: str = ">") -> Array:
    """Rows [h, ...] of samples as bytes [h, n], the high bits first."""
    rows = samples.reshape(len(samples), -1)
    if depth == 16:
        return np.ascontiguousarray(rows.astype(f"{words}u2")).view(np.uint8)
    if depth == 8:
        return rows.astype(np.uint8)
    bits = rows[..., None] >> np.arange(depth - 1, -1, -1) & 1
    return np.packbits(bits.reshape(len(rows), -1).astype(np.uint8), axis=1)


def grey(samples: Array, depth: int) -> Array:
    """What samples [h, w, 1] of grey show: [h, w, 3]."""
    full = samples >> 8 if depth == 16 else samples.astype(np.int64) * 255 // ((1 << depth) - 1)
    return np.repeat(full, 3, -1).astype(np.uint8)


# -- BMP


def bmp(rows: Array, size: tuple[int, int], bits: int, *, palette: Array | None = None, masks: Sequence[int] = (),
        down: bool = False, core: bool = False) -> bytes:
    """``rows``: bytes of each row from the top, not yet padded. ``core``: with the header of 12 bytes."""
    height, width = size
    padded = np.pad(rows, ((0, 0), (0, -rows.shape[1] % 4)))
    body = (padded if down else padded[::-1]).tobytes()
    table = b"" if palette is None else b"".join(bytes(c[::-1]) + b"\0" * (not core) for c in palette.tolist())
    if core:
        head = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        head = struct.pack("<IiiHHIIiiII", 40, width, -height if down else height, 1, bits, 3 if masks else 0, len(body), 0, 0,
                           0 if palette is None else len(palette), 0)
    head += struct.pack(f"<{len(masks)}I", *masks) + table
    return b"BM" + struct.pack("<IHHI", 14 + len(head) + len(body), 0, 0, 14 + len(head)) + head + body


def bmps(a: Array) -> Iterator[tuple[str, bytes, Array]]:
    size, r = a.shape[:2], np.random.default_rng(1)
    for bits in (1, 4, 8):
        index, table = a[..., 0] >> (8 - bits), r.integers(0, 256, (1 << bits, 3))
        for core in (False, True):
            yield f"bmp{bits}{'core' * core}", bmp(packed(index, bits), size, bits, palette=table, core=core), table[index]
    short = r.integers(0, 256, (5, 3))
    yield "bmp-short-palette", bmp(packed(a[..., 0] % 5, 8), size, 8, palette=short), short[a[..., 0] % 5]
    for down in (False, True):
        yield f"bmp24{'down' * down}", bmp(packed(a[..., ::-1], 8), size, 24, down=down), a
    wide = np.concatenate([a[..., ::-1], a[..., :1]], -1)
    yield "bmp32", bmp(packed(wide, 8), size, 32), a
    yield "bmp32masks", bmp(packed(wide, 8), size, 32, masks=(0xFF, 0xFF00, 0xFF0000)), a[..., ::-1]
    c = a.astype(np.int64)
    for name, masks, widths in (("555", (), (5, 5, 5)), ("565", (0xF800, 0x7E0, 0x1F), (5, 6, 5))):
        five = [c[..., k] >> (8 - n) for k, n in enumerate(widths)]
        words = five[0] << (widths[1] + 5) | five[1] << 5 | five[2]
        shown = np.stack([v * 255 // ((1 << n) - 1) for v, n in zip(five, widths, strict=True)], -1)
        yield f"bmp{name}", bmp(packed(words, 16, "<"), size, 16, masks=masks), shown


# -- PNM


def pnms(a: Array) -> Iterator[tuple[str, bytes, Array]]:
    height, width = a.shape[:2]
    bits = a[..., :1] >> 7
    head = f"{width} {height}\n".encode()
    text = "\n".join("".join(map(str, row)) for row in bits[..., 0].tolist()).encode()
    yield "p1", b"P1\n# a comment\n" + head + text, grey(1 - bits, 1)
    yield "p4", b"P4 " + head + packed(bits, 1).tobytes(), grey(1 - bits, 1)
    for most in (255, 100, 1000, 65535):
        scaled = a.astype(np.int64) * most // 255
        shown = np.rint(scaled * 255 / most)
        top = b"%d %d # how wide\n%d\n" % (width, height, most)
        data = packed(scaled, 8 if most < 256 else 16).tobytes()
        words = " ".join(map(str, scaled.ravel())).encode()
        yield f"p6-{most}", b"P6\n" + top + data, shown
        yield f"p3-{most}", b"P3\n" + top + words, shown
        data, words = packed(scaled[..., :1], 8 if most < 256 else 16).tobytes(), b" ".join(b"%d" % v for v in scaled[..., 0].ravel())
        yield f"p5-{most}", b"P5\n" + top + data, np.repeat(shown[..., :1], 3, -1)
        yield f"p2-{most}", b"P2\n" + top + words + b"\n", np.repeat(shown[..., :1], 3, -1)


# -- PNG


def chunk(tag: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + tag + body + struct.pack(">I", zlib.crc32(tag + body))


def filtered(rows: Array, step: int, seed: int) -> bytes:
    """Each row behind a filter of its own."""
    r, out = np.random.default_rng(seed), b""
    above = np.zeros(rows.shape[1], np.int64)
    for row in rows.astype(np.int64):
        left, corner = (np.concatenate([np.zeros(step, np.int64), v])[: len(row)] for v in (row, above))
        gradient = left + above - corner
        pa, pb, pc = abs(gradient - left), abs(gradient - above), abs(gradient - corner)
        nearest = np.where((pa <= pb) & (pa <= pc), left, np.where(pb <= pc, above, corner))
        kind = int(r.integers(0, 5))
        guess = (0, left, above, (left + above) // 2, nearest)[kind]
        out += bytes([kind]) + ((row - guess) & 255).astype(np.uint8).tobytes()
        above = row
    return out


def png(samples: Array, depth: int, kind: int, *, interlaced: bool = False, palette: Array | None = None, level: int = 6,
        strategy: int = zlib.Z_DEFAULT_STRATEGY, piece: int = 100) -> bytes:
    """Samples [h, w, channels]; ``piece``: bytes of each chunk of pixels."""
    raw = b""
    for n, (y, x, dy, dx) in enumerate(ADAM7 if interlaced else ((0, 0, 1, 1),)):
        part = samples[y::dy, x::dx]
        if part.size:
            raw += filtered(packed(part, depth), max(1, depth * samples.shape[-1] // 8), n)
    press = zlib.compressobj(level, zlib.DEFLATED, 15, 8, strategy)
    stream = press.compress(raw) + press.flush()
    head = struct.pack(">IIBBBBB", samples.shape[1], samples.shape[0], depth, kind, 0, 0, interlaced)
    out = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"tEXt", b"a\0b")
    out += b"" if palette is None else chunk(b"PLTE", palette.astype(np.uint8).tobytes())
    pieces = [chunk(b"IDAT", stream[at : at + piece]) for at in range(0, len(stream), piece)]
    return out + b"".join(pieces) + chunk(b"IEND", b"")


def pngs(a: Array) -> Iterator[tuple[str, bytes, Array]]:
    r = np.random.default_rng(2)
    wide = a.astype(np.int64) * 256 + r.integers(0, 256, a.shape)
    for interlaced in (False, True):
        mark = "-adam7" * interlaced
        for depth in (1, 2, 4, 8, 16):
            samples = wide[..., :1] >> (16 - depth)
            yield f"png-grey{depth}{mark}", png(samples, depth, 0, interlaced=interlaced), grey(samples, depth)
            if depth < 16:
                table = r.integers(0, 256, (1 << depth, 3))
                yield f"png-palette{depth}{mark}", png(samples, depth, 3, interlaced=interlaced, palette=table), table[samples[..., 0]]
        for depth in (8, 16):
            samples = wide >> (16 - depth)
            more = np.concatenate([samples, samples[..., 1:2]], -1)
            yield f"png-rgb{depth}{mark}", png(samples, depth, 2, interlaced=interlaced), a
            yield f"png-rgba{depth}{mark}", png(more, depth, 6, interlaced=interlaced), a
            yield f"png-grey-alpha{depth}{mark}", png(more[..., 2:], depth, 4, interlaced=interlaced), np.repeat(a[..., 2:], 3, -1)
    for name, how in {"stored": {"level": 0}, "fixed": {"strategy": zlib.Z_FIXED}, "runs": {"strategy": zlib.Z_RLE},
                      "best": {"level": 9, "piece": 3}}.items():
        yield f"png-{name}", png(a, 8, 2, **how), a  # type: ignore[arg-type]


# -- TIFF


def lzw(data: bytes) -> bytes:
    bits, table, width, text = "", {}, 9, b""

    def put(code: int) -> None:
        nonlocal bits
        bits += format(code, f"0{width}b")

    def fresh() -> None:
        nonlocal table, width
        put(256)
        table, width = {bytes([k]): k for k in range(256)} | {b"clear": 256, b"end": 257}, 9

    fresh()
    for b in data:
        longer = text + bytes([b])
        if longer in table:
            text = longer
            continue
        put(table[text])
        table[longer] = len(table)
        width = max(9, len(table).bit_length())
        if len(table) == 4095:
            fresh()
        text = bytes([b])
    put(table[text])
    width = max(9, (len(table) + 1).bit_length())
    put(257)
    bits += "0" * (-len(bits) % 8)
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def run_lengths(data: bytes) -> bytes:
    out, at = b"", 0
    while at < len(data):
        end = at + 1
        while end < len(data) and data[end] == data[at] and end - at < 128:
            end += 1
        if end - at == 1:
            while end < len(data) and end - at < 128 and data[end] != data[end - 1]:
                end += 1
            out += bytes([end - at - 1]) + data[at:end]
        else:
            out += bytes([257 - (end - at), data[at]])
        at = end
    return out + b"\x80"


CODINGS: Mapping[int, Callable[[bytes], bytes]] = {1: bytes, 5: lzw, 8: zlib.compress, 32773: run_lengths, 32946: zlib.compress}
PREDICTED = (5, 8, 32946)


def tiff(samples: Array, *, depth: int = 8, kind: int = 2, coding: int = 1, words: str = "<", rows: int = 7, planes: bool = False,
         predicted: bool = False, turn: int = 1, palette: Array | None = None) -> bytes:
    height, width, channels = samples.shape
    if predicted:
        before = np.pad(samples, ((0, 0), (1, 0), (0, 0)))[:, :-1].astype(np.int64)
        samples = (samples - before) & 255
    parts = [samples[..., k : k + 1] for k in range(channels)] if planes else [samples]
    strips = [CODINGS[coding](packed(p[y : y + rows], depth, words).tobytes()) for p in parts for y in range(0, height, rows)]
    at = np.cumsum([8, *map(len, strips)]).tolist()
    fields: dict[int, tuple[str, list[Any]]] = {
        256: ("H", [width]), 257: ("I", [height]), 258: ("H", [depth] * channels), 259: ("H", [coding]), 262: ("H", [kind]),
        273: ("I", at[:-1]), 274: ("H", [turn]), 277: ("H", [channels]), 278: ("I", [rows]), 279: ("I", [*map(len, strips)]),
        284: ("H", [2 if planes else 1]), 317: ("H", [2 if predicted else 1])}
    if palette is not None:
        fields[320] = ("H", palette.T.ravel().tolist())
    entries, more, end = b"", b"", at[-1] + 2 + 12 * len(fields) + 4
    for tag, (code, values) in sorted(fields.items()):
        data = struct.pack(f"{words}{len(values)}{code}", *values)
        if len(data) > 4:
            data, more = struct.pack(f"{words}I", end + len(more)), more + data
        entries += struct.pack(f"{words}HHI", tag, {"H": 3, "I": 4}[code], len(values)) + data.ljust(4, b"\0")
    head = (b"II*\0" if words == "<" else b"MM\0*") + struct.pack(f"{words}I", at[-1])
    return head + b"".join(strips) + struct.pack(f"{words}H", len(fields)) + entries + b"\0" * 4 + more


def tiffs(a: Array) -> Iterator[tuple[str, bytes, Array]]:
    r, alpha = np.random.default_rng(3), np.concatenate([a, a[..., :1]], -1)
    one = np.repeat(a[..., :1], 3, -1)
    for coding in CODINGS:
        for words in "<>":
            for predicted in (False, True)[: 1 + (coding in PREDICTED)]:
                how: dict[str, Any] = {"coding": coding, "words": words, "predicted": predicted}
                mark = f"{coding}{words}{'-predicted' * predicted}"
                yield f"tiff-rgb-{mark}", tiff(a, **how), a
                yield f"tiff-grey-{mark}", tiff(a[..., :1], kind=1, rows=1000, **how), one
                yield f"tiff-rgba-{mark}", tiff(alpha, **how), a
        yield f"tiff-white-{coding}", tiff(a[..., :1], kind=0, coding=coding), 255 - one
        yield f"tiff-planes-{coding}", tiff(a, planes=True, coding=coding), a
        yield f"tiff-rgb16-{coding}", tiff(a.astype(np.int64) * 256 + 7, depth=16, coding=coding), a
        yield f"tiff-rgb16->{coding}", tiff(a.astype(np.int64) * 256 + 7, depth=16, coding=coding, words=">"), a
        for depth in (1, 2, 4, 8):
            samples, table = a[..., :1] >> (8 - depth), r.integers(0, 65536, (1 << depth, 3))
            yield f"tiff-grey{depth}-{coding}", tiff(samples, depth=depth, kind=1, coding=coding), grey(samples, depth)
            yield f"tiff-palette{depth}-{coding}", tiff(samples, depth=depth, kind=3, coding=coding, palette=table), table[samples[..., 0]] >> 8
    for turn in range(2, 9):
        shown = a[::-1] if turn in (3, 4, 6, 7) else a
        shown = shown[:, ::-1] if turn in (2, 3, 7, 8) else shown
        yield f"tiff-turned{turn}", tiff(a, turn=turn), shown.transpose(1, 0, 2) if turn > 4 else shown


def lossless(height: int, width: int) -> Iterator[tuple[str, bytes, Array]]:
    """A name, the encoded picture, the colours u8[height, width, 3] that it shows."""
    a = scene(height, width)
    for family in (bmps, pnms, pngs, tiffs):
        for name, data, shown in family(a):
            yield name, data, np.asarray(shown, np.uint8)
