# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Sampling at computed positions: GridSample, AffineGrid, RoiAlign and DeformConv."""

from __future__ import annotations

from collections.abc import Sequence

from aotgen.core import dtypes
from aotgen.core.errors import ModelError
from aotgen.ir import expr, index
from aotgen.ir.define import Def, compute, reduce_
from aotgen.ir.expr import E
from aotgen.ir.index import Dim, Ix
from aotgen.ops.convolution import kernel_taps, with_bias
from aotgen.ops.registry import Ctx, lowering
from aotgen.ops.sized import sized
from aotgen.ops.window import windows


def _real(v: Dim, kind: str) -> E:
    """An index or extent as a float."""
    return expr.cast(expr.ix_value(v), kind)


def _clamped(x: E, size: Dim) -> E:
    """An i64 position clamped into an axis."""
    last = expr.ix_value(index.ix(size) - 1)
    return expr.fn("max", expr.fn("min", x, last), expr.const(0, "i64"))


# -- GridSample


@lowering("GridSample")
def grid_sample(ctx: Ctx, x: Def, grid: Def) -> Def:
    """x: ``[N, C, ...]``, grid: ``[N, out..., n]`` of positions in [-1, 1], the last axis of x first."""
    n = x.rank - 2
    if grid.rank != x.rank:
        raise ModelError(f"a grid of shape {list(grid.shape)} for an input of shape {list(x.shape)}")
    grid = sized(grid, {0: x.shape[0], -1: n}, f"a grid for an input of shape {list(x.shape)}")
    mode, padding = ctx.attr_str("mode", "linear"), ctx.attr_str("padding_mode", "zeros")
    corners = bool(ctx.attr_int("align_corners", 0))
    kind = "f64" if dtypes.f64 in (x.dtype, grid.dtype) else "f32"
    taps = {"nearest": 1, "linear": 2, "bilinear": 2, "cubic": 4, "bicubic": 4}.get(mode)
    if taps is None or padding not in ("zeros", "border", "reflection"):
        raise ModelError(f"GridSample mode '{mode}' with padding '{padding}'")

    def f(b: Ix, c: Ix, *o: Ix) -> E:
        places = []
        for a in range(n):
            size = x.shape[2 + a]
            g = expr.cast(grid[(b,) + o + (n - 1 - a,)], kind)
            places.append(_unnormalised(g, size, corners, kind))
        lines = [_line(p, x.shape[2 + a], taps, padding, corners, kind) for a, p in enumerate(places)]
        if taps == 1:
            return _chosen(x, (b, c), [line[0] for line in lines])
        return expr.cast(_product(x, (b, c), lines, [], kind), x.dtype)

    if taps > 1 and x.dtype.kind not in "fiu":
        raise ctx.refuse(f"GridSample of {x.dtype} in mode '{mode}'", "only nearest does not compute with the elements")
    return compute((*x.shape[:2], *grid.shape[1:-1]), f, x.dtype)


Tap = tuple[E, E, E]  # position (i64, may be outside), is it real?, weight


def _unnormalised(g: E, size: Dim, corners: bool, kind: str) -> E:
    if corners:
        return (g + 1.0) / 2.0 * _real(index.ix(size) - 1, kind)
    return ((g + 1.0) * _real(size, kind) - 1.0) / 2.0


def _line(p: E, size: Dim, taps: int, padding: str, corners: bool, kind: str) -> list[Tap]:
    """The taps of one axis around ``p``."""
    if taps < 4 and padding != "zeros":
        # One clamp before the taps are chosen; cubic pads tap by tap.
        p = _padded(p, size, padding, corners, kind)
    one = expr.const(1, kind)
    if taps == 1:
        return [_tap(expr.fn("rint", p), one, size, padding, corners, kind)]
    low = expr.fn("floor", p)
    part = p - low
    if taps == 2:
        weights = [(0, 1.0 - part), (1, part)]
    else:
        weights = [(k - 1, w) for k, w in enumerate(_cubic_weights(part))]
    return [_tap(low + float(k), w, size, padding, corners, kind) for k, w in weights]


def _tap(place: E, weight: E, size: Dim, padding: str, corners: bool, kind: str) -> Tap:
    if padding != "zeros":
        place = _padded(place, size, padding, corners, kind)
    at = expr.cast(place, "i64")
    real = expr.fn("and", expr.const(0, "i64") <= at, at < expr.ix_value(size))
    return _clamped(at, size), real if padding == "zeros" else expr.true(), weight


def _cubic_weights(t: E, a: float = -0.75) -> list[E]:
    """Keys' weights of the four taps around a fraction ``t``."""
    def far(x: E) -> E:
        return ((x * a - 5 * a) * x + 8 * a) * x - 4 * a

    def near(x: E) -> E:
        return (x * (a + 2) - (a + 3)) * x * x + 1.0

    return [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)]


def _padded(p: E, size: Dim, padding: str, corners: bool, kind: str) -> E:
    """A position brought into the axis: clamped to the border, or reflected at the edges (pixel edges unless corners)."""
    last = _real(index.ix(size) - 1, kind)
    if padding == "reflection":
        low = expr.const(0.0 if corners else -0.5, kind)
        span = last if corners else _real(size, kind)
        safe = expr.fn("max", span, expr.const(1e-30, kind))
        gap = expr.fn("abs", p - low)
        turns = expr.fn("floor", gap / safe)
        rest = gap - turns * safe
        even = (turns - expr.fn("floor", turns / 2.0) * 2.0).eq(0.0)
        p = expr.select(even, low + rest, low + span - rest)
    return expr.fn("max", expr.fn("min", p, last), expr.const(0, kind))


def _chosen(x: Def, lead: tuple[Ix, ...], taps: Sequence[Tap]) -> E:
    """The element at one tap an axis; 0 outside."""
    place = lead + tuple(expr.index_of(p, d) for (p, _, _), d in zip(taps, x.shape[2:], strict=True))
    return expr.select(expr.all_([real for _, real, _ in taps]), x[place], expr.const(0, x.dtype.compute))


def _product(x: Def, lead: tuple[Ix, ...], lines: Sequence[list[Tap]], at: list[tuple[E, E]], kind: str) -> E:
    """The weighted sum over the taps of every axis."""
    if not lines:
        place = lead + tuple(expr.index_of(p, d) for (p, _), d in zip(at, x.shape[2:], strict=True))
        real = expr.all_([r for _, r in at])
        return expr.select(real, expr.cast(x[place], kind), expr.const(0, kind))
    total: E | None = None
    for place_, real_, weight in lines[0]:
        term = _product(x, lead, lines[1:], [*at, (place_, real_)], kind) * weight
        total = term if total is None else total + term
    assert total is not None
    return total


# -- AffineGrid


@lowering("AffineGrid")
def affine_grid(ctx: Ctx, theta: Def, size: Def) -> Def:
    """theta: ``[N, n, n+1]``, size: ``[N, C, ...]`` (compile time). Result ``[N, ..., n]``: theta times the base grid."""
    extents = ctx.values(1, "size")[2:]
    n = len(extents)
    theta = sized(theta, {1: n, 2: n + 1}, "the matrices of an affine grid")
    corners = bool(ctx.attr_int("align_corners", 0))
    kind = dtypes.compute_of(theta.dtype).name

    def base(i: Ix, d: Dim) -> E:
        if corners:
            steps = expr.fn("max", expr.ix_value(index.ix(d) - 1), expr.const(1, "i64"))
            return _real(i, kind) * 2.0 / expr.cast(steps, kind) - 1.0
        return (_real(i, kind) * 2.0 + 1.0) / _real(d, kind) - 1.0

    def f(b: Ix, *o: Ix) -> E:
        row = o[-1]
        total = theta[(b, row, n)]
        for a in range(n):
            total = total + theta[(b, row, a)] * base(o[n - 1 - a], extents[n - 1 - a])
        return total

    return compute((theta.shape[0], *extents, n), f, theta.dtype)


# -- RoiAlign


@lowering("RoiAlign")
def roi_align(ctx: Ctx, x: Def, rois: Def, batches: Def) -> Def:
    """x: ``[N, C, H, W]``, rois: ``[R, 4]`` (x1, y1, x2, y2), batches: ``[R]``. Every bin is the mean or maximum of bilinear
    samples; with ``sampling_ratio`` 0 their number follows each region's size, so the bound is the whole input."""
    out = (ctx.attr_int("output_height", 1), ctx.attr_int("output_width", 1))
    ratio, scale = ctx.attr_int("sampling_ratio", 0), ctx.attr_float("spatial_scale", 1.0)
    mode = ctx.attr_str("mode", "avg")
    half = ctx.attr_str("coordinate_transformation_mode", "half_pixel") == "half_pixel"
    if mode not in ("avg", "max"):
        raise ModelError(f"unknown RoiAlign mode '{mode}'")
    if ratio <= 0:
        raise ctx.refuse("RoiAlign whose number of samples follows the data (sampling_ratio 0)", "export it with a sampling_ratio")
    kind = dtypes.compute_of(x.dtype).name
    rois = sized(rois, {1: 4}, "regions")
    batches = sized(batches, {0: rois.shape[0]}, "the images of regions")

    def sample(r: Ix, a: int, o: Ix, k: Ix) -> E:
        """Where sample ``k`` of bin ``o`` lies along axis ``a`` (0: rows)."""
        start, end = (rois[r, 1 - a + 2 * e] * scale - (0.5 if half else 0.0) for e in (0, 1))
        length = end - start if half else expr.fn("max", end - start, expr.const(1, kind))
        size = length / float(out[a])
        return start + _real(o, kind) * size + (_real(k, kind) + 0.5) * size / float(ratio)

    def term(o: list[Ix], k: list[Ix]) -> E:
        batch = expr.index_of(batches[o[0]], x.shape[0])
        lines, real = [], expr.true()
        for a in range(2):
            p, size = sample(o[0], a, o[2 + a], k[a]), x.shape[2 + a]
            real = expr.fn("and", real, expr.fn("and", p >= -1.0, p <= _real(size, kind)))
            lines.append(_bilinear(p, size, kind))
        if mode == "avg":
            value = _product(x, (batch, o[1]), lines, [], kind)
        else:
            value = _largest(x, (batch, o[1]), lines, kind)
        return expr.select(real, value, expr.const(0, kind))

    shape = (rois.shape[0], x.shape[1], *out)
    if mode == "max":
        return reduce_("max", shape, [ratio, ratio], term, x.dtype)
    total = reduce_("sum", shape, [ratio, ratio], term, dtypes.of(kind))
    return compute(shape, lambda *o: total[o] / float(ratio * ratio), x.dtype)


def _bilinear(p: E, size: Dim, kind: str) -> list[Tap]:
    """The two taps of a clamped position."""
    last = _real(index.ix(size) - 1, kind)
    p = expr.fn("max", expr.fn("min", p, last), expr.const(0, kind))
    low = expr.fn("floor", p)
    part, at = p - low, expr.cast(low, "i64")
    return [(at, expr.true(), 1.0 - part), (_clamped(at + 1, size), expr.true(), part)]


def _largest(x: Def, lead: tuple[Ix, ...], lines: Sequence[list[Tap]], kind: str) -> E:
    """The largest of the four weighted taps, as the standard's max mode has it."""
    best: E | None = None
    for row, _, wr in lines[0]:
        for col, _, wc in lines[1]:
            at = lead + (expr.index_of(row, x.shape[2]), expr.index_of(col, x.shape[3]))
            value = x[at] * (wr * wc)
            best = value if best is None else expr.fn("max", best, value)
    assert best is not None
    return best


# -- DeformConv


@lowering("DeformConv")
def deform_conv(ctx: Ctx, x: Def, w: Def, offset: Def, bias: Def | None = None, mask: Def | None = None) -> Def:
    """A 2-D convolution whose taps are moved by ``offset`` ``[N, G*kh*kw*2, oh, ow]`` (rows first) and weighted by ``mask``
    ``[N, G*kh*kw, oh, ow]``; moved taps are bilinear samples, 0 outside."""
    if x.rank != 4:
        raise ctx.refuse(f"DeformConv of rank {x.rank}")
    group, parts = ctx.attr_int("group", 1), ctx.attr_int("offset_group", 1)
    axes = windows(ctx, x.shape[2:], kernel_taps(ctx, w))
    kh, kw = w.shape[2:]
    kind = dtypes.compute_of(x.dtype).name
    per_group, per_part = index.ix(w.shape[0]) // group, index.ix(x.shape[1]) // parts

    def term(o: list[Ix], r: list[Ix]) -> E:
        n, oc, at = o[0], o[1], o[2:]
        channel = (oc // per_group) * w.shape[1] + r[0]
        tap = (channel // per_part) * (index.ix(kh) * kw) + r[1] * kw + r[2]
        lines = []
        for a in range(2):
            moved = _real(axes[a].at(at[a], r[1 + a]), kind) + offset[n, tap * 2 + a, at[0], at[1]]
            lines.append(_line(moved, x.shape[2 + a], 2, "zeros", False, kind))
        value = _product(x, (n, channel), lines, [], kind)
        value = value if mask is None else value * mask[n, tap, at[0], at[1]]
        return value * w[oc, r[0], r[1], r[2]]

    shape = (x.shape[0], w.shape[0], axes[0].out, axes[1].out)
    core = reduce_("sum", shape, [w.shape[1], kh, kw], term, x.dtype if bias is None else dtypes.of(kind))
    return with_bias(core, bias, x.dtype)
