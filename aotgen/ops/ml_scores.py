# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What the classifiers and regressors of ai.onnx.ml share: post transforms, binary scores and class labels.

Where the standard is silent (one score for two classes above all) the answer is onnxruntime's.
"""

from __future__ import annotations

from math import pi

import numpy as np

from aotgen.core import dtypes
from aotgen.core.errors import ModelError
from aotgen.ir.define import Def, compute, reduce_
from aotgen.ir.expr import E, fn, select
from aotgen.ir.graph import Value
from aotgen.ops.registry import Ctx, lowering
from aotgen.ops.shorthand import Sub
from aotgen.ops.strings import texts

ML = "ai.onnx.ml"
TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO", "PROBIT")  # in the order of TreeEnsemble's enum


def transform_of(ctx: Ctx) -> str:
    name = ctx.attr_str("post_transform", "NONE")
    if name not in TRANSFORMS:
        raise ModelError(f"unknown post_transform '{name}'")
    return name


def as_f32(s: Sub, x: Value) -> Value:
    """Features as ``[N, F]`` f32; a single row may come as ``[F]``."""
    if len(x.shape) == 1:
        x = s.reshape(x, [1, x.shape[0]])
    if len(x.shape) != 2:
        raise ModelError(f"features of type {x.type}, two axes are needed")
    return s.cast(x, dtypes.f32)


def transformed(s: Sub, scores: Value, name: str) -> Value:
    """Scores ``[N, C]`` after a post transform. A single column is only ever transformed by PROBIT."""
    if name == "NONE" or (scores.shape[1] == 1 and name != "PROBIT"):
        return scores
    if name == "LOGISTIC":
        return s("Sigmoid", scores)  # type: ignore[no-any-return]
    if name == "SOFTMAX":
        return s("Softmax", scores, axis=1)  # type: ignore[no-any-return]
    op = {"SOFTMAX_ZERO": "SoftmaxZero", "PROBIT": "Probit"}[name]
    return s(op, scores, domain="aotgen")  # type: ignore[no-any-return]


def two_columns(ctx: Ctx, s: Sub, score: Value, name: str, complement: bool) -> Value:
    """Both classes' scores from the positive one's ``[N, 1]``: the logistic pair, else 1 - s (``complement``) or -s beside
    s, without the transform."""
    if name == "PROBIT":
        raise ctx.refuse("PROBIT of one score for two classes", "onnxruntime leaves the second column unset")
    if name == "LOGISTIC":
        return s.concat([s("Sigmoid", s("Neg", score)), s("Sigmoid", score)], 1)
    other = s("Sub", s.scalar(1.0, score.dtype), score) if complement else s("Neg", score)
    return s.concat([other, score], 1)


@lowering("SoftmaxZero", domain="aotgen")
def softmax_zero(ctx: Ctx, x: Def) -> Def:
    """Softmax over axis 1 in which a zero keeps out of the exponential: it stays (nearly) zero."""
    top = reduce_("max", x.shape[:1], x.shape[1:], lambda o, r: x[o[0], r[0]])

    def weight(v: E, high: E) -> E:
        small = fn("abs", v) <= 1e-7
        return select(small, v * fn("exp", -high), fn("exp", v - high))

    e = compute(x.shape, lambda n, c: weight(x[n, c], top[n]))
    total = reduce_("sum", x.shape[:1], x.shape[1:], lambda o, r: e[o[0], r[0]])
    return compute(x.shape, lambda n, c: e[n, c] / total[n], x.dtype)


@lowering("Probit", domain="aotgen")
def probit(ctx: Ctx, x: Def) -> Def:
    """The inverse of the normal distribution through Winitzki's approximation of erf's inverse ("A handy approximation
    for the error function and its inverse", 2008), with the constants that onnxruntime uses."""

    def f(*i: object) -> E:
        y = x[tuple(i)] * 2.0 - 1.0
        log = fn("log", (1.0 - y) * (1.0 + y))
        v = log * 0.5 + 2.0 / (pi * 0.147)
        root = fn("sqrt", fn("sqrt", v * v - log * (1 / 0.147)) - v)
        return select(y < 0, -root, root) * 1.41421356

    return compute(x.shape, f, x.dtype)


Labels = list[int] | list[str]


def labels_of(ctx: Ctx, attribute: str) -> Labels:
    """The class labels: strings where there are any, else integers."""
    return ctx.attr_strs("classlabels_strings", []) or ctx.attr_ints(attribute, [])


def picked(s: Sub, labels: Labels, at: Value) -> Value:
    """``labels[at]`` as i64 or strings ``[N]``; at: i64 ``[N]``."""
    if labels == list(range(len(labels))):
        return at
    table = texts([*map(str, labels)]) if isinstance(labels[0], str) else np.array(labels, np.int64)
    return s("Gather", s.builder.constant(table, "labels"), at, axis=0)  # type: ignore[no-any-return]


def best(s: Sub, scores: Value) -> Value:
    """The first column with the highest score of each row, i64 ``[N]``."""
    return s("ArgMax", scores, axis=1, keepdims=0)  # type: ignore[no-any-return]


def above(s: Sub, score: Value, threshold: float) -> Value:
    """Is ``score [N, 1]`` beyond a threshold: 0 or 1 as i64 ``[N]``."""
    flat = s.reshape(score, [score.shape[0]])
    return s.cast(s("Greater", flat, s.scalar(threshold, score.dtype)), dtypes.i64)
