# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Resize: every mode, any rank, axis by axis.

With extents known at compile time an axis becomes either an exact integer map ``(i*p + r) // q`` (nearest, found by
search and proved over the whole axis) or two small constant tables, the taps read and their weights, computed here in
float64. With open extents, or scales and regions that are data, the same tables are computed when the library runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import ceil, floor

import numpy as np

from aotgen.core import dtypes
from aotgen.core.errors import ModelError
from aotgen.ir import expr, index
from aotgen.ir.define import Def, compute, reduce_
from aotgen.ir.expr import E
from aotgen.ir.graph import Node, Value
from aotgen.ir.index import Dim, Ix
from aotgen.ops.builder import Builder
from aotgen.ops.extents import integer, integers, of_length, picked
from aotgen.ops.registry import INTERNAL, Ctx, expansion, lowering, settles
from aotgen.ops.resampling import TAPS, Array, Axis, Modes, ratio, weight_type
from aotgen.ops.shorthand import Sub


def integer_map(table: Array, size: int) -> tuple[int, int, int] | None:
    """``(p, r, q)`` with ``(i*p + r) // q == table[i]`` for every i, or None. q is at most twice the output extent."""
    n = len(table)
    if not n:
        return 1, 0, 1
    for q, p in ((n, size), (2 * n, 2 * size)):
        fraction = Fraction(p, q)
        p, q = (fraction.numerator, fraction.denominator) if q == n else (2 * fraction.numerator, 2 * fraction.denominator)
        i = np.arange(n)
        low = int(np.max(table * q - i * p))
        high = int(np.min((table + 1) * q - i * p)) - 1
        if low <= high:
            return p, max(low, min(0, high)), q
    return None


# -- the node


@expansion("Resize")
def resize(ctx: Ctx, builder: Builder, x: Value, roi: Value | None = None, scales: Value | None = None,
           sizes: Value | None = None, taps: Value | None = None) -> Value:
    """As ONNX has it; and as ``settle_resize`` leaves it: ``scales`` may stand beside ``sizes`` then."""
    m, s, axes = Modes.of(ctx), Sub(ctx, builder), axes_of(ctx, len(x.shape))
    outs = extents_of(ctx, x, axes, m)
    assert outs is not None
    known = known_axes(ctx, x, axes, outs, m)
    if known is not None:
        return _resampled(s, x, known, m)
    attrs = {**ctx.node.attrs, "axes": axes}
    operands = [scales, roi if m.crops else None, taps if m.spreads else None]
    return s("ResizeOpen", x, s.ints(outs), *operands, domain=INTERNAL, **attrs)  # type: ignore[no-any-return]


def _resampled(s: Sub, x: Value, axes: Sequence[Axis], m: Modes) -> Value:
    kind = weight_type(x.dtype)
    plans: list[int] = []  # per axis: axis, out, p, r, q, taps, masked (p = 0: from tables)
    tables: list[Value] = []
    for a in axes:
        masked = m.crops and a.roi != (0.0, 1.0)
        if a.scale == 1.0 and a.out == a.size and not masked:
            continue
        p, r, q, taps = 0, 0, 1, 1
        if m.mode == "nearest":
            at = a.nearest(m)
            found = integer_map(at, a.size)
            if found is not None:
                p, r, q = found
            else:
                tables.append(s.builder.constant(at.astype(np.int32).reshape(-1, 1), "resize_taps"))
        else:
            at, w = a.tables(m)
            taps = at.shape[1]
            tables += [s.builder.constant(at, "resize_taps"), s.builder.constant(w.astype(kind.numpy), "resize_weights")]
        if masked:
            tables.append(s.builder.constant(a.outside(m), "resize_outside"))
        plans += [a.axis, a.out, p, r, q, taps, int(masked)]
    if not plans:
        return s("Identity", x)  # type: ignore[no-any-return]
    return s("Resample", x, *tables, domain=INTERNAL, plans=plans, weighted=int(m.mode != "nearest"),  # type: ignore
             extrapolation=m.extrapolation)


# -- what is known of the operands


def axes_of(ctx: Ctx, rank: int) -> list[int]:
    """The axes that scales, sizes and regions are given for."""
    return [ctx.axis_of(a, rank) for a in ctx.attr_ints("axes")] if ctx.has("axes") else list(range(rank))


def known_spans(ctx: Ctx, count: int, m: Modes) -> list[tuple[float, float]] | None:
    """Where the region of interest starts and ends on each axis; None where that is data."""
    if not m.crops:
        return [(0.0, 1.0)] * count
    if not ctx.given(1):
        raise ModelError("Resize with tf_crop_and_resize takes a region of interest")
    roi = ctx.const(1)
    if roi is None:
        return None
    if roi.size != 2 * count:
        raise ModelError(f"a region of interest of {roi.size} numbers for {count} axes")
    values = [float(v) for v in roi.ravel()]
    return list(zip(values[:count], values[count:], strict=True))


def known_scales(ctx: Ctx, count: int) -> list[float] | None:
    """The scales given; None where they are data or none are given."""
    scales = ctx.const(2)
    if scales is None:
        return None
    factors = [float(np.float32(v)) for v in scales.ravel()]
    if len(factors) != count or min(factors, default=1.0) <= 0:
        raise ModelError(f"Resize scales {factors} for {count} axes")
    return factors


def extents_of(ctx: Ctx, x: Value, axes: Sequence[int], m: Modes) -> list[Dim] | None:
    """The extents of ``axes`` in the result; None where they follow from data, or from open dims in a way that is no
    polynomial."""
    if ctx.given(3):
        if not ctx.is_const(3):
            return None
        sizes = ctx.values(3, "sizes")
        if len(sizes) != len(axes):
            raise ModelError(f"Resize sizes {sizes} for axes {list(axes)}")
        scale = _kept_aspect(ctx, x, axes, sizes)
        if scale is None:
            return list(sizes) if policy_of(ctx) == "stretch" else None
        return [floor(scale * x.shape[a] + Fraction(1, 2)) for a in axes]  # type: ignore[operator]
    if not ctx.given(2):
        raise ModelError("Resize with neither scales nor sizes")
    spans, scales = known_spans(ctx, len(axes), m), known_scales(ctx, len(axes))
    if spans is None or scales is None:
        return None
    outs = [_scaled(x.shape[a], f, end - start) for a, f, (start, end) in zip(axes, scales, spans, strict=True)]
    return None if None in outs else outs  # type: ignore[return-value]


def policy_of(ctx: Ctx) -> str:
    """``keep_aspect_ratio_policy``: stretch, not_larger or not_smaller."""
    policy = ctx.attr_str("keep_aspect_ratio_policy", "stretch")
    if policy not in ("stretch", *POLICIES):
        raise ModelError(f"unknown keep_aspect_ratio_policy '{policy}'")
    return policy


POLICIES = {"not_larger": "min", "not_smaller": "max"}  # which of the axes' scales is taken for all


def _kept_aspect(ctx: Ctx, x: Value, axes: Sequence[int], sizes: Sequence[Dim]) -> Fraction | None:
    """The one scale of all axes, where the policy asks for one and it is known."""
    pairs = [(s, x.shape[a]) for s, a in zip(sizes, axes, strict=True)]
    if policy_of(ctx) == "stretch" or not all(isinstance(s, int) and isinstance(d, int) and d for s, d in pairs):
        return None
    pick = min if policy_of(ctx) == "not_larger" else max
    return pick(Fraction(s, d) for s, d in pairs)  # type: ignore[arg-type]


def _scaled(size: Dim, factor: float, span: float) -> Dim | None:
    """floor(size * span * factor); None where that is no polynomial."""
    if isinstance(size, int):
        return int(np.float32(size) * np.float32(span) * np.float32(factor))
    exact = Fraction(factor)
    if span != 1.0 or exact.denominator > 1 << 12:
        return None
    return index.as_dim(index.ix(size) * exact.numerator // exact.denominator)


def known_axes(ctx: Ctx, x: Value, axes: Sequence[int], outs: Sequence[Dim], m: Modes) -> list[Axis] | None:
    """Every axis that changes, with its numbers; None where one of them is not known."""
    spans, given = known_spans(ctx, len(axes), m), known_scales(ctx, len(axes))
    if spans is None or (ctx.given(2) and given is None):
        return None
    rows = [(a, x.shape[a], o, None if given is None else given[k], spans[k]) for k, (a, o) in enumerate(zip(axes, outs, strict=True))]
    if policy_of(ctx) == "stretch":  # else all axes have a say in the scale of each
        rows = [(a, d, o, f, span) for a, d, o, f, span in rows
                if index.as_dim(d) != index.as_dim(o) or f not in (None, 1.0) or span != (0.0, 1.0)]  # fmt: skip
    if not all(isinstance(d, int) and isinstance(o, int) for _, d, o, _, _ in rows):
        return None
    if given is None and any(d == 0 and o != 0 for _, d, o, _, _ in rows):
        raise ModelError(f"Resize of {[d for _, d, *_ in rows]} to {[o for _, _, o, *_ in rows]}: there is nothing to read")
    scale = _kept_aspect(ctx, x, axes, ctx.values(3, "sizes")) if given is None else None

    def factor(d: int, o: int) -> float:
        return 1.0 if o == d == 0 else float(np.float32(float(Fraction(o, d) if scale is None else scale)))

    return [Axis(a, d, o, factor(d, o) if f is None else f, span) for a, d, o, f, span in rows]  # type: ignore[arg-type]


# -- what the run computes


@settles("Resize")
def settle_resize(builder: Builder, node: Node) -> Node:
    """Extents that follow from data become dims, given as ``sizes``; ``scales`` stay beside them where they are needed. So
    does the number of taps, where it depends on a scale that nobody knows."""
    ctx, x = builder.ctx(node), node.inputs[0]
    assert x is not None
    m, axes = Modes.of(ctx), axes_of(ctx, len(x.shape))
    outs = extents_of(ctx, x, axes, m)
    if outs is not None and (known_axes(ctx, x, axes, outs, m) is not None or not (m.spreads or _has_data(ctx, m))):
        return node
    wanted = [None, 2 * len(axes), len(axes), len(axes)]
    roi, scales, sizes = (None if k >= len(node.inputs) or (v := node.inputs[k]) is None or (k == 1 and not m.crops)
                          else of_length(builder, v, wanted[k]) for k in (1, 2, 3))  # type: ignore[arg-type]
    attrs = {**node.attrs, "axes": axes}
    if outs is not None:
        known = integers(builder, outs)
    else:
        found = integer(builder, "ResizeExtents", [x, roi, scales, sizes], **attrs)
        known = builder.extents(found, f"resize_{x.name}", 0, _most(ctx, x, axes, m))
    if scales is None and policy_of(ctx) != "stretch":
        (scales,) = builder.node("AspectScales", [x, sizes], attrs, domain=INTERNAL)
    operands: list[Value | None] = [x, roi, scales, known]
    if m.spreads:
        count = integer(builder, "ResizeTaps", [x, known, scales], axes=axes, mode=m.mode)
        operands.append(builder.extents(count, f"resize_taps_{x.name}"))
    return Node("Resize", tuple(operands), node.outputs, {**attrs, "keep_aspect_ratio_policy": "stretch"}, origin=node.origin)


def _has_data(ctx: Ctx, m: Modes) -> bool:
    return any(ctx.given(k) and not ctx.is_const(k) for k in (1, 2, 3) if k != 1 or m.crops)


def _most(ctx: Ctx, x: Value, axes: Sequence[int], m: Modes) -> list[Dim | None]:
    """The largest the extents can be, None where nothing bounds them."""
    spans, scales = known_spans(ctx, len(axes), m), known_scales(ctx, len(axes))
    if policy_of(ctx) == "not_larger" and ctx.is_const(3):
        return list(ctx.values(3, "sizes"))
    if spans is None or scales is None:
        return [None] * len(axes)
    return [index.as_dim(index.ix(x.shape[a]) * ceil(f * max(end - start, 0.0)))
            for a, f, (start, end) in zip(axes, scales, spans, strict=True)]


def _chosen(values: Sequence[E], k: Ix) -> E:
    """``values[k]``, evaluated alone."""
    out = values[-1]
    for n in range(len(values) - 2, -1, -1):
        out = expr.guard(expr.ix_value(k).eq(n), values[n], out)
    return out


@lowering("ResizeExtents", domain=INTERNAL)
def resize_extents(ctx: Ctx, x: Def, roi: Def | None = None, scales: Def | None = None, sizes: Def | None = None) -> Def:
    """i64[axes]: floor(extent * span * scale) in f32, or the sizes asked for, or what is nearest to them at one scale."""
    extents, policy = [x.shape[a] for a in ctx.attr_ints("axes")], policy_of(ctx)
    n = len(extents)
    if sizes is not None:
        if policy == "stretch":
            return compute((n,), lambda k: expr.cast(sizes[k], "i64"), dtypes.i64)
        return reduce_(POLICIES[policy], (n,), [n], lambda o, r: _rounded(sizes, extents, o[0], r[0]), dtypes.i64)
    assert scales is not None

    def f(k: Ix) -> E:
        size = expr.cast(picked(extents, k), "f32")
        size = size if roi is None else size * (roi[k + n] - roi[k])
        return expr.cast(size * scales[k], "i64")

    return compute((n,), f, dtypes.i64)


def _rounded(sizes: Def, extents: Sequence[Dim], o: Ix, r: Ix) -> E:
    """Extent ``o`` at the scale of axis ``r``, rounded half up. Rounding keeps the order, so the least scale gives the least."""
    own, other = picked(extents, o), expr.fn("max", picked(extents, r), expr.const(1, "i64"))
    return expr.fn("div", expr.cast(sizes[r], "i64") * own * 2 + other, other * 2)


@lowering("AspectScales", domain=INTERNAL)
def aspect_scales(ctx: Ctx, x: Def, sizes: Def) -> Def:
    """f32[axes]: the least or the largest of what the sizes asked for are to the extents, for every axis."""
    extents = [x.shape[a] for a in ctx.attr_ints("axes")]

    def f(o: list[Ix], r: list[Ix]) -> E:
        return expr.cast(sizes[r[0]], "f32") / expr.cast(picked(extents, r[0]), "f32")

    return reduce_(POLICIES[policy_of(ctx)], (len(extents),), [len(extents)], f, dtypes.f32)


@lowering("ResizeTaps", domain=INTERNAL)
def resize_taps(ctx: Ctx, x: Def, sizes: Def, scales: Def | None = None) -> Def:
    """i64[axes]: how many taps cover what an output element covers; none where there are no elements."""
    axes, outs = ctx.attr_ints("axes"), ctx.values(1, "sizes")
    half = TAPS[ctx.attr_str("mode")] / 2

    def one(k: int) -> E:
        scale = scales[k] if scales is not None else ratio(outs[k], x.shape[axes[k]], "f32")
        reach = expr.fn("ceil", half / expr.fn("min", expr.cast(scale, "f64"), expr.const(1, "f64")))
        return expr.guard(expr.ge0(index.ix(outs[k]) - 1), expr.cast(reach, "i64") * 2, expr.const(0, "i64"))

    return compute((len(axes),), lambda k: _chosen([one(n) for n in range(len(axes))], k), dtypes.i64)
