# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Resize where extents are open, or sizes, scales or a region of interest are data: coordinates are computed where they are
used."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from aotgen.core import dtypes
from aotgen.ir import expr, index
from aotgen.ir.define import Def, compute
from aotgen.ir.expr import E
from aotgen.ir.graph import Node
from aotgen.ir.index import Dim, Ix
from aotgen.ops.extents import integer, is_data, picked, vector, with_input
from aotgen.ops.registry import INTERNAL, Ctx, lowering, settles
from aotgen.ops.resize import Modes

if TYPE_CHECKING:
    from aotgen.ops.builder import Builder

CROPPING = ("tf_crop_and_resize", b"tf_crop_and_resize")


@settles("Resize")
def settle_resize(builder: Builder, node: Node) -> Node:
    """``sizes`` that are data are the extents; from ``scales`` (and a region of interest) that are data they follow, and
    both are operands from then on."""
    x, roi, scales, sizes = (*node.inputs, None, None, None)[:4]
    assert x is not None
    if sizes is not None and is_data(builder, node, 3):
        return with_input(node, 3, builder.extents(vector(builder, sizes), f"resize_{sizes.name}"))
    region = roi if node.attrs.get("coordinate_transformation_mode") in CROPPING else None
    by_region = region is not None and is_data(builder, node, 1)
    if sizes is not None or scales is None or scales.shape == (0,) or not (by_region or is_data(builder, node, 2)):
        return node
    axes = list(node.attrs.get("axes", range(len(x.shape))))
    found = integer(builder, "ResizeExtents", [x, scales, region], axes=axes)
    return replace(node, inputs=(x, roi, scales, builder.extents(found, f"resize_{scales.name}")))


@lowering("ResizeExtents", domain=INTERNAL)
def resize_extents(ctx: Ctx, x: Def, scales: Def, roi: Def | None = None) -> Def:
    """i64[n]: floor(extent * scale) of every axis, of its region of interest where there is one."""
    axes = [ctx.axis_of(a, x.rank) for a in ctx.attr_ints("axes")]

    def f(k: Ix) -> E:
        size = expr.cast(picked([x.shape[a] for a in axes], k), "f32")
        if roi is not None:
            size = size * expr.cast(roi[k + len(axes)] - roi[k], "f32")
        return expr.cast(expr.fn("floor", size * expr.cast(scales[k], "f32")), "i64")

    return compute((len(axes),), f, dtypes.i64)


@lowering("ResizeOpen", domain=INTERNAL)
def resize_open(ctx: Ctx, x: Def, outs: Def, scales: Def | None = None, roi: Def | None = None) -> Def:
    """Coordinates in f32 (f64 for f64). Attribute ``scales``: 0 means that of the operand, else out/in; ``places``: where an
    axis stands in ``scales`` and ``roi``."""
    m = Modes(ctx.attr_str("mode"), ctx.attr_str("coordinates"), ctx.attr_str("nearest"), ctx.attr_float("cubic_a"),
              False, False, ctx.attr_float("extrapolation"))
    kind = dtypes.compute_of(x.dtype).name if x.dtype.is_float else "f32"

    def number(d: Def, k: Dim) -> E:
        return expr.cast(d[index.ix(k)], kind)

    y = x
    rows = zip(ctx.attr_ints("axes"), ctx.attr_ints("places"), ctx.values(1, "sizes"), ctx.attr_floats("scales"), strict=True)
    for axis, place, out, scale in rows:
        factor = real(out, kind) / real(x.shape[axis], kind)
        if scale or scales is not None:
            factor = number(scales, place) if scales is not None and not scale else expr.const(scale, kind)
        region = None if roi is None else (number(roi, place), number(roi, index.ix(roi.shape[0]) // 2 + place))
        y = _axis(y, axis, out, m, kind, factor, region)
    return compute(y.shape, lambda *i: y[i], x.dtype) if y.dtype is not x.dtype else y


def real(v: Dim, kind: str) -> E:
    return expr.cast(expr.ix_value(v), kind)


def _axis(x: Def, axis: int, out: Dim, m: Modes, kind: str, factor: E, region: tuple[E, E] | None) -> Def:
    size = x.shape[axis]
    last = index.ix(size) - 1

    def read(i: Sequence[Ix], place: E) -> E:
        place = expr.fn("max", expr.fn("min", place, expr.ix_value(last, "i64")), expr.const(0, "i64"))
        return x[(*i[:axis], expr.index_of(place, size), *i[axis + 1 :])]

    def sampled(i: Sequence[Ix], c: E) -> E:
        if m.mode == "nearest":
            return read(i, _nearest(c, m.nearest))
        low = expr.fn("floor", c)
        part, base = c - low, expr.cast(low, "i64")
        if m.mode == "linear":
            return read(i, base) * (1.0 - part) + read(i, base + 1) * part
        total = read(i, base - 1) * _cubic(part + 1.0, m.cubic_a, True)
        for step, gap, far in ((0, part, False), (1, 1.0 - part, False), (2, 2.0 - part, True)):
            total = total + read(i, base + step) * _cubic(gap, m.cubic_a, far)
        return total

    def f(*i: Ix) -> E:
        if region is None:
            return sampled(i, _coordinate(i[axis], size, out, m, kind, factor))
        c = _in_region(i[axis], size, out, kind, region)
        value = sampled(i, c)
        outside = expr.fn("or", c < 0, c > real(last, kind))
        return expr.select(outside, expr.const(m.extrapolation, value.dtype), value)

    return compute((*x.shape[:axis], out, *x.shape[axis + 1:]), f, x.dtype if m.mode == "nearest" else None)


def _in_region(o: Ix, size: Dim, out: Dim, kind: str, region: tuple[E, E]) -> E:
    """Where an output element lies in a region given in shares of the axis: from end to end, or in the middle for one."""
    start, end = region
    last, steps = real(index.ix(size) - 1, kind), expr.fn("max", real(index.ix(out) - 1, kind), expr.const(1, kind))
    spread = start * last + real(o, kind) * (end - start) * last / steps
    return expr.select(expr.ge0(index.ix(out) - 2), spread, (start + end) * 0.5 * last)


def _coordinate(o: Ix, size: Dim, out: Dim, m: Modes, kind: str, factor: E) -> E:
    """``coordinates`` of ``resize.py`` as an expression."""
    x = real(o, kind)
    if m.coordinates == "align_corners":
        steps = expr.fn("max", expr.ix_value(index.ix(out) - 1), expr.const(1, "i64"))
        return x * real(index.ix(size) - 1, kind) / expr.cast(steps, kind)
    if m.coordinates == "asymmetric":
        return x / factor
    base = (x + 0.5) / factor
    if m.coordinates == "tf_half_pixel_for_nn":
        return base
    c = base - 0.5
    if m.coordinates == "half_pixel_symmetric":
        return c + real(size, kind) / 2.0 * (1.0 - real(out, kind) / (factor * real(size, kind)))
    if m.coordinates == "pytorch_half_pixel":
        return expr.select(expr.ge0(index.ix(out) - 2), c, expr.const(0, kind))
    return c


def _nearest(c: E, mode: str) -> E:
    if mode in ("floor", "ceil"):
        return expr.cast(expr.fn(mode, c), "i64")
    moved = expr.fn("ceil", c - 0.5) if mode == "round_prefer_floor" else expr.fn("floor", c + 0.5)
    return expr.cast(moved, "i64")


def _cubic(x: E, a: float, far: bool) -> E:
    if far:
        return ((x * a - 5 * a) * x + 8 * a) * x - 4 * a
    return (x * (a + 2) - (a + 3)) * x * x + 1.0
