# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""com.microsoft: tables and weights of few bits, quantised in blocks of consecutive elements."""

from __future__ import annotations

from typing import Any

import numpy as np

from aotgen.core import dtypes
from aotgen.core.errors import ModelError
from aotgen.ir import expr, index
from aotgen.ir.define import Def, compute
from aotgen.ir.expr import E, cast, const, fn
from aotgen.ir.graph import Value
from aotgen.ir.index import Ix
from aotgen.ops.broadcast import replaced
from aotgen.ops.builder import Builder
from aotgen.ops.registry import Ctx, expansion, lowering
from aotgen.ops.shorthand import Sub

MICROSOFT = "com.microsoft"


@expansion("GatherBlockQuantized", domain=MICROSOFT)
def gather_block_quantized(ctx: Ctx, builder: Builder, table: Value, indices: Value, scales: Value,
                           zeros: Value | None = None) -> Value:
    """Rows of a table quantised in blocks along ``quantize_axis``; u8 holds ``8 / bits`` numbers of the last axis."""
    s, rank = Sub(ctx, builder), len(table.shape)
    axes = {n: ctx.axis_of(ctx.attr_int(n, d), rank) for n, d in (("gather_axis", 0), ("quantize_axis", 1))}
    size = ctx.attr_int("block_size", 128)
    real = s("UnpackBlocks", table, scales, zeros, domain="aotgen", axis=axes["quantize_axis"], block_size=size,
             bits=ctx.attr_int("bits", 4))
    return s("Gather", real, indices, axis=axes["gather_axis"])  # type: ignore[no-any-return]


@lowering("UnpackBlocks", domain="aotgen")
def unpack_blocks(ctx: Ctx, table: Def, scales: Def, zeros: Def | None = None) -> Def:
    """``(table - zeros) * scales`` with a scale and zero point a block along ``axis``. Numbers packed into u8 lie along the
    last axis, the first in the low bits, and count from the middle of their range where ``zeros`` is absent."""
    axis, size, bits = ctx.attr_int("axis"), ctx.attr_int("block_size"), ctx.attr_int("bits")
    packed = table.dtype is dtypes.u8
    per = 8 // bits if packed else 1
    if packed and axis != table.rank - 1:
        raise ctx.refuse("numbers packed along another axis than they are quantised along")
    kind = scales.dtype.compute

    def number(d: Def, i: tuple[Ix, ...]) -> E:
        if not packed or per == 1:
            return d[i]
        byte = d[replaced(i, d.rank - 1, i[-1] // per)]
        low = fn("shr", byte, expr.ix_value(i[-1] % per * bits, byte.dtype))
        return fn("bitand", low, const((1 << bits) - 1, byte.dtype))

    def f(*i: Ix) -> E:
        group = replaced(i, axis, i[axis] // size)
        middle = const(1 << (bits - 1) if packed else 0, kind)
        zero = middle if zeros is None else cast(number(zeros, group), kind)
        return (cast(number(table, i), kind) - zero) * scales[group]

    return compute((*table.shape[:-1], index.as_dim(index.ix(table.shape[-1]) * per)), f, scales.dtype)


# What a 4-bit code stands for: the quantiles of a normal distribution (NF4), and a float of 1 sign, 2 exponent and 1
# mantissa bits scaled to [-1, 1] (FP4). Both are fixed by the bitsandbytes formats.
NF4 = (-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
       -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
       0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0)
FP4_HALF = (0.0, 5.208333333e-03, 0.66666667, 1.0, 0.33333333, 0.5, 0.16666667, 0.25)
CODES = (FP4_HALF + tuple(-v for v in FP4_HALF), NF4)  # by ``quant_type``


@expansion("MatMulBnb4", domain=MICROSOFT)
def matmul_bnb4(ctx: Ctx, builder: Builder, a: Value, b: Value, largest: Value) -> Value:
    """``a @ w.T`` (``transB`` 0: ``a @ w``) with w ``[N, K]`` in 4-bit codes, blocks of its row-major order sharing the
    magnitude ``largest``; the first of two codes is in the high bits."""
    s = Sub(ctx, builder)
    names = ("K", "N", "block_size", "quant_type")
    attrs: dict[str, Any] = {n: ctx.attr_int(n) for n in names}
    if not 0 <= attrs["quant_type"] < len(CODES):
        raise ctx.refuse(f"MatMulBnb4 of quant_type {attrs['quant_type']}")
    codes = builder.constant(np.array(CODES[attrs["quant_type"]], largest.dtype.numpy), "codes")
    w = s("UnpackCodes", b, largest, codes, domain="aotgen", **attrs)
    w = s.transpose(w, [1, 0]) if ctx.attr_int("transB", 1) else w
    return s("MatMul", a, s.cast(w, a.dtype))  # type: ignore[no-any-return]


@lowering("UnpackCodes", domain="aotgen")
def unpack_codes(ctx: Ctx, b: Def, largest: Def, codes: Def) -> Def:
    k, n, block = (ctx.attr_int(name) for name in ("K", "N", "block_size"))
    if b.size != -(-n * k // 2):
        raise ModelError(f"packed codes {list(b.shape)} for N = {n}, K = {k}")

    def f(row: Ix, col: Ix) -> E:
        flat = row * k + col
        byte = b[(flat // 2,)]
        low = fn("shr", byte, expr.ix_value((1 - flat % 2) * 4, byte.dtype))
        code = fn("bitand", low, const(15, byte.dtype))
        return codes[(expr.index_of(cast(code, "i64"), 16),)] * largest[(flat // block,)]

    return compute((n, k), f, largest.dtype)
