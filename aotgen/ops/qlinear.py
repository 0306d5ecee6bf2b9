# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""onnxruntime's elementwise operators on quantised tensors: dequantise, compute in f32, quantise, in one Def."""

from __future__ import annotations

from collections.abc import Callable

from aotgen.core.dtypes import DType
from aotgen.core.errors import ModelError
from aotgen.ir.define import Def, compute
from aotgen.ir.expr import E, cast, fn, select
from aotgen.ir.index import Ix
from aotgen.ops.broadcast import broadcast, known_or_loaded, read
from aotgen.ops.quantize import saturated
from aotgen.ops.registry import Ctx, lowering
from aotgen.ops.slicing import concatenated


class Affine:
    """The (scale, zero point) of one tensor, read from operands ``k`` and ``k + 1``."""

    def __init__(self, ctx: Ctx, k: int, scale: Def, zero: Def | None) -> None:
        self.scale, self.zero = known_or_loaded(ctx, k, scale), known_or_loaded(ctx, k + 1, zero)

    def real(self, q: E) -> E:
        """The number that a quantised element stands for."""
        assert self.scale is not None
        return cast(q if self.zero is None else q - self.zero, "f32") * self.scale

    def quantised(self, x: E, to: DType) -> E:
        """The element of type ``to`` nearest to a number."""
        assert self.scale is not None
        q = fn("rint", x / self.scale)
        return saturated(q if self.zero is None else q + cast(self.zero, "f32"), to)


BINARY: dict[str, Callable[[E, E], E]] = {"QLinearAdd": lambda a, b: a + b, "QLinearMul": lambda a, b: a * b}


@lowering(*BINARY, domain="com.microsoft")
def binary(
    ctx: Ctx,
    a: Def,
    a_scale: Def,
    a_zero: Def | None,
    b: Def,
    b_scale: Def,
    b_zero: Def | None,
    c_scale: Def,
    c_zero: Def | None = None,
) -> Def:
    left, right, out = Affine(ctx, 1, a_scale, a_zero), Affine(ctx, 4, b_scale, b_zero), Affine(ctx, 6, c_scale, c_zero)

    def f(*i: Ix) -> E:
        return out.quantised(BINARY[ctx.node.op](left.real(read(a, i)), right.real(read(b, i))), a.dtype)

    return compute(broadcast(a.shape, b.shape), f, a.dtype)


def _leaky(ctx: Ctx, x: E) -> E:
    return select(x < 0, x * ctx.attr_float("alpha", 0.01), x)


UNARY: dict[str, Callable[[Ctx, E], E]] = {
    "QLinearSigmoid": lambda ctx, x: fn("sigmoid", x),
    "QLinearLeakyRelu": _leaky,
}


@lowering(*UNARY, domain="com.microsoft")
def unary(ctx: Ctx, x: Def, x_scale: Def, x_zero: Def | None, y_scale: Def, y_zero: Def | None = None) -> Def:
    before, after = Affine(ctx, 1, x_scale, x_zero), Affine(ctx, 3, y_scale, y_zero)
    return compute(x.shape, lambda *i: after.quantised(UNARY[ctx.node.op](ctx, before.real(x[i])), x.dtype), x.dtype)


@lowering("QLinearConcat", domain="com.microsoft")
def concat(ctx: Ctx, y_scale: Def, y_zero: Def, *triples: Def) -> Def:
    """Inputs come as (tensor, scale, zero point); each is requantised to the output's scale."""
    if len(triples) % 3:
        raise ModelError("QLinearConcat takes its inputs in threes")
    after = Affine(ctx, 0, y_scale, y_zero)
    parts = []
    for n in range(0, len(triples), 3):
        x, scale, zero = triples[n : n + 3]
        before = Affine(ctx, n + 3, scale, zero)
        parts.append(_requantised(x, before, after, y_zero.dtype))
    return concatenated(parts, ctx.axis(triples[0].rank))


def _requantised(x: Def, before: Affine, after: Affine, to: DType) -> Def:
    return compute(x.shape, lambda *i: after.quantised(before.real(x[i]), to), to)
