# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Normalizations. Mean and variance are two passes over the row (it is in cache, so accuracy is nearly free)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aotgen.core import dtypes
from aotgen.core.dtypes import DType
from aotgen.core.errors import ModelError
from aotgen.ir import expr, facts, index
from aotgen.ir.define import Def, compute, reduce_
from aotgen.ir.expr import E
from aotgen.ir.index import Dim, Ix
from aotgen.ops.broadcast import broadcast, read
from aotgen.ops.registry import Ctx, lowering

Element = Callable[[tuple[Ix, ...]], E]
MICROSOFT = "com.microsoft"


def _mean(shape: Sequence[Dim], axes: Sequence[int], f: Element) -> Def:
    """Mean of ``f`` over ``axes`` of an index space ``shape``; the axes are kept with extent 1."""
    kept = [1 if a in axes else d for a, d in enumerate(shape)]

    def term(o: list[Ix], r: list[Ix]) -> E:
        at = list(o)
        for a, k in zip(axes, r, strict=True):
            at[a] = k
        return f(tuple(at))

    total = reduce_("sum", kept, [shape[a] for a in axes], term)
    count = expr.cast(expr.ix_value(index.prod_dims(shape[a] for a in axes)), total.dtype)
    return compute(kept, lambda *i: total[i] / count)


def _moments(x: Def, axes: Sequence[int], kind: DType) -> tuple[Def, Def]:
    """Mean and variance of ``x`` over ``axes`` (kept), in ``kind``."""
    mean = _mean(x.shape, axes, lambda i: expr.cast(x[i], kind))

    def square(i: tuple[Ix, ...]) -> E:
        d = expr.cast(x[i], kind) - read(mean, i)
        return d * d

    return mean, _mean(x.shape, axes, square)


def _inverse_deviation(var: Def, epsilon: float) -> Def:
    return compute(var.shape, lambda *i: expr.fn("rsqrt", var[i] + epsilon))


def _stash(ctx: Ctx, x: Def) -> DType:
    """The type statistics are computed in: f32, or f64 for f64 (a narrower ``stash_type`` never loses accuracy)."""
    return dtypes.compute_of(x.dtype)


def _stored(ctx: Ctx, moment: Def) -> Def:
    """A moment as an output: ``stash_type`` is its type."""
    to = ctx.attr_dtype("stash_type", dtypes.f32)
    return compute(moment.shape, lambda *i: expr.cast(moment[i], to), to)


@lowering("BatchNormalization")
def batch_normalization(
    ctx: Ctx, x: Def, scale: Def, bias: Def, mean: Def, var: Def
) -> Def | tuple[Def, ...]:
    """``(x - mean) / sqrt(var + epsilon) * scale + bias`` along axis 1; in training mode with the batch's own moments,
    which are also blended into the running ones."""
    kind, eps = dtypes.compute_of(x.dtype), ctx.attr_float("epsilon", 1e-5)
    channel = 1 if x.rank > 1 else 0
    use_mean, use_var = mean, var
    extra: tuple[Def, ...] = ()
    if ctx.attr_int("training_mode", 0):
        axes = [a for a in range(x.rank) if a != channel]
        m, v = _moments(x, axes, kind)
        use_mean, use_var = _channel_line(m, channel), _channel_line(v, channel)
        blend = ctx.attr_float("momentum", 0.9)
        extra = _blended(mean, use_mean, blend), _blended(var, use_var, blend)

    def f(*i: Ix) -> E:
        c = i[channel]
        s, b, m, v = (expr.cast(d[c], kind) for d in (scale, bias, use_mean, use_var))
        return (x[i] - m) * (s * expr.fn("rsqrt", v + eps)) + b

    y = compute(x.shape, f, x.dtype)
    return (y, *extra) if extra else y


def _channel_line(kept: Def, channel: int) -> Def:
    """Statistics kept with extents of 1, as a vector over the channels."""
    return compute([kept.shape[channel]], lambda c: kept[tuple(c if a == channel else 0 for a in range(kept.rank))])


def _blended(old: Def, new: Def, momentum: float) -> Def:
    """A running statistic after one more batch."""
    kind = dtypes.compute_of(old.dtype)
    return compute(old.shape, lambda i: old[i] * momentum + expr.cast(new[i], kind) * (1 - momentum), old.dtype)


@lowering("InstanceNormalization")
def instance_normalization(ctx: Ctx, x: Def, scale: Def, bias: Def) -> Def:
    mean, var = _moments(x, list(range(2, x.rank)), _stash(ctx, x))
    inv = _inverse_deviation(var, ctx.attr_float("epsilon", 1e-5))

    def f(*i: Ix) -> E:
        return (x[i] - read(mean, i)) * read(inv, i) * scale[i[1]] + bias[i[1]]

    return compute(x.shape, f, x.dtype)


@lowering("GroupNormalization")
def group_normalization(ctx: Ctx, x: Def, scale: Def, bias: Def) -> Def:
    """Moments over ``C/num_groups`` channels and all spatial axes; scale and bias are one a channel."""
    kind, groups = _stash(ctx, x), ctx.attr_int("num_groups")
    if isinstance(c := x.shape[1], int) and (groups < 1 or c % groups):
        raise ModelError(f"{c} channels do not split into {groups} groups")
    per = index.ix(x.shape[1]) // groups
    grouped = compute(
        (x.shape[0], groups, per, *x.shape[2:]),
        lambda n, g, k, *s: expr.cast(x[(n, g * per + k) + s], kind),
        kind,
    )
    mean, var = _moments(grouped, list(range(2, grouped.rank)), kind)
    inv = _inverse_deviation(var, ctx.attr_float("epsilon", 1e-5))

    def f(n: Ix, c: Ix, *s: Ix) -> E:
        at = (n, c // per, index.ix(0), *s)
        y = (expr.cast(x[(n, c) + s], kind) - read(mean, at)) * read(inv, at)
        return y * expr.cast(scale[c], kind) + expr.cast(bias[c], kind)

    return compute(x.shape, f, x.dtype)


def layer_norm(
    x: Def, scale: Def | None, bias: Def | None, axes: Sequence[int], eps: float, kind: DType, dtype: DType
) -> tuple[Def, Def, Def]:
    """Normalised ``x`` over ``axes`` times ``scale`` plus ``bias`` (both broadcast), its mean and inverse deviation."""
    _onto(x, scale, bias)
    mean, var = _moments(x, axes, kind)
    inv = _inverse_deviation(var, eps)

    def f(*i: Ix) -> E:
        y = (expr.cast(x[i], kind) - read(mean, i)) * read(inv, i)
        return _affine(y, scale, bias, i, kind)

    return compute(x.shape, f, dtype), mean, inv


def _onto(x: Def, *operands: Def | None) -> None:
    """``operands`` must broadcast to the shape of ``x``. Raises ModelError where they cannot."""
    wide = broadcast(x.shape, *(d.shape for d in operands if d is not None))
    for a, b in zip(wide, (*(1,) * (len(wide) - x.rank), *x.shape), strict=True):
        if index.nonneg(index.ix(a) - b - 1):
            raise ModelError(f"scale or bias of {list(wide)} for an input of {list(x.shape)}")
        facts.assume_equal(a, b)


def _affine(y: E, scale: Def | None, bias: Def | None, i: tuple[Ix, ...], kind: DType) -> E:
    if scale is not None:
        y = y * expr.cast(read(scale, i), kind)
    return y if bias is None else y + expr.cast(read(bias, i), kind)


def rms_norm(
    x: Def, scale: Def | None, bias: Def | None, axes: Sequence[int], eps: float, kind: DType, dtype: DType
) -> tuple[Def, Def]:
    """``x / sqrt(mean(x²) + eps)`` over ``axes``, times ``scale``, and the inverse root mean square."""
    _onto(x, scale, bias)

    def square(i: tuple[Ix, ...]) -> E:
        v = expr.cast(x[i], kind)
        return v * v

    inv = _inverse_deviation(_mean(x.shape, axes, square), eps)
    return compute(
        x.shape, lambda *i: _affine(expr.cast(x[i], kind) * read(inv, i), scale, bias, i, kind), dtype
    ), inv


def _trailing(ctx: Ctx, x: Def) -> list[int]:
    return list(range(ctx.axis(x.rank, -1), x.rank))


def _asked(ctx: Ctx, y: Def, *more: Def | None) -> tuple[Def | None, ...]:
    """``y`` and those of ``more`` that the node names, as many as it has outputs."""
    return (y, *(d if ctx.wants(k) else None for k, d in enumerate(more, 1)))[: max(1, ctx.n_outputs)]


@lowering("LayerNormalization")
def layer_normalization(ctx: Ctx, x: Def, scale: Def, bias: Def | None = None) -> tuple[Def | None, ...]:
    kind, epsilon = _stash(ctx, x), ctx.attr_float("epsilon", 1e-5)
    y, *moments = layer_norm(x, scale, bias, _trailing(ctx, x), epsilon, kind, x.dtype)
    return _asked(ctx, y, *(_stored(ctx, d) for d in moments))


@lowering("RMSNormalization")
def rms_normalization(ctx: Ctx, x: Def, scale: Def) -> Def:
    return rms_norm(
        x, scale, None, _trailing(ctx, x), ctx.attr_float("epsilon", 1e-5), _stash(ctx, x), scale.dtype
    )[0]


def _simplified(ctx: Ctx, x: Def, scale: Def) -> tuple[Def | None, ...]:
    """onnxruntime's RMS norm with its second output, the inverse deviation."""
    return _asked(
        ctx,
        *rms_norm(
            x, scale, None, _trailing(ctx, x), ctx.attr_float("epsilon", 1e-5), _stash(ctx, x), scale.dtype
        ),
    )


lowering("SimplifiedLayerNormalization")(_simplified)
lowering("SimplifiedLayerNormalization", domain=MICROSOFT)(_simplified)


def _skip_sum(x: Def, skip: Def, extra: Def | None) -> Def:
    """``x + skip (+ extra)``; the sum is also an output."""

    def f(*i: Ix) -> E:
        total = x[i] + read(skip, i)
        return total if extra is None else total + extra[i[-1]]

    return compute(x.shape, f, x.dtype)


@lowering("SkipLayerNormalization", domain=MICROSOFT)
def skip_layer_normalization(
    ctx: Ctx, x: Def, skip: Def, gamma: Def, beta: Def | None = None, bias: Def | None = None
) -> tuple[Def | None, ...]:
    """LayerNormalization of ``x + skip + bias`` over the last axis. Outputs: y, mean, inverse deviation, the sum."""
    total = _skip_sum(x, skip, bias)
    y, mean, inv = layer_norm(
        total, gamma, beta, [x.rank - 1], ctx.attr_float("epsilon", 1e-12), _stash(ctx, x), x.dtype
    )
    return _asked(ctx, y, mean, inv, total)


@lowering("SkipSimplifiedLayerNormalization", domain=MICROSOFT)
def skip_simplified_layer_normalization(
    ctx: Ctx, x: Def, skip: Def, gamma: Def, bias: Def | None = None
) -> tuple[Def | None, ...]:
    """RMS norm of ``x + skip + bias`` over the last axis. Outputs: y, (unused), inverse deviation, the sum."""
    total = _skip_sum(x, skip, bias)
    y, inv = rms_norm(
        total, gamma, None, [x.rank - 1], ctx.attr_float("epsilon", 1e-12), _stash(ctx, x), x.dtype
    )
    return _asked(ctx, y, inv, inv, total)


@lowering("LpNormalization")
def lp_normalization(ctx: Ctx, x: Def) -> Def:
    """``x / ||x||_p`` along one axis, p 1 or 2; 0 where the norm is 0, as the reference has it."""
    axis, p = ctx.axis(x.rank, -1), ctx.attr_int("p", 2)
    kept = [1 if a == axis else d for a, d in enumerate(x.shape)]
    kind = dtypes.compute_of(x.dtype)

    def term(o: list[Ix], r: list[Ix]) -> E:
        v = x[tuple(o[:axis] + r + o[axis + 1 :])]
        return expr.fn("abs", v) if p == 1 else v * v

    total = reduce_("sum", kept, [x.shape[axis]], term, kind)
    norm = compute(kept, lambda *i: total[i] if p == 1 else expr.fn("sqrt", total[i]))

    def f(*i: Ix) -> E:
        n = read(norm, i)
        zero = n.eq(0.0)
        return expr.select(
            zero, expr.const(0, kind.name), x[i] / expr.select(zero, expr.const(1, kind.name), n)
        )

    return compute(x.shape, f, x.dtype)


@lowering("MeanVarianceNormalization")
def mean_variance_normalization(ctx: Ctx, x: Def) -> Def:
    """``(x - mean) / (deviation + 1e-9)`` over ``axes``, by default all but axis 1."""
    axes = ctx.axes(1, x.rank, [0, 2, 3])
    mean, var = _moments(x, axes, dtypes.compute_of(x.dtype))
    deviation = compute(var.shape, lambda *i: expr.fn("sqrt", var[i]) + 1e-9)

    def f(*i: Ix) -> E:
        return (x[i] - read(mean, i)) / read(deviation, i)

    return compute(x.shape, f, x.dtype)


@lowering("LRN")
def lrn(ctx: Ctx, x: Def) -> Def:
    """Local response over a window of ``size`` channels: ``x / (bias + alpha/size * sum x²) ** beta``."""
    size = ctx.attr_int("size")
    alpha, beta, bias = (
        ctx.attr_float("alpha", 1e-4),
        ctx.attr_float("beta", 0.75),
        ctx.attr_float("bias", 1.0),
    )
    kind = dtypes.compute_of(x.dtype)

    def term(o: list[Ix], r: list[Ix]) -> E:
        c = o[1] + r[0] - (size - 1) // 2
        v = x[tuple([o[0], c] + o[2:])]
        return expr.guard(expr.between(0, c, x.shape[1]), v * v, expr.const(0, kind.name))

    squares = reduce_("sum", x.shape, [size], term, kind)

    def f(*i: Ix) -> E:
        base = squares[i] * (alpha / size) + bias
        return x[i] * expr.fn("pow", base, expr.const(-beta, kind.name))

    return compute(x.shape, f, x.dtype)
