# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""com.microsoft: attention by heads, with caches that grow or have a fixed size, and with beams."""

from __future__ import annotations

from aotgen.core import dtypes
from aotgen.ir import index
from aotgen.ir.graph import Value
from aotgen.ir.index import Dim
from aotgen.ops.attention import MICROSOFT, Bias, attend, merge_heads, ms_mask, split_heads
from aotgen.ops.builder import Builder
from aotgen.ops.registry import Ctx, expansion
from aotgen.ops.shorthand import Sub

BIASED = 2  # the scores that onnxruntime hands out: after the mask, before softmax


@expansion("MultiHeadAttention", domain=MICROSOFT, whole=True)
def multi_head_attention(ctx: Ctx, builder: Builder, q: Value, k: Value | None = None, v: Value | None = None,
                         bias: Value | None = None, padding: Value | None = None, added: Value | None = None,
                         past_key: Value | None = None, past_value: Value | None = None, past_length: Value | None = None,
                         beams: Value | None = None) -> tuple[Value | None, ...]:
    """q ``[B, S, H*D]``; k and v alike or split into heads ``[B, H, L, D]``, packed ones ``[B, S, H, 3 or 2, D]``; a joint
    bias, a key padding mask (1: attend). Outputs: y, present key and value, scores.

    past_length: ``[1]`` i32, how much of the past key and value is used; they then have a fixed size and are written in
    place. beams: ``[B / W, W, max]`` i32, the beam that each past position comes from.
    """
    s, heads = Sub(ctx, builder), ctx.attr_int("num_heads")
    q, k, v = _unpacked(s, q, k, v)
    if bias is not None:
        q, k, v = _biased(s, (q, k, v), bias)
    q, k, v = (x if len(x.shape) == 4 else split_heads(s, x, heads) for x in (q, k, v))
    return _attended(ctx, s, q, k, v, padding, added, past_key, past_value, past_length, beams)


@expansion("DecoderMaskedMultiHeadAttention", domain=MICROSOFT)
def decoder_attention(ctx: Ctx, builder: Builder, q: Value, k: Value | None = None, v: Value | None = None,
                      padding: Value | None = None, added: Value | None = None, past_key: Value | None = None,
                      past_value: Value | None = None, past_length: Value | None = None, width: Value | None = None,
                      beams: Value | None = None, bias: Value | None = None) -> tuple[Value | None, ...]:
    """One step of a decoder: MultiHeadAttention with its operands in another order. ``width``, the number of beams, is
    what ``beams`` has."""
    s = Sub(ctx, builder)
    attrs = {n: a for n, a in ctx.node.attrs.items() if n in ("num_heads", "scale", "mask_filter_value")}
    operands = (q, k, v, bias, padding, added, past_key, past_value, past_length, beams)
    names = ["" if o is None else o.name for o in ctx.node.outputs]
    return builder.node("MultiHeadAttention", operands, attrs, domain=MICROSOFT, origin=s.origin, names=names)


def _unpacked(s: Sub, q: Value, k: Value | None, v: Value | None) -> tuple[Value, Value, Value]:
    """Queries, keys and values apart; packed ones lie side by side on axis 3."""
    if k is not None and v is not None:
        return q, k, v
    packed, count = (q, 3) if k is None else (k, 2)
    if len(packed.shape) != 5:
        raise s.ctx.refuse(f"packed queries, keys and values of shape {list(packed.shape)}")
    b, length, heads, _, size = packed.shape
    parts = [s.reshape(s.select(packed, 3, n), [b, length, index.ix(heads) * size]) for n in range(count)]
    return (parts[0], parts[1], parts[2]) if count == 3 else (q, parts[0], parts[1])


def _biased(s: Sub, operands: tuple[Value, ...], bias: Value) -> list[Value]:
    """Each operand plus its part of the joint bias; keys and values already split into heads have theirs."""
    width = index.ix(operands[0].shape[-1])
    ends = [width * 0, width, width * 2, index.ix(bias.shape[0])]
    return [x if len(x.shape) == 4 else s("Add", x, s.slice(bias, 0, ends[n], ends[n + 1])) for n, x in enumerate(operands)]


def _attended(ctx: Ctx, s: Sub, q: Value, k: Value, v: Value, padding: Value | None, added: Value | None,
              past_key: Value | None, past_value: Value | None, past_length: Value | None,
              beams: Value | None) -> tuple[Value | None, ...]:
    upper = 0 if ctx.attr_int("unidirectional", 0) else None
    scale = ctx.attr_float("scale", 0.0) or None
    before: Dim | None = 0
    valid = None
    present = [k, v]
    if past_key is not None and past_value is not None:
        pairs = [(past_key, k), (past_value, v)]
        if past_length is None:
            before = past_key.shape[2]
            k, v = present = [s.concat([old, new], 2) for old, new in pairs]
        else:
            start = s("Expand", s.reshape(s.cast(past_length, dtypes.i64), [1]), s.ints([q.shape[0]]))
            before, valid = None, s("Add", start, s.ints([k.shape[2]]))
            k, v = present = [s("TensorScatter", old, new, start, axis=2) for old, new in pairs]
            if beams is not None:
                k, v = (_of_beams(s, x, beams, start) for x in (k, v))
    seen = Bias(ms_mask(ctx, s, padding, added, k), before, upper, None, valid)
    y, scores = attend(s, q, k, v, scale, seen, stage=BIASED if ctx.wants(3) else 0)
    return s.asked(merge_heads(s, y), *present, scores)


def _of_beams(s: Sub, cache: Value, beams: Value, start: Value) -> Value:
    """``cache`` ``[B, H, T, D]`` with every position before ``start`` taken from the row that ``beams`` names."""
    batch, _, length, _ = cache.shape
    groups, width, longest = beams.shape
    first = s("Mul", s.reshape(s.steps(groups), [groups, 1, 1]), s.ints([width]))
    rows = s.reshape(s("Add", s.cast(beams, dtypes.i64), first), [batch, longest])
    rows = s.slice(rows, 1, 0, length)
    own = s.reshape(s.steps(batch), [batch, 1])
    past = s("Less", s.reshape(s.steps(length), [1, length]), s.reshape(start, [batch, 1]))
    at = s.reshape(s("Where", past, rows, own), [batch, 1, length, 1])
    return s("GatherElements", cache, s("Expand", at, s.ints(cache.shape)), axis=0)  # type: ignore[no-any-return]
