# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""com.microsoft: what onnxruntime's quantiser makes of transformers and of convolutions in NHWC."""

from __future__ import annotations

from typing import Any

from aotgen.core import dtypes
from aotgen.ir.graph import Value
from aotgen.ops.attention import MICROSOFT, packed_attention
from aotgen.ops.builder import Builder
from aotgen.ops.microsoft_quant import channels_first, through_float
from aotgen.ops.registry import Ctx, expansion
from aotgen.ops.shorthand import Sub


@expansion("QAttention", domain=MICROSOFT, whole=True)
def quantised_attention(ctx: Ctx, builder: Builder, x: Value, w: Value, bias: Value, x_scale: Value, w_scale: Value,
                        mask: Value | None = None, x_zero: Value | None = None, w_zero: Value | None = None,
                        past: Value | None = None) -> tuple[Value | None, ...]:
    """Attention whose projection is an integer product; everything behind it is float."""
    s = Sub(ctx, builder)
    if ctx.attr_int("do_rotary", 0) or ctx.attr_int("past_present_share_buffer", 0):
        raise ctx.refuse("QAttention with rotary embeddings or a shared past buffer")
    qkv = s("MatMulIntegerToFloat", x, w, x_scale, w_scale, x_zero, w_zero, bias, domain=MICROSOFT)
    return packed_attention(ctx, s, qkv, mask, past, None)


@expansion("QEmbedLayerNormalization", domain=MICROSOFT)
def quantised_embedding(ctx: Ctx, builder: Builder, ids: Value, segments: Value | None, *more: Value | None) -> Any:
    """EmbedLayerNormalization of 8-bit tables: words, places, segments, gamma and beta, each with a scale and, after a mask,
    a zero point."""
    s = Sub(ctx, builder)
    tables, mask, scales, zeros = more[:5], more[5], more[6:11], more[11:16]
    parts = [t if t is None else s("DequantizeLinear", t, scale, zero)
             for t, scale, zero in zip(tables, scales, zeros, strict=True)]
    attrs = {k: v for k, v in ctx.node.attrs.items() if k == "epsilon"}
    names = ["" if o is None else o.name for o in ctx.node.outputs]
    return builder.node("EmbedLayerNormalization", [ids, segments, *parts, mask], attrs, domain=MICROSOFT,
                        origin=s.origin, names=names)


@expansion("QLinearConv", domain=MICROSOFT)
def qlinear_conv(ctx: Ctx, builder: Builder, x: Value, *more: Value | None) -> Value:
    """QLinearConv of the standard; ``channels_last``: x and y are ``[N, ..., C]``."""
    s = Sub(ctx, builder)
    attrs = {k: v for k, v in ctx.node.attrs.items() if k != "channels_last"}
    last = bool(ctx.attr_int("channels_last", 0))
    return channels_first(s, lambda v: s("QLinearConv", v, *more, **attrs), last)(x)


@expansion("QLinearReduceMean", domain=MICROSOFT)
def qlinear_reduce_mean(ctx: Ctx, builder: Builder, x: Value, x_scale: Value, x_zero: Value | None, y_scale: Value,
                        y_zero: Value | None = None) -> Value:
    s = Sub(ctx, builder)
    axes = s.ints(ctx.attr_ints("axes", range(len(x.shape))))
    keep = ctx.attr_int("keepdims", 1)
    return through_float(s, x, x_scale, x_zero, y_scale, y_zero, lambda v: s("ReduceMean", v, axes, keepdims=keep))


@expansion("MulInteger", domain=MICROSOFT)
def multiply_integers(ctx: Ctx, builder: Builder, a: Value, a_zero: Value | None, b: Value,
                      b_zero: Value | None = None) -> Value:
    """``(a - a_zero) * (b - b_zero)`` in i32."""
    s = Sub(ctx, builder)

    def shifted(v: Value, zero: Value | None) -> Value:
        wide = s.cast(v, dtypes.i32)
        return wide if zero is None else s("Sub", wide, s.cast(zero, dtypes.i32))

    return s("Mul", shifted(a, a_zero), shifted(b, b_zero))  # type: ignore[no-any-return]


@expansion("ReduceSumInteger", domain=MICROSOFT)
def sum_integers(ctx: Ctx, builder: Builder, x: Value) -> Value:
    """A sum in i32."""
    s = Sub(ctx, builder)
    axes = s.ints(ctx.attr_ints("axes", range(len(x.shape))))
    return s("ReduceSum", s.cast(x, dtypes.i32), axes, keepdims=ctx.attr_int("keepdims", 1))  # type: ignore[no-any-return]
