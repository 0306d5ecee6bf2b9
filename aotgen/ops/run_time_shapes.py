# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Reshape, Expand, Pad, Squeeze and their kin where the shape they are given is computed from data: how their extents follow
from it, as small integer tensors that ``Extents`` makes dims of."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from aotgen.core import dtypes
from aotgen.core.errors import UnsupportedError
from aotgen.ir import index
from aotgen.ir.define import Def, compute, reduce_
from aotgen.ir.expr import E, const, fn, ge0, guard, ix_value, select
from aotgen.ir.graph import Node, Value
from aotgen.ir.index import Dim, Ix, ix
from aotgen.ops.extents import (
    ANY,
    integer,
    integers,
    is_data,
    named_axes,
    operand,
    others_before,
    picked,
    vector,
    with_input,
)
from aotgen.ops.registry import INTERNAL, Ctx, lowering, settles

if TYPE_CHECKING:
    from aotgen.ops.builder import Builder

# Operators with operands that are extents as they stand.
for _name, _operands in {"ConstantOfShape": (0,), "Tile": (1,), "Split": (1,), "OneHot": (1,), "Col2Im": (1, 2), "AffineGrid": (1,),
                         "MaxUnpool": (2,), "STFT": (1, 3), "MelWeightMatrix": (0, 1), "HannWindow": (0,), "HammingWindow": (0,),
                         "BlackmanWindow": (0,)}.items():
    settles(_name)(operand(*_operands))


def length(v: Value, what: str) -> int:
    """The number of elements of a vector that decides a rank."""
    n = v.shape[0] if v.shape else 1
    if not isinstance(n, int):
        raise UnsupportedError(f"the length of '{what}' decides a rank and must be a number, not {n}",
                               hint="fix that dim with --dim")
    return n


# -- Reshape


@settles("Reshape")
def settle_reshape(builder: Builder, node: Node) -> Node:
    if not is_data(builder, node, 1):
        return node
    x, shape = node.inputs
    assert x is not None and shape is not None
    shape = vector(builder, shape)
    length(shape, "shape")
    found = integer(builder, "ReshapeExtents", [x, shape], allowzero=int(node.attrs.get("allowzero", 0)))
    known = builder.extents(found, f"reshape_{shape.name}")
    return Node("Reshape", (x, known), node.outputs, {"allowzero": 1}, origin=node.origin)


@lowering("ReshapeExtents", domain=INTERNAL)
def reshape_extents(ctx: Ctx, x: Def, shape: Def) -> Def:
    """i64[n]: the shape asked for, with what 0 copies and -1 stands for put in."""
    zero_is_copy = not ctx.attr_int("allowzero", 0)

    def given(k: Ix) -> E:
        s = shape[k]
        return select(s.eq(0), picked(x.shape, k), s) if zero_is_copy else s

    asked = compute(shape.shape, given, dtypes.i64)
    rest = reduce_("prod", (), shape.shape, lambda _, r: fn("abs", asked[r[0]]), dtypes.i64)
    return compute(shape.shape, lambda k: select(asked[k].eq(-1), fn("div", ix_value(x.size), rest[()]), asked[k]), dtypes.i64)


# -- Expand


@settles("Expand")
def settle_expand(builder: Builder, node: Node) -> Node:
    if not is_data(builder, node, 1):
        return node
    x, shape = node.inputs
    assert x is not None and shape is not None
    length(shape, "shape")
    found = integer(builder, "ExpandExtents", [x, shape])
    return with_input(node, 1, builder.extents(found, f"expand_{shape.name}"))


@lowering("ExpandExtents", domain=INTERNAL)
def expand_extents(ctx: Ctx, x: Def, shape: Def) -> Def:
    """i64[n]: the shape of ``x`` broadcast with the shape asked for."""
    n = int(shape.shape[0])  # type: ignore[arg-type]
    rank = max(n, x.rank)
    own: list[Dim] = [*(1 for _ in range(rank - x.rank)), *x.shape]

    def f(k: Ix) -> E:
        asked = guard(ge0(k - (rank - n)), shape[k - (rank - n)], const(1, "i64")) if n else const(1, "i64")
        return select(asked.eq(1), picked(own, k), asked)

    return compute((rank,), f, dtypes.i64)


# -- Pad, CenterCropPad


@settles("Pad")
def settle_pad(builder: Builder, node: Node) -> Node:
    if not is_data(builder, node, 1) and not is_data(builder, node, 3):
        return node
    x, pads, *_ = node.inputs
    axes = node.inputs[3] if len(node.inputs) > 3 else None
    found = integer(builder, "PadAmounts", [x, pads, None if axes is None else vector(builder, axes)])
    known = builder.extents(found, "pads", ANY)
    return Node("Pad", (x, known, *node.inputs[2:3]), node.outputs, node.attrs, origin=node.origin)


@lowering("PadAmounts", domain=INTERNAL)
def pad_amounts(ctx: Ctx, x: Def, pads: Def, axes: Def | None = None) -> Def:
    """i64[2 rank]: what is added before each axis, then after each."""
    if axes is None:
        return compute((2 * x.rank,), lambda k: pads[k], dtypes.i64)
    count = ix(axes.shape[0])

    def f(o: list[Ix], r: list[Ix]) -> E:
        axis, end = o[0] % x.rank, o[0] // x.rank
        a = axes[r[0]]
        return select(select(a < 0, a + x.rank, a).eq(ix_value(axis)), pads[end * count + r[0]], const(0, "i64"))

    return reduce_("sum", (2 * x.rank,), axes.shape, f, dtypes.i64)


@settles("CenterCropPad")
def settle_center_crop_pad(builder: Builder, node: Node) -> Node:
    """Padding by amounts that may be negative, unless each axis is known to grow or to shrink."""
    x, shape = node.inputs
    assert x is not None and shape is not None
    axes = [int(a) % len(x.shape) for a in node.attrs.get("axes", range(len(x.shape)))]
    known = builder.known(shape)
    if known is not None:
        wanted: Sequence[Dim] = known.dims or [int(v) for v in known.load().ravel()]
        grow = [ix(w) - x.shape[a] for a, w in zip(axes, wanted, strict=True)]
        if all(index.nonneg(g) or index.nonneg(-g) for g in grow):
            return node
    found = integer(builder, "CropAmounts", [x, shape], axes=axes)
    return Node("Pad", (x, builder.extents(found, "crop", ANY)), node.outputs, {}, origin=node.origin)


@lowering("CropAmounts", domain=INTERNAL)
def crop_amounts(ctx: Ctx, x: Def, shape: Def) -> Def:
    """i64[2 rank]: half of what each axis grows by, before (rounded towards 0) and after."""
    axes = ctx.attr_ints("axes")

    def f(k: Ix) -> E:
        out = const(0, "i64")
        for n, axis in enumerate(axes):
            grow = shape[n] - ix_value(x.shape[axis])
            before = fn("div", grow, const(2, "i64"))
            out = select(ix_value(k).eq(axis), before, select(ix_value(k).eq(axis + x.rank), grow - before, out))
        return out

    return compute((2 * x.rank,), f, dtypes.i64)


# -- Squeeze, Unsqueeze


@settles("Squeeze", "Unsqueeze")
def settle_squeeze(builder: Builder, node: Node) -> Node:
    if not is_data(builder, node, 1):
        return node
    x, axes = node.inputs
    assert x is not None and axes is not None
    axes = vector(builder, axes)
    count = length(axes, "axes") * (1 if node.op == "Unsqueeze" else -1)
    return Node("Reshape", (x, kept_extents(builder, node.op, x, axes, len(x.shape) + count)), node.outputs, {"allowzero": 1},
                origin=node.origin)


def kept_extents(builder: Builder, op: str, x: Value, axes: Value, rank: int) -> Value:
    """The shape of ``x`` without ``axes`` (``Squeeze``), or with ones put in there (``Unsqueeze``)."""
    found = integer(builder, f"{op}Extents", [x, axes], rank=rank)
    return builder.extents(found, f"{op.lower()}_{axes.name}")


@lowering("SqueezeExtents", domain=INTERNAL)
def squeeze_extents(ctx: Ctx, x: Def, axes: Def) -> Def:
    """i64[rank]: the extents of the axes not named."""
    gone = named_axes(axes, x.rank)
    place = others_before(gone)

    def f(o: list[Ix], r: list[Ix]) -> E:
        mine = fn("and", fn("not", gone[r[0]]), place[r[0]].eq(ix_value(o[0])))
        return select(mine, picked(x.shape, r[0]), const(0, "i64"))

    return reduce_("sum", (ctx.attr_int("rank"),), (x.rank,), f, dtypes.i64)


@lowering("UnsqueezeExtents", domain=INTERNAL)
def unsqueeze_extents(ctx: Ctx, x: Def, axes: Def) -> Def:
    """i64[rank]: 1 at the axes named, the extents of ``x`` elsewhere."""
    rank = ctx.attr_int("rank")
    new = named_axes(axes, rank)
    place = others_before(new)

    def f(k: Ix) -> E:
        own = const(0, "i64")
        for n, d in enumerate(x.shape):
            own = select(place[k].eq(n), ix_value(d), own)
        return select(new[k], const(1, "i64"), own)

    return compute((rank,), f, dtypes.i64)


# -- axes computed from data

REDUCTIONS = ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceLogSum",
              "ReduceLogSumExp", "ReduceSumSquare")


@settles(*REDUCTIONS)
def settle_reduction(builder: Builder, node: Node) -> Node:
    """Every axis of extent d becomes two, of extents o and d - o + 1: 1 and d where it is reduced, d and 1 where not. The
    second ones are reduced."""
    if not is_data(builder, node, 1):
        return node
    x, axes = node.inputs
    assert x is not None and axes is not None
    axes, rank = vector(builder, axes), len(x.shape)
    found = integer(builder, "ReduceExtents", [x, axes], noop=int(node.attrs.get("noop_with_empty_axes", 0)))
    most = [d if index.nonneg(ix(d) - 1) else index.as_dim(ix(d) + 1) for d in x.shape]
    outer = builder.extents(found, f"{node.op.lower()}_{axes.name}", 0, most)
    (pairs,) = builder.node("PairAxes", [x, outer], {}, domain=INTERNAL)
    every_second = integers(builder, [2 * k + 1 for k in range(rank)])
    if node.attrs.get("keepdims", 1) or rank == 0:
        return Node(node.op, (pairs, every_second), node.outputs, {"keepdims": 0}, origin=node.origin)
    kept = builder.op(node.op, [pairs, every_second], keepdims=0)
    shape = kept_extents(builder, "Squeeze", x, axes, rank - length(axes, "axes"))
    return Node("Reshape", (kept, shape), node.outputs, {"allowzero": 1}, origin=node.origin)


@lowering("ReduceExtents", domain=INTERNAL)
def reduce_extents(ctx: Ctx, x: Def, axes: Def) -> Def:
    """i64[rank]: 1 at the axes named (all when none is, unless ``noop``), else the extent."""
    named = named_axes(axes, x.rank)
    every = const(False, "bool") if ctx.attr_int("noop") else ix_value(axes.shape[0]).eq(0)
    return compute((x.rank,), lambda k: select(fn("or", every, named[k]), const(1, "i64"), picked(x.shape, k)), dtypes.i64)


@lowering("PairAxes", domain=INTERNAL)
def pair_axes(ctx: Ctx, x: Def, outer: Def) -> Def:
    """``x[o0 + r0, o1 + r1, ...]`` as a tensor over (o0, r0, o1, r1, ...), ``outer`` being the extents of the o."""
    shape: list[Dim] = []
    for d, o in zip(x.shape, ctx.values(1, "outer"), strict=True):
        shape += [o, index.as_dim(ix(d) - o + 1)]
    return compute(shape, lambda *i: x[tuple(i[2 * k] + i[2 * k + 1] for k in range(x.rank))], x.dtype)


@settles("CumSum", "CumProd")
def settle_cumulative(builder: Builder, node: Node) -> Node:
    """Along the middle axis of three."""
    if not is_data(builder, node, 1):
        return node
    x, axis = node.inputs
    assert x is not None and axis is not None
    around = builder.extents(integer(builder, "ExtentsAround", [x, vector(builder, axis)]), f"around_{axis.name}")
    flat = builder.op("Reshape", [x, around], allowzero=1)
    done = builder.op(node.op, [flat, integers(builder, [1])], **node.attrs)
    return Node("Reshape", (done, integers(builder, x.shape)), node.outputs, {"allowzero": 1}, origin=node.origin)


@lowering("ExtentsAround", domain=INTERNAL)
def extents_around(ctx: Ctx, x: Def, axis: Def) -> Def:
    """i64[3]: the products of the extents before an axis, at it and behind it."""
    at = axis[0]
    at = select(at < 0, at + x.rank, at)

    def f(k: Ix) -> E:
        out = [const(1, "i64")] * 3
        for n, d in enumerate(x.shape):
            extent = ix_value(d)
            out[0] = select(at <= n, out[0], out[0] * extent)
            out[1] = select(at.eq(n), extent, out[1])
            out[2] = select(at < n, out[2] * extent, out[2])
        return select(ix_value(k).eq(0), out[0], select(ix_value(k).eq(1), out[1], out[2]))

    return compute((3,), f, dtypes.i64)
