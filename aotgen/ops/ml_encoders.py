# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""ai.onnx.ml: feature selection and encoding."""

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
from aotgen.ops.strings import by_bytes, texts


@lowering("ArrayFeatureExtractor", domain=ML)
def array_feature_extractor(ctx: Ctx, x: Def, indices: Def) -> Def:
    """``x[..., indices]``; a vector gives one row."""
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
        return ctx.attr_tensor(f"{side}_tensor").reshape(-1)
    if ctx.has(f"{side}_strings"):
        return texts(ctx.attr_strs(f"{side}_strings"))
    for name, kind in (("int64s", np.int64), ("floats", np.float32)):
        if ctx.has(f"{side}_{name}"):
            return np.array(ctx.node.attrs[f"{side}_{name}"], kind)
    raise ModelError(f"a LabelEncoder without {side}")


def _default(ctx: Ctx, values: NDArray[Any]) -> Any:
    if ctx.has("default_tensor"):
        return ctx.attr_tensor("default_tensor").reshape(-1)[0]
    if values.dtype == object:
        return ctx.attr_str("default_string", "_Unused")
    if values.dtype.kind == "f":
        return ctx.attr_float("default_float", -0.0)
    return ctx.attr_int("default_int64", -1)


@expansion("LabelEncoder", domain=ML)
def label_encoder(ctx: Ctx, builder: Builder, x: Value) -> Value:
    """A NaN key is found by NaN; of equal keys the first counts."""
    keys, values = _side(ctx, "keys"), _side(ctx, "values")
    return _looked_up(Sub(ctx, builder), x, keys, values, _default(ctx, values))


def _looked_up(s: Sub, x: Value, keys: NDArray[Any], values: NDArray[Any], default: Any) -> Value:
    """``values`` in place of ``keys``, ``default`` in place of anything else."""
    if len(keys) != len(values) or not len(keys):
        raise ModelError(f"{len(keys)} keys for {len(values)} values")
    if dtypes.of(keys.dtype) is not x.dtype:
        raise ModelError(f"keys of {keys.dtype} for labels of {x.dtype}")
    unique, first = _sorted_keys(keys)
    table = s.builder.constant(unique, "keys")
    ordered = np.append(values[first], np.asarray(default, values.dtype))
    place = s("KeyIndex", x, table, domain="aotgen", nan=int(unique.dtype.kind == "f" and bool(np.isnan(unique[-1]))))
    return s("Gather", s.builder.constant(ordered, "values"), place, axis=0)  # type: ignore[no-any-return]


def _sorted_keys(keys: NDArray[Any]) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """The distinct keys in order (NaN last, strings by their bytes), and where each occurs first."""
    if keys.dtype != object:
        return np.unique(keys, return_index=True)
    first = {key: k for k, key in reversed(list(enumerate(keys)))}
    unique = by_bytes(list(first))
    return texts(unique), np.array([first[key] for key in unique], np.int64)


@expansion("CategoryMapper", domain=ML)
def category_mapper(ctx: Ctx, builder: Builder, x: Value) -> Value:
    """Strings to integers, or integers to strings."""
    sides = texts(ctx.attr_strs("cats_strings")), np.array(ctx.attr_ints("cats_int64s"), np.int64)
    if x.dtype is dtypes.string:
        return _looked_up(Sub(ctx, builder), x, *sides, ctx.attr_int("default_int64", -1))
    return _looked_up(Sub(ctx, builder), x, *sides[::-1], ctx.attr_str("default_string", "_Unused"))


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
    known = texts(ctx.attr_strs("cats_strings", [])) if x.dtype is dtypes.string else np.array(
        ctx.attr_ints("cats_int64s", []), np.int64)
    x = x if x.dtype is dtypes.string else s.cast(x, dtypes.i64)
    return s.cast(s("Equal", s.reshape(x, [*x.shape, 1]), builder.constant(known, "categories")), dtypes.f32)


@expansion("ZipMap", domain=ML)
def zip_map(ctx: Ctx, builder: Builder, x: Value) -> Value:
    """The scores themselves, ``[N, classes]``: the map's keys are the class labels, in order."""
    return Sub(ctx, builder)("Identity", x)  # type: ignore[no-any-return]


# -- n-grams


@expansion("TfIdfVectorizer")
def tf_idf_vectorizer(ctx: Ctx, builder: Builder, x: Value) -> Value:
    """Counts of known n-grams (skips allowed between their items), weighted. x: integers or strings, ``[C]`` or ``[N, C]``.
    Strings stand for their places among those of the pool."""
    s = Sub(ctx, builder)
    low, high, skips = (ctx.attr_int(n) for n in ("min_gram_length", "max_gram_length", "max_skip_count"))
    pool = ctx.attr_ints("pool_int64s", [])
    if x.dtype is dtypes.string:
        tokens = ctx.attr_strs("pool_strings")
        known = by_bytes(tokens)
        place = {t: k for k, t in enumerate(known)}
        pool = [place[t] for t in tokens]
        x = s("KeyIndex", x, builder.constant(texts(known), "tokens"), domain="aotgen")
    starts = [*ctx.attr_ints("ngram_counts"), len(pool)]
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
