# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What selects by value: TopK, NonZero, Unique, Compress, NonMaxSuppression."""

from __future__ import annotations

import numpy as np

from tests.fuzz.generator import Gen
from tests.fuzz.rows import row
from tests.fuzz.rows.convolution import sized
from tests.fuzz.values import FLOATS, Var


def decided_by_data(g: Gen, v: Var, axis: int) -> None:
    """An extent that by chance is the same in every run would be taken for a fixed one."""
    g.need(g.settings.hostile or not v.fixed(axis), "an extent that only looks fixed")


@row("TopK", __name__)
def top_k(g: Gen) -> None:
    x = g.any((*FLOATS[:1], "float64", "int64", "int32"), (1, 4))
    axis = g.int(0, x.rank - 1)
    g.need(x.least(axis) > 0 or g.settings.hostile, "nothing to choose from")
    if not x.exact:
        g.ranked(x, axis)
    k = g.int(0 if g.settings.hostile else 1, x.least(axis))
    g.node("TopK", [x, g.ints(k)], n=2, exact=True, axis=g.signed(axis, x.rank), largest=g.int(0, 1), sorted=1)


@row("NonZero", __name__)
def non_zero(g: Gen) -> None:
    x = g.any(("bool", "int32", "int64", "float32", "uint8"), (1, 4))
    if x.is_float:
        g.apart(x, np.abs, "close to zero")
    [y] = g.node("NonZero", [x])
    decided_by_data(g, y, 1)


@row("Compress", __name__)
def compress(g: Gen) -> None:
    x = g.any(("float32", "int64", "float64", "int32", "uint8"), (1, 4))
    axis = g.int(0, x.rank - 1) if g.chance(0.8) else None
    if axis is None:
        g.need(x.static, "an open number of flags")
    size = x.sizes[axis] if axis is not None else (x.size,) * g.settings.runs
    flags = g.any(("bool",), (1, 1), shape=[size])
    [y] = g.node("Compress", [x, flags], exact=True, **({} if axis is None else {"axis": g.signed(axis, x.rank)}))
    decided_by_data(g, y, axis or 0)


@row("Unique", __name__)
def unique(g: Gen) -> None:
    x = g.any(("int64", "float32", "int8"), (1, 3))
    g.need(x.exact and x.size > 0, "nearly equal")
    axis = g.int(0, x.rank - 1) if g.chance(0.5) else None
    outs = g.node("Unique", [x], n=4, exact=True, sorted=g.int(0, 1), **({} if axis is None else {"axis": g.signed(axis, x.rank)}))
    decided_by_data(g, outs[1], 0)


@row("NonMaxSuppression", __name__)
def nms(g: Gen) -> None:
    batch, classes, n = g.int(1, 2), g.int(1, 3), g.int(1, 12)
    runs = g.settings.runs

    def boxes() -> np.ndarray:
        corner = g.contents("float32", (batch, n, 2), 0, 4)
        return np.concatenate([corner, corner + g.contents("float32", (batch, n, 2), 1, 3)], -1).astype(np.float32)

    scores = g.fresh("float32", sized(g, [batch, classes, n]), 0, 1)
    limits = [g.ints(g.int(1, n)), g.weight(np.array([0.35], np.float32)), g.weight(np.array([0.3], np.float32))]
    [y] = g.node("NonMaxSuppression", [g.given([boxes() for _ in range(runs)]), scores, *limits],
                 center_point_box=g.int(0, 1))
    decided_by_data(g, y, 0)
