# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Operators whose output is made from attributes, shapes and a few scalars."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from aotgen.core import dtypes
from aotgen.core.errors import ModelError
from aotgen.ir import index
from aotgen.ir.bounds import bound
from aotgen.ir.define import Call, Def, call, compute
from aotgen.ir.expr import E, all_, cast, const, ge0, ix_value, select
from aotgen.ir.index import Dim, Ix, as_dim, ix
from aotgen.ir.interpret import Array, library
from aotgen.ops.broadcast import replaced
from aotgen.ops.registry import Ctx, lowering

MOST = 2**31  # an extent is an int in generated code


@lowering("ConstantOfShape")
def constant_of_shape(ctx: Ctx, shape: Def) -> Def:
    value = ctx.attr_tensor("value") if ctx.has("value") else np.zeros(1, np.float32)
    dtype = dtypes.of(value.dtype)
    extents = [] if shape.size == 0 else ctx.values(0, "shape")
    if any(isinstance(d, int) and d < 0 for d in extents):
        raise ModelError(f"shape {extents} has a negative extent")
    return compute(extents, lambda *_: const(value.reshape(-1)[0].item(), dtype.compute), dtype)


@lowering("Range")
def range_(ctx: Ctx, start: Def, limit: Def, delta: Def) -> Def:
    """start, start + delta, ... before limit. The count is known, a polynomial of open dims, or data."""
    if not all(ctx.is_const(k) for k in range(3)):
        return _range_from_data(ctx, start, limit, delta)
    if start.dtype.is_float:
        a, b, s = (float(np.asarray(ctx.const(k)).reshape(-1)[0]) for k in range(3))
        count = max(0, math.ceil((b - a) / s))
        kind = start.dtype.compute
        return compute((count,), lambda k: cast(ix_value(k), kind) * s + a, start.dtype)
    lo, hi, step = (ctx.values(k, name)[0] for k, name in enumerate(("start", "limit", "delta")))
    if not isinstance(step, int):
        raise ctx.refuse(f"Range with a step of {step}", "fix that dim with --dim")
    extent = _count(ctx, lo, hi, step)
    return compute((extent,), lambda k: ix_value(ix(lo) + k * step, start.dtype.compute), start.dtype)


def _count(ctx: Ctx, lo: Dim, hi: Dim, step: int) -> Dim:
    if step == 0:
        raise ModelError("Range with a step of 0")
    span = ix(hi) - lo if step > 0 else ix(lo) - hi
    if index.nonneg(-span):
        return 0
    if not index.nonneg(span):
        raise ctx.refuse(f"Range from {lo} to {hi} may or may not be empty", "bound the open dim with --dim")
    return as_dim((span + abs(step) - 1) // abs(step))


def _range_from_data(ctx: Ctx, *operands: Def) -> Def:
    dtype = operands[0].dtype
    most = 1 << dtype.bits if dtype.is_integer and dtype.bits <= 16 else None
    return call("library", "range", operands, [((data_dim(ctx, 0, most),), dtype)])[0]


def data_dim(ctx: Ctx, low: int = 0, high: Dim | None = None, tag: str = "") -> Ix:
    """An extent known only when the node has run. Named by the node's operands, so each lowering of the node (and of
    an equal node) gives the same one. ``high``: the largest it can be; where that has no bound either, the dim has
    none, and no library can be made (``lower/library.py`` says so)."""
    operands = ",".join(v.name if v is not None else "" for v in ctx.node.inputs)
    attrs = "".join(f",{k}={v}" for k, v in sorted(ctx.node.attrs.items()))
    most = None if high is None else bound(high)
    known = isinstance(most, int) and most < MOST
    return index.dim(f"{ctx.node.op.lower()}{tag}({operands}{attrs})", low, int(most) if known else None)  # type: ignore


@library("range")
def _range_reference(c: Call, args: Sequence[Array]) -> list[Array]:
    start, limit, delta = (np.asarray(a).reshape(-1)[0] for a in args)
    count = max(0, math.ceil((limit - start) / delta))
    return [start + np.arange(count).astype(args[0].dtype) * delta]


@lowering("EyeLike")
def eye_like(ctx: Ctx, x: Def) -> Def:
    dtype = ctx.attr_dtype("dtype", x.dtype)
    k = ctx.attr_int("k", 0)
    one, nil = const(1, dtype.compute), const(0, dtype.compute)
    return compute(x.shape, lambda i, j: select(all_([ge0(j - i - k), ge0(i + k - j)]), one, nil), dtype)


@lowering("OneHot")
def one_hot(ctx: Ctx, indices: Def, depth: Def, values: Def) -> Def:
    """``values[1]`` where the new axis equals the index (negative ones count from the end), ``values[0]`` elsewhere."""
    axis = ctx.axis(indices.rank + 1, -1)
    known = ctx.const(1)  # of any numeric type
    n = as_dim(ctx.values(1, "depth")[0]) if known is None else int(known.reshape(-1)[0])

    def f(*i: Ix) -> E:
        at = cast(indices[replaced(i, axis)], "i64")
        at = select(at < 0, at + ix_value(n), at)
        return select(at.eq(ix_value(i[axis])), values[1], values[0])

    return compute([*indices.shape[:axis], n, *indices.shape[axis:]], f, values.dtype)
