# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Resize: every mode, any rank, axis by axis.

With extents known at compile time an axis becomes either an exact integer map ``(i*p + r) // q`` (nearest, found by
search and proved over the whole axis) or two small constant tables, the taps read and their weights, computed here in
float64. With open extents coordinates are computed where they are used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aotgen.core import dtypes
from aotgen.core.dtypes import DType
from aotgen.core.errors import ModelError
from aotgen.ir import expr, index
from aotgen.ir.define import Def, compute, reduce_
from aotgen.ir.expr import E
from aotgen.ir.graph import Value
from aotgen.ir.index import Dim, Ix
from aotgen.ops.builder import Builder
from aotgen.ops.quantize import saturated
from aotgen.ops.registry import Ctx, expansion, lowering
from aotgen.ops.shorthand import Sub

Array = NDArray[Any]
UNROLLED = 4  # taps: up to this many are one pointwise expression, more are a reduction


@dataclass(frozen=True, slots=True)
class Modes:
    """The attributes that say how coordinates and weights are formed."""

    mode: str
    coordinates: str
    nearest: str
    cubic_a: float
    exclude_outside: bool
    antialias: bool
    extrapolation: float

    @staticmethod
    def of(ctx: Ctx) -> Modes:
        out = Modes(ctx.attr_str("mode", "nearest"), ctx.attr_str("coordinate_transformation_mode", "half_pixel"),
                    ctx.attr_str("nearest_mode", "round_prefer_floor"), ctx.attr_float("cubic_coeff_a", -0.75),
                    bool(ctx.attr_int("exclude_outside", 0)), bool(ctx.attr_int("antialias", 0)),
                    ctx.attr_float("extrapolation_value", 0.0))
        if out.mode not in ("nearest", "linear", "cubic"):
            raise ModelError(f"unknown Resize mode '{out.mode}'")
        if out.coordinates not in COORDINATES:
            raise ModelError(f"unknown coordinate_transformation_mode '{out.coordinates}'")
        return out


@dataclass(frozen=True, slots=True)
class Axis:
    """One resized axis: extents, ``scale`` (output per input) and the region of interest (start, end)."""

    axis: int
    size: Dim
    out: Dim
    scale: float
    roi: tuple[float, float]


COORDINATES = ("half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric",
               "tf_crop_and_resize")


def coordinates(a: Axis, m: Modes, t: Any) -> Array:
    """Where each output element of a known axis lies in the input, in float type ``t``."""
    return np.asarray(_placed(a, m, t), t)


def _placed(a: Axis, m: Modes, t: Any) -> Any:
    assert isinstance(a.size, int)
    assert isinstance(a.out, int)
    x, scale, half = np.arange(a.out).astype(t), t(a.scale), t(0.5)
    if m.coordinates == "asymmetric":
        return x / scale
    if m.coordinates == "align_corners":
        return x * t(a.size - 1) / t(a.out - 1) if a.out > 1 else x * t(0)
    if m.coordinates == "tf_crop_and_resize":
        start, end, last = t(a.roi[0]), t(a.roi[1]), t(a.size - 1)
        if a.out > 1:
            return start * last + x * (end - start) * last / t(a.out - 1)
        return half * (start + end) * last + x * t(0)
    if m.coordinates == "pytorch_half_pixel" and a.out == 1:
        return x * t(0)
    base = (x + half) / scale
    if m.coordinates == "half_pixel_symmetric":
        adjustment = t(a.out) / (scale * t(a.size))
        base = t(a.size) / t(2) * (t(1) - adjustment) + base
    return base - half


def nearest_of(x: Array, mode: str) -> Array:
    """Coordinates rounded to elements as ``nearest_mode`` says."""
    if mode in ("floor", "ceil"):
        return (np.floor if mode == "floor" else np.ceil)(x).astype(np.int64)
    low = np.floor(x)
    part = x - low
    up = part > 0.5 if mode == "round_prefer_floor" else part >= 0.5
    return (low + up).astype(np.int64)


def integer_map(table: Array, size: int) -> tuple[int, int, int] | None:
    """``(p, r, q)`` with ``(i*p + r) // q == table[i]`` for every i, or None. q is at most twice the output extent."""
    n = len(table)
    for q, p in ((n, size), (2 * n, 2 * size)):
        ratio = Fraction(p, q)
        p, q = (ratio.numerator, ratio.denominator) if q == n else (2 * ratio.numerator, 2 * ratio.denominator)
        i = np.arange(n)
        low = int(np.max(table * q - i * p))
        high = int(np.min((table + 1) * q - i * p)) - 1
        if low <= high:
            return p, max(low, min(0, high)), q
    return None


def cubic(x: Array, a: float) -> Array:
    """Keys' cubic convolution kernel."""
    x = np.abs(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


def tap_tables(a: Axis, m: Modes) -> tuple[Array, Array]:
    """``[out, taps]`` tables of the elements read (clamped into the axis) and their weights."""
    assert isinstance(a.size, int)
    x = coordinates(a, m, np.float64)
    shrink = min(a.scale, 1.0) if m.antialias else 1.0
    reach = (1 if m.mode == "linear" else 2) / shrink
    count = 2 * ceil(reach) if m.antialias else int(2 * reach)
    first = np.floor(x).astype(np.int64) - count // 2 + 1
    at = first[:, None] + np.arange(count)
    gap = (at - x[:, None]) * shrink
    w = np.maximum(1 - np.abs(gap), 0) if m.mode == "linear" else cubic(gap, m.cubic_a)
    if m.exclude_outside:
        w = np.where((at >= 0) & (at < a.size), w, 0.0)
    if m.exclude_outside or m.antialias:
        w = w / w.sum(axis=1, keepdims=True)
    return np.clip(at, 0, a.size - 1).astype(np.int32), w


# -- the node


@expansion("Resize")
def resize(ctx: Ctx, builder: Builder, x: Value, roi: Value | None = None, scales: Value | None = None,
           sizes: Value | None = None) -> Value:
    modes = Modes.of(ctx)
    axes = [a for a in resized_axes(ctx, x) if a.scale != 1.0 or a.out != a.size or _crops(a, modes)]
    s = Sub(ctx, builder)
    if not axes:
        return s("Identity", x)  # type: ignore[no-any-return]
    if not all(isinstance(a.size, int) and isinstance(a.out, int) for a in axes):
        return _open(ctx, s, x, axes, modes)
    kind = _weight_type(x.dtype)
    plans: list[int] = []  # per axis: axis, out, p, r, q, taps, masked (p = 0: from tables)
    tables: list[Value] = []
    for a in axes:
        p, r, q, taps = 0, 0, 1, 1
        if modes.mode == "nearest":
            # onnxruntime's float32 coordinates decide ties.
            at = np.clip(nearest_of(coordinates(a, modes, np.float32), modes.nearest), 0, int(a.size) - 1)  # type: ignore
            found = integer_map(at, int(a.size))  # type: ignore[arg-type]
            if found is not None:
                p, r, q = found
            else:
                tables.append(builder.constant(at.astype(np.int32).reshape(-1, 1), "resize_taps"))
        else:
            at, w = tap_tables(a, modes)
            taps = at.shape[1]
            tables += [builder.constant(at, "resize_taps"), builder.constant(w.astype(kind.numpy), "resize_weights")]
        masked = _crops(a, modes)
        if masked:
            c = coordinates(a, modes, np.float32)
            tables.append(builder.constant((c < 0) | (c > int(a.size) - 1), "resize_outside"))  # type: ignore[arg-type]
        plans += [a.axis, int(a.out), p, r, q, taps, int(masked)]  # type: ignore[arg-type]
    return s("Resample", x, *tables, domain="aotgen", plans=plans, weighted=int(modes.mode != "nearest"),  # type: ignore
             extrapolation=modes.extrapolation)


def _crops(a: Axis, m: Modes) -> bool:
    return m.coordinates == "tf_crop_and_resize" and a.roi != (0.0, 1.0)


def resized_axes(ctx: Ctx, x: Value) -> list[Axis]:
    """Extents and scales of every axis the node names, from ``scales`` or ``sizes``."""
    rank = len(x.shape)
    axes = [ctx.axis_of(a, rank) for a in ctx.attr_ints("axes")] if ctx.has("axes") else list(range(rank))
    roi = [0.0] * len(axes) + [1.0] * len(axes)
    if ctx.attr_str("coordinate_transformation_mode", "half_pixel") == "tf_crop_and_resize":
        given = ctx.const(1)
        if given is None or given.size != 2 * len(axes):
            raise ctx.refuse("Resize with a region of interest that is not known at compile time")
        roi = [float(v) for v in given]
    scales = ctx.const(2)
    if scales is not None and scales.size:
        factors = [float(np.float32(v)) for v in scales.ravel()]
        if len(factors) != len(axes) or min(factors) <= 0:
            raise ModelError(f"Resize scales {factors} for axes {axes}")
        spans = [roi[len(axes) + k] - roi[k] for k in range(len(axes))]
        outs = [_scaled(ctx, x.shape[a], f, span) for a, f, span in zip(axes, factors, spans, strict=True)]
    elif ctx.given(2) and not ctx.given(3):
        raise ctx.refuse("'scales' must be known at compile time but is computed from input data", "fix the dims they depend on with --dim")
    else:
        outs, factors = _sized(ctx, x, axes)
    return [Axis(a, x.shape[a], o, f, (roi[k], roi[len(axes) + k]))
            for k, (a, o, f) in enumerate(zip(axes, outs, factors, strict=True))]


def _scaled(ctx: Ctx, size: Dim, factor: float, span: float) -> Dim:
    """floor(size * span * factor)"""
    if isinstance(size, int):
        return int(np.float32(size) * np.float32(span) * np.float32(factor))
    exact = Fraction(factor)
    if span != 1.0 or exact.denominator > 1 << 12:
        raise ctx.refuse(f"Resize of the open extent {size} by {factor}", "fix the extent with --dim")
    return index.as_dim(index.ix(size) * exact.numerator // exact.denominator)


def _sized(ctx: Ctx, x: Value, axes: Sequence[int]) -> tuple[list[Dim], list[float]]:
    """Output extents and scales from the ``sizes`` input and its aspect-ratio policy."""
    sizes = ctx.values(3, "sizes")
    if len(sizes) != len(axes):
        raise ModelError(f"Resize sizes {sizes} for axes {list(axes)}")
    policy = ctx.attr_str("keep_aspect_ratio_policy", "stretch")
    pairs = [(s, x.shape[a]) for s, a in zip(sizes, axes, strict=True)]
    if policy == "stretch":
        return list(sizes), [float(np.float32(s) / np.float32(d)) if isinstance(s, int) and isinstance(d, int)
                             else 1.0 if s == d else 0.0 for s, d in pairs]
    if not all(isinstance(s, int) and isinstance(d, int) for s, d in pairs):
        raise ctx.refuse(f"Resize with keep_aspect_ratio_policy '{policy}' of open extents", "fix them with --dim")
    pick = min if policy == "not_larger" else max
    scale = pick(Fraction(s, d) for s, d in pairs)  # type: ignore[arg-type]
    return [floor(scale * d + Fraction(1, 2)) for _, d in pairs], [float(np.float32(float(scale)))] * len(pairs)  # type: ignore


@lowering("Resample", domain="aotgen")
def resample(ctx: Ctx, x: Def, *tables: Def) -> Def:
    """Resize with known maps: each planned axis in turn is read through an integer map or constant tables."""
    plans, rest = ctx.attr_ints("plans"), list(tables)
    weighted = bool(ctx.attr_int("weighted"))
    y = _blended(x) if weighted else x
    for k in range(0, len(plans), 7):
        axis, out, p, r, q, taps, masked = plans[k:k + 7]
        at = rest.pop(0) if p == 0 else None
        w = rest.pop(0) if weighted else None
        y = _resample_axis(y, axis, out, (p, r, q), taps, at, w)
        if masked:
            y = _outside(y, rest.pop(0), axis, ctx.attr_float("extrapolation"))
    return _unblended(y, x.dtype)


def _weight_type(dtype: DType) -> DType:
    """What elements are weighted in. A sum of weights may miss 1 by a rounding, and integers are cut off: in float64 the
    result of equal neighbours is nudged back by far less than a step."""
    return dtypes.f32 if dtype.is_float and dtype is not dtypes.f64 else dtypes.f64


def _blended(x: Def) -> Def:
    """Integers as numbers that can be weighted."""
    kind = _weight_type(x.dtype)
    return x if x.dtype.is_float else compute(x.shape, lambda *i: expr.cast(x[i], kind), kind)


def _unblended(y: Def, to: DType) -> Def:
    """Weighted sums in the type of the operator: integers are cut off toward 0 and, where cubic weights overshoot, clamped."""
    if y.dtype is to:
        return y
    if not to.is_integer:
        return compute(y.shape, lambda *i: y[i], to)
    return compute(y.shape, lambda *i: saturated(_whole(y[i]), to), to)


def _whole(e: E) -> E:
    """``e`` without its fraction; within 2^-20 of an integer, that integer."""
    near = expr.fn("rint", e)
    return expr.select(expr.fn("abs", e - near) < 2.0**-20, near, expr.fn("trunc", e))


def _resample_axis(x: Def, axis: int, out: int, affine: tuple[int, int, int], taps: int, at: Def | None,
                   w: Def | None) -> Def:
    shape = (*x.shape[:axis], out, *x.shape[axis + 1:])

    def element(i: Sequence[Ix], t: Ix) -> E:
        o = i[axis]
        p, r, q = affine
        place = (o * p + r) // q if at is None else expr.index_of(at[o, t], x.shape[axis])
        at_input = (*i[:axis], place, *i[axis + 1 :])
        value = x[at_input]
        return value if w is None else value * w[o, t]

    def pointwise(*i: Ix) -> E:
        total = element(i, index.ix(0))
        for t in range(1, taps):
            total = total + element(i, index.ix(t))
        return total

    if w is None:
        return compute(shape, pointwise, x.dtype)
    if taps <= UNROLLED:
        return compute(shape, pointwise)
    return reduce_("sum", shape, [taps], lambda o, r: element(o, r[0]))


def _outside(y: Def, mask: Def, axis: int, value: float) -> Def:
    """``value`` where an axis was sampled outside the input."""
    kind = dtypes.compute_of(y.dtype).name
    return compute(y.shape, lambda *i: expr.select(mask[i[axis]], expr.const(value, kind), y[i]), y.dtype)


# -- open extents


def _open(ctx: Ctx, s: Sub, x: Value, axes: Sequence[Axis], m: Modes) -> Value:
    if m.antialias or m.exclude_outside or m.coordinates == "tf_crop_and_resize":
        raise ctx.refuse("Resize of open extents with antialias, exclude_outside or a region of interest",
                         "fix the extents with --dim")
    outs = s.ints([a.out for a in axes])
    return s("ResizeOpen", x, outs, domain="aotgen", axes=[a.axis for a in axes], scales=[a.scale for a in axes],  # type: ignore
             mode=m.mode, coordinates=m.coordinates, nearest=m.nearest, cubic_a=m.cubic_a)


@lowering("ResizeOpen", domain="aotgen")
def resize_open(ctx: Ctx, x: Def, outs: Def) -> Def:
    """Resize with coordinates computed in f32 (f64 for f64) where they are used. ``scales``: 0 means out/in."""
    m = Modes(ctx.attr_str("mode"), ctx.attr_str("coordinates"), ctx.attr_str("nearest"), ctx.attr_float("cubic_a"),
              False, False, 0.0)
    y = _blended(x) if m.mode != "nearest" else x
    for a, out, scale in zip(ctx.attr_ints("axes"), ctx.values(1, "sizes"), ctx.attr_floats("scales"), strict=True):
        y = _open_axis(y, a, out, scale, m)
    return _unblended(y, x.dtype)


def _open_axis(x: Def, axis: int, out: Dim, scale: float, m: Modes) -> Def:
    size = x.shape[axis]
    shape = (*x.shape[:axis], out, *x.shape[axis + 1:])
    kind = dtypes.compute_of(x.dtype).name if x.dtype.is_float else "f32"

    def read(i: Sequence[Ix], place: E) -> E:
        last = expr.ix_value(index.ix(size) - 1, "i64")
        place = expr.fn("max", expr.fn("min", place, last), expr.const(0, "i64"))
        at = (*i[:axis], expr.index_of(place, size), *i[axis + 1 :])
        return x[at]

    def f(*i: Ix) -> E:
        c = _coordinate(i[axis], size, out, scale, m, kind)
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

    return compute(shape, f, x.dtype if m.mode == "nearest" else None)


def _coordinate(o: Ix, size: Dim, out: Dim, scale: float, m: Modes, kind: str) -> E:
    """``coordinates`` as an expression."""
    def real(v: Dim) -> E:
        return expr.cast(expr.ix_value(v), kind)

    x = real(o)
    if m.coordinates == "align_corners":
        steps = expr.fn("max", expr.ix_value(index.ix(out) - 1), expr.const(1, "i64"))
        return x * real(index.ix(size) - 1) / expr.cast(steps, kind)
    factor = expr.const(scale, kind) if scale else real(out) / real(size)
    if m.coordinates == "asymmetric":
        return x / factor
    c = (x + 0.5) / factor - 0.5
    if m.coordinates == "half_pixel_symmetric":
        return c + real(size) / 2.0 * (1.0 - real(out) / (factor * real(size)))
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
