# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""PNG in Python: the reference of ``runtime/image_png.h``."""

from __future__ import annotations

import zlib
from collections.abc import Iterator

import numpy as np

from aotgen.ir.interpret import Array
from aotgen.ops.image_bitmaps import BrokenImageError, checked_size, require, unpacked

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))  # y, x, dy, dx


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes, bool]]:
    """Tag, contents, and whether the checksum is right."""
    at = len(SIGNATURE)
    while at + 8 <= len(data):
        size = int.from_bytes(data[at : at + 4], "big")
        body = data[at + 4 : at + 8 + size]
        yield body[:4], body[4:], int.from_bytes(data[at + 8 + size : at + 12 + size], "big") == zlib.crc32(body)
        at += 12 + size


def png(data: bytes) -> Array:
    chunks = list(_chunks(data))
    require(bool(chunks) and chunks[0][0] == b"IHDR" and len(chunks[0][1]) == 13 and chunks[0][2], "no header")
    head = chunks[0][1]
    width, height = (int.from_bytes(head[k : k + 4], "big") for k in (0, 4))
    depth, kind, packing, filtering, interlace = head[8:]
    small = depth in (1, 2, 4) and kind in (0, 3)
    require(kind in CHANNELS and (packing, filtering) == (0, 0) and interlace < 2, f"colour type {kind}")
    require(small or depth == 8 or (depth == 16 and kind != 3), f"{depth} bits of colour type {kind}")
    checked_size(height, width)
    tags = [tag for tag, _, _ in chunks]
    require(b"IDAT" in tags, "no pixels")
    first = tags.index(b"IDAT")
    end = next((k for k in range(first, len(tags)) if tags[k] != b"IDAT"), len(tags))
    table = np.zeros((256, 3), np.uint8)
    for tag, body, good in chunks[:first]:
        if tag == b"PLTE":
            require(good and len(body) <= 768 and len(body) % 3 == 0, "the palette is broken")
            table[: len(body) // 3] = np.frombuffer(body, np.uint8).reshape(-1, 3)
    require(kind != 3 or b"PLTE" in tags[:first], "no palette")
    passes = ADAM7 if interlace else ((0, 0, 1, 1),)
    samples = _samples(b"".join(body for _, body, _ in chunks[first:end]), (height, width, CHANNELS[kind]), depth, passes)
    if kind == 3:
        return table[samples[..., 0]]
    if depth < 8:
        samples = samples * 255 // ((1 << depth) - 1)
    colors = samples[..., :3] if kind in (2, 6) else samples[..., :1]
    return np.broadcast_to(colors, (height, width, 3)).astype(np.uint8)


def _samples(stream: bytes, shape: tuple[int, int, int], depth: int, passes: tuple[tuple[int, int, int, int], ...]) -> Array:
    """Every sample, those of 16 bits without their lower 8."""
    height, width, channels = shape
    parts = []
    for y, x, dy, dx in passes:
        h, w = -((y - height) // dy), -((x - width) // dx)
        if h > 0 and w > 0:
            parts.append((h, w, (w * channels * depth + 7) // 8, (slice(y, None, dy), slice(x, None, dx))))
    total = sum(h * (step + 1) for h, _, step, _ in parts)
    try:
        raw = zlib.decompressobj().decompress(stream, total)
    except zlib.error as e:
        raise BrokenImageError(str(e)) from None
    require(len(raw) == total, "the pixels end early")
    out, at = np.zeros(shape, np.int64), 0
    for h, w, step, where in parts:
        rows = _unfiltered(raw[at : at + h * (step + 1)], step, max(1, depth * channels // 8))
        at += h * (step + 1)
        if depth < 8:
            out[where] = unpacked(rows, depth, w * channels).reshape(h, w, channels)
        else:
            out[where] = rows[:, :: depth // 8].reshape(h, w, channels)
    return out


def _unfiltered(raw: bytes, step: int, back: int) -> Array:
    """The rows that filters made differences of; ``back``: bytes of a pixel."""
    rows: list[bytearray] = []
    above = bytearray(step)
    for at in range(0, len(raw), step + 1):
        kind, row = raw[at], bytearray(raw[at + 1 : at + 1 + step])
        require(kind < 5, f"filter {kind}")
        for k in range(step):
            a, b, c = (row[k - back], above[k], above[k - back]) if k >= back else (0, above[k], 0)
            row[k] = (row[k] + (0, a, b, (a + b) // 2, _nearest(a, b, c))[kind]) & 255
        rows.append(row)
        above = row
    return np.frombuffer(b"".join(rows), np.uint8).reshape(-1, step)


def _nearest(a: int, b: int, c: int) -> int:
    """Of left, above and upper left that which is nearest to their gradient."""
    return min((abs(b - c), 0, a), (abs(a - c), 1, b), (abs(a + b - 2 * c), 2, c))[2]


DECODERS = {SIGNATURE: png}
