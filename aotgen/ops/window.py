# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Sliding windows over the spatial axes of ``[N, C, ...]`` tensors: what convolutions and pools have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aotgen.core.errors import ModelError
from aotgen.ir import expr, facts, index
from aotgen.ir.expr import E
from aotgen.ir.index import Dim, Ix
from aotgen.ops.registry import Ctx


@dataclass(frozen=True, slots=True)
class Window:
    """One spatial axis: output ``o`` and tap ``k`` read input ``o*stride + k*dilation - before``."""

    extent: Dim
    taps: Dim
    stride: int
    dilation: int
    before: Dim
    after: Dim
    out: Dim

    def at(self, o: Ix, k: Ix) -> Ix:
        return o * self.stride + k * self.dilation - self.before

    def inside(self, o: Ix, k: Ix) -> E:
        """Is the element read a real one (not padding)?"""
        return expr.between(0, self.at(o, k), self.extent)

    def count(self, o: Ix, padded: bool) -> E:
        """i32: how many taps read real elements, or (``padded``) elements of the padded extent."""
        start = o * self.stride - self.before
        end = index.ix(self.extent) + (self.after if padded else 0)
        last = expr.fn(
            "min",
            expr.ix_value(self.taps, "i32"),
            expr.ix_value((end - start + (self.dilation - 1)) // self.dilation, "i32"),
        )
        if padded:
            return last
        first = expr.fn(
            "max", expr.const(0, "i32"), expr.ix_value((self.dilation - 1 - start) // self.dilation, "i32")
        )
        return last - first


def span(taps: Dim, dilation: int) -> Dim:
    """Input elements from the first tap to the last, both included."""
    return (taps - 1) * dilation + 1


def per_axis(ctx: Ctx, name: str, count: int, default: int) -> list[int]:
    """An attribute with one number a spatial axis."""
    values = ctx.attr_ints(name) if ctx.has(name) else [default] * count
    if len(values) != count:
        raise ModelError(f"attribute '{name}' has {len(values)} values for {count} spatial axes")
    if name in ("strides", "dilations", "kernel_shape") and min(values, default=1) < 1:
        raise ModelError(f"attribute '{name}' must be positive, got {values}")
    return values


def windows(ctx: Ctx, spatial: Sequence[Dim], taps: Sequence[Dim]) -> list[Window]:
    """The windows of a convolution or pool node: strides, dilations, pads or auto_pad, ceil_mode."""
    n = len(spatial)
    strides, dilations = per_axis(ctx, "strides", n, 1), per_axis(ctx, "dilations", n, 1)
    mode = ctx.attr_str("auto_pad", "NOTSET")
    pads = ctx.attr_ints("pads", [0] * (2 * n)) if mode in ("NOTSET", "") else [0] * (2 * n)
    if len(pads) != 2 * n:
        raise ModelError(f"attribute 'pads' has {len(pads)} values for {n} spatial axes")
    ceil = bool(ctx.attr_int("ceil_mode", 0))
    return [
        _window(ctx, d, k, s, t, (pads[a], pads[n + a]), mode, ceil)
        for a, (d, k, s, t) in enumerate(zip(spatial, taps, strides, dilations, strict=True))
    ]


def _window(
    ctx: Ctx, extent: Dim, taps: Dim, stride: int, dilation: int, pads: tuple[int, int], mode: str, ceil: bool
) -> Window:
    size, reach = index.ix(extent), index.ix(span(taps, dilation))
    before, after = index.ix(pads[0]), index.ix(pads[1])
    if mode in ("SAME_UPPER", "SAME_LOWER"):
        out = (size + stride - 1) // stride
        need = _same_padding(ctx, out, stride, reach, size)
        small = need // 2
        before, after = (small, need - small) if mode == "SAME_UPPER" else (need - small, small)
    elif ceil:
        # The last window must start inside the input or its leading padding.
        room = before + after + size - reach
        out = (room + stride - 1) // stride + 1
        if index.nonneg(pads[1] - reach + stride):
            out = (size + before + stride - 1) // stride
    else:
        out = (before + after + size - reach) // stride + 1
    if mode not in ("SAME_UPPER", "SAME_LOWER"):
        facts.assume_nonneg(before + after + size - reach)  # the window fits
    if (c := out.const()) is not None and c < 0:
        raise ModelError(f"a window of {reach} elements does not fit into {extent} with pads {pads}")
    return Window(
        index.as_dim(size),
        taps,
        stride,
        dilation,
        index.as_dim(before),
        index.as_dim(after),
        index.as_dim(out),
    )


def _same_padding(ctx: Ctx, out: Ix, stride: int, reach: Ix, size: Ix) -> Ix:
    """Total padding of SAME: what the last window lacks, at least 0."""
    need = (out - 1) * stride + reach - size
    if index.nonneg(reach - stride) or index.nonneg(need):
        return need
    if (c := need.const()) is not None:
        return index.ix(max(c, 0))
    raise ctx.refuse(
        f"auto_pad SAME with a stride beyond the window on the open extent {size}",
        "give explicit pads, or fix the extent with --dim",
    )


def inside_all(axes: Sequence[Window], o: Sequence[Ix], k: Sequence[Ix]) -> E:
    return expr.all_([w.inside(oo, kk) for w, oo, kk in zip(axes, o, k, strict=True)])


def reads(axes: Sequence[Window], o: Sequence[Ix], k: Sequence[Ix]) -> list[Ix]:
    return [w.at(oo, kk) for w, oo, kk in zip(axes, o, k, strict=True)]
