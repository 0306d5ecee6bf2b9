# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The pixels of VP8: prediction, inverse transforms, the loop filter and chroma at full size (RFC 6386, sections 12, 14, 15).
Planes are arrays of integers with a border above and to the left; they are changed in place."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from aotgen.ir.interpret import Array

DC, V, H, TM, SUB = range(5)


def square(plane: Array, y: int, x: int, n: int, mode: int, above: bool, left: bool) -> None:
    """A square of ``n`` pixels a side from the row above and the column to the left."""
    top, side = plane[y - 1, x : x + n], plane[y : y + n, x - 1]
    if mode == DC:
        seen = [part for part, there in ((top, above), (side, left)) if there]
        count = n * len(seen)
        plane[y : y + n, x : x + n] = (sum(int(s.sum()) for s in seen) + count // 2) // count if count else 128
        return
    predicted = {V: top[None] + 0 * side[:, None], H: side[:, None] + 0 * top[None]}.get(mode)
    if predicted is None:
        predicted = np.clip(side[:, None] + top[None] - plane[y - 1, x - 1], 0, 255)
    plane[y : y + n, x : x + n] = predicted


def subblock(plane: Array, y: int, x: int, mode: int, right: Array) -> None:
    """A subblock in one of its ten modes; ``right``: the four pixels above and to the right."""
    if mode < 2:
        square(plane, y, x, 4, (DC, TM)[mode], True, True)
        return
    e = [*plane[y : y + 4, x - 1][::-1].tolist(), *plane[y - 1, x - 1 : x + 4].tolist(), *right.tolist()]
    two = [(a + b + 1) >> 1 for a, b in pairwise(e)]
    three = [(a + 2 * b + c + 2) >> 2 for a, b, c in zip([e[0], *e], e, [*e[1:], e[-1]], strict=False)]
    s, t = two, three
    rows = {
        2: [t[5:9]] * 4,
        3: [[t[3 - k]] * 4 for k in range(4)],
        4: [t[6 + k : 10 + k] for k in range(4)],
        5: [t[4 - k : 8 - k] for k in range(4)],
        6: [s[4:8], t[4:8], [t[3], *s[4:7]], [t[2], *t[4:7]]],
        7: [s[5:9], t[6:10], [*s[6:9], t[10]], [*t[7:10], t[11]]],
        8: [[s[3], t[4], t[5], t[6]], [s[2], t[3], s[3], t[4]], [s[1], t[2], s[2], t[3]], [s[0], t[1], s[1], t[2]]],
        9: [[s[2], t[2], s[1], t[1]], [s[1], t[1], s[0], t[0]], [s[0], t[0], e[0], e[0]], [e[0]] * 4],
    }[mode]
    plane[y : y + 4, x : x + 4] = rows


def _pass(v: Array) -> Array:
    """The inverse transform along the first axis."""
    a, b = v[0] + v[2], v[0] - v[2]
    c = (v[1] * 35468 >> 16) - (v[3] + (v[3] * 20091 >> 16))
    d = (v[1] + (v[1] * 20091 >> 16)) + (v[3] * 35468 >> 16)
    return np.stack([a + d, b + c, b - c, a - d])


def add(plane: Array, y: int, x: int, values: Sequence[int]) -> None:
    """Add what 16 coefficients stand for."""
    if any(values):
        v = _pass(_pass(np.array(values, np.int64).reshape(4, 4)).T).T
        plane[y : y + 4, x : x + 4] = np.clip(plane[y : y + 4, x : x + 4] + ((v + 4) >> 3), 0, 255)


def spread(values: Sequence[int]) -> list[int]:
    """Y2: the DC of each of 16 subblocks."""
    signs = np.array([[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, -1, 1], [1, -1, 1, -1]])
    v = signs @ np.array(values, np.int64).reshape(4, 4) @ signs.T
    return ((v + 3) >> 3).ravel().tolist()  # type: ignore[no-any-return]


# -- the loop filter


def _byte(v: Array) -> Array:
    return np.clip(v, -128, 127)


def _edge(p: Array, simple: bool, outer: bool, strength: tuple[int, int, int]) -> None:
    """``p [n, 8]``: four pixels before an edge and four behind it; of a simple filter two and two."""
    level, interior, sharp = strength
    c = p.shape[1] // 2
    q = p - 128
    limit = 2 * (level + 2 * outer) + interior
    wanted: Array = 2 * abs(q[:, c - 1] - q[:, c]) + abs(q[:, c - 2] - q[:, c + 1]) // 2 <= limit
    steps = abs(np.diff(q))
    is_sharp: Array = np.ones(len(p), bool)
    if not simple:
        wanted &= (steps[:, [0, 1, 2, 4, 5, 6]] <= interior).all(1)
        is_sharp = steps[:, [2, 4]].max(1) > sharp
    outside = _byte(q[:, c - 2] - q[:, c + 1])
    rise = 3 * (q[:, c] - q[:, c - 1])
    out = q.copy()

    def change(where: Array, k: int, by: Array) -> None:
        out[:, k] = np.where(where & wanted, _byte(out[:, k] + by), out[:, k])

    low = ~is_sharp
    for where, w in ((is_sharp, _byte(outside + rise)), (low, _byte(outside + rise) if outer else _byte(rise))):
        if outer and where is low and not simple:
            for k in range(3):
                a = _byte((9 * (3 - k) * w + 63) >> 7)
                change(where, c + k, -a)
                change(where, c - 1 - k, a)
            continue
        a = _byte(w + 4) >> 3
        change(where, c, -a)
        change(where, c - 1, _byte(w + 3) >> 3)
        if where is low and not simple:
            change(where, c + 1, -((a + 1) >> 1))
            change(where, c - 2, (a + 1) >> 1)
    p[:] = out + 128


def smooth(plane: Array, y: int, x: int, n: int, simple: bool, within: bool, strength: tuple[int, int, int]) -> None:
    """The edges of a square of ``n`` pixels a side: to its left and within it, then above and within. ``plane`` has no border."""
    side = 2 if simple else 4
    for turned in (False, True):
        v, a, b = (plane.T, x, y) if turned else (plane, y, x)
        for k in range(0, n if within else 1, 4):
            if b + k:
                _edge(v[a : a + n, b + k - side : b + k + side], simple, k == 0, strength)


def near_sum(plane: Array, height: int, width: int) -> Array:
    """A plane at twice the size: 9, 3, 3 and 1 parts of 16 of the samples around."""
    y, x = np.arange(height), np.arange(width)
    rows, beyond = y // 2, y // 2 + np.where(y % 2, 1, -1)
    beyond = np.where((beyond < 0) | (beyond >= len(plane)), rows, beyond)
    columns, beside = x // 2, x // 2 + np.where(x % 2, 1, -1)
    edge = (beside < 0) | (beside >= plane.shape[1])
    beside = np.where(edge, columns, beside)
    n, f = plane[rows][:, columns], plane[beyond][:, columns]
    m, g = plane[rows][:, beside], plane[beyond][:, beside]
    return np.where(edge, (3 * n + f + 2) >> 2, (((n + m + f + g + 8 + 2 * (m + f)) >> 3) + n) >> 1)
