# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Operators whose output is made from attributes, shapes and a few scalars."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from aotgen.core import dtypes
from aotgen.core.errors import ModelError
from aotgen.ir import index
from aotgen.ir.define import Def, compute
from aotgen.ir.expr import E, all_, cast, const, fn, ge0, ix_value, select
from aotgen.ir.graph import Node
from aotgen.ir.index import Dim, Ix, as_dim, ix
from aotgen.ops.broadcast import flat_element, replaced
from aotgen.ops.extents import integer
from aotgen.ops.registry import INTERNAL, Ctx, lowering, settles

if TYPE_CHECKING:
    from aotgen.ops.builder import Builder


@lowering("ConstantOfShape")
def constant_of_shape(ctx: Ctx, shape: Def) -> Def:
    value = ctx.attr_tensor("value") if ctx.has("value") else np.zeros(1, np.float32)
    dtype = dtypes.of(value.dtype)
    extents = [] if shape.size == 0 else ctx.values(0, "shape")
    if any(isinstance(d, int) and d < 0 for d in extents):
        raise ModelError(f"shape {extents} has a negative extent")
    return compute(extents, lambda *_: const(value.reshape(-1)[0].item(), dtype.compute), dtype)


@settles("Range")
def settle_range(builder: Builder, node: Node) -> Node:
    """An operand that is data makes the count data: it becomes a fourth operand. So do open dims of which nobody knows
    whether they leave anything."""
    known = [builder.known(v) for v in node.inputs]
    if all(c is not None and c.dims is None for c in known):
        return node
    if all(c is not None for c in known):
        lo, hi, step = ((c.dims or [int(c.load().ravel()[0])])[0] for c in known if c is not None)
        span = ix(hi) - lo
        if isinstance(step, int) and step != 0 and (index.nonneg(span) or index.nonneg(-span)):
            return node
    count = integer(builder, "RangeCount", node.inputs)
    return replace(node, inputs=(*node.inputs, builder.extents(count, "range")))


@lowering("RangeCount", domain=INTERNAL)
def range_count(ctx: Ctx, start: Def, limit: Def, delta: Def) -> Def:
    """i64[1]: ceil((limit - start) / delta), at least 0; 0 for a step of 0."""
    a, b, step = map(flat_element, (start, limit, delta))
    if start.dtype.is_float:
        a, b, step = (cast(e, "f64") for e in (a, b, step))
        count = cast(fn("ceil", (b - a) / step), "i64")
    else:
        a, b, step = (cast(e, "i64") for e in (a, b, step))
        whole = fn("div", b - a, step)
        left = (b - a) - whole * step
        rounds_up = fn("and", fn("not", left.eq(0)), (left < 0).eq(step < 0))
        count = whole + cast(rounds_up, "i64")
    return compute((1,), lambda _: fn("max", select(step.eq(0), const(0, "i64"), count), const(0, "i64")))


@lowering("Range")
def range_(ctx: Ctx, start: Def, limit: Def, delta: Def, count: Def | None = None) -> Def:
    """start, start + delta, ... before limit. The number of them is known, a polynomial of open dims, or ``count``."""
    if count is not None:
        kind, first, by = start.dtype.compute, flat_element(start), flat_element(delta)
        return compute(ctx.values(3, "count"), lambda k: first + cast(ix_value(k), kind) * by, start.dtype)
    if start.dtype.is_float:
        a, b, s = (float(np.asarray(ctx.const(k)).reshape(-1)[0]) for k in range(3))
        steps, kind = max(0, math.ceil((b - a) / s)), start.dtype.compute
        return compute((steps,), lambda k: cast(ix_value(k), kind) * s + a, start.dtype)
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


def data_dim(ctx: Ctx, low: int = 0, high: Dim | None = None, tag: str = "") -> Ix:
    """An extent known only when the node has run. Named by the node's operands, so each lowering of the node (and of
    an equal node) gives the same one. ``high``: the largest it can be, None where nothing bounds it."""
    operands = ",".join(v.name if v is not None else "" for v in ctx.node.inputs)
    attrs = "".join(f",{k}={v}" for k, v in sorted(ctx.node.attrs.items()))
    return index.dim(f"{ctx.node.op.lower()}{tag}({operands}{attrs})", low, high)


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
