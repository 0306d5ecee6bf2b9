# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""com.microsoft: quantised products, pools and cells, as integer contractions and (de)quantisation of the standard."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aotgen.core import dtypes
from aotgen.core.dtypes import DType
from aotgen.core.errors import ModelError
from aotgen.ir import expr, index
from aotgen.ir.define import Def, compute
from aotgen.ir.expr import E, cast, const, fn
from aotgen.ir.graph import Value
from aotgen.ir.index import Ix
from aotgen.ops.broadcast import broadcast, read
from aotgen.ops.builder import Builder
from aotgen.ops.qlinear import Affine
from aotgen.ops.registry import Ctx, expansion, lowering
from aotgen.ops.shorthand import Sub

MICROSOFT = "com.microsoft"


# -- weights of few bits


@expansion("MatMulNBits", domain=MICROSOFT)
def matmul_n_bits(ctx: Ctx, builder: Builder, a: Value, b: Value, scales: Value, zeros: Value | None = None,
                  order: Value | None = None, bias: Value | None = None) -> Value:
    """``a @ w'`` for weights quantised in blocks along K: b u8 ``[N, K / block, block * bits / 8]``."""
    s = Sub(ctx, builder)
    if order is not None:
        raise ctx.refuse("MatMulNBits with reordered blocks (g_idx)")
    names = ("K", "N", "bits", "block_size")
    attrs: dict[str, Any] = {n: ctx.attr_int(n, 4 if n == "bits" else None) for n in names}
    if attrs["bits"] not in (2, 4, 8) or b.dtype is not dtypes.u8:
        raise ctx.refuse(f"MatMulNBits of {attrs['bits']} bits in {b.dtype}")
    w = s("UnpackNBits", b, scales, zeros, domain="aotgen", **attrs)
    y: Value = s("MatMul", a, s.cast(w, a.dtype))
    return y if bias is None else s("Add", y, bias)


@lowering("UnpackNBits", domain="aotgen")
def unpack_n_bits(ctx: Ctx, b: Def, scales: Def, zeros: Def | None = None) -> Def:
    """Weights ``[K, N]`` in the type of ``scales``; several to a byte, the first in the low bits. Zero points are packed
    alike, or whole numbers in the type of ``scales``; absent: half the range."""
    k, n, bits, block = (ctx.attr_int(name) for name in ("K", "N", "bits", "block_size"))
    blocks, per = -(-k // block), 8 // bits
    if b.size != n * blocks * (block // per):
        raise ModelError(f"packed weights {list(b.shape)} for N = {n}, K = {k} in blocks of {block}")
    kind = scales.dtype.compute

    def field(d: Def, row: Ix, column: Ix, width: int) -> E:
        """Packed number ``column`` of row ``row``, rows of ``width`` bytes."""
        byte = d[_unflat(d, row * width + column // per)]
        low = fn("shr", byte, expr.ix_value(column % per * bits, byte.dtype))
        return fn("bitand", low, const((1 << bits) - 1, byte.dtype))

    def f(row: Ix, col: Ix) -> E:
        q = cast(field(b, col, row, blocks * (block // per)), kind)
        group = row // block
        if zeros is None:
            z = const(1 << (bits - 1), kind)
        elif zeros.dtype is dtypes.u8:
            z = cast(field(zeros, col, group, -(-blocks // per)), kind)
        else:
            z = cast(zeros[_unflat(zeros, col * blocks + group)], kind)
        return (q - z) * scales[_unflat(scales, col * blocks + group)]

    return compute((k, n), f, scales.dtype)


def _unflat(d: Def, flat: Ix) -> tuple[Ix, ...]:
    """The logical index of row-major element ``flat``."""
    out = []
    for extent in reversed(d.shape):
        out.append(flat % extent)
        flat = flat // extent
    return tuple(reversed(out))


# -- integer products with float results


def _scaled_product(s: Sub, a: Value, b: Value, scale: Value, a_zero: Value | None, b_zero: Value | None,
                    bias: Value | None) -> Value:
    acc = s.cast(s("MatMulInteger", a, b, a_zero, b_zero), scale.dtype)
    y: Value = s("Mul", acc, scale)
    return y if bias is None else s("Add", y, bias)


@expansion("MatMulIntegerToFloat", domain=MICROSOFT)
def matmul_integer_to_float(ctx: Ctx, builder: Builder, a: Value, b: Value, a_scale: Value, b_scale: Value,
                            a_zero: Value | None = None, b_zero: Value | None = None, bias: Value | None = None) -> Value:
    s = Sub(ctx, builder)
    return _scaled_product(s, a, b, s("Mul", a_scale, b_scale), a_zero, b_zero, bias)


@expansion("DynamicQuantizeMatMul", domain=MICROSOFT)
def dynamic_quantize_matmul(ctx: Ctx, builder: Builder, a: Value, b: Value, b_scale: Value, b_zero: Value | None = None,
                            bias: Value | None = None) -> Value:
    """``a`` is quantised to u8 over its own range first."""
    s = Sub(ctx, builder)
    q, a_scale, a_zero = s("DynamicQuantizeLinear", a, n=3)
    return _scaled_product(s, q, b, s("Mul", a_scale, b_scale), a_zero, b_zero, bias)


@expansion("QGemm", domain=MICROSOFT)
def q_gemm(ctx: Ctx, builder: Builder, a: Value, a_scale: Value, a_zero: Value, b: Value, b_scale: Value, b_zero: Value,
           c: Value | None = None, y_scale: Value | None = None, y_zero: Value | None = None) -> Value:
    """``alpha * a' @ b' + c`` with c in i32 at the product's scale; float without ``y_scale``."""
    s = Sub(ctx, builder)
    a = s.transpose(a, [1, 0]) if ctx.attr_int("transA", 0) else a
    b = s.transpose(b, [1, 0]) if ctx.attr_int("transB", 0) else b
    acc: Value = s("MatMulInteger", a, b, a_zero, b_zero)
    alpha = ctx.attr_float("alpha", 1.0)
    scale = a_scale if alpha == 1.0 else s("Mul", a_scale, s.scalar(alpha, a_scale.dtype))
    acc = acc if c is None else s("Add", acc, c)
    if y_scale is None:
        return s("Mul", s.cast(acc, dtypes.f32), s("Mul", scale, b_scale))  # type: ignore[no-any-return]
    zero = s.scalar(0, a.dtype) if y_zero is None else y_zero
    return s("Requantize", acc, scale, b_scale, y_scale, zero, domain="aotgen")  # type: ignore[no-any-return]


@expansion("DynamicQuantizeLSTM", domain=MICROSOFT)
def dynamic_quantize_lstm(
    ctx: Ctx, builder: Builder, x: Value, w: Value, r: Value, b: Value | None, lengths: Value | None, h: Value | None,
    c: Value | None, p: Value | None, w_scale: Value, w_zero: Value, r_scale: Value, r_zero: Value,
) -> tuple[Value | None, ...]:
    """LSTM with 8-bit weights ``[D, I, 4H]`` and ``[D, H, 4H]``, scales per direction or column. Weights are dequantised
    and activations stay in float32: onnxruntime quantises those too, which only loses precision."""
    s = Sub(ctx, builder)

    def real(q: Value, scale: Value, zero: Value) -> Value:
        shaped = [v if len(v.shape) < 1 else s.reshape(v, [v.shape[0], 1, *(v.shape[1:] or (1,))]) for v in (scale, zero)]
        whole = s("Sub", s.cast(q, dtypes.i32), s.cast(shaped[1], dtypes.i32))
        return s.transpose(s("Mul", s.cast(whole, dtypes.f32), shaped[0]), [0, 2, 1])

    attrs: dict[str, Any] = dict(ctx.node.attrs)
    return builder.node("LSTM", [x, real(w, w_scale, w_zero), real(r, r_scale, r_zero), b, lengths, h, c, p], attrs,
                        origin=ctx.node.origin, names=[v.name if v is not None else "" for v in ctx.node.outputs])


# -- pools and softmax between quantised tensors


def through_float(s: Sub, x: Value, x_scale: Value, x_zero: Value | None, y_scale: Value, y_zero: Value | None,
                  f: Callable[[Value], Value]) -> Value:
    """``f`` of the numbers that ``x`` stands for, quantised again."""
    zero = s.scalar(0, x.dtype) if y_zero is None else y_zero
    return s("QuantizeLinear", f(s("DequantizeLinear", x, x_scale, x_zero)), y_scale, zero)  # type: ignore[no-any-return]


def channels_first(s: Sub, f: Callable[[Value], Value], last: bool) -> Callable[[Value], Value]:
    """``f`` of a tensor whose channels come last (``last``), run with them first."""
    if not last:
        return f

    def around(x: Value) -> Value:
        rank = len(x.shape)
        y = f(s.transpose(x, [0, rank - 1, *range(1, rank - 1)]))
        return s.transpose(y, [0, *range(2, rank), 1])

    return around


@expansion("QLinearAveragePool", "QLinearGlobalAveragePool", domain=MICROSOFT)
def qlinear_average_pool(ctx: Ctx, builder: Builder, x: Value, x_scale: Value, x_zero: Value | None, y_scale: Value,
                         y_zero: Value | None = None) -> Value:
    s = Sub(ctx, builder)
    attrs = {k: v for k, v in ctx.node.attrs.items() if k != "channels_last"}
    op = ctx.node.op.removeprefix("QLinear")
    pool = channels_first(s, lambda v: s(op, v, **attrs), bool(ctx.attr_int("channels_last", 0)))
    return through_float(s, x, x_scale, x_zero, y_scale, y_zero, pool)


@expansion("QLinearSoftmax", domain=MICROSOFT)
def qlinear_softmax(ctx: Ctx, builder: Builder, x: Value, x_scale: Value, x_zero: Value | None, y_scale: Value,
                    y_zero: Value | None = None) -> Value:
    """``opset`` below 13: one softmax over all axes from ``axis`` on."""
    s = Sub(ctx, builder)
    old, rank = ctx.attr_int("opset", 13) < 13, len(x.shape)
    axis = ctx.axis(rank, 1 if old else -1)

    def softmax(v: Value) -> Value:
        if not old or axis == rank - 1:
            return s("Softmax", v, axis=axis)  # type: ignore[no-any-return]
        flat = s.reshape(v, [index.prod_dims(v.shape[:axis]), index.prod_dims(v.shape[axis:])])
        return s.reshape(s("Softmax", flat, axis=1), v.shape)

    return through_float(s, x, x_scale, x_zero, y_scale, y_zero, softmax)


@lowering("QLinearWhere", domain=MICROSOFT)
def qlinear_where(ctx: Ctx, c: Def, x: Def, x_scale: Def, x_zero: Def | None, y: Def, y_scale: Def, y_zero: Def | None,
                  z_scale: Def, z_zero: Def | None = None) -> Def:
    left, right, out = Affine(ctx, 2, x_scale, x_zero), Affine(ctx, 5, y_scale, y_zero), Affine(ctx, 7, z_scale, z_zero)
    dtype: DType = x.dtype

    def f(*i: Ix) -> E:
        return expr.select(read(c, i), out.quantised(left.real(read(x, i)), dtype),
                           out.quantised(right.real(read(y, i)), dtype))

    return compute(broadcast(c.shape, x.shape, y.shape), f, dtype)


@expansion("NhwcMaxPool", domain=MICROSOFT)
def nhwc_max_pool(ctx: Ctx, builder: Builder, x: Value) -> Value:
    s = Sub(ctx, builder)
    return channels_first(s, lambda v: s("MaxPool", v, **dict(ctx.node.attrs)), True)(x)
