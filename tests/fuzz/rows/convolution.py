# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Convolutions of one to three axes, with groups, dilation, strides and every padding."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tests.fuzz.generator import Gen
from tests.fuzz.rows import row
from tests.fuzz.rows.contraction import BYTE, calm, zero_point
from tests.fuzz.values import Sizes, Var


@dataclass(frozen=True)
class Windows:
    """``taps`` by axis, and the attributes of a window that fits the image."""

    taps: list[int]
    attrs: dict[str, Any]


def windows(g: Gen, x: Var, *, dilate: bool = True, most: int = 5, padding: bool = True) -> Windows:
    """A window over the axes of ``x`` behind the second, at most as large as the padded image."""
    n = x.rank - 2
    least = [x.least(2 + k) for k in range(n)]
    g.need(all(d >= 1 for d in least), "an empty image")
    auto = g.of(("NOTSET", "NOTSET", "NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID")) if padding else "NOTSET"
    taps = [g.int(1, min(most, d + 1)) for d in least]
    dilations = [g.of((1, 1, 2, 3)) if dilate and g.chance(0.4) else 1 for _ in taps]
    strides = [g.of((1, 1, 2, 3)) for _ in taps]
    if g.chance(0.5):
        taps, strides = [min(taps)] * n, [strides[0]] * n
    pads = [g.int(0, min(t - 1, 3)) if padding and auto == "NOTSET" else 0 for t in taps * 2]
    for k, d in enumerate(least):
        reach = (taps[k] - 1) * dilations[k] + 1
        room = d + pads[k] + pads[n + k] if auto in ("NOTSET", "VALID") else d
        g.need(reach <= room, "a window larger than the image")
    attrs: dict[str, Any] = {"kernel_shape": taps}
    if auto != "NOTSET":
        attrs["auto_pad"] = auto
    elif any(pads):
        attrs["pads"] = pads
    attrs |= {"strides": strides} if any(s > 1 for s in strides) or g.chance(0.3) else {}
    attrs |= {"dilations": dilations} if any(d > 1 for d in dilations) else {}
    return Windows(taps, attrs)


def image(g: Gen, types: tuple[str, ...], rank: tuple[int, int] = (3, 5)) -> Var:
    x = g.any(types, rank, where=lambda v: v.fixed(1) and all(v.least(k) >= 1 for k in range(v.rank)))
    g.need(x.fixed(1) and all(x.least(k) >= 1 for k in range(1, x.rank)), "an empty image")
    return x


def channels(g: Gen, x: Var) -> tuple[int, int, int]:
    """Group count, channels of a group, results of a group: plain, grouped or depthwise."""
    g.need(x.fixed(1), "open channels")
    c = x.sizes[1][0]
    group = g.of([d for d in range(1, c + 1) if c % d == 0]) if g.chance(0.4) else c if g.chance(0.2) else 1
    return group, c // max(group, 1), g.of((1, 1, 2, 3, 4, 8, 16, 17)) if group < 8 else g.int(1, 2)


def sized(g: Gen, shape: list[int]) -> list[Sizes]:
    return [(d,) * g.settings.runs for d in shape]


@row("Conv", __name__)
def conv(g: Gen) -> None:
    x = image(g, ("float32", "float32", "float64", "float16"))
    group, c, m = channels(g, x)
    w = windows(g, x)
    bound = calm(c * int(np.prod(w.taps)))
    g.need(group * m <= 64, "many channels")
    weights = g.any((x.dtype,), shape=sized(g, [group * m, c, *w.taps]), low=-bound, high=bound, weight=0.9)
    bias = [g.any((x.dtype,), shape=sized(g, [group * m]), weight=0.9)] if g.chance(0.6) else []
    g.node("Conv", [x, weights, *bias], group=group, **w.attrs)


@row("ConvTranspose", __name__)
def conv_transpose(g: Gen) -> None:
    x = image(g, ("float32",))
    group, c, m = channels(g, x)
    n = x.rank - 2
    taps, strides = [g.int(1, 4) for _ in range(n)], [g.of((1, 1, 2, 3)) for _ in range(n)]
    bound = calm(c * int(np.prod(taps)))
    weights = g.any((x.dtype,), shape=sized(g, [group * c, m, *taps]), low=-bound, high=bound, weight=0.9)
    attrs: dict[str, Any] = {"strides": strides, "group": group}
    how = g.of(("none", "pads", "auto", "output_shape"))
    dilations = [g.of((1, 1, 2)) for _ in range(n)] if how != "auto" else [1] * n
    reach = [(t - 1) * d + 1 for t, d in zip(taps, dilations)]
    if how == "pads":
        attrs["pads"] = [g.int(0, (r - 1) // 2) for r in reach * 2]
        attrs["output_padding"] = [g.int(0, max(min(s, 2) - 1, 0)) for s in strides]
    elif how == "auto":
        attrs["auto_pad"] = g.of(("SAME_UPPER", "SAME_LOWER", "VALID"))
        g.need(attrs["auto_pad"] == "VALID" or all(t >= s for t, s in zip(taps, strides)), "negative padding")
    elif how == "output_shape":
        g.need(x.static, "an open image")
        full = [(d - 1) * s + r for d, s, r in zip(x.shape[2:], strides, reach)]
        attrs["output_shape"] = [max(f - g.int(0, r - 1), 1) for f, r in zip(full, reach)]
    bias = [g.any((x.dtype,), shape=sized(g, [group * m]), weight=0.9)] if g.chance(0.6) else []
    g.node("ConvTranspose", [x, weights, *bias], dilations=dilations, **attrs)


@row("ConvInteger", __name__)
def conv_integer(g: Gen) -> None:
    x = image(g, BYTE[:1], (4, 4))
    group, c, m = channels(g, x)
    w = windows(g, x)
    weights = g.any(BYTE[:1], shape=sized(g, [group * m, c, *w.taps]), weight=0.9)
    g.node("ConvInteger", [x, weights, zero_point(g, x.dtype), zero_point(g, weights.dtype)][: g.int(2, 4)], group=group, **w.attrs)


@row("QLinearConv", __name__)
def qlinear_conv(g: Gen) -> None:
    """Scales are powers of two, as for QLinearMatMul."""
    x = image(g, BYTE, (3, 5))
    group, c, m = channels(g, x)
    w = windows(g, x)
    each = g.chance(0.5)
    weights = g.any(("int8",) if x.dtype == "int8" or g.chance(0.5) else ("uint8",), shape=sized(g, [group * m, c, *w.taps]),
                    low=-63 if x.dtype == "uint8" else None, high=63 if x.dtype == "uint8" else None, weight=1)
    powers = np.exp2(-np.random.default_rng(g.int(0, 999)).integers(3, 7, (group * m,) if each else ())).astype(np.float32)
    zeros = np.zeros((group * m,) if each else (), weights.dtype)
    bias = [g.weight(g.contents("int32", (group * m,), -500, 500))] if g.chance(0.5) else []
    g.node("QLinearConv", [x, g.weight(np.array(0.125, np.float32)), zero_point(g, x.dtype), weights, g.weight(powers),
                           g.weight(zeros), g.weight(np.array(2.0, np.float32)), zero_point(g, x.dtype), *bias],
           group=group, **w.attrs)


@row("Col2Im", __name__)
def col2im(g: Gen) -> None:
    image_, block = [g.int(3, 8) for _ in range(2)], [g.int(1, 3) for _ in range(2)]
    strides, pads = [g.int(1, 2) for _ in range(2)], [g.int(0, 1) for _ in range(4)]
    places = [(i + pads[k] + pads[k + 2] - b) // s + 1 for k, (i, b, s) in enumerate(zip(image_, block, strides))]
    x = g.any(("float32",), shape=[*g.sizes(1), *sized(g, [g.int(1, 3) * int(np.prod(block)), int(np.prod(places))])])
    g.node("Col2Im", [x, g.ints(*image_), g.ints(*block)], strides=strides, pads=pads)
