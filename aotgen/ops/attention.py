# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Attention and what surrounds it, as products, a softmax and movement; a target may fuse the whole pattern.

Shapes inside: queries ``[B, H, Sq, D]``, keys ``[B, Hkv, Skv, D]``, values ``[B, Hkv, Skv, Dv]``, scores ``[B, H, Sq, Skv]``.
With fewer key heads than query heads (GQA) the queries of a group are rows of one product, so nothing is repeated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from aotgen.core import dtypes
from aotgen.core.dtypes import DType
from aotgen.core.errors import ModelError
from aotgen.ir import expr, index
from aotgen.ir.define import Def, compute, reduce_
from aotgen.ir.expr import E
from aotgen.ir.graph import Value
from aotgen.ir.index import Dim, Ix
from aotgen.ops.broadcast import along, broadcast, read
from aotgen.ops.builder import Builder
from aotgen.ops.normalization import layer_norm
from aotgen.ops.registry import Ctx, expansion, lowering
from aotgen.ops.shorthand import Sub

MICROSOFT = "com.microsoft"


def split_heads(s: Sub, x: Value, heads: int) -> Value:
    """``[B, S, heads*D]`` as ``[B, heads, S, D]``."""
    b, seq, width = x.shape
    if isinstance(width, int) and (heads < 1 or width % heads):
        raise ModelError(f"a width of {width} does not split into {heads} heads")
    return s.transpose(s.reshape(x, [b, seq, heads, index.ix(width) // heads]), [0, 2, 1, 3])


def merge_heads(s: Sub, x: Value) -> Value:
    """``[B, H, S, D]`` as ``[B, S, H*D]``."""
    b, heads, seq, d = x.shape
    return s.reshape(s.transpose(x, [0, 2, 1, 3]), [b, seq, index.ix(heads) * d])


@dataclass(frozen=True, slots=True)
class Bias:
    """What is added to the scores: a mask value (float or bool, broadcast over ``[B, H, Sq, Skv]``), and which keys each
    query may see: ``lower <= key - query - offset <= upper`` (None: unbounded). ``valid``: ``[B]`` numbers of keys."""

    mask: Value | None = None
    offset: Dim | None = None  # None: valid - Sq
    upper: int | None = None
    lower: int | None = None
    valid: Value | None = None

    @property
    def windowed(self) -> bool:
        return self.upper is not None or self.lower is not None


@lowering("AttentionBias", domain="aotgen")
def attention_bias(ctx: Ctx, scores: Def, mask: Def | None = None, offset: Def | None = None,
                   valid: Def | None = None) -> Def:
    """The bias of every score, ``[B or 1, H or 1, Sq, Skv]``, in the compute type of ``scores``: mask plus 0 or -inf.

    offset: ``[1]`` or ``[B]`` i64, the absolute position of the first query. Attributes ``upper``, ``lower``: window.
    """
    kind = dtypes.compute_of(scores.dtype).name
    nothing, zero = expr.const(float("-inf"), kind), expr.const(0, kind)
    batched = any(d is not None and d.shape[0] != 1 for d in (valid, offset))
    lead: list[Dim] = [scores.shape[0] if batched else 1, 1]
    if mask is not None:
        for k in range(2):
            at = k - 4 + mask.rank
            if at >= 0:
                lead[k], = broadcast([lead[k]], [mask.shape[at]])

    def f(b: Ix, h: Ix, q: Ix, k: Ix) -> E:
        seen = []
        if offset is not None:
            gap = expr.ix_value(k - q) - read(offset, [b])
            seen += [gap <= ctx.attr_int("upper")] if ctx.has("upper") else []
            seen += [gap >= ctx.attr_int("lower")] if ctx.has("lower") else []
        if valid is not None:
            seen.append(expr.ix_value(k) < expr.cast(read(valid, [b]), "i64"))
        value = zero
        if mask is not None:
            # A mask narrower than the keys hides the rest.
            width = mask.shape[-1]
            tail = [b, h, q][4 - mask.rank:]
            place = tuple(along(d, i) for d, i in zip(mask.shape, [*tail, k], strict=True))
            m = mask[place]
            value = expr.select(m, zero, nothing) if mask.dtype.is_bool else expr.cast(m, kind)
            value = expr.guard(expr.ge0(index.ix(width) - 1 - place[-1]), value, nothing)
        return expr.select(expr.all_(seen), value, nothing)

    return compute((*lead, *scores.shape[2:]), f)


@lowering("MaskedSoftmax", domain="aotgen")
def masked_softmax(ctx: Ctx, scores: Def, bias: Def) -> Def:
    """Softmax of ``scores + bias`` along the last axis; a row whose bias is -inf throughout is 0."""
    kind = dtypes.compute_of(scores.dtype)
    total = compute(scores.shape, lambda *i: scores[i] + expr.cast(read(bias, i), kind))
    rows = scores.shape[:-1]
    top = reduce_("max", rows, scores.shape[-1:], lambda o, r: total[tuple(o + r)])
    least = reduce_("max", bias.shape[:-1], bias.shape[-1:], lambda o, r: bias[tuple(o + r)])
    e = compute(scores.shape, lambda *i: expr.fn("exp", total[i] - top[i[:-1]]))
    norm = reduce_("sum", rows, scores.shape[-1:], lambda o, r: e[tuple(o + r)])
    inverse = compute(rows, lambda *i: 1.0 / norm[i])

    def f(*i: Ix) -> E:
        y = e[i] * inverse[i[:-1]]
        hidden = read(least, i[:-1]).eq(float("-inf"))
        return expr.select(hidden, expr.const(0, y.dtype), y)

    return compute(scores.shape, f, scores.dtype)


def grouped_product(s: Sub, a: Value, b: Value) -> Value:
    """``a @ b`` for ``[B, H, M, K]`` and ``[B, Hkv, K, N]``; H a multiple of Hkv."""
    batch, heads, m, k = a.shape
    few = b.shape[1]
    if heads == few or few == 1:
        return s("MatMul", a, b)  # type: ignore[no-any-return]
    if isinstance(heads, int) and isinstance(few, int) and heads % few:
        raise ModelError(f"{heads} query heads are not a multiple of {few} key heads")
    rows = index.ix(heads) // few * m
    y = s("MatMul", s.reshape(a, [batch, few, rows, k]), b)
    return s.reshape(y, [batch, heads, m, b.shape[3]])


def _root(s: Sub, scale: float | None, width: Dim, dtype: DType) -> Value:
    """``sqrt(|scale|)``; ``scale`` None is ``1 / sqrt(width)``."""
    if scale is not None or isinstance(width, int):
        return s.scalar(abs(width**-0.5 if scale is None else scale) ** 0.5, dtype)  # type: ignore[operator]
    root = s("Sqrt", s("Sqrt", s.cast(s.ints([width]), dtypes.f64)))
    return s.cast(s("Reciprocal", root), dtype)


def attend(s: Sub, q: Value, k: Value, v: Value, scale: float | None, bias: Bias, softcap: float = 0.0,
           precision: DType | None = None, stage: int = 0) -> tuple[Value, Value]:
    """Scaled dot-product attention ``[B, H, Sq, Dv]``, and the scores at ``stage``: 0 raw, 1 capped, 2 biased,
    3 normalised. ``scale`` None: one over the root of the head size."""
    root = _root(s, scale, q.shape[3], q.dtype)
    keys = s.transpose(s("Mul", k, root), [0, 1, 3, 2])
    raw = grouped_product(s, s("Mul", q, root), keys)
    if scale is not None and scale < 0:
        raw = s("Neg", raw)
    capped = raw
    if softcap > 0:
        cap = s.scalar(softcap, q.dtype)
        capped = s("Mul", s("Tanh", s("Div", raw, cap)), cap)
    added = _bias(s, raw, bias)
    scores = s.cast(capped, precision or q.dtype)
    if added is None:
        p = s("Softmax", scores, axis=-1)
    else:
        p = s("MaskedSoftmax", scores, added, domain="aotgen")
    p = s.cast(p, q.dtype)
    shown = {0: raw, 1: capped, 2: capped, 3: p}[stage]
    if stage == 2 and added is not None:
        shown = s.cast(s("Add", s.cast(capped, added.dtype), added), q.dtype)
    return grouped_product(s, p, v), shown


def _bias(s: Sub, scores: Value, b: Bias) -> Value | None:
    """The bias tensor, or None when nothing is added."""
    if b.mask is None and not b.windowed and b.valid is None:
        return None
    offset = None
    attrs: dict[str, Any] = {}
    if b.windowed:
        if b.offset is not None:
            offset = s.ints([b.offset])
        else:
            assert b.valid is not None
            offset = s("Sub", s.cast(b.valid, dtypes.i64), s.ints([scores.shape[2]]))
        attrs = {n: v for n, v in (("upper", b.upper), ("lower", b.lower)) if v is not None}
    return s("AttentionBias", scores, b.mask, offset, b.valid, domain="aotgen", **attrs)  # type: ignore[no-any-return]


@expansion("Attention", whole=True)
def attention(ctx: Ctx, builder: Builder, q: Value, k: Value, v: Value, mask: Value | None = None,
              past_key: Value | None = None, past_value: Value | None = None,
              valid: Value | None = None) -> tuple[Value | None, ...]:
    """Outputs: Y, present key, present value, scores at the stage of ``qk_matmul_output_mode``."""
    s = Sub(ctx, builder)
    if (past_key is None) != (past_value is None):
        raise ModelError("past_key and past_value come together")
    flat = len(q.shape) == 3
    if flat:
        heads, few = ctx.attr_int("q_num_heads"), ctx.attr_int("kv_num_heads")
        q, k, v = split_heads(s, q, heads), split_heads(s, k, few), split_heads(s, v, few)
    past: Dim = 0
    if past_key is not None and past_value is not None:
        past = past_key.shape[2]
        k, v = s.concat([past_key, k], 2), s.concat([past_value, v], 2)
    upper = [n for n in (0 if ctx.attr_int("is_causal", 0) else -1, ctx.attr_int("right_window_size", -1)) if n >= 0]
    left = ctx.attr_int("left_window_size", -1)
    bias = Bias(mask, None if valid is not None and past_key is None else past, min(upper) if upper else None,
                -left if left >= 0 else None, valid)
    precision = ctx.attr_dtype("softmax_precision") if ctx.has("softmax_precision") else None
    scale = ctx.attr_float("scale") if ctx.has("scale") else None
    y, shown = attend(s, q, k, v, scale, bias, ctx.attr_float("softcap", 0.0), precision,
                      ctx.attr_int("qk_matmul_output_mode", 0))
    return s.asked(merge_heads(s, y) if flat else y, k, v, shown)


# -- rotary embedding


@lowering("Rotate", domain="aotgen")
def rotate_def(ctx: Ctx, x: Def, cos: Def, sin: Def) -> Def:
    """x: ``[B, S, H, D]`` (``heads_first`` 0) or ``[B, H, S, D]``; cos, sin: ``[B or 1, S, half]``: the first ``2 * half``
    elements of ``D`` turn."""
    half, pairs = index.ix(cos.shape[-1]), bool(ctx.attr_int("interleaved", 0))
    size = half * 2
    seq = 2 if ctx.attr_int("heads_first", 0) else 1
    kind = dtypes.compute_of(x.dtype)

    def f(*i: Ix) -> E:
        d = i[3]
        if pairs:
            which, first = d // 2, d - d % 2
            second, is_first = first + 1, expr.ge0(-(d % 2))
        else:
            which = first = d % half
            second, is_first = d % half + half, expr.ge0(half - 1 - d)
        c, n = (expr.cast(read(t, (i[0], i[seq], which)), kind) for t in (cos, sin))
        a, b = x[i[:3] + (first,)], x[i[:3] + (second,)]
        turned = expr.select(is_first, c * a - n * b, n * a + c * b)
        if size == index.ix(x.shape[3]):
            return turned
        return expr.guard(expr.ge0(size - 1 - d), turned, x[i])

    return compute(x.shape, f, x.dtype)


@expansion("RotaryEmbedding")
def rotary_embedding(ctx: Ctx, builder: Builder, x: Value, cos: Value, sin: Value, positions: Value | None = None) -> Value:
    s = Sub(ctx, builder)
    shape, first = x.shape, len(x.shape) == 4
    if not first:
        heads = ctx.attr_int("num_heads")
        x = s.reshape(x, [*shape[:2], heads, index.ix(shape[2]) // heads])
    if positions is not None:
        cos, sin = s("Gather", cos, positions, axis=0), s("Gather", sin, positions, axis=0)
    size = ctx.attr_int("rotary_embedding_dim", 0) or x.shape[3]
    half = size // 2 if isinstance(size, int) else cos.shape[-1]
    cos, sin = (s.sized(t, {-1: half}, "a cache of angles") for t in (cos, sin))
    if not isinstance(size, int):
        x = s.sized(x, {3: index.ix(half) * 2}, "heads to rotate")
    y = s("Rotate", x, cos, sin, domain="aotgen", interleaved=ctx.attr_int("interleaved", 0), heads_first=int(first))
    return y if first else s.reshape(y, [*shape[:2], index.ix(y.shape[2]) * y.shape[3]])


# -- onnxruntime's own


def ms_mask(ctx: Ctx, s: Sub, padding: Value | None, added: Value | None, keys: Value) -> Value | None:
    """onnxruntime's masks as one float bias: 0 in an integer mask adds ``mask_filter_value``. ``keys``: [B, H, Skv, D]."""
    dtype = keys.dtype
    if padding is None:
        return added
    if len(padding.shape) == 1:
        padding = _from_lengths(ctx, s, padding, keys)
    if len(padding.shape) not in (2, 3):
        raise ctx.refuse(f"a mask of type {padding.type}")
    b, *rest = padding.shape
    shaped = s.reshape(padding, [b, 1, 1, rest[0]] if len(rest) == 1 else [b, 1, *rest])
    low = s.scalar(max(ctx.attr_float("mask_filter_value", -10000.0), -65504.0 if dtype is dtypes.f16 else -3e38), dtype)
    mask = s("Where", s.cast(shaped, dtypes.boolean), s.scalar(0.0, dtype), low)
    return mask if added is None else s("Add", mask, added)  # type: ignore[no-any-return]


def _from_lengths(ctx: Ctx, s: Sub, bounds: Value, keys: Value) -> Value:
    """A mask [B, Skv] from where the keys of each sequence end ([B]), or end and then start ([2B])."""
    batch = keys.shape[0]
    if bounds.shape[0] not in (batch, index.as_dim(index.ix(batch) * 2)):
        raise ctx.refuse(f"a mask of type {bounds.type} for {batch} sequences")
    place = s.cast(s.steps(keys.shape[2]), bounds.dtype)

    def column(first: Dim) -> Value:
        return s.reshape(s.slice(bounds, 0, first, index.as_dim(index.ix(first) + batch)), [batch, 1])

    seen: Value = s("Less", place, column(0))
    if bounds.shape[0] != batch:
        seen = s("And", seen, s("GreaterOrEqual", place, column(batch)))
    return seen


@expansion("Attention", domain=MICROSOFT, whole=True)
def ms_attention(ctx: Ctx, builder: Builder, x: Value, w: Value, bias: Value | None = None, mask: Value | None = None,
                 past: Value | None = None, added: Value | None = None, *more: Value | None) -> tuple[Value | None, ...]:
    """Self attention from one packed projection: ``x @ w + bias`` holds q, k and v side by side."""
    s = Sub(ctx, builder)
    if any(m is not None for m in more):
        raise ctx.refuse("Attention with a shared past buffer")
    qkv = s("MatMul", x, w)
    qkv = qkv if bias is None else s("Add", qkv, bias)
    return packed_attention(ctx, s, qkv, mask, past, added)


def packed_attention(ctx: Ctx, s: Sub, qkv: Value, mask: Value | None, past: Value | None,
                     added: Value | None) -> tuple[Value | None, ...]:
    """Self attention of a projection ``[B, S, q + k + v]``. Outputs: y, present ``[2, B, H, past + S, D]``."""
    heads = ctx.attr_int("num_heads")
    sizes = list(map(index.ix, ctx.attr_ints("qkv_hidden_sizes"))) if ctx.has("qkv_hidden_sizes") else [
        index.ix(qkv.shape[2]) // 3] * 3
    ends = [sum(sizes[:n], index.ix(0)) for n in range(4)]
    qkv = s.sized(qkv, {2: index.as_dim(ends[3])}, "a projection to queries, keys and values")
    q, k, v = (split_heads(s, s.slice(qkv, 2, ends[n], ends[n + 1]), heads) for n in range(3))
    before: Dim = 0
    if past is not None:
        before = past.shape[3]
        k, v = (s.concat([s.select(past, 0, n), t], 2) for n, t in enumerate((k, v)))
    causal = bool(ctx.attr_int("unidirectional", 0))
    scale = ctx.attr_float("scale", 0.0) or None
    y, _ = attend(s, q, k, v, scale, Bias(ms_mask(ctx, s, mask, added, k), before, 0 if causal else None))
    present = None
    if ctx.wants(1):
        present = s.concat([s.reshape(t, [1, *t.shape]) for t in (k, v)], 0)
    return s.asked(merge_heads(s, y), present)


@lowering("EmbedLayerNormalization", domain=MICROSOFT)
def embed_layer_normalization(ctx: Ctx, ids: Def, segments: Def | None, words: Def, places: Def,
                              segment_table: Def | None = None, gamma: Def | None = None, beta: Def | None = None,
                              mask: Def | None = None, positions: Def | None = None) -> tuple[Def | None, ...]:
    """Word + position (+ segment) embeddings, layer-normalised. Outputs: y, mask_index (row sums of mask), the sum."""
    def embedding(b: Ix, t: Ix, c: Ix) -> E:
        place = t if positions is None else expr.index_of(read(positions, (b, t)), places.shape[0])
        value = words[expr.index_of(ids[b, t], words.shape[0]), c] + places[place, c]
        if segments is not None and segment_table is not None:
            value = value + segment_table[expr.index_of(segments[b, t], segment_table.shape[0]), c]
        return value

    total = compute((*ids.shape, words.shape[1]), embedding, words.dtype)
    y = layer_norm(total, gamma, beta, [2], ctx.attr_float("epsilon", 1e-12), dtypes.compute_of(words.dtype), words.dtype)[0]
    if mask is None:
        count = compute(ids.shape[:1], lambda b: expr.const(0, "i32"))
    else:
        count = reduce_("sum", ids.shape[:1], ids.shape[1:], lambda o, r: mask[o[0], r[0]], dtypes.i32)
    return (y, count, total)[:max(1, ctx.n_outputs)]
