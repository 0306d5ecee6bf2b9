# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""BMP and PNM in NumPy: references of ``runtime/image_bmp.h`` and ``image_pnm.h``."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from itertools import islice

import numpy as np

from aotgen.ir.interpret import Array

MOST_PIXELS = 1 << 28


class BrokenImageError(Exception):
    """Bytes that are no picture, or none of a form that is decoded."""


def require(condition: bool, why: str) -> None:
    if not condition:
        raise BrokenImageError(why)


def lightness(rgb: Array) -> Array:
    """Grey as ITU-R BT.601 weights red, green and blue."""
    grey: Array = (rgb.astype(np.int64) @ np.array([19595, 38470, 7471]) + 0x8000) >> 16
    return grey.astype(np.uint8)


def checked_size(height: int, width: int) -> tuple[int, int]:
    require(height > 0 and width > 0 and height * width <= MOST_PIXELS, f"a size of {height} by {width}")
    return height, width


def unpacked(rows: Array, bits: int, width: int) -> Array:
    """The first ``width`` samples of each row of bytes, ``bits`` (at most 8) each, the high ones first."""
    each = np.unpackbits(rows, axis=1).reshape(len(rows), -1, bits)[:, :width]
    return each @ (1 << np.arange(bits - 1, -1, -1, dtype=np.int64))


def bytes_of(data: bytes, at: int, size: int) -> Array:
    """``size`` bytes from ``at``."""
    require(at >= 0 and at + size <= len(data), "the data end early")
    return np.frombuffer(data, np.uint8, size, at)


# -- BMP


def little(data: bytes, at: int, size: int = 4, signed: bool = False) -> int:
    require(at + size <= len(data), "the header ends early")
    return int.from_bytes(data[at : at + size], "little", signed=signed)


def bmp(data: bytes) -> Array:
    head = little(data, 14)
    require(head == 12 or 40 <= head <= 256, f"a BMP header of {head} bytes")
    masks, coding, colors = [0, 0, 0], 0, 0
    if head == 12:
        width, height, bits = little(data, 18, 2), little(data, 20, 2), little(data, 24, 2)
    else:
        width, height, bits = little(data, 18, 4, True), little(data, 22, 4, True), little(data, 28, 2)
        coding, colors = little(data, 30), little(data, 46)
    require(bits in (1, 4, 8, 16, 24, 32) and (coding == 0 or (coding in (3, 6) and bits in (16, 32))), f"coding {coding}")
    if bits in (16, 32):
        usual = [0x7C00, 0x3E0, 0x1F] if bits == 16 else [0xFF0000, 0xFF00, 0xFF]
        masks = [little(data, 54 + 4 * k) for k in range(3)] if coding else usual
    height, width = checked_size(abs(height), width) if height >= 0 else (-checked_size(-height, width)[0], width)
    step = (width * bits + 31) // 32 * 4
    rows = bytes_of(data, little(data, 10), step * abs(height)).reshape(abs(height), step)
    rows = rows if height < 0 else rows[::-1]
    if bits == 24:
        return rows[:, : 3 * width].reshape(abs(height), width, 3)[..., ::-1]
    if bits <= 8:
        entry = 3 if head == 12 else 4
        count = colors if 0 < colors <= 1 << bits else 1 << bits
        table = np.zeros((256, 3), np.uint8)
        for k in range(count):
            table[k] = [b for b in data[14 + head + k * entry :][:3]][::-1]
        return table[unpacked(rows, bits, width)]
    words = np.ascontiguousarray(rows[:, : width * bits // 8]).view(f"<u{bits // 8}").astype(np.int64)
    return np.stack([_masked(words, m) for m in masks], -1)


def _masked(words: Array, mask: int) -> Array:
    if mask == 0:
        return np.zeros(words.shape, np.uint8)
    low = (mask & -mask).bit_length() - 1
    return (((words & mask) >> low) * 255 // (mask >> low)).astype(np.uint8)


# -- PNM

_TOKEN = re.compile(rb"(?:[ \t-\r]|#[^\n\r]*[\n\r]?)*(\d+)")


def pnm(data: bytes) -> Array:
    kind = data[1] - ord("0")
    at, numbers = 2, []
    for _ in range(2 if kind in (1, 4) else 3):
        found = _TOKEN.match(data, at)
        require(found is not None, "a number is missing")
        assert found is not None
        numbers.append(int(found[1]))
        at = found.end()
    width, height = numbers[0], numbers[1]
    most = numbers[2] if len(numbers) > 2 else 1
    checked_size(height, width)
    require(0 < most <= 65535 and data[at : at + 1] in list(map(bytes, zip(b" \t\n\v\f\r"))), "no maxval, or nothing behind it")
    channels = 3 if kind in (3, 6) else 1
    samples = _pnm_samples(data, at + 1, kind, (height, width, channels), most)
    if kind in (1, 4):
        samples = 1 - samples
    scaled = np.rint(np.minimum(samples, most) * 255 / most).astype(np.uint8)
    return np.broadcast_to(scaled, (height, width, 3))


def _pnm_samples(data: bytes, at: int, kind: int, shape: tuple[int, int, int], most: int) -> Array:
    count = shape[0] * shape[1] * shape[2]
    if kind == 4:
        step = (shape[1] + 7) // 8
        return unpacked(bytes_of(data, at, step * shape[0]).reshape(-1, step), 1, shape[1])[..., None]
    if kind > 4:
        wide = 2 if most > 255 else 1
        return bytes_of(data, at, count * wide).view(f">u{wide}").astype(np.int64).reshape(shape)
    text = re.sub(rb"#[^\n\r]*", b" ", data[at:])
    found = [int(t) for t in islice(re.findall(rb"[01]" if kind == 1 else rb"\d+", text), count)]
    require(len(found) == count and max(found) <= most, "samples are missing or too large")
    return np.array(found, np.int64).reshape(shape)


DECODERS: Mapping[bytes, Callable[[bytes], Array]] = {b"BM": bmp, **{b"P%d" % k: pnm for k in range(1, 7)}}
