# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""com.microsoft: the float operators that onnxruntime's optimiser and exporters write, as nodes of the standard."""

from __future__ import annotations

from typing import Any

import numpy as np

from aotgen.core import dtypes
from aotgen.core.errors import ModelError
from aotgen.ir import index
from aotgen.ir.graph import Value
from aotgen.ir.index import Dim
from aotgen.ops.attention import Bias, attend, merge_heads, split_heads
from aotgen.ops.builder import Builder
from aotgen.ops.convolution import activated
from aotgen.ops.registry import Ctx, expansion
from aotgen.ops.shorthand import Sub

MICROSOFT = "com.microsoft"


@expansion("GemmFastGelu", domain=MICROSOFT)
def gemm_fast_gelu(ctx: Ctx, builder: Builder, x: Value, w: Value, bias: Value | None = None) -> Value:
    s = Sub(ctx, builder)
    return s("FastGelu", s("MatMul", x, w), bias, domain=MICROSOFT)  # type: ignore[no-any-return]


@expansion("FusedGemm", domain=MICROSOFT)
def fused_gemm(ctx: Ctx, builder: Builder, a: Value, b: Value, c: Value | None = None) -> Value:
    """Gemm, then an activation whose parameters are ``activation_alpha`` and ``activation_beta``."""
    s = Sub(ctx, builder)
    attrs = {k: v for k, v in ctx.node.attrs.items() if not k.startswith("activation")}
    y: Value = s("Gemm", a, b, c, **attrs)
    name = ctx.attr_str("activation", "")
    wanted = {"LeakyRelu": ["alpha"], "Elu": ["alpha"], "HardSigmoid": ["alpha", "beta"]}.get(name)
    if wanted is None:
        return activated(ctx, s, y)
    more: dict[str, Any] = {k: ctx.attr_float(f"activation_{k}") for k in wanted if ctx.has(f"activation_{k}")}
    return s(name, y, **more)  # type: ignore[no-any-return]


# -- attention with a cache


@expansion("RotaryEmbedding", domain=MICROSOFT)
def rotary_embedding(ctx: Ctx, builder: Builder, x: Value, positions: Value, cos: Value, sin: Value) -> Value:
    """x: ``[B, S, H*D]`` or ``[B, H, S, D]``; positions: ``[B, S]``, or ``[1]``, the position of the first token."""
    s = Sub(ctx, builder)
    if ctx.attr_int("is_packed_batching", 0) or ctx.attr_float("scale", 1.0) != 1.0:
        raise ctx.refuse("RotaryEmbedding of packed batches or with a scale")
    return _rotated(ctx, s, x, positions, cos, sin, ctx.attr_int("num_heads", 0), bool(ctx.attr_int("interleaved", 0)))


def _rotated(ctx: Ctx, s: Sub, x: Value, positions: Value, cos: Value, sin: Value, heads: int, pairs: bool) -> Value:
    seq = x.shape[1] if len(x.shape) == 3 else x.shape[2]
    if len(positions.shape) < 2:
        steps = s.reshape(s.steps(seq), [1, seq])
        first = s.reshape(s.cast(positions, dtypes.i64), [1, 1])
        positions = s("Expand", s("Add", steps, first), s.ints([x.shape[0], seq]))
    if len(x.shape) == 3 and not heads:
        count = index.as_dim(index.ix(x.shape[2]) // (index.ix(cos.shape[1]) * 2))
        if not isinstance(count, int):
            raise ctx.refuse(f"rotary embedding over an open width {x.shape[2]}", "fix it with --dim")
        heads = count
    size = ctx.attr_int("rotary_embedding_dim", 0) or int(cos.shape[1]) * 2  # type: ignore[arg-type]
    width = x.shape[3] if len(x.shape) == 4 else index.as_dim(index.ix(x.shape[2]) // heads)
    attrs: dict[str, Any] = {"interleaved": int(pairs), "rotary_embedding_dim": 0 if size == width else size}
    if len(x.shape) == 3:
        attrs["num_heads"] = heads
    return s("RotaryEmbedding", x, cos, sin, s.cast(positions, dtypes.i64), **attrs)  # type: ignore[no-any-return]


@expansion("GroupQueryAttention", domain=MICROSOFT)
def group_query_attention(
    ctx: Ctx, builder: Builder, q: Value, k: Value | None, v: Value | None, past_key: Value | None = None,
    past_value: Value | None = None, lengths: Value | None = None, total: Value | None = None,
    cos: Value | None = None, sin: Value | None = None, positions: Value | None = None, bias: Value | None = None,
    *more: Value | None,
) -> tuple[Value | None, ...]:
    """Outputs: y ``[B, S, H*D]``, present key and value ``[B, Hkv, max(past, total), D]``.

    lengths: ``[B]`` i32, valid keys minus one. total: the largest number of valid keys; when it is not known at compile
    time it is taken to be past + S (a cache that grows), and the cache of a fixed size needs it as a constant.
    """
    s, heads, few = Sub(ctx, builder), ctx.attr_int("num_heads"), ctx.attr_int("kv_num_heads")
    if any(m is not None for m in more) or ctx.attr_int("smooth_softmax", 0) > 0 or lengths is None:
        raise ctx.refuse("GroupQueryAttention with attention sinks, a quantised cache or without lengths")
    q, k, v = _split_packed(s, q, k, v, heads, few)
    batch, _, seq, width = q.shape
    held: Dim = 0 if past_key is None else past_key.shape[2]
    valid = s.reshape(s("Add", s.cast(lengths, dtypes.i64), s.scalar(1, dtypes.i64)), [batch])
    prompt = index.ix(held) == 0
    known = builder.known(total)
    if known is not None:
        span = index.as_dim(known.dims[0] if known.dims is not None else int(known.load().reshape(-1)[0]))
        prompt = prompt or index.ix(span) == index.ix(seq)
        room: Dim = max(held, span) if isinstance(held, int) and isinstance(span, int) else span
    else:
        room = index.as_dim(index.ix(held) + seq)
    if prompt:
        start = s.filled(0, [batch], dtypes.i64)
    else:
        start = s("Max", s("Sub", valid, s.scalar(0, dtypes.i64) if seq == 0 else s.ints([seq])), s.ints([0]))
    if ctx.attr_int("do_rotary", 0):
        if cos is None or sin is None:
            raise ModelError("do_rotary without the cosine and sine caches")
        if positions is None:
            positions = s("Add", s.reshape(start, [batch, 1]), s.reshape(s.steps(seq), [1, seq]))
        pairs = bool(ctx.attr_int("rotary_interleaved", 0))
        q, k = (_rotated(ctx, s, x, positions, cos, sin, n, pairs) for x, n in ((q, heads), (k, few)))
    keys, values = (_cached(s, past, new, start, held, room) for past, new in ((past_key, k), (past_value, v)))
    window = ctx.attr_int("local_window_size", -1)
    scale = ctx.attr_float("scale", 0.0) or float(width) ** -0.5  # type: ignore[arg-type]
    seen = Bias(bias, 0 if prompt else None, 0, 1 - window if window > 0 else None, None if prompt else valid)
    y, _ = attend(s, q, keys, values, scale, seen, ctx.attr_float("softcap", 0.0))
    return s.asked(merge_heads(s, y), keys, values)


def _split_packed(s: Sub, q: Value, k: Value | None, v: Value | None, heads: int, few: int) -> list[Value]:
    """Queries, keys and values by heads; packed ones lie side by side in ``q``."""
    if k is None or v is None:
        width = index.ix(q.shape[2]) // (heads + 2 * few)
        cuts = [width * 0, width * heads, width * (heads + few), width * (heads + 2 * few)]
        q, k, v = (s.slice(q, 2, cuts[n], cuts[n + 1]) for n in range(3))
    return [split_heads(s, x, n) for x, n in ((q, heads), (k, few), (v, few))]


def _cached(s: Sub, past: Value | None, new: Value, start: Value, held: Dim, room: Dim) -> Value:
    """The cache with room for ``room`` positions after ``new`` is written at ``start``; what was never written is 0."""
    if past is None or index.ix(held) == 0:
        if index.ix(room) == index.ix(new.shape[2]):
            return new
        past = s.filled(0.0, [*new.shape[:2], room, new.shape[3]], new.dtype)
    elif index.ix(held) != index.ix(room):
        extra = s.filled(0.0, [*past.shape[:2], index.as_dim(index.ix(room) - held), past.shape[3]], past.dtype)
        past = s.concat([past, extra], 2)
    return s("TensorScatter", past, new, start, axis=2)  # type: ignore[no-any-return]


# -- mixture of experts


@expansion("MoE", domain=MICROSOFT)
def mixture_of_experts(ctx: Ctx, builder: Builder, x: Value, router: Value, w1: Value, b1: Value | None, w2: Value,
                       b2: Value | None = None, w3: Value | None = None, b3: Value | None = None) -> Value:
    """Every expert on every row, weighted by the router's ``k`` best (0 for the others): exact, at the price of the experts
    that nobody chose. x: ``[..., hidden]``, router: ``[rows, E]``, w1: ``[E, inter, hidden]``, w2: ``[E, hidden, inter]``."""
    s, name = Sub(ctx, builder), ctx.attr_str("activation_type", "relu")
    ops = {"relu": "Relu", "gelu": "", "silu": "Swish", "identity": "Identity"}
    if name not in ops or ctx.attr_int("use_sparse_mixer", 0):
        raise ctx.refuse(f"MoE with activation '{name}' or the sparse mixer")
    rows, hidden = router.shape[0], x.shape[-1]
    flat = s.reshape(x, [1, rows, hidden])

    def layer(v: Value, w: Value, b: Value | None) -> Value:
        y: Value = s("MatMul", v, s.transpose(w, [0, 2, 1]))
        return y if b is None else s("Add", y, s.reshape(b, [b.shape[0], 1, b.shape[1]]))

    h = layer(flat, w1, b1)
    h = s("FastGelu", h, domain=MICROSOFT) if name == "gelu" else s(ops[name], h)
    if w3 is not None:
        h = s("Mul", h, layer(flat, w3, b3))
    y = layer(h, w2, b2)
    weights = s.reshape(s.transpose(_routed(ctx, s, router), [1, 0]), [router.shape[1], rows, 1])
    total = s("ReduceSum", s("Mul", y, s.cast(weights, y.dtype)), s.ints([0]), keepdims=0)
    return s.reshape(total, x.shape)


def _routed(ctx: Ctx, s: Sub, router: Value) -> Value:
    """``[rows, E]``: the softmax of the router where it is among the ``k`` largest, else 0."""
    k, experts = ctx.attr_int("k", 1), router.shape[1]
    p = s("Softmax", router, axis=1)
    best, at = s("TopK", p, s.ints([k]), n=2, axis=1)
    if ctx.attr_int("normalize_routing_weights", 0):
        best = s("Div", best, s("ReduceSum", best, s.ints([1]), keepdims=1))
    hot = s("OneHot", at, s.ints([experts]), s.builder.constant(np.array([0, 1], p.dtype.numpy)), axis=2)
    return s("ReduceSum", s("Mul", hot, s.reshape(best, [*best.shape, 1])), s.ints([1]), keepdims=0)  # type: ignore[no-any-return]
