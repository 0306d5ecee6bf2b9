# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Operators that select: which boxes do not overlap a better one, which slices are distinct. Library functions, whose extent
is data and at most what shapes allow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aotgen.core import dtypes
from aotgen.core.errors import ModelError
from aotgen.ir import index
from aotgen.ir.define import Call, Def, call, compute
from aotgen.ir.expr import const
from aotgen.ir.index import Dim
from aotgen.ir.interpret import Array, library
from aotgen.ops.generators import data_dim
from aotgen.ops.registry import Ctx, lowering
from aotgen.ops.sized import sized


@lowering("NonMaxSuppression")
def non_max_suppression(ctx: Ctx, boxes: Def, scores: Def, max_boxes: Def | None = None, iou: Def | None = None,
                        score: Def | None = None) -> Def:
    """boxes f32[batches, n, 4], scores f32[batches, classes, n] -> i64[count, 3] of (batch, class, box), by batch, then
    class, then falling score. Without ``max_boxes`` nothing is selected."""
    if boxes.rank != 3 or scores.rank != 3:
        raise ModelError(f"boxes {list(boxes.shape)} and scores {list(scores.shape)}: not [batches, n, 4] and [batches, classes, n]")
    boxes = sized(boxes, {0: scores.shape[0], 1: scores.shape[2], 2: 4}, "boxes")
    most = _most_boxes(ctx, scores.shape[2])
    count = data_dim(ctx, high=index.prod_dims((*scores.shape[:2], most)))
    limits = [max_boxes or _scalar(0, dtypes.i64), iou or _scalar(0.0, dtypes.f32), score or _scalar(0.0, dtypes.f32)]
    return call("library", "nms", [boxes, scores, *limits], [((count, 3), dtypes.i64)], most=most,
                use_score=score is not None, center=bool(ctx.attr_int("center_point_box", 0)))[0]


def _most_boxes(ctx: Ctx, n: Dim) -> Dim:
    """The most boxes of one class of one batch: all of them, or the limit where it is known and smaller."""
    known = ctx.const(2) if ctx.given(2) else np.zeros(1)
    if known is None:
        return n
    limit = max(int(known.reshape(-1)[0]), 0)
    return limit if index.nonneg(index.ix(n) - limit) else min(limit, n) if isinstance(n, int) else n


def _scalar(value: float, dtype: dtypes.DType) -> Def:
    return compute((1,), lambda _: const(value, dtype.compute), dtype)


@library("nms")
def _nms_reference(c: Call, args: Sequence[Array]) -> list[Array]:
    boxes, scores = args[0].astype(np.float64), args[1]
    most, iou, least = (float(a.reshape(-1)[0]) for a in args[2:])
    corners = _corners(boxes, c.params["center"])
    picked = []
    for b, k in np.ndindex(scores.shape[:2]):
        kept: list[int] = []
        order = np.argsort(-scores[b, k], kind="stable")
        for i in (int(j) for j in order if not c.params["use_score"] or scores[b, k, j] > least):
            if len(kept) < most and not any(_overlap(corners[b, i], corners[b, j]) > iou for j in kept):
                kept.append(i)
        picked += [(b, k, i) for i in kept]
    return [np.array(picked, np.int64).reshape(-1, 3)]


def _corners(boxes: Array, center: bool) -> Array:
    """(low, low, high, high) of each box."""
    a, b = boxes[..., :2], boxes[..., 2:]
    low, high = (a - b / 2, a + b / 2) if center else (np.minimum(a, b), np.maximum(a, b))
    return np.concatenate([low, high], -1)


def _overlap(a: Array, b: Array) -> float:
    """Intersection over union; 0 where a box has no area."""
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    areas = [float(np.prod(x[2:] - x[:2])) for x in (a, b)]
    shared = float(np.prod(np.maximum(sides, 0)))
    return shared / (sum(areas) - shared) if shared > 0 and min(areas) > 0 else 0.0


@lowering("Unique")
def unique(ctx: Ctx, x: Def) -> tuple[Def, ...]:
    """The distinct slices along ``axis`` (without one: elements), where each occurs first, which each slice is, how often."""
    axis = ctx.axis(x.rank) if ctx.has("axis") else None
    if x.dtype.kind not in "fiubsc" or x.dtype.bits < 8:
        raise ctx.refuse(f"Unique of {x.dtype} elements", "cast before")
    narrow = x.dtype.is_float and x.dtype.bits < 32  # compared as what they stand for
    compared = compute(x.shape, lambda *i: x[i], dtypes.f32) if narrow else x
    n = x.size if axis is None else x.shape[axis]
    count = data_dim(ctx, high=n)
    shape = [count] if axis is None else [*x.shape[:axis], count, *x.shape[axis + 1 :]]
    results = [(shape, compared.dtype), ((count,), dtypes.i64), ((n,), dtypes.i64), ((count,), dtypes.i64)]
    y, *rest = call("library", "unique", [compared], results, axis=axis, sorted=bool(ctx.attr_int("sorted", 1)))
    return (compute(shape, lambda *i: y[i], x.dtype) if narrow else y, *rest)


@library("unique")
def _unique_reference(c: Call, args: Sequence[Array]) -> list[Array]:
    axis = c.params["axis"]
    if args[0].dtype == object:
        return _unique_texts(c, args[0])
    y, first, inverse, often = np.unique(args[0], True, True, True, axis=axis)
    inverse = inverse.reshape(-1)
    if not c.params["sorted"]:
        order = np.argsort(first)
        place = np.argsort(order)
        y, first, often, inverse = np.take(y, order, axis or 0), first[order], often[order], place[inverse]
    return [y, *(a.astype(np.int64) for a in (first, inverse, often))]


def _unique_texts(c: Call, x: Array) -> list[Array]:
    """Strings stand for their places among all of them."""
    known = sorted(set(x.ravel()), key=dtypes.encode)
    place = {t: k for k, t in enumerate(known)}
    y, *rest = _unique_reference(c, [np.array([place[t] for t in x.ravel()], np.int64).reshape(x.shape)])
    out = np.empty(y.shape, object)
    out.reshape(-1)[:] = [known[k] for k in y.ravel()]
    return [out, *rest]
