# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""TIFF in Python: the reference of ``runtime/image_tiff.h`` and ``image_lzw.h``."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping

import numpy as np

from aotgen.ir.interpret import Array
from aotgen.ops.image_bitmaps import BrokenImageError, checked_size, require, unpacked

SIZES = {1: 1, 3: 2, 4: 4}  # bytes of the types of unsigned integers
WIDTH, HEIGHT, BITS, CODING, PHOTOMETRIC, FILL, OFFSETS, TURN = 256, 257, 258, 259, 262, 266, 273, 274
SAMPLES, ROWS, COUNTS, PLANAR, PREDICTOR, COLORS, FORMAT = 277, 278, 279, 284, 317, 320, 339


def fields(data: bytes) -> tuple[dict[int, list[int]], str]:
    """The values of the first directory's fields that are unsigned integers, and the byte order in NumPy's words."""
    order, words = ("big", ">") if data[:1] == b"M" else ("little", "<")

    def number(at: int, size: int) -> int:
        require(at + size <= len(data), "the directory ends early")
        return int.from_bytes(data[at : at + size], order)  # type: ignore[arg-type]

    start, found = number(4, 4), {}
    for at in range(start + 2, start + 2 + 12 * number(start, 2), 12):
        tag, kind, count = number(at, 2), number(at + 2, 2), number(at + 4, 4)
        if kind in SIZES and tag not in found:
            size = SIZES[kind]
            where = at + 8 if count * size <= 4 else number(at + 8, 4)
            require(where + count * size <= len(data), "a field ends early")
            found[tag] = [number(where + k * size, size) for k in range(count)]
    return found, words


def unpack_bits(data: bytes, size: int) -> bytes:
    out, at = bytearray(), 0
    while len(out) < size:
        head = data[at]
        if head < 128:
            require(at + 1 < len(data), "a run ends early")
            out += data[at + 1 : at + 2 + head]
        elif head > 128:
            out += data[at + 1 : at + 2] * (257 - head)
        at += 1 if head == 128 else 2 if head > 128 else 2 + head
    return bytes(out)


def unpack_lzw(data: bytes, size: int) -> bytes:
    """Codes of 9 to 12 bits that grow one code early; 256 begins again."""
    bits, at, out = int.from_bytes(data, "big"), 8 * len(data), bytearray()
    strings: list[bytes] = []
    last = b""
    while len(out) < size:
        width = min(max((len(strings) + 1).bit_length(), 9), 12) if strings else 9
        at -= width
        require(at >= 0, "the codes end early")
        code = bits >> at & ((1 << width) - 1)
        if code == 256:
            strings, last = [bytes([k]) for k in range(256)] + [b"", b""], b""
            continue
        strings = strings or [bytes([k]) for k in range(256)] + [b"", b""]
        require(code != 257 and code < len(strings) + bool(last), "a code that stands for nothing")
        text = strings[code] if code < len(strings) else last + last[:1]
        if last and len(strings) < 4096:
            strings.append(last + text[:1])
        out += text
        last = text
    return bytes(out)


def inflate(data: bytes, size: int) -> bytes:
    try:
        return zlib.decompressobj().decompress(data, size)
    except zlib.error as e:
        raise BrokenImageError(str(e)) from None


CODINGS: Mapping[int, Callable[[bytes, int], bytes]] = {
    1: lambda data, size: data, 5: unpack_lzw, 8: inflate, 32773: unpack_bits, 32946: inflate}
PREDICTED = (5, 8, 32946)  # the others never are, whatever the field says


def tiff(data: bytes) -> Array:
    f, words = fields(data)

    def first(tag: int, otherwise: int) -> int:
        return f[tag][0] if f.get(tag) else otherwise

    height, width = checked_size(first(HEIGHT, 0), first(WIDTH, 0))
    depth, samples, kind, coding = first(BITS, 1), first(SAMPLES, 1), first(PHOTOMETRIC, -1), first(CODING, 1)
    planes, turn = first(PLANAR, 1) == 2 and samples > 1, first(TURN, 1)
    predicted = coding in PREDICTED and first(PREDICTOR, 1) == 2
    used = 3 if kind == 2 else 1
    whole = depth == 8 or (depth == 16 and kind != 3)
    small = depth in (1, 2, 4) and kind != 2 and (samples == 1 or planes)
    require((whole or small) and coding in CODINGS and 0 <= kind <= 3 and used <= samples <= 8, f"coding {coding}, {depth} bits")
    require((not predicted or depth == 8) and (first(PREDICTOR, 1) < 3 or coding not in PREDICTED) and 1 <= turn <= 8, "a predictor that is unknown")
    require(set(f.get(BITS, [1])[:samples]) == {depth} and first(FILL, 1) == first(FORMAT, 1) == 1, "samples of several kinds")
    rows = min(first(ROWS, height), height)
    require(rows > 0, "strips without rows")
    each = 1 if planes else samples
    step = (width * depth * each + 7) // 8
    strips = []
    for k in range(-(-height // rows) * (used if planes else 1)):
        at, h = f[OFFSETS][k], min(rows, height - k % -(-height // rows) * rows)
        count = f[COUNTS][k] if COUNTS in f or coding != 1 else h * step
        require(at + count <= len(data), "a strip ends early")
        strip = CODINGS[coding](data[at : at + count], h * step)[: h * step]
        require(len(strip) == h * step, "a strip ends early")
        strips.append(strip)
    stored = np.frombuffer(b"".join(strips), np.uint8).reshape(-1, step)
    pixels = _samples(stored, depth, width, each, words, predicted)
    if planes:
        pixels = pixels.reshape(used, height, width).transpose(1, 2, 0)
    return _turned(_colors(pixels[..., :used], kind, depth, f), turn)


def _samples(rows: Array, depth: int, width: int, each: int, words: str, predicted: bool) -> Array:
    """[rows, width, each]; of 16 bits the higher 8."""
    if depth < 8:
        return unpacked(rows, depth, width * each).reshape(len(rows), width, each)
    if depth == 16:
        return (np.ascontiguousarray(rows).view(f"{words}u2") >> 8).reshape(len(rows), width, each)
    pixels = rows.reshape(len(rows), width, each)
    return np.cumsum(pixels, 1, dtype=np.int64) & 255 if predicted else pixels


def _colors(pixels: Array, kind: int, depth: int, f: Mapping[int, list[int]]) -> Array:
    if kind == 3:
        table = np.array(f[COLORS], np.int64)[: 3 << depth].reshape(3, -1) >> 8
        return table.T[pixels[..., 0].astype(np.int64)].astype(np.uint8)
    if kind < 2:
        grey = pixels.astype(np.int64) * (255 // ((1 << depth) - 1) if depth < 8 else 1)
        pixels = 255 - grey if kind == 0 else grey
    return np.broadcast_to(pixels, (*pixels.shape[:2], 3)).astype(np.uint8)


def _turned(pixels: Array, turn: int) -> Array:
    pixels = pixels[::-1] if turn in (3, 4, 6, 7) else pixels
    pixels = pixels[:, ::-1] if turn in (2, 3, 7, 8) else pixels
    return pixels.transpose(1, 0, 2) if turn > 4 else pixels


DECODERS = {b"II*\0": tiff, b"MM\0*": tiff}
