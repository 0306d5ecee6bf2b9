# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""com.microsoft: sums and activations fused with their neighbours, normalisation over groups, distances."""

from __future__ import annotations

from typing import Any

from aotgen.core import dtypes
from aotgen.ir import expr, index
from aotgen.ir.define import Def, compute, reduce_
from aotgen.ir.expr import E
from aotgen.ir.graph import Value
from aotgen.ir.index import Ix
from aotgen.ops.broadcast import broadcast, read
from aotgen.ops.builder import Builder
from aotgen.ops.registry import Ctx, expansion, lowering
from aotgen.ops.shorthand import Sub, same_dim

MICROSOFT = "com.microsoft"


# -- sums and activations


def _sum(s: Sub, *terms: Value | None) -> Value:
    first, *rest = (t for t in terms if t is not None)
    for t in rest:
        first = s("Add", first, t)
    return first


@expansion("BiasAdd", domain=MICROSOFT)
def bias_add(ctx: Ctx, builder: Builder, x: Value, bias: Value, skip: Value) -> Value:
    return _sum(Sub(ctx, builder), x, bias, skip)


@expansion("BiasDropout", domain=MICROSOFT)
def bias_dropout(ctx: Ctx, builder: Builder, x: Value, bias: Value, residual: Value | None = None,
                 ratio: Value | None = None, training: Value | None = None) -> tuple[Value | None, ...]:
    """Inference: nothing is dropped."""
    s = Sub(ctx, builder)
    known = builder.known(training)
    if training is not None and (known is None or bool(known.load().any())):
        raise ctx.refuse("BiasDropout in training mode")
    y = _sum(s, x, bias, residual)
    return s.asked(y, s.filled(1, y.shape, dtypes.boolean) if ctx.wants(1) else None)


@expansion("BiasSplitGelu", domain=MICROSOFT)
def bias_split_gelu(ctx: Ctx, builder: Builder, x: Value, bias: Value) -> Value:
    """The first half of ``x + bias`` times the Gelu of the second, along the last axis."""
    s = Sub(ctx, builder)
    left, right = s.pieces(s("Add", x, bias), len(x.shape) - 1, 2)
    return s("Mul", left, s("Gelu", right))  # type: ignore[no-any-return]


@expansion("BiasSoftmax", domain=MICROSOFT)
def bias_softmax(ctx: Ctx, builder: Builder, x: Value, bias: Value) -> Value:
    """Softmax of ``x + bias`` over all axes from ``axis`` on together."""
    s = Sub(ctx, builder)
    axis = ctx.axis(len(x.shape), 1)
    total = s("Add", x, bias)
    flat = s.reshape(total, [*x.shape[:axis], index.prod_dims(x.shape[axis:])])
    return s.reshape(s("Softmax", flat, axis=axis), x.shape)


@expansion("TransposeMatMul", domain=MICROSOFT)
def transpose_matmul(ctx: Ctx, builder: Builder, a: Value, b: Value) -> Value:
    """The first name of FusedMatMul."""
    return Sub(ctx, builder)("FusedMatMul", a, b, domain=MICROSOFT, **dict(ctx.node.attrs))  # type: ignore[no-any-return]


# The attributes that an activation takes from ``activation_NAME``.
PARAMETERS = {"Softmax": ("axis",), "LeakyRelu": ("alpha",), "Elu": ("alpha",), "ThresholdedRelu": ("alpha",),
              "HardSigmoid": ("alpha", "beta"), "Selu": ("alpha", "gamma")}


@expansion("FusedMatMulActivation", domain=MICROSOFT)
def fused_matmul_activation(ctx: Ctx, builder: Builder, a: Value, b: Value) -> Value:
    s, name = Sub(ctx, builder), ctx.attr_str("activation")
    product = {k: v for k, v in ctx.node.attrs.items() if not k.startswith("activation")}
    wanted = PARAMETERS.get(name, ())
    more: dict[str, Any] = {k: ctx.node.attrs[f"activation_{k}"] for k in wanted if ctx.has(f"activation_{k}")}
    return s(name, s("FusedMatMul", a, b, domain=MICROSOFT, **product), **more)  # type: ignore[no-any-return]


# -- normalisation over groups of channels


@expansion("GroupNorm", domain=MICROSOFT)
def group_norm(ctx: Ctx, builder: Builder, x: Value, gamma: Value, beta: Value) -> Value:
    """``activation`` 1 is SiLU; ``channels_last``: x is ``[N, ..., C]``."""
    return _group_norm(ctx, Sub(ctx, builder), x, gamma, beta)


@expansion("SkipGroupNorm", domain=MICROSOFT)
def skip_group_norm(ctx: Ctx, builder: Builder, x: Value, gamma: Value, beta: Value, skip: Value,
                    bias: Value | None = None) -> tuple[Value | None, ...]:
    """GroupNorm of ``x + skip + bias``; skip like x, or one value a channel and sample. Outputs: y, the sum."""
    s = Sub(ctx, builder)
    if len(skip.shape) == 2:
        skip = s.reshape(skip, [skip.shape[0], *[1] * (len(x.shape) - 2), skip.shape[1]])
    total = _sum(s, x, skip, bias)
    return s.asked(_group_norm(ctx, s, total, gamma, beta), total)


def _group_norm(ctx: Ctx, s: Sub, x: Value, gamma: Value, beta: Value) -> Value:
    last, rank = bool(ctx.attr_int("channels_last", 1)), len(x.shape)
    inner = s.transpose(x, [0, rank - 1, *range(1, rank - 1)]) if last else x
    weights = (s.cast(gamma, x.dtype), s.cast(beta, x.dtype))
    y = s("GroupNormalization", inner, *weights, num_groups=ctx.attr_int("groups"), epsilon=ctx.attr_float("epsilon", 1e-5))
    y = s("Swish", y) if ctx.attr_int("activation", 0) else y
    return s.transpose(y, [0, *range(2, rank), 1]) if last else y


# -- distances and complex products


@lowering("CDist", domain=MICROSOFT)
def pairwise_distance(ctx: Ctx, a: Def, b: Def) -> Def:
    """Between every row of ``a`` and of ``b``; ``metric``: euclidean or sqeuclidean."""
    metric = ctx.attr_str("metric", "sqeuclidean")
    if metric not in ("euclidean", "sqeuclidean"):
        raise ctx.refuse(f"CDist with metric '{metric}'")
    depth = same_dim(a.shape[1], b.shape[1], "the rows of CDist")

    def term(o: list[Ix], r: list[Ix]) -> E:
        gap = a[o[0], r[0]] - b[o[1], r[0]]
        return gap * gap

    total = reduce_("sum", (a.shape[0], b.shape[0]), [depth], term, a.dtype)
    return total if metric == "sqeuclidean" else compute(total.shape, lambda *i: expr.fn("sqrt", total[i]), a.dtype)


@lowering("ComplexMul", "ComplexMulConj", domain=MICROSOFT)
def complex_product(ctx: Ctx, a: Def, b: Def) -> Def:
    """``a * b``, or times the conjugate of ``b``; real and imaginary parts along the last axis, of extent 2."""
    sign = -1.0 if ctx.node.op.endswith("Conj") else 1.0
    shape = (*broadcast(a.shape[:-1], b.shape[:-1]), 2)

    def f(*i: Ix) -> E:
        (ar, ai), (br, bi) = ([read(d, (*i[:-1], index.ix(k))) for k in range(2)] for d in (a, b))
        bi = bi * sign
        return expr.select(expr.ix_value(i[-1]).eq(0), ar * br - ai * bi, ar * bi + ai * br)

    return compute(shape, f, a.dtype)


# -- decoding


@expansion("NGramRepeatBlock", domain=MICROSOFT)
def ngram_repeat_block(ctx: Ctx, builder: Builder, ids: Value, scores: Value) -> Value:
    """Scores ``[B, V]`` are -inf for every token that would repeat a sequence of ``ngram_size`` tokens of ``ids`` ``[B, S]``."""
    s, size = Sub(ctx, builder), ctx.attr_int("ngram_size")
    length = index.ix(ids.shape[1])
    windows = length - (size - 1)
    if size < 1 or not index.nonneg(windows - 1):
        raise ctx.refuse(f"NGramRepeatBlock of {size} in sequences of {ids.shape[1]} tokens")
    banned: Value | None = None
    for k in range(size - 1):
        tail = windows + k  # the last size - 1 tokens start here
        same = s("Equal", s.slice(ids, 1, k, windows + k), s.slice(ids, 1, tail, tail + 1))
        banned = same if banned is None else s("And", banned, same)
    at = s.slice(ids, 1, size - 1, length)
    low, high = (s.scalar(v, scores.dtype) for v in (float("-inf"), float("inf")))
    updates = s.filled(float("-inf"), at.shape, scores.dtype) if banned is None else s("Where", banned, low, high)
    return s("ScatterElements", scores, at, updates, axis=1, reduction="min")  # type: ignore[no-any-return]
