# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Pools."""

from __future__ import annotations

from tests.fuzz.generator import Gen
from tests.fuzz.rows import add, row
from tests.fuzz.rows.convolution import Windows, image, windows
from tests.fuzz.values import FLOATS, Var


def pool(g: Gen, x: Var, most: int = 5) -> Windows:
    """A window; onnxruntime forgets its dilation when it pads by itself, and refuses to pad by less than nothing."""
    w = windows(g, x, most=most)
    same = str(w.attrs.get("auto_pad", "")).startswith("SAME")
    g.need(not (same and "dilations" in w.attrs), "dilated, and padded automatically")
    strides = w.attrs.get("strides", w.taps)
    g.need(not same or all(t >= s for t, s in zip(w.taps, strides)), "negative padding")
    return w


@row("MaxPool", __name__)
def max_pool(g: Gen) -> None:
    x = image(g, (*FLOATS, "uint8", "int8"))
    w = pool(g, x)
    n = g.int(1, 2) if x.dtype in ("float32", "float64") else 1
    if n == 2:
        g.need(x.exact, "ties")
        g.need("auto_pad" not in w.attrs, "indices behind automatic padding")
    rest = {"ceil_mode": g.int(0, 1)} if "auto_pad" not in w.attrs else {}
    g.node("MaxPool", [x], n=n, exact=True, **w.attrs, **rest, **({"storage_order": g.int(0, 1)} if n == 2 else {}))


@row("AveragePool", __name__)
def average_pool(g: Gen) -> None:
    x = image(g, ("float32", "float64", "float16"))
    w = pool(g, x, 3)
    rest = {"ceil_mode": g.int(0, 1)} if "auto_pad" not in w.attrs else {}
    g.node("AveragePool", [x], count_include_pad=g.int(0, 1), **w.attrs, **rest)


@row("LpPool", __name__)
def lp_pool(g: Gen) -> None:
    x = image(g, ("float32",))
    w = pool(g, x, 3)
    g.node("LpPool", [x], p=g.int(1, 3), **w.attrs)


for _name in ("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"):

    def _global(g: Gen, op: str = _name) -> None:
        x = image(g, ("float32", "float64") if op != "GlobalLpPool" else ("float32",))
        g.node(op, [x], exact=op == "GlobalMaxPool", **({"p": g.int(1, 3)} if op == "GlobalLpPool" else {}))

    add(_name, __name__, _global)


@row("MaxUnpool", __name__)
def max_unpool(g: Gen) -> None:
    x = image(g, ("float32",), (4, 4))
    g.need(x.exact and x.static, "ties")
    taps = [g.int(1, 2), g.int(1, 2)]
    g.need(all(d >= t and d % t == 0 for d, t in zip(x.shape[2:], taps)), "a rest of the image")
    y, at = g.node("MaxPool", [x], n=2, exact=True, kernel_shape=taps, strides=taps)
    size = [g.ints(*x.shape)] if g.chance(0.5) else []
    g.node("MaxUnpool", [y, at, *size], exact=True, kernel_shape=taps, strides=taps)
