# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""CausalConvWithState: the depthwise convolution of state-space models and gated delta networks, one step or a whole sequence."""

from __future__ import annotations

from aotgen.core import dtypes
from aotgen.core.errors import ModelError
from aotgen.ir import index
from aotgen.ir.define import Def, reduce_
from aotgen.ir.graph import Value
from aotgen.ops.builder import Builder
from aotgen.ops.convolution import with_bias
from aotgen.ops.registry import Ctx, expansion, lowering
from aotgen.ops.shorthand import Sub, same_dim


@expansion("CausalConvWithState")
def causal_conv(ctx: Ctx, builder: Builder, x: Value, w: Value, bias: Value | None = None,
                past: Value | None = None) -> tuple[Value | None, ...]:
    """x: ``[B, C, L]``, w: ``[C, 1, k]``, bias: ``[C]``, past: ``[B, C, k - 1]`` (absent: zeros). Outputs: y ``[B, C, L]``, the last
    ``k - 1`` positions ``[B, C, k - 1]``."""
    s = Sub(ctx, builder)
    if len(x.shape) != 3 or len(w.shape) != 3:
        raise ModelError(f"input of shape {list(x.shape)} with weights of shape {list(w.shape)}: both must have 3 axes")
    batch, channels, length = x.shape
    channels = same_dim(channels, w.shape[0], "channels")
    before = index.ix(w.shape[2]) - 1
    if past is None:
        past = s.filled(0, [batch, channels, before], x.dtype)
    past = s.sized(past, {0: batch, 1: channels, 2: index.as_dim(before)}, "past_state")
    whole = s.concat([past, s.sized(x, {1: channels}, "input")], 2)
    if isinstance(channels, int):
        y = s("Conv", whole, w, bias, group=channels)
    else:
        y = s("Depthwise", whole, w, bias, domain="aotgen")
    return s.asked(_activated(ctx, s, y), s.slice(whole, 2, length, index.ix(length) + before))


def _activated(ctx: Ctx, s: Sub, y: Value) -> Value:
    name = ctx.attr_str("activation", "none")
    if name not in ("none", "silu", "swish"):
        raise ModelError(f"unknown activation '{name}'")
    return y if name == "none" else s("Swish", y)


@lowering("Depthwise", domain="aotgen")
def depthwise(ctx: Ctx, x: Def, w: Def, bias: Def | None = None) -> Def:
    """``y[b, c, l] = bias[c] + sum_k x[b, c, l + k] w[c, 0, k]`` for any number of channels, also one known only to the run."""
    taps = w.shape[2]
    shape = x.shape[0], w.shape[0], index.as_dim(index.ix(x.shape[2]) - taps + 1)
    dtype = x.dtype if bias is None else dtypes.compute_of(x.dtype)
    core = reduce_("sum", shape, [taps], lambda o, r: x[o[0], o[1], o[2] + r[0]] * w[o[1], 0, r[0]], dtype)
    return with_bias(core, bias, x.dtype)
