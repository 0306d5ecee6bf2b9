# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The convolution rules: float32 Conv (1-D and 2-D) to ``kernels/cpu/conv.h`` or ``depthwise.h`` (channels repeated where they have
several filters, groups filled up where they are no whole blocks); ConvTranspose as a
stride-1 Conv over rearranged weights whose output is interleaved by a view."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from aotgen.core import dtypes
from aotgen.ir import define, expr, index
from aotgen.ir.define import Def
from aotgen.ir.index import Dim, Ix, ix
from aotgen.ir.program import BLOCK, Parts, Tensor, packed
from aotgen.ops.convolution import transposed_extents
from aotgen.ops.registry import Ctx
from aotgen.ops.window import Window, span, windows
from aotgen.targets.anchors import (
    Candidate,
    Decline,
    DescRows,
    Exact,
    Halo,
    KernelSpec,
    Spatial,
    lane_split,
    likely,
    point,
    size_hint,
    whole,
)
from aotgen.targets.cpu import tiles
from aotgen.targets.cpu.gemm import NS_PER_FLOP


@dataclass(frozen=True, slots=True)
class Geometry:
    """A convolution over one or two spatial axes, all as (h, w) pairs; 1-D has h = 1."""

    rank: int
    n: Dim
    groups: int
    ic: int  # per group
    oc: int  # in all
    out: tuple[Dim, Dim]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    dilation: tuple[int, int]
    halo: Halo

    @property
    def flops(self) -> Dim:
        return index.as_dim(
            ix(2) * self.n * self.oc * self.out[0] * self.out[1] * self.kernel[0] * self.kernel[1] * self.ic
        )


def conv(ctx: Ctx, inputs: Sequence[Def | None], plain: Sequence[Def | None]) -> Candidate | Decline:
    """Conv: depthwise where groups = channels, else direct blocked convolution."""
    x, w, out = inputs[0], inputs[1], plain[0]
    bias = inputs[2] if len(inputs) > 2 else None
    assert x is not None and w is not None and out is not None
    if x.dtype is not dtypes.f32:
        return Decline(f"conv kernels are float32, this is {x.dtype}")
    if x.rank not in (3, 4):
        return Decline(f"conv kernels are 1-D and 2-D, this is {x.rank - 2}-D")
    if not all(isinstance(d, int) for d in w.shape) or 0 in (x.size, w.size, out.size):
        return Decline("the weights have open or empty extents")
    geo = _geometry(ctx, x, w, out)
    if isinstance(geo, Decline):
        return geo

    def result(acc: Def) -> tuple[Def, ...]:
        return (acc if bias is None else define.compute(acc.shape, lambda *i: acc[i] + bias[i[1]]),)

    each = geo.oc // geo.groups
    if geo.groups > 1 and geo.ic > 1 and each % BLOCK and each >= BLOCK // 2:  # at most twice the work
        return _padded(geo, x, w, tuple(out.shape), bias)
    return _candidate(geo, x, w, tuple(out.shape), result)


def _padded(geo: Geometry, x: Def, w: Def, shape: tuple[Dim, ...], bias: Def | None) -> Candidate | Decline:
    """Groups filled up to whole blocks of output channels by filters of zeros, whose results nobody reads."""
    each = geo.oc // geo.groups
    room = -(-each // BLOCK) * BLOCK
    wide = replace(geo, oc=geo.groups * room)

    def filter_(c: Ix, *at: Ix) -> expr.E:
        inside = expr.ge0(each - 1 - c % room)
        return expr.guard(inside, w[(c // room * each + c % room, *at)], expr.const(0.0, "f32"))

    filters = define.compute((wide.oc, *w.shape[1:]), filter_, w.dtype, f"{w.name}_padded")

    def result(acc: Def) -> tuple[Def, ...]:
        def picked(n: Ix, c: Ix, *at: Ix) -> expr.E:
            value = acc[(n, c // each * room + c % each, *at)]
            return value if bias is None else value + bias[c]

        return (define.compute(shape, picked),)

    return _candidate(wide, x, filters, (shape[0], wide.oc, *shape[2:]), result)


def _geometry(ctx: Ctx, x: Def, w: Def, out: Def) -> Geometry | Decline:
    spatial = x.rank - 2
    groups = ctx.attr_int("group", 1)
    kernel = [int(d) for d in w.shape[2:]]  # type: ignore[arg-type]
    stride = ctx.attr_ints("strides", [1] * spatial)
    dilation = ctx.attr_ints("dilations", [1] * spatial)
    halo = [(0, 0), (0, 0)]
    for window in windows(ctx, x.shape[2:], kernel):
        border = _border(window)
        if isinstance(border, Decline):
            return border
        halo.append(border)
    return Geometry(
        spatial,
        x.shape[0],
        groups,
        int(w.shape[1]),  # type: ignore[arg-type]
        int(w.shape[0]),  # type: ignore[arg-type]
        (out.shape[2] if spatial == 2 else 1, out.shape[-1]),
        _pair(kernel),
        _pair(stride),
        _pair(dilation),
        tuple(halo),
    )


def _pair(values: Sequence[int]) -> tuple[int, int]:
    """One or two spatial values as (h, w); 1-D has h = 1."""
    return (values[0] if len(values) == 2 else 1, values[-1])


def _border(w: Window) -> tuple[int, int] | Decline:
    """Elements before the first and at most so many after the last that some window reads."""
    reach = int(span(w.taps, w.dilation))  # type: ignore[arg-type]
    before = ix(w.before).const()
    if before is None:
        return Decline("auto_pad over an open dim")
    if before < 0:
        return Decline("negative padding")
    beyond = ((ix(w.out) - 1) * w.stride + reach - w.before - w.extent).const()
    if beyond is None:  # the last window ends within the padding, and what auto_pad adds is less than a window
        after = ix(w.after).const()
        beyond = after if after is not None else reach - 1 - before
    return before, max(0, beyond)


def _candidate(geo: Geometry, x: Def, w: Def, shape: tuple[Dim, ...], result: object) -> Candidate | Decline:
    depthwise = geo.ic == 1 and geo.groups > 1
    if depthwise:
        x, geo = _repeated(x, geo.oc // geo.groups), replace(geo, groups=geo.oc)
        spec = _depthwise_spec(geo, w)
    else:
        per_group = geo.oc // geo.groups
        blocked = geo.ic * geo.groups >= BLOCK // 2 and (geo.groups == 1 or geo.ic % BLOCK == 0)
        if geo.groups > 1 and per_group % BLOCK:
            return Decline(f"{per_group} output channels a group fill less than half a block of {BLOCK}")
        spec = _direct_spec(geo, w, blocked)
    cost = size_hint(geo.flops) * NS_PER_FLOP * (3.0 if depthwise else 1.0)
    return Candidate(spec, (x, w), shape, result, cost)  # type: ignore[arg-type]


def _repeated(x: Def, times: int) -> Def:
    """Each channel ``times`` times: then every filter of a depthwise convolution has a channel of its own."""
    if times == 1:
        return x
    shape = (x.shape[0], index.as_dim(ix(x.shape[1]) * times), *x.shape[2:])
    return define.compute(shape, lambda n, c, *at: x[(n, c // times, *at)], x.dtype, f"{x.name}_repeated")


def _direct_spec(geo: Geometry, w: Def, blocked: bool) -> KernelSpec:
    weights = packed(w.shape, (0, *range(2, w.rank), 1), block_axis=0)

    def desc(t: Sequence[Tensor]) -> DescRows:
        return (
            *_common(geo),
            ("G", geo.groups),
            ("IC", geo.ic),
            ("OC", geo.oc // geo.groups),
            *_input_rows(geo, t[0]),
            ("wP", t[1].layout.strides[0]),
        )

    return KernelSpec(
        "conv",
        "conv.h",
        (Spatial(geo.halo, blocked), Exact(weights)),
        desc,
        lambda: _axes(geo),
        tiles.choose(likely(geo.out[1]), geo.oc // geo.groups),
        lane_axis=1,
        flops=geo.flops,
        parts=lambda axes, t: _images(geo, axes, t[0]),
    )


def _depthwise_spec(geo: Geometry, w: Def) -> KernelSpec:
    weights = packed(w.shape, (0, *range(1, w.rank)), block_axis=0)

    def desc(t: Sequence[Tensor]) -> DescRows:
        rows = dict(_input_rows(geo, t[0]))
        return (*_common(geo), ("C", geo.oc), *((k, rows[k]) for k in ("xN", "xCB", "xH", "xW")))

    return KernelSpec(
        "depthwise",
        "depthwise.h",
        (Spatial(geo.halo, True), Exact(weights)),
        desc,
        lambda: _axes(geo),
        tiles.depthwise(geo.out, geo.stride),
        lane_axis=1,
        flops=geo.flops,
        parts=lambda axes, t: _planes(geo, axes, t[0]),
    )


def _images(geo: Geometry, axes: Sequence[index.Atom], x: Tensor) -> Parts:
    """A point is an image: it reads all of its channels."""
    return Parts((axes[0],), ((point(axes[0]), whole(x, 1), *_plane(geo, x)), None), axes[1], geo.oc)


def _planes(geo: Geometry, axes: Sequence[index.Atom], x: Tensor) -> Parts:
    """A point is a block of channels of an image: it reads the same block."""
    channel = point(axes[1]) * BLOCK + index.var(axes[-1])
    return Parts((axes[0], axes[1]), ((point(axes[0]), channel, *_plane(geo, x)), None), axes[1], geo.oc)


def _plane(geo: Geometry, x: Tensor) -> list[Ix]:
    """Any pixel of an image and its border, counted from the border's corner."""
    return [whole(x, axis, geo.halo[axis]) for axis in range(2, len(x.shape))]


def _common(geo: Geometry) -> DescRows:
    pairs = (("O", geo.out), ("K", geo.kernel), ("S", geo.stride), ("D", geo.dilation))
    return (("N", geo.n), *((f"{p}{a}", v[i]) for p, v in pairs for i, a in enumerate("HW")))


def _input_rows(geo: Geometry, x: Tensor) -> DescRows:
    """Input strides: between batches, channel blocks, channels of a block, rows and columns; and the block size."""
    s, lay = x.layout.strides, x.layout
    blocked = lay.block_axis == 1
    return (
        ("xN", s[0]),
        ("xCB", s[1] if blocked else index.as_dim(ix(s[1]) * geo.ic * geo.groups)),
        ("xC", 1 if blocked else s[1]),
        ("IB", BLOCK if blocked else geo.ic * geo.groups),
        ("xH", s[2] if geo.rank == 2 else 0),
        ("xW", s[-1]),
    )


def _axes(geo: Geometry) -> tuple[tuple[index.Atom, ...], tuple[Ix, ...]]:
    n, h, w = (index.fresh_var(ix(e), s) for e, s in ((geo.n, "n"), (geo.out[0], "h"), (geo.out[1], "w")))
    cb, lane, channel = lane_split(geo.oc)
    spatial = (point(h), point(w)) if geo.rank == 2 else (point(w),)
    return (n, cb, h, w, lane), (point(n), channel, *spatial)


def conv_transpose(
    ctx: Ctx, inputs: Sequence[Def | None], plain: Sequence[Def | None]
) -> Candidate | Decline:
    """``y[oc, o] = sum_t x[j - t] w'[(r, oc), t]`` with ``o + pad = s*j + r``: one stride-1 Conv to ``s`` times as many
    channels (zero-padded taps where the stride does not divide the kernel), then an interleaving view."""
    x, w, out = inputs[0], inputs[1], plain[0]
    bias = inputs[2] if len(inputs) > 2 else None
    assert x is not None and w is not None and out is not None
    spatial = x.rank - 2
    if x.dtype is not dtypes.f32 or spatial not in (1, 2):
        return Decline("conv kernels are float32, 1-D and 2-D")
    if ctx.attr_int("group", 1) != 1 or any(d != 1 for d in ctx.attr_ints("dilations", [1] * spatial)):
        return Decline("transposed convolution kernels take one group and no dilation")
    if not all(isinstance(d, int) for d in (*w.shape, *x.shape[2:])) or 0 in (x.size, w.size, out.size):
        return Decline("the weights or the image have open or empty extents")
    stride = ctx.attr_ints("strides", [1] * spatial)
    kernel = [int(d) for d in w.shape[2:]]  # type: ignore[arg-type]
    before, _ = transposed_extents(ctx, x.shape[2:], kernel, stride, [1] * spatial)
    pads = [int(p) for p in before]  # type: ignore[arg-type]
    return _transposed(x, w, bias, out, kernel, stride, pads)


def _transposed(
    x: Def, w: Def, bias: Def | None, out: Def, kernel: list[int], stride: list[int], pads: list[int]
) -> Candidate | Decline:
    spatial, oc, ic = x.rank - 2, int(w.shape[1]), int(w.shape[0])  # type: ignore[arg-type]
    taps = [-(-k // s) for k, s in zip(kernel, stride, strict=True)]
    phases = 1
    for s in stride:
        phases *= s
    w2 = _phase_weights(w, kernel, stride, taps, phases, oc, ic)
    # Enough steps j for every output o = s*j + r - pad (output_padding included).
    steps = [-(-(int(o) + p) // s) for o, p, s in zip(out.shape[2:], pads, stride, strict=True)]  # type: ignore[arg-type]
    halo = tuple((t - 1, max(0, n - int(d))) for t, n, d in zip(taps, steps, x.shape[2:], strict=True))  # type: ignore
    geo = Geometry(
        spatial,
        x.shape[0],
        1,
        ic,
        phases * oc,
        (steps[0] if spatial == 2 else 1, steps[-1]),
        _pair(taps),
        (1, 1),
        (1, 1),
        ((0, 0), (0, 0), *halo),
    )

    def result(acc: Def) -> tuple[Def, ...]:
        def at(*i: Ix) -> expr.E:
            channel, place = ix(0), []
            for o, p, s in zip(i[2:], pads, stride, strict=True):
                channel = channel * s + (o + p) % s
                place.append((o + p) // s)
            value = acc[tuple([i[0], channel * oc + i[1], *place])]
            return value if bias is None else value + bias[i[1]]

        return (define.compute(out.shape, at, out.dtype),)

    return _candidate(geo, x, w2, (x.shape[0], phases * oc, *steps), result)


def _phase_weights(
    w: Def, kernel: list[int], stride: list[int], taps: list[int], phases: int, oc: int, ic: int
) -> Def:
    """``w'[(r, oc), ic, t] = w[ic, oc, (T-1-t)*s + r]``, 0 beyond the kernel."""

    def at(c: Ix, i: Ix, *t: Ix) -> expr.E:
        phase, where, inside = c // oc, [], []
        for k, s, n, tap in reversed(list(zip(kernel, stride, taps, t, strict=True))):
            phase, r = (phase // s, phase % s)
            q = (n - 1 - tap) * s + r
            where.append(q)
            inside.append(expr.ge0(k - 1 - q))
        value = w[tuple([i, c % oc, *reversed(where)])]
        return expr.guard(expr.all_(inside), value, expr.const(0.0, "f32"))

    return define.compute((phases * oc, ic, *taps), at, w.dtype)
