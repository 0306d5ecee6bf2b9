# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""ai.onnx.ml: support vector machines. A kernel matrix against the support vectors, then a product with their weights."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aotgen.core import dtypes
from aotgen.core.errors import ModelError
from aotgen.ir import index
from aotgen.ir.graph import Value
from aotgen.ops.builder import Builder
from aotgen.ops.ml_scores import ML, as_f32, best, labels_of, picked, transform_of, transformed, two_columns
from aotgen.ops.registry import Ctx, expansion
from aotgen.ops.shorthand import Sub

Array = NDArray[Any]
MOST_CLASSES = 32  # of pairwise probabilities: their iteration is unrolled over classes


def _kernel(ctx: Ctx, s: Sub, x: Value, vectors: Array) -> Value:
    """Kernel values ``[N, V]`` of rows of ``x [N, F]`` against ``vectors [V, F]``."""
    gamma, shift, degree = (*ctx.attr_floats("kernel_params", []), 0.0, 0.0, 0.0)[:3]
    kind = ctx.attr_str("kernel_type", "LINEAR")
    if kind == "RBF":
        n, width = x.shape
        gap = s("Sub", s.reshape(x, [n, 1, width]), s.builder.constant(vectors[None], "vectors"))
        distance = s("ReduceSum", s("Mul", gap, gap), s.ints([2]), keepdims=0)
        return s("Exp", s("Mul", distance, s.scalar(-gamma, dtypes.f32)))  # type: ignore[no-any-return]
    dot: Value = s("MatMul", x, s.builder.constant(np.ascontiguousarray(vectors.T), "vectors"))
    if kind == "LINEAR":
        return dot
    dot = s("Add", s("Mul", dot, s.scalar(gamma, dtypes.f32)), s.scalar(shift, dtypes.f32))
    if kind == "SIGMOID":
        return s("Tanh", dot)  # type: ignore[no-any-return]
    if kind != "POLY":
        raise ModelError(f"unknown kernel_type '{kind}'")
    return s("Pow", dot, s.scalar(degree, dtypes.f32))  # type: ignore[no-any-return]


def _matrix(ctx: Ctx, name: str, rows: int, width: int | None) -> Array:
    flat = np.array(ctx.attr_floats(name), np.float32)
    if rows < 1 or flat.size % rows or (width is not None and flat.size != rows * width):
        raise ModelError(f"{flat.size} values of '{name}' for {rows} rows of {width}")
    return flat.reshape(rows, -1)


def _width(ctx: Ctx, x: Value) -> int:
    if not isinstance(x.shape[1], int):
        raise ctx.refuse(f"a support vector machine over {x.shape[1]} features", "fix that dim with --dim")
    return x.shape[1]


@expansion("SVMRegressor", domain=ML)
def svm_regressor(ctx: Ctx, builder: Builder, x: Value) -> Value:
    """f32 ``[N, 1]``; ``one_class``: 1 or -1. The post transform of a single value is the value, as in onnxruntime."""
    s = Sub(ctx, builder)
    x = as_f32(s, x)
    width, supports = _width(ctx, x), ctx.attr_int("n_supports", 0)
    if supports:
        weights = _matrix(ctx, "coefficients", 1, supports)
        product = s("MatMul", _kernel(ctx, s, x, _matrix(ctx, "support_vectors", supports, width)),
                    builder.constant(weights.T, "weights"))
    else:
        product = _kernel(ctx, s, x, _matrix(ctx, "coefficients", 1, width))
    y: Value = s("Add", product, s.scalar(ctx.attr_floats("rho", [0.0])[0], dtypes.f32))
    if ctx.attr_int("one_class", 0):
        y = s("Where", s("Greater", y, s.scalar(0.0, dtypes.f32)), s.scalar(1.0, dtypes.f32), s.scalar(-1.0, dtypes.f32))
    return y


@expansion("SVMClassifier", domain=ML)
def svm_classifier(ctx: Ctx, builder: Builder, x: Value) -> tuple[Value | None, ...]:
    """Outputs: labels i64 ``[N]``, scores. With support vectors classes are compared in pairs and the label is the one
    with most wins; scores are the pairs' (two columns for two classes) or, with prob_a and prob_b, probabilities."""
    s = Sub(ctx, builder)
    x = as_f32(s, x)
    labels, name = labels_of(ctx, "classlabels_ints"), transform_of(ctx)
    counts = ctx.attr_ints("vectors_per_class", [])
    if not sum(counts):
        rows = _matrix(ctx, "coefficients", max(len(labels), 1), _width(ctx, x))
        scores = s("Add", _kernel(ctx, s, x, rows), s.scalar(ctx.attr_floats("rho")[0], dtypes.f32))
        if len(labels) < 2:
            raise ctx.refuse("a linear SVMClassifier of one class")
        return s.asked(picked(s, labels, best(s, scores)), transformed(s, scores, name))
    if len(counts) < 2 or len(labels) < len(counts):
        raise ModelError(f"{len(labels)} labels, {len(counts)} classes with support vectors")
    pairs = _pair_scores(ctx, s, x, counts)
    chosen = picked(s, labels, best(s, _votes(s, pairs, len(counts))))
    if ctx.attr_floats("prob_a", []):
        return s.asked(chosen, transformed(s, _probabilities(ctx, s, pairs, len(counts)), name))
    if len(counts) == 2:
        return s.asked(chosen, two_columns(ctx, s, pairs, name, name != "NONE"))
    return s.asked(chosen, transformed(s, pairs, name))


def _pair_scores(ctx: Ctx, s: Sub, x: Value, counts: list[int]) -> Value:
    """Decision values ``[N, pairs]``, above 0 for the first class of each pair."""
    total, classes = sum(counts), len(counts)
    kernels = _kernel(ctx, s, x, _matrix(ctx, "support_vectors", total, _width(ctx, x)))
    weights = _matrix(ctx, "coefficients", classes - 1, total)
    starts = np.concatenate([[0], np.cumsum(counts)])
    pairs = list(combinations(range(classes), 2))
    table = np.zeros((total, len(pairs)), np.float32)
    for p, (i, j) in enumerate(pairs):
        own, other = slice(starts[i], starts[i + 1]), slice(starts[j], starts[j + 1])
        table[own, p], table[other, p] = weights[j - 1, own], weights[i, other]
    rho = np.array(ctx.attr_floats("rho"), np.float32)
    if rho.size != len(pairs):
        raise ModelError(f"{rho.size} values of 'rho' for {len(pairs)} pairs of classes")
    product = s("MatMul", kernels, s.builder.constant(table, "weights"))
    return s("Add", product, s.builder.constant(rho, "rho"))  # type: ignore[no-any-return]


def _votes(s: Sub, pairs: Value, classes: int) -> Value:
    """``[N, classes]``: how many comparisons each class wins."""
    won = s.cast(s("Greater", pairs, s.scalar(0.0, dtypes.f32)), dtypes.f32)
    table = np.zeros((int(pairs.shape[1]), classes), np.float32)  # type: ignore[arg-type]
    start = np.zeros(classes, np.float32)
    for p, (i, j) in enumerate(combinations(range(classes), 2)):
        table[p, i], table[p, j] = 1, -1
        start[j] += 1
    votes = s("MatMul", won, s.builder.constant(table, "votes"))
    return s("Add", votes, s.builder.constant(start, "start"))  # type: ignore[no-any-return]


def _probabilities(ctx: Ctx, s: Sub, pairs: Value, classes: int) -> Value:
    """Class probabilities from pairwise ones by the iteration of Wu, Lin and Weng ("Probability estimates for multi-class
    classification by pairwise coupling", 2004, algorithm 2), stopped where libsvm and onnxruntime stop."""
    if classes > MOST_CLASSES:
        raise ctx.refuse(f"pairwise probabilities of {classes} classes (at most {MOST_CLASSES})")
    a, b = (np.array(ctx.attr_floats(n), np.float32) for n in ("prob_a", "prob_b"))
    logit = s("Add", s("Mul", pairs, s.builder.constant(a, "prob_a")), s.builder.constant(b, "prob_b"))
    r = s("Clip", s("Sigmoid", s("Neg", logit)), s.scalar(1e-7, dtypes.f32), s.scalar(1 - 1e-7, dtypes.f32))
    n = index.as_dim(pairs.shape[0])
    first, second = (np.zeros((int(pairs.shape[1]), classes * classes), np.float32) for _ in range(2))  # type: ignore[arg-type]
    for p, (i, j) in enumerate(combinations(range(classes), 2)):
        first[p, i * classes + j] = 1
        second[p, j * classes + i] = 1
    left = s("MatMul", r, s.builder.constant(first, "upper"))
    right = s("MatMul", s("Sub", s.scalar(1.0, dtypes.f32), r), s.builder.constant(second, "lower"))
    matrix = s.reshape(s("Add", left, right), [n, classes, classes])
    return _coupled(s, matrix, classes)


def _coupled(s: Sub, r: Value, k: int) -> Value:
    """The iteration on ``r [N, k, k]``, all rows at once; a row that has converged keeps its answer."""
    n = r.shape[0]
    flipped = s.transpose(r, [0, 2, 1])
    diagonal = s("ReduceSum", s("Mul", r, r), s.ints([1]), keepdims=0)
    eye = s.builder.constant(np.eye(k, dtype=np.float32), "eye")
    q = s("Sub", s("Mul", eye, s.reshape(diagonal, [n, 1, k])), s("Mul", r, flipped))
    body = s.child("coupling")
    i64, flag = type(r.tensor)(dtypes.i64, ()), type(r.tensor)(dtypes.boolean, ())
    body.builder.input("trip", i64)
    go = body.builder.input("go", flag)
    p = body.builder.input("p", type(r.tensor)(dtypes.f32, (n, k)))
    new = _sweep(body, q, p, k)
    graph = body.builder.graph([body("Identity", go), new])
    start = s.filled(1.0 / k, [n, k], dtypes.f32)
    trips = s.builder.constant(np.array(max(100, k), np.int64), "trips")
    always = s.builder.constant(np.array(True), "always")
    return s("Loop", trips, always, start, bodies={"body": graph})  # type: ignore[no-any-return]


def _sweep(s: Sub, q: Value, p: Value, k: int) -> Value:
    """One pass over the classes: each is set to its optimum given the others, then all are normalised."""
    n = p.shape[0]
    one = s.scalar(1.0, dtypes.f32)
    qp = s.reshape(s("MatMul", q, s.reshape(p, [n, k, 1])), [n, k])
    pqp = s("ReduceSum", s("Mul", p, qp), s.ints([1]), keepdims=1)
    error = s("ReduceMax", s("Abs", s("Sub", qp, pqp)), s.ints([1]), keepdims=1)
    done = s("Less", error, s.scalar(0.005 / k, dtypes.f32))
    old = p
    for t in range(k):
        own = s.slice(s.reshape(s.slice(q, 1, t, t + 1), [n, k]), 1, t, t + 1)
        now = s.slice(qp, 1, t, t + 1)
        step = s("Div", s("Sub", pqp, now), own)
        scale = s("Add", one, step)
        inner = s("Mul", step, s("Add", s("Mul", step, own), s("Mul", now, s.scalar(2.0, dtypes.f32))))
        pqp = s("Div", s("Add", pqp, inner), s("Mul", scale, scale))
        unit = np.eye(k, dtype=np.float32)[t]
        p = s("Div", s("Add", p, s("Mul", step, s.builder.constant(unit, "unit"))), scale)
        row = s.reshape(s.slice(q, 1, t, t + 1), [n, k])
        qp = s("Div", s("Add", qp, s("Mul", step, row)), scale)
    return s("Where", done, old, p)  # type: ignore[no-any-return]
