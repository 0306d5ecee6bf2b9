# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""ai.onnx.ml: linear models and the scalings that precede them."""

from __future__ import annotations

import numpy as np

from aotgen.core import dtypes
from aotgen.core.errors import ModelError
from aotgen.ir.define import Def, compute, reduce_
from aotgen.ir.expr import E, cast, const, fn, select
from aotgen.ir.graph import Value
from aotgen.ir.index import Ix
from aotgen.ops.builder import Builder
from aotgen.ops.ml_scores import ML, above, as_f32, best, labels_of, picked, transform_of, transformed, two_columns
from aotgen.ops.registry import Ctx, expansion, lowering
from aotgen.ops.shorthand import Sub


def _weighted(ctx: Ctx, s: Sub, x: Value, targets: int | None) -> Value:
    """``x @ coefficients' + intercepts``: ``[N, targets]``."""
    x = as_f32(s, x)
    width = x.shape[1]
    if not isinstance(width, int):
        raise ctx.refuse(f"a linear model over {width} features", "fix that dim with --dim")
    flat = np.array(ctx.attr_floats("coefficients"), np.float32)
    rows = targets or flat.size // max(width, 1)
    if flat.size != rows * width or not rows:
        raise ModelError(f"{flat.size} coefficients for {width} features")
    y: Value = s("MatMul", x, s.builder.constant(np.ascontiguousarray(flat.reshape(rows, width).T), "coefficients"))
    bias = ctx.attr_floats("intercepts", [])
    if bias and len(bias) not in (1, rows):
        raise ModelError(f"{flat.size} coefficients and {len(bias)} intercepts for {width} features")
    return s("Add", y, s.builder.constant(np.array(bias, np.float32), "intercepts")) if any(bias) else y


@expansion("LinearRegressor", domain=ML)
def linear_regressor(ctx: Ctx, builder: Builder, x: Value) -> Value:
    s = Sub(ctx, builder)
    return transformed(s, _weighted(ctx, s, x, ctx.attr_int("targets", 1)), transform_of(ctx))


@expansion("LinearClassifier", domain=ML)
def linear_classifier(ctx: Ctx, builder: Builder, x: Value) -> tuple[Value | None, ...]:
    """Outputs: labels i64 ``[N]``, scores f32 ``[N, classes]``. One row of coefficients tells two classes apart."""
    s = Sub(ctx, builder)
    labels, name = labels_of(ctx, "classlabels_ints"), transform_of(ctx)
    scores = _weighted(ctx, s, x, None)
    if scores.shape[1] == 1:
        if len(labels) != 2:
            raise ModelError(f"one score for {len(labels)} classes")
        return s.asked(picked(s, labels, above(s, scores, 0.0)), two_columns(ctx, s, scores, name, True))
    if len(labels) < int(scores.shape[1]):  # type: ignore[arg-type]
        raise ModelError(f"{len(labels)} labels for {scores.shape[1]} scores")
    return s.asked(picked(s, labels, best(s, scores)), transformed(s, scores, name))


@expansion("Scaler", domain=ML)
def scaler(ctx: Ctx, builder: Builder, x: Value) -> Value:
    """``(x - offset) * scale`` in f32, each one number or one a feature (the last axis)."""
    s = Sub(ctx, builder)
    y = s.cast(x, dtypes.f32)
    offset, scale = (np.array(ctx.attr_floats(n, []), np.float32) for n in ("offset", "scale"))
    y = s("Sub", y, s.builder.constant(offset, "offset")) if offset.size else y
    return s("Mul", y, s.builder.constant(scale, "scale")) if scale.size else y


@lowering("Normalizer", domain=ML)
def normalizer(ctx: Ctx, x: Def) -> Def:
    """Rows (along axis 1, or the only axis) divided by their largest element, absolute sum or Euclidean length; a row of
    norm 0 is left alone. MAX divides by the largest element itself, sign and all, as onnxruntime does."""
    norm = ctx.attr_str("norm", "MAX")
    if norm not in ("MAX", "L1", "L2") or x.rank not in (1, 2):
        raise ModelError(f"Normalizer with norm '{norm}' of a tensor of rank {x.rank}")
    kind = "max" if norm == "MAX" else "sum"

    def term(o: list[Ix], r: list[Ix]) -> E:
        v = cast(x[(*o, r[0])], "f32")
        return v if norm == "MAX" else fn("abs", v) if norm == "L1" else v * v

    size = reduce_(kind, x.shape[:-1], x.shape[-1:], term)

    def f(*i: Ix) -> E:
        v, n = cast(x[i], "f32"), size[i[:-1]]
        if norm == "L2":
            n = fn("sqrt", n)
        return select(n.eq(0.0), v, v / select(n.eq(0.0), const(1, "f32"), n))

    return compute(x.shape, f, dtypes.f32)
