# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Slice, Split and Concat: parts of an axis, whose bounds may be polynomials of open dims, or data."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from aotgen.core import dtypes
from aotgen.core.errors import ModelError
from aotgen.ir import choice, facts, index
from aotgen.ir.define import Call, Def, call, compute
from aotgen.ir.expr import E, ge0, guard, ix_value
from aotgen.ir.index import Dim, Ix, as_dim, ix
from aotgen.ir.interpret import Array, library
from aotgen.ops.broadcast import replaced, unread
from aotgen.ops.generators import data_dim
from aotgen.ops.registry import Ctx, lowering

INFINITE = 10**9  # slice bounds from here on mean "to the end": exporters write 10^9, 2^31 - 1 and 2^63 - 1


def clamp(v: Ix, low: Ix, high: Ix) -> Ix:
    """``v`` limited to [low, high]; huge constants are infinities. A bound that is a minimum already (a layer slices what the
    layer before it sliced) is noted to lie within: minima of minima would make polynomials without end."""
    c = v.const()
    if c is not None and abs(c) >= INFINITE:
        return high if c > 0 else low
    if index.nonneg(low - v):
        return low
    if index.nonneg(v - high):
        return high
    if choice.has_minimum(v):
        facts.assume_nonneg(v - low)
        facts.assume_nonneg(high - v)
        return v
    return choice.maximum(low, choice.minimum(v, high))


def _from_end(v: Ix, d: Dim) -> Ix:
    """A slice bound that may count from the end."""
    c = v.const()
    if choice.has_minimum(v) or (c is not None and abs(c) >= INFINITE):
        return v
    negative = choice.minimum(1, choice.maximum(0, -v))  # 1 where it is
    return v + negative * d


def slice_bounds(start: Dim, end: Dim, step: int, d: Dim) -> tuple[Ix, Dim]:
    """First index and count of a slice of an axis of extent ``d``, clamped as NumPy does."""
    if step == 0:
        raise ModelError("slice step is 0")
    low, high = (ix(0), ix(d)) if step > 0 else (ix(-1), ix(d) - 1)
    first, last = (clamp(_from_end(ix(v), d), low, high) for v in (start, end))
    span = choice.maximum(last - first if step > 0 else first - last, 0)
    return (ix(0), 0) if span == 0 else (first, as_dim((span + abs(step) - 1) // abs(step)))


def sliced(x: Def, starts: Sequence[Ix | int], steps: Sequence[int], shape: Sequence[Dim]) -> Def:
    """Elements ``start + k * step`` of every axis."""
    if 0 in shape:
        return unread(x, shape)
    return compute(shape, lambda *i: x[tuple(k * st + s for k, s, st in zip(i, starts, steps, strict=True))], x.dtype)


@lowering("Slice")
def slice_(ctx: Ctx, x: Def, starts: Def, ends: Def, axes: Def | None = None, steps: Def | None = None) -> Def:
    """An index map where the bounds are known; a library call with an extent that is data where they are not."""
    count = starts.shape[0] if starts.rank else 1  # onnxruntime takes a scalar, too
    if axes is None and not isinstance(count, int):
        axes = compute((count,), lambda k: ix_value(k), dtypes.i64)
    if isinstance(count, int) and count > x.rank:
        raise ModelError(f"{count} slice starts for {x.rank} axes")
    if not isinstance(count, int) or (axes is not None and not ctx.is_const(3)):
        assert axes is not None
        return _slice_along_data(ctx, x, [starts, ends, axes, *([] if steps is None else [steps])])
    where = ctx.axes(3, x.rank, range(count))
    if not all(ctx.is_const(k) for k in (1, 2, 4) if ctx.given(k)):
        return _slice_by_data(ctx, x, starts, ends, steps, where)
    stride = ctx.values(4, "steps") if ctx.given(4) else [1] * count
    begin: list[Ix | int] = [0] * x.rank
    step, shape = [1] * x.rank, list(x.shape)
    bounds = zip(where, ctx.values(1, "starts"), ctx.values(2, "ends"), stride, strict=True)
    for axis, a, b, s in bounds:
        if not isinstance(s, int):
            return _slice_by_data(ctx, x, starts, ends, steps, where)
        step[axis] = s
        begin[axis], shape[axis] = slice_bounds(a, b, s, x.shape[axis])
    return sliced(x, begin, step, shape)


def _slice_by_data(ctx: Ctx, x: Def, starts: Def, ends: Def, steps: Def | None, axes: Sequence[int]) -> Def:
    shape = [data_dim(ctx, 0, d, f"_{k}") if k in axes else d for k, d in enumerate(x.shape)]
    args = [x, starts, ends, *([] if steps is None else [steps])]
    return call("library", "slice", args, [(shape, x.dtype)], axes=tuple(axes))[0]


def _slice_along_data(ctx: Ctx, x: Def, bounds: Sequence[Def]) -> Def:
    """Which axes are cut is data too: any may be."""
    shape = [data_dim(ctx, 0, d, f"_{k}") for k, d in enumerate(x.shape)]
    return call("library", "slice_along", [x, *bounds], [(shape, x.dtype)])[0]


@library("slice")
def _slice_reference(c: Call, args: Sequence[Array]) -> list[Array]:
    return _cut(args[0], args[1], args[2], c.params["axes"], args[3] if len(args) > 3 else None)


@library("slice_along")
def _slice_along_reference(c: Call, args: Sequence[Array]) -> list[Array]:
    return _cut(args[0], args[1], args[2], args[3].tolist(), args[4] if len(args) > 4 else None)


def _cut(x: Array, starts: Array, ends: Array, axes: Sequence[int], given: Array | None) -> list[Array]:
    """Slice in NumPy: a negative step's end may reach before the first element."""
    steps = np.ones(len(starts), np.int64) if given is None else given
    cut = [slice(None)] * x.ndim
    for axis, a, b, s in zip(axes, starts.tolist(), ends.tolist(), steps.tolist(), strict=True):
        d = x.shape[axis]
        beyond = s < 0 and b < -d
        cut[axis] = slice(a, None if beyond else b, s)
    return [x[tuple(cut)]]


@lowering("Split")
def split(ctx: Ctx, x: Def, sizes: Def | None = None) -> tuple[Def, ...]:
    axis = ctx.axis(x.rank, 0)
    d = x.shape[axis]
    if ctx.given(1) or ctx.has("split"):
        parts = [as_dim(v) for v in (ctx.values(1, "split") if ctx.given(1) else ctx.attr_ints("split"))]
        total = as_dim(sum(parts, ix(0)))
        if isinstance(d, int) and isinstance(total, int) and d != total:
            raise ModelError(f"parts {parts} do not add up to {d}")
        facts.assume_equal(d, total)
    else:
        parts = _even_parts(d, ctx.attr_int("num_outputs", ctx.n_outputs))
    out, begin = [], ix(0)
    for n in parts:
        starts: list[Ix | int] = [0] * x.rank
        starts[axis] = begin
        out.append(sliced(x, starts, [1] * x.rank, [*x.shape[:axis], n, *x.shape[axis + 1 :]]))
        begin = begin + n
    return tuple(out)


def _even_parts(d: Dim, count: int) -> list[Dim]:
    """``count`` equal parts, the last one smaller when they do not divide."""
    chunk = (ix(d) + count - 1) // count
    last = ix(d) - chunk * (count - 1)
    if index.nonneg(-1 - last):
        raise ModelError(f"an axis of extent {d} cannot be split evenly into {count}")
    facts.assume_nonneg(last)
    return [*[as_dim(chunk)] * (count - 1), as_dim(last)]


@lowering("Concat")
def concat(ctx: Ctx, *xs: Def) -> Def:
    return concatenated(xs, ctx.axis(xs[0].rank))


def concatenated(xs: Sequence[Def], axis: int) -> Def:
    """``xs`` side by side along ``axis``: nested guards, the last input is the final else."""
    first = xs[0]
    for x in xs:
        if x.rank != first.rank or any(
            a != b and isinstance(a, int) and isinstance(b, int)
            for k, (a, b) in enumerate(zip(x.shape, first.shape, strict=True))
            if k != axis
        ):
            raise ModelError(f"cannot concatenate {[list(x.shape) for x in xs]} along axis {axis}")
        for k, (a, b) in enumerate(zip(x.shape, first.shape, strict=True)):
            if k != axis:
                facts.assume_equal(a, b)
    total = ix(0)
    parts: list[tuple[Ix, Def]] = []
    for x in xs:
        if x.shape[axis] != 0:
            parts.append((total, x))
        total = total + x.shape[axis]
    shape = [*first.shape[:axis], as_dim(total), *first.shape[axis + 1 :]]
    if not parts:
        return unread(first, shape)

    def f(*i: Ix) -> E:
        at = [x[replaced(i, axis, i[axis] - offset)] for offset, x in parts]
        out = at[-1]
        for (offset, x), value in list(zip(parts, at, strict=True))[-2::-1]:
            out = guard(ge0(offset + x.shape[axis] - 1 - i[axis]), value, out)
        return out

    return compute(shape, f, first.dtype)
