# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""ai.onnx.ml: feature selection and encoding, in the forms that are tensors of numbers."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aotgen.core import dtypes
from aotgen.core.errors import ModelError
from aotgen.ir import expr, index
from aotgen.ir.define import Def, compute, reduce_
from aotgen.ir.expr import E, const, fn, select
from aotgen.ir.graph import Value
from aotgen.ir.index import Ix
from aotgen.ops.builder import Builder
from aotgen.ops.ml_scores import ML
from aotgen.ops.registry import Ctx, expansion, lowering
from aotgen.ops.shorthand import Sub


@lowering("ArrayFeatureExtractor", domain=ML)
def array_feature_extractor(ctx: Ctx, x: Def, indices: Def) -> Def:
    """``x[..., indices]``; a vector gives one row."""
    if x.dtype.kind == "s":
        raise ctx.refuse("choosing among strings", "drop that output: its index is what the model computes")
    count = indices.size

    def f(*i: Ix) -> E:
        rest, place = i[-1], []
        for d in reversed(indices.shape):
            place.append(rest % d)
            rest = rest // d
        at = expr.index_of(indices[tuple(reversed(place))], x.shape[-1])
        return x[(*i[:-1][len(i) - x.rank :], at)]

    return compute([*(x.shape[:-1] or (1,)), count], f, x.dtype)


@lowering("Binarizer", domain=ML)
def binarizer(ctx: Ctx, x: Def) -> Def:
    limit, kind = ctx.attr_float("threshold", 0.0), x.dtype.compute
    one, zero = const(1, kind), const(0, kind)
    if x.dtype.is_integer:
        limit = math.floor(limit)
    return compute(x.shape, lambda *i: select(const(limit, kind) < x[i], one, zero), x.dtype)


@expansion("FeatureVectorizer", domain=ML)
def feature_vectorizer(ctx: Ctx, builder: Builder, *inputs: Value) -> Value:
    """Inputs side by side as f32, each cut or padded with zeros to its ``inputdimensions``."""
    s, parts = Sub(ctx, builder), []
    sizes = ctx.attr_ints("inputdimensions", [])
    for k, x in enumerate(inputs):
        x = s.cast(x if len(x.shape) == 2 else s.reshape(x, [x.shape[0], index.prod_dims(x.shape[1:])]), dtypes.f32)
        width = x.shape[1]
        want = sizes[k] if k < len(sizes) else width
        if not isinstance(width, int) or not isinstance(want, int):
            raise ctx.refuse(f"features of open width {width}", "fix that dim with --dim")
        if want > width:
            x = s("Pad", x, s.ints([0, 0, 0, want - width]))
        parts.append(s.slice(x, 1, 0, want))
    return s.concat(parts, 1)


@expansion("Imputer", domain=ML)
def imputer(ctx: Ctx, builder: Builder, x: Value) -> Value:
    """Elements equal to ``replaced_value`` (NaN included) become the imputed value of their column."""
    s = Sub(ctx, builder)
    if x.dtype.is_float:
        values, old = ctx.attr_floats("imputed_value_floats"), ctx.attr_float("replaced_value_float", 0.0)
    else:
        values, old = ctx.attr_ints("imputed_value_int64s"), ctx.attr_int("replaced_value_int64", 0)  # type: ignore[assignment]
    if len(values) not in (1, x.shape[-1]):
        raise ModelError(f"{len(values)} imputed values for {x.shape[-1]} columns")
    missing = s("IsNaN", x) if old != old else s("Equal", x, s.scalar(old, x.dtype))
    return s("Where", missing, builder.constant(np.array(values, x.dtype.numpy), "imputed"), x)  # type: ignore[no-any-return]


# -- label encoding: a sorted table of keys, searched by halving


def _side(ctx: Ctx, side: str) -> NDArray[Any]:
    """Keys or values as an array of their own type."""
    if ctx.has(f"{side}_tensor"):
        table = ctx.attr_tensor(f"{side}_tensor")
        if table.dtype.kind not in "OUS":
            return table.reshape(-1)
    for name, kind in (("int64s", np.int64), ("floats", np.float32)):
        if ctx.has(f"{side}_{name}"):
            return np.array(ctx.node.attrs[f"{side}_{name}"], kind)
    raise ctx.refuse(f"LabelEncoder with {side} that are strings", "encode strings before the model")


def _default(ctx: Ctx, values: NDArray[Any]) -> Any:
    if ctx.has("default_tensor"):
        return ctx.attr_tensor("default_tensor").reshape(-1)[0]
    if values.dtype.kind == "f":
        return ctx.attr_float("default_float", -0.0)
    return ctx.attr_int("default_int64", -1)


@expansion("LabelEncoder", domain=ML)
def label_encoder(ctx: Ctx, builder: Builder, x: Value) -> Value:
    """A NaN key is found by NaN; of equal keys the first counts."""
    s = Sub(ctx, builder)
    keys, values = _side(ctx, "keys"), _side(ctx, "values")
    if len(keys) != len(values) or not len(keys):
        raise ModelError(f"{len(keys)} keys for {len(values)} values")
    if dtypes.of(keys.dtype) is not x.dtype:
        raise ModelError(f"keys of {keys.dtype} for labels of {x.dtype}")
    unique, first = np.unique(keys, return_index=True)  # sorted, NaN last
    table = builder.constant(unique, "keys")
    ordered = np.append(values[first], np.asarray(_default(ctx, values), values.dtype))
    place = s("KeyIndex", x, table, domain="aotgen", nan=int(unique.dtype.kind == "f" and bool(np.isnan(unique[-1]))))
    return s("Gather", builder.constant(ordered, "values"), place, axis=0)  # type: ignore[no-any-return]


@lowering("KeyIndex", domain="aotgen")
def key_index(ctx: Ctx, x: Def, keys: Def) -> Def:
    """i64: where each element of ``x`` is in the sorted ``keys``; their number where it is not. ``nan``: the last key is
    NaN. A binary search over bits of the answer, each step a Def."""
    n = keys.shape[0]
    assert isinstance(n, int)
    at = compute(x.shape, lambda *i: const(0, "i64"))
    for bit in reversed(range(max(n - 1, 0).bit_length())):
        at = _halved(x, keys, at, 1 << bit, n)

    def f(*i: Ix) -> E:
        key = keys[expr.index_of(at[i], n)]
        found = key.eq(x[i])
        if ctx.attr_int("nan", 0):
            found = fn("or", found, fn("and", fn("isnan", x[i]), fn("isnan", key)))
        return select(found, at[i], const(n, "i64"))

    return compute(x.shape, f, dtypes.i64)


def _halved(x: Def, keys: Def, at: Def, step: int, n: int) -> Def:
    """``at + step`` where the key there is not above the element (NaN is above everything)."""

    def f(*i: Ix) -> E:
        ahead = at[i] + step
        key = keys[expr.index_of(fn("min", ahead, const(n - 1, "i64")), n)]
        fits = key <= x[i]
        if x.dtype.is_float:
            fits = fn("or", fits, fn("isnan", x[i]))
        return select(fn("and", ahead < n, fits), ahead, at[i])

    return compute(x.shape, f, dtypes.i64)


@expansion("OneHotEncoder", domain=ML)
def one_hot_encoder(ctx: Ctx, builder: Builder, x: Value) -> Value:
    """f32 ``[..., categories]``; an unknown category is all zeros (``zeros`` 0 makes it an error in the standard, which a
    compiled model cannot raise)."""
    s = Sub(ctx, builder)
    if x.dtype.kind == "s" or not ctx.has("cats_int64s"):
        raise ctx.refuse("OneHotEncoder of strings", "encode strings before the model")
    cats = builder.constant(np.array(ctx.attr_ints("cats_int64s"), np.int64), "categories")
    wide = s.reshape(s.cast(x, dtypes.i64), [*x.shape, 1])
    return s.cast(s("Equal", wide, cats), dtypes.f32)


@expansion("ZipMap", domain=ML)
def zip_map(ctx: Ctx, builder: Builder, x: Value) -> Value:
    """The scores themselves, ``[N, classes]``: the map's keys are the class labels, in order."""
    return Sub(ctx, builder)("Identity", x)  # type: ignore[no-any-return]


# -- n-grams


@expansion("TfIdfVectorizer")
def tf_idf_vectorizer(ctx: Ctx, builder: Builder, x: Value) -> Value:
    """Counts of known n-grams of integers (skips allowed between their items), weighted. x: ``[C]`` or ``[N, C]``."""
    s = Sub(ctx, builder)
    if not ctx.has("pool_int64s") or x.dtype.kind == "s":
        raise ctx.refuse("TfIdfVectorizer of strings", "map tokens to integers before the model")
    low, high, skips = (ctx.attr_int(n) for n in ("min_gram_length", "max_gram_length", "max_skip_count"))
    pool, starts = ctx.attr_ints("pool_int64s"), [*ctx.attr_ints("ngram_counts"), len(ctx.attr_ints("pool_int64s"))]
    columns, mode = ctx.attr_ints("ngram_indexes"), ctx.attr_str("mode")
    rows = s.cast(x if len(x.shape) == 2 else s.reshape(x, [1, x.shape[0]]), dtypes.i64)
    width, gram = max(columns) + 1, 0
    weights = ctx.attr_floats("weights", []) or [1.0] * len(columns)
    parts, order, factors = [], [], np.ones(width, np.float32)
    for length in range(1, len(starts)):
        grams = np.array(pool[starts[length - 1] : starts[length]], np.int64).reshape(-1, length)
        if len(grams) and low <= length <= high:
            parts.append(s("NgramCounts", rows, builder.constant(grams, "ngrams"), domain="aotgen", skips=skips))
            order += columns[gram : gram + len(grams)]
            factors[columns[gram : gram + len(grams)]] = weights[gram : gram + len(grams)]
        gram += len(grams)
    table = np.zeros((len(order), width), np.float32)
    table[range(len(order)), order] = 1
    y = s("MatMul", s.concat(parts, 1), builder.constant(table, "columns")) if parts else s.filled(
        0.0, [rows.shape[0], width], dtypes.f32)
    if mode == "IDF":
        y = s.cast(s("Greater", y, s.scalar(0.0, dtypes.f32)), dtypes.f32)
    if mode in ("IDF", "TFIDF"):
        y = s("Mul", y, builder.constant(factors, "weights"))
    return s.reshape(y, [width]) if len(x.shape) == 1 else y


@lowering("NgramCounts", domain="aotgen")
def ngram_counts(ctx: Ctx, x: Def, grams: Def) -> Def:
    """f32 ``[N, G]``: how often each row of ``grams [G, n]`` occurs in a row of ``x [N, C]`` with 0 to ``skips`` items left
    out between its members (always as many)."""
    n = grams.shape[1]
    assert isinstance(n, int)
    skips = ctx.attr_int("skips") if n > 1 else 0
    one, zero = const(1, "f32"), const(0, "f32")

    def term(o: list[Ix], r: list[Ix]) -> E:
        start, stride = r[0], r[1] + 1
        last = start + stride * (n - 1)
        same = expr.all_([x[o[0], start + stride * j].eq(grams[o[1], index.ix(j)]) for j in range(n)])
        return expr.guard(expr.ge0(index.ix(x.shape[1]) - 1 - last), select(same, one, zero), zero)

    return reduce_("sum", (x.shape[0], grams.shape[0]), [x.shape[1], skips + 1], term)
