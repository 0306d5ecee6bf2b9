# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Convolutions of any rank: Conv, ConvTranspose, ConvInteger, QLinearConv and Col2Im.

Each is one ``sum`` Def over input channels and taps, guarded where a tap falls on padding; a bias is a second Def.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from aotgen.core import dtypes
from aotgen.core.dtypes import DType
from aotgen.core.errors import ModelError
from aotgen.ir import expr, index
from aotgen.ir.define import Def, compute, reduce_
from aotgen.ir.expr import E
from aotgen.ir.graph import Value
from aotgen.ir.index import Dim, Ix
from aotgen.ops.broadcast import along
from aotgen.ops.builder import Builder
from aotgen.ops.registry import Ctx, expansion, lowering
from aotgen.ops.shorthand import Sub, same_dim
from aotgen.ops.sized import sized
from aotgen.ops.window import inside_all, per_axis, reads, span, windows

Read = Callable[[tuple[Ix, ...]], E]


def kernel_taps(ctx: Ctx, w: Def) -> list[Dim]:
    """The spatial extents of a convolution's weights: those of ``kernel_shape`` where it is given, which open ones are then
    assumed to be."""
    taps = list(w.shape[2:])
    if ctx.has("kernel_shape"):
        wanted = ctx.attr_ints("kernel_shape")
        if len(wanted) != len(taps):
            raise ModelError(f"kernel_shape {wanted} but the weights have {taps}")
        taps = list(sized(w, {2 + k: d for k, d in enumerate(wanted)}, "weights of a convolution").shape[2:])
    return taps


def conv_def(ctx: Ctx, x: Def, w: Def, dtype: DType, read_x: Read, read_w: Read) -> Def:
    """The convolution sum. x: ``[N, C, ...]``, w: ``[M, C/group, ...]``, result ``[N, M, ...]``."""
    if x.rank != w.rank or x.rank < 3:
        raise ModelError(f"convolution of rank {x.rank} with weights of rank {w.rank}")
    group = ctx.attr_int("group", 1)
    axes = windows(ctx, x.shape[2:], kernel_taps(ctx, w))
    depth = same_dim(
        w.shape[1], index.as_dim(index.ix(x.shape[1]) // group), "input channels of a convolution"
    )
    per_group = index.ix(w.shape[0]) // group
    n = len(axes)

    def term(o: list[Ix], r: list[Ix]) -> E:
        channel = r[0] if group == 1 else (o[1] // per_group) * depth + r[0]
        k = r[1:]
        value = read_x((o[0], channel, *reads(axes, o[2:], k))) * read_w((o[1], r[0], *k))
        return expr.guard(inside_all(axes, o[2:], k), value, expr.const(0, value.dtype))

    return reduce_(
        "sum",
        (x.shape[0], w.shape[0], *(a.out for a in axes)),
        [depth, *(a.taps for a in axes[:n])],
        term,
        dtype,
    )


def with_bias(core: Def, bias: Def | None, dtype: DType) -> Def:
    """``core`` plus a bias along axis 1."""
    if bias is None:
        return core
    same_dim(core.shape[1], bias.shape[0], "bias of a convolution")
    return compute(core.shape, lambda *i: core[i] + bias[i[1]], dtype)


@lowering("Conv")
def conv(ctx: Ctx, x: Def, w: Def, b: Def | None = None) -> Def:
    # With a bias the sum stays in the compute type: f16 rounds once.
    core = conv_def(
        ctx, x, w, x.dtype if b is None else dtypes.compute_of(x.dtype), lambda i: x[i], lambda i: w[i]
    )
    return with_bias(core, b, x.dtype)


@expansion("FusedConv", domain="com.microsoft")
def fused_conv(ctx: Ctx, builder: Builder, x: Value, w: Value, b: Value | None = None, z: Value | None = None) -> Value:
    """onnxruntime's Conv, plus ``z``, then an activation with its parameters."""
    sub = Sub(ctx, builder)
    attrs = {k: v for k, v in ctx.node.attrs.items() if k not in ("activation", "activation_params")}
    y: Value = sub("Conv", x, w, b, **attrs)
    y = y if z is None else sub("Add", y, z)
    return activated(ctx, sub, y)


def activated(ctx: Ctx, sub: Sub, y: Value) -> Value:
    """``y`` after the ``activation`` of a fused node of onnxruntime."""
    name = ctx.attr_str("activation", "")
    params = ctx.attr_floats("activation_params", [])
    keys = {"LeakyRelu": ["alpha"], "HardSigmoid": ["alpha", "beta"]}.get(name, [])
    if name == "Clip":
        return sub("Clip", y, *(sub.scalar(p, y.dtype) for p in params))  # type: ignore[no-any-return]
    if name not in ("", "Relu", "Tanh", "Sigmoid", "LeakyRelu", "HardSigmoid", "HardSwish"):
        raise ctx.refuse(f"a fused activation '{name}'")
    attrs: dict[str, Any] = dict(zip(keys, params, strict=False))
    return sub(name, y, **attrs) if name else y


@lowering("ConvInteger")
def conv_integer(ctx: Ctx, x: Def, w: Def, x_zero: Def | None = None, w_zero: Def | None = None) -> Def:
    """``conv(x - x_zero, w - w_zero)`` in i32; padding counts as ``x_zero``. w_zero: scalar or one an output channel."""

    def read_w(i: tuple[Ix, ...]) -> E:
        if w_zero is None:
            return w[i]
        return w[i] - (w_zero[along(w_zero.shape[0], i[0])] if w_zero.rank else w_zero[()])

    def read_x(i: tuple[Ix, ...]) -> E:
        return x[i] if x_zero is None else x[i] - x_zero[(index.ix(0),) * x_zero.rank]

    return conv_def(ctx, x, w, dtypes.i32, read_x, read_w)


@expansion("QLinearConv")
def qlinear_conv(
    ctx: Ctx,
    builder: Builder,
    x: Value,
    x_scale: Value,
    x_zero: Value,
    w: Value,
    w_scale: Value,
    w_zero: Value,
    y_scale: Value,
    y_zero: Value,
    bias: Value | None = None,
) -> Value:
    """ConvInteger, an i32 bias, then ``aotgen.Requantize``."""
    sub = Sub(ctx, builder)
    ones = [1] * (len(x.shape) - 2)

    def per_channel(v: Value) -> Value:
        return sub.reshape(v, [v.shape[0], *ones]) if len(v.shape) == 1 else v

    acc = sub("ConvInteger", x, w, x_zero, w_zero, **dict(ctx.node.attrs))
    if bias is not None:
        acc = sub("Add", acc, per_channel(bias))
    out: Value = sub(
        "Requantize",
        acc,
        per_channel(x_scale),
        per_channel(w_scale),
        per_channel(y_scale),
        per_channel(y_zero),
        domain="aotgen",
    )
    return out


@lowering("ConvTranspose")
def conv_transpose(ctx: Ctx, x: Def, w: Def, b: Def | None = None) -> Def:
    """x: ``[N, C, ...]``, w: ``[C, M/group, ...]``. An output gathers the inputs whose taps land on it: position
    ``(o + before - k*dilation) / stride`` where that divides."""
    if x.rank != w.rank or x.rank < 3:
        raise ModelError(f"convolution of rank {x.rank} with weights of rank {w.rank}")
    n, group = x.rank - 2, ctx.attr_int("group", 1)
    taps = kernel_taps(ctx, w)
    same_dim(x.shape[1], w.shape[0], "input channels of a transposed convolution")
    strides, dilations = per_axis(ctx, "strides", n, 1), per_axis(ctx, "dilations", n, 1)
    before, out = transposed_extents(ctx, x.shape[2:], taps, strides, dilations)
    depth, per_group = index.ix(x.shape[1]) // group, index.ix(w.shape[1])

    def term(o: list[Ix], r: list[Ix]) -> E:
        ic = r[0] if group == 1 else (o[1] // per_group) * depth + r[0]
        oc = o[1] if group == 1 else o[1] % per_group
        k, at, conditions = r[1:], [], []
        for a in range(n):
            place = o[2 + a] + before[a] - k[a] * dilations[a]
            conditions += [
                expr.ge0(-(place % strides[a])),
                expr.between(0, place // strides[a], x.shape[2 + a]),
            ]
            at.append(place // strides[a])
        at_x, at_w = (o[0], ic, *at), (ic, oc, *k)
        value = x[at_x] * w[at_w]
        return expr.guard(expr.all_(conditions), value, expr.const(0, value.dtype))

    dtype = x.dtype if b is None else dtypes.compute_of(x.dtype)
    core = reduce_("sum", (x.shape[0], per_group * group, *out), [index.as_dim(depth), *taps], term, dtype)
    return with_bias(core, b, x.dtype)


def transposed_extents(
    ctx: Ctx, spatial: Sequence[Dim], taps: Sequence[Dim], strides: Sequence[int], dilations: Sequence[int]
) -> tuple[list[Dim], list[Dim]]:
    """Leading crop and output extent of each axis, from pads, auto_pad, output_padding and output_shape."""
    n = len(spatial)
    extra = per_axis(ctx, "output_padding", n, 0)
    mode = ctx.attr_str("auto_pad", "NOTSET")
    pads = ctx.attr_ints("pads", [0] * (2 * n)) if mode in ("NOTSET", "") else [0] * (2 * n)
    wanted = ctx.attr_ints("output_shape")[-n:] if ctx.has("output_shape") else None
    before: list[Dim] = []
    out: list[Dim] = []
    for a, d in enumerate(spatial):
        full = (index.ix(d) - 1) * strides[a] + extra[a] + span(taps[a], dilations[a])
        if wanted is None and mode not in ("SAME_UPPER", "SAME_LOWER"):
            before.append(pads[a])
            out.append(index.as_dim(full - pads[a] - pads[n + a]))
            continue
        size = index.ix(wanted[a]) if wanted is not None else index.ix(d) * strides[a]
        total = full - size
        if (c := total.const()) is not None:
            total = index.ix(max(c, 0))
        before.append(index.as_dim(total // 2 if mode == "SAME_UPPER" else total - total // 2))
        out.append(index.as_dim(size))
    return before, out


@lowering("Col2Im")
def col2im(ctx: Ctx, x: Def, image_shape: Def, block_shape: Def) -> Def:
    """x: ``[N, C*taps, blocks]``; every image element is the sum of the block elements that land on it."""
    if x.dtype.kind == "s":
        raise ctx.refuse(f"Col2Im of {x.dtype}s, which have no sum")
    image, taps = ctx.values(1, "image_shape"), ctx.values(2, "block_shape")
    axes = windows(ctx, image, taps)
    channels = index.as_dim(index.ix(x.shape[1]) // index.prod_dims(taps))
    x = sized(x, {1: index.prod_dims([channels, *taps]), 2: index.prod_dims(w.out for w in axes)}, "columns")

    def term(o: list[Ix], k: list[Ix]) -> E:
        row, block, conditions = o[1], index.ix(0), []
        for w, i, kk in zip(axes, o[2:], k, strict=True):
            place = i + w.before - kk * w.dilation
            conditions += [expr.ge0(-(place % w.stride)), expr.between(0, place // w.stride, w.out)]
            row, block = row * w.taps + kk, block * w.out + place // w.stride
        value = x[o[0], row, block]
        return expr.guard(expr.all_(conditions), value, expr.const(0, value.dtype))

    return reduce_("sum", (x.shape[0], channels, *image), taps, term, x.dtype)
