# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The optimisers of ai.onnx.preview.training: one update step for any number of tensors.

Inputs are a learning rate R (scalar), an update count T (i64 scalar), then every tensor, every gradient and every state;
outputs are the new tensors and states in that order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aotgen.core.errors import ModelError
from aotgen.ir.define import Def, compute
from aotgen.ir.expr import E, cast, const, fn, select
from aotgen.ir.index import Ix
from aotgen.ops.broadcast import flat_element
from aotgen.ops.registry import Ctx, lowering

TRAINING = "ai.onnx.preview.training"
Update = Callable[[E, E, E, E, Sequence[E]], Sequence[E]]  # rate, count, tensor, gradient, states -> tensor, states


def _step(ctx: Ctx, inputs: Sequence[Def], states: int, update: Update) -> tuple[Def, ...]:
    rate, count, *rest = inputs
    n, extra = divmod(len(rest), 2 + states)
    if extra or not n:
        raise ModelError(f"{ctx.node.op} with {len(inputs)} inputs")
    groups = [rest[k * n : (k + 1) * n] for k in range(2 + states)]
    out: list[list[Def]] = [[] for _ in range(1 + states)]
    for x, g, *old in zip(*groups, strict=True):
        for k in range(1 + states):
            out[k].append(_one(rate, count, x, g, old, update, k))
    return tuple(d for group in out for d in group)


def _one(rate: Def, count: Def, x: Def, g: Def, old: Sequence[Def], update: Update, k: int) -> Def:
    """New tensor (``k`` = 0) or state ``k`` of one group."""

    def f(*i: Ix) -> E:
        r = cast(flat_element(rate), x.dtype.compute)
        return update(r, flat_element(count), x[i], g[i], [o[i] for o in old])[k]

    return compute(x.shape, f, x.dtype)


@lowering("Adagrad", domain=TRAINING)
def adagrad(ctx: Ctx, *inputs: Def) -> tuple[Def, ...]:
    decay, epsilon = ctx.attr_float("decay_factor", 0.0), ctx.attr_float("epsilon", 1e-6)
    norm = ctx.attr_float("norm_coefficient", 0.0)

    def update(r: E, t: E, x: E, g: E, old: Sequence[E]) -> Sequence[E]:
        g = x * norm + g
        h = old[0] + g * g
        return x - r / (1.0 + cast(t, r.dtype) * decay) * g / (fn("sqrt", h) + epsilon), h

    return _step(ctx, inputs, 1, update)


@lowering("Adam", domain=TRAINING)
def adam(ctx: Ctx, *inputs: Def) -> tuple[Def, ...]:
    alpha, beta, epsilon = ctx.attr_float("alpha", 0.9), ctx.attr_float("beta", 0.999), ctx.attr_float("epsilon", 1e-6)
    norm, after = ctx.attr_float("norm_coefficient", 0.0), ctx.attr_float("norm_coefficient_post", 0.0)

    def update(r: E, t: E, x: E, g: E, old: Sequence[E]) -> Sequence[E]:
        g = x * norm + g
        v = old[0] * alpha + g * (1.0 - alpha)
        h = old[1] * beta + g * g * (1.0 - beta)
        n = cast(t, r.dtype)
        corrected = r * fn("sqrt", 1.0 - fn("pow", const(beta, r.dtype), n)) / (1.0 - fn("pow", const(alpha, r.dtype), n))
        rate = select(t > 0, corrected, r)
        return (x - rate * (v / (fn("sqrt", h) + epsilon))) * (1.0 - after), v, h

    return _step(ctx, inputs, 2, update)


@lowering("Momentum", domain=TRAINING)
def momentum(ctx: Ctx, *inputs: Def) -> tuple[Def, ...]:
    """``mode`` standard or nesterov; the first update takes the whole gradient."""
    alpha, beta, norm = ctx.attr_float("alpha"), ctx.attr_float("beta"), ctx.attr_float("norm_coefficient", 0.0)
    nesterov = ctx.attr_str("mode", "standard") == "nesterov"

    def update(r: E, t: E, x: E, g: E, old: Sequence[E]) -> Sequence[E]:
        g = x * norm + g
        v = old[0] * alpha + g * select(t > 0, const(beta, g.dtype), const(1, g.dtype))
        return x - r * (g + v * alpha if nesterov else v), v

    return _step(ctx, inputs, 1, update)
