# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Gathers read through loaded indices, scatters store through them; both clamp at run time (an out-of-range index is
reported, never followed). What sorts, or has an extent that is data, is a library function."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aotgen.core import dtypes
from aotgen.core.errors import ModelError, UnsupportedError
from aotgen.ir.define import Call, Def, call, compute, scatter
from aotgen.ir.expr import E, cast, const, fn, wrap_negative
from aotgen.ir.index import Dim, Ix, as_dim, ix
from aotgen.ir.interpret import Array, library
from aotgen.ops.broadcast import replaced, unread
from aotgen.ops.generators import data_dim
from aotgen.ops.registry import Ctx, lowering
from aotgen.ops.sized import sized


@lowering("Gather")
def gather(ctx: Ctx, x: Def, indices: Def) -> Def:
    axis = ctx.axis(x.rank, 0)
    q, d = indices.rank, x.shape[axis]
    shape = [*x.shape[:axis], *indices.shape, *x.shape[axis + 1 :]]
    if d == 0:
        return unread(x, shape)
    fixed = _one_index(ctx, 1, d)

    def f(*i: Ix) -> E:
        at = wrap_negative(indices[i[axis : axis + q]], d) if fixed is None else fixed
        point = (*i[:axis], at, *i[axis + q :])
        return x[point]

    return compute(shape, f, x.dtype)


def _one_index(ctx: Ctx, operand: int, d: Dim) -> Ix | None:
    """The value of a known one-element index, checked and counted from the front."""
    known = ctx.const(operand)
    if known is None or known.size != 1:
        return None
    i = int(known.reshape(-1)[0])
    if isinstance(d, int) and not -d <= i < d:
        raise ModelError(f"index {i} is out of range for an axis of extent {d}")
    return ix(i) if i >= 0 else ix(d) + i


@lowering("GatherElements")
def gather_elements(ctx: Ctx, x: Def, indices: Def) -> Def:
    axis = ctx.axis(x.rank, 0)

    def f(*i: Ix) -> E:
        return x[replaced(i, axis, wrap_negative(indices[i], x.shape[axis]))]

    return compute(indices.shape, f, x.dtype)


@lowering("GatherND")
def gather_nd(ctx: Ctx, x: Def, indices: Def) -> Def:
    batch = ctx.attr_int("batch_dims", 0)
    q, depth = indices.rank - 1, _depth(ctx, indices, x.rank - batch)
    shape = [*indices.shape[:-1], *x.shape[batch + depth :]]
    if 0 in x.shape:
        return unread(x, shape)

    def f(*i: Ix) -> E:
        found = (wrap_negative(indices[i[:q] + (ix(j),)], x.shape[batch + j]) for j in range(depth))
        point = (*i[:batch], *found, *i[q:])
        return x[point]

    return compute(shape, f, x.dtype)


def _depth(ctx: Ctx, indices: Def, most: int) -> int:
    """How many axes the last axis of ``indices`` addresses: it decides the rank of the result."""
    depth = indices.shape[-1]
    if not isinstance(depth, int):
        raise ctx.refuse(f"the index depth {depth} must be a number", "fix that dim with --dim")
    if depth > most:
        raise ModelError(f"indices address {depth} axes of {most}")
    return depth


def _fold(ctx: Ctx) -> str:
    name = ctx.attr_str("reduction", "none")
    if name not in ("none", "add", "mul", "max", "min"):
        raise ctx.refuse(f"unknown reduction {name}")
    return "set" if name == "none" else name


@lowering("ScatterElements")
def scatter_elements(ctx: Ctx, x: Def, indices: Def, updates: Def) -> Def:
    axis = ctx.axis(x.rank, 0)

    def at(*u: Ix) -> Sequence[Ix]:
        return replaced(u, axis, wrap_negative(indices[u], x.shape[axis]))

    return scatter(_fold(ctx), x, indices.shape, at, lambda *u: updates[u])


@lowering("ScatterND")
def scatter_nd(ctx: Ctx, x: Def, indices: Def, updates: Def) -> Def:
    q = indices.rank - 1
    if not isinstance(indices.shape[-1], int):  # the updates' rank tells how many axes the indices leave
        indices = sized(indices, {-1: q + x.rank - updates.rank}, "indices that address axes")
    depth = _depth(ctx, indices, x.rank)

    def at(*u: Ix) -> Sequence[Ix]:
        return (*(wrap_negative(indices[u[:q] + (ix(j),)], x.shape[j]) for j in range(depth)), *u[q:])

    return scatter(_fold(ctx), x, [*indices.shape[:-1], *x.shape[depth:]], at, lambda *u: updates[u])


# -- library functions


@lowering("TopK")
def top_k(ctx: Ctx, x: Def, k: Def) -> tuple[Def, ...]:
    """The k largest or smallest along an axis, and their i64 indices; ties keep the lower index first."""
    axis = ctx.axis(x.rank, -1)
    count: Dim
    try:
        count = as_dim(ctx.values(1, "k")[0])
    except UnsupportedError:
        count = data_dim(ctx, high=x.shape[axis])
    if isinstance(count, int) and isinstance(x.shape[axis], int) and count > x.shape[axis]:  # type: ignore[operator]
        raise ModelError(f"k = {count} of an axis of extent {x.shape[axis]}")
    shape = [*x.shape[:axis], count, *x.shape[axis + 1 :]]
    narrow = x.dtype.is_float and x.dtype.bits < 32  # stored as bits, which do not order as the numbers do
    keys = compute(x.shape, lambda *i: x[i], dtypes.f32) if narrow else x
    values, indices = call(
        "library",
        "topk",
        [keys, k],
        [(shape, keys.dtype), (shape, dtypes.i64)],
        axis=axis,
        k=count,
        largest=bool(ctx.attr_int("largest", 1)),
        sorted=bool(ctx.attr_int("sorted", 1)),
    )
    return (compute(shape, lambda *i: values[i], x.dtype) if narrow else values), indices


@library("topk")
def _top_k_reference(c: Call, args: Sequence[Array]) -> list[Array]:
    x, k, axis = args[0], int(args[1].reshape(-1)[0]), c.params["axis"]
    key = x.astype(np.float64) if x.dtype.kind not in "iub" else x.astype(np.int64)
    if c.params["largest"]:
        order = x.shape[axis] - 1 - np.flip(np.argsort(np.flip(key, axis), axis=axis, kind="stable"), axis)
    else:
        order = np.argsort(key, axis=axis, kind="stable")
    best = np.take(order, np.arange(k), axis)
    return [np.take_along_axis(x, best, axis), best]


@lowering("NonZero")
def non_zero(ctx: Ctx, x: Def) -> Def:
    """Coordinates of non-zero elements, i64[rank, count], in row-major order."""
    text = x.dtype is dtypes.string  # an empty one is nothing
    mask = compute(x.shape, lambda *i: fn("not", fn("eq", x[i], const("", "string"))) if text else cast(x[i], dtypes.boolean), dtypes.boolean)
    return call("library", "nonzero", [mask], [((x.rank, data_dim(ctx, high=x.size)), dtypes.i64)])[0]


@library("nonzero")
def _non_zero_reference(c: Call, args: Sequence[Array]) -> list[Array]:
    x = args[0]
    return [np.array(np.nonzero(x)) if x.ndim else np.zeros((0, int(bool(x))), np.int64)]


@lowering("Compress")
def compress(ctx: Ctx, x: Def, condition: Def) -> Def:
    """The slices along ``axis`` (without one: the elements) whose condition is true."""
    axis = ctx.axis(x.rank) if ctx.has("axis") else None
    extent = x.size if axis is None else x.shape[axis]
    known = ctx.const(1)
    count: Dim = data_dim(ctx, high=extent) if known is None else int(np.count_nonzero(known))
    shape = [count] if axis is None else [*x.shape[:axis], count, *x.shape[axis + 1 :]]
    return call("library", "compress", [x, condition], [(shape, x.dtype)], axis=axis)[0]


@library("compress")
def _compress_reference(c: Call, args: Sequence[Array]) -> list[Array]:
    return [np.compress(args[1], args[0], axis=c.params["axis"])]
