# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Quantisation. Scales are powers of two, so that a quotient that ties does so in any precision."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.fuzz.generator import Gen
from tests.fuzz.rows import row
from tests.fuzz.rows.elementwise import HALF
from tests.fuzz.values import Var

BYTES = ("uint8", "int8", "int16", "uint16")


def powers(g: Gen, shape: tuple[int, ...], dtype: str = "float32") -> Var:
    return g.weight(np.exp2(-np.random.default_rng(g.int(0, 999)).integers(1, 6, shape)).astype(dtype))


def placed(g: Gen, x: Var) -> tuple[tuple[int, ...], dict[str, Any]]:
    """Shape of the scale, for the whole tensor, an axis or blocks of one, and the attributes that say so."""
    how = g.of(("tensor", "axis", "block")) if x.rank and x.static and x.size else "tensor"
    axis = g.int(0, x.rank - 1) if x.rank else 0
    if how == "axis":
        return (x.shape[axis],), {"axis": g.signed(axis, x.rank)}
    if how == "block":
        size = g.int(1, x.shape[axis])
        blocks = -(-x.shape[axis] // size)
        g.need(blocks * size == x.shape[axis], "a block cut short")
        return (*x.shape[:axis], blocks, *x.shape[axis + 1:]), {"axis": g.signed(axis, x.rank), "block_size": size}
    return (), {}


@row("QuantizeLinear", __name__)
def quantize(g: Gen) -> None:
    x = g.any(("float32", "float32", "float16"))
    shape, attrs = placed(g, x)
    scale = powers(g, shape, x.dtype)
    if not x.exact:
        s = float(scale.low)
        g.need(scale.low == scale.high, "several scales")
        g.apart(x, lambda a: HALF(a / s) * s, "close to a tie")
    g.need(g.settings.hostile or x.scale < 100, "large")
    zero = g.weight(g.contents(g.of(BYTES), shape, 0, 9))
    g.node("QuantizeLinear", [x, scale, zero], **attrs)


@row("DequantizeLinear", __name__)
def dequantize(g: Gen) -> None:
    x = g.any((*BYTES, "int32"))
    g.need(x.scale < 1e5 or g.settings.hostile, "large")
    shape, attrs = placed(g, x)
    zero = [] if x.dtype == "int32" or g.chance(0.3) else [g.weight(g.contents(x.dtype, shape, 0, 9))]
    g.node("DequantizeLinear", [x, powers(g, shape), *zero], exact=True, **attrs)


@row("DynamicQuantizeLinear", __name__)
def dynamic_quantize(g: Gen) -> None:
    x = g.any(("float32",), (1, 4))
    g.need(x.exact and all(a.size for a in x.plain), "close to a tie")
    # Every element but one 0 or 1, the other 255/64: the scale is a power of two.
    arrays = [np.where(np.random.default_rng(7).random(a.shape) < 0.5, 0, 1).astype(np.float32) for a in x.plain]
    for a in arrays:
        a.flat[0] = 255 / 64
    g.node("DynamicQuantizeLinear", [g.given(arrays)], n=3)


@row("round trip", __name__)
def round_trip(g: Gen) -> None:
    """What a quantised model has around every operator."""
    x = g.any(("float32",), exact=True)
    g.need(g.settings.hostile or x.scale < 100, "large")
    scale, zero = powers(g, ()), g.weight(np.array(g.int(0, 9), g.of(("uint8", "int8"))))
    [q] = g.node("QuantizeLinear", [x, scale, zero])
    g.node("DequantizeLinear", [q, scale, zero], exact=True)
