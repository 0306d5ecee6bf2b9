# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Sequences and optionals: values that are not tensors, held in a run's pool (``kernels/common/sequence.h``).

A tensor read out of a sequence has the extents that its type fixes; the others are dims that the run makes. An optional
tensor is a sequence of one, an absent optional is neither that nor empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from aotgen.core import dtypes
from aotgen.core.errors import ModelError, UnsupportedError
from aotgen.ir import index
from aotgen.ir.define import Def, call
from aotgen.ir.graph import AnyType, Node, OptionalType, SequenceType, TensorType, Value
from aotgen.ir.index import Dim
from aotgen.ops.builder import Builder, require, type_rule
from aotgen.ops.extents import integer, integers
from aotgen.ops.registry import INTERNAL, Ctx, evaluates, expansion, lowering, settles

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array = NDArray[Any]

Shape = tuple[int | None, ...] | None


# -- types


def sequence_of(v: Value, node: Node) -> SequenceType:
    """The type of a value that must be a sequence or an optional, as a sequence."""
    if isinstance(v.type, TensorType):
        raise ModelError(f"{v.name} is {v.type}, not a sequence", node=node.where())
    return v.type.element if isinstance(v.type, OptionalType) else v.type


def element_shape(t: TensorType) -> tuple[int | None, ...]:
    """The shape of a tensor as one of a sequence: a number, or nothing."""
    return tuple(d if isinstance(d, int) else None for d in t.shape)


def joined(a: AnyType, b: AnyType) -> AnyType:
    """The type of a value that is one or the other. Raises ModelError when there is none."""
    if isinstance(a, TensorType) or isinstance(b, TensorType):
        if a != b:
            raise ModelError(f"{a} and {b} are not of one type")
        return a
    if isinstance(a, OptionalType) or isinstance(b, OptionalType):
        inner, other = (t.element if isinstance(t, OptionalType) else t for t in (a, b))
        lists = any(t.holds_sequence if isinstance(t, OptionalType) else True for t in (a, b))
        return OptionalType(_joined_lists(inner, other), lists)
    return _joined_lists(a, b)


def _joined_lists(a: SequenceType, b: SequenceType) -> SequenceType:
    if a.dtype is not b.dtype:
        raise ModelError(f"{a} and {b} hold different element types")
    if a.empty or b.empty:
        return b if a.empty else a
    if a.shape is None or b.shape is None or len(a.shape) != len(b.shape):
        return SequenceType(a.dtype)
    return SequenceType(a.dtype, tuple(m if m == n else None for m, n in zip(a.shape, b.shape, strict=True)))


def _with(builder: Builder, node: Node) -> Sequence[AnyType]:
    """A sequence with a tensor put in."""
    seq, x = node.inputs[:2]
    assert seq is not None and x is not None
    own = sequence_of(seq, node)
    require(own.dtype is x.dtype, f"a tensor of {x.dtype} for a sequence of {own.dtype}", node)
    return [_joined_lists(own, SequenceType(x.dtype, element_shape(x.tensor)))]


def _same(builder: Builder, node: Node) -> Sequence[AnyType]:
    assert node.inputs[0] is not None
    return [sequence_of(node.inputs[0], node)]


def _copied(builder: Builder, node: Node) -> Sequence[AnyType]:
    assert node.inputs[0] is not None
    return [node.inputs[0].type]


def _split(builder: Builder, node: Node) -> Sequence[AnyType]:
    """Parts of an axis: of what size, unless it is kept out, only the run knows."""
    x = node.inputs[0]
    assert x is not None
    shape = list(element_shape(x.tensor))
    axis = _axis(node, len(shape))
    if len(node.inputs) < 2 and not int(node.attrs.get("keepdims", 1)):
        del shape[axis]
    else:
        shape[axis] = 1 if len(node.inputs) < 2 else None
    return [SequenceType(x.dtype, tuple(shape))]


def _empty(builder: Builder, node: Node) -> Sequence[AnyType]:
    dtype = dtypes.of(node.attrs.get("dtype", 1))
    return [SequenceType(dtype, None, empty=True)]


for _name, _rule in {"SequenceInsert": _with, "SequenceErase": _same, "SplitToSequence": _split, "SequenceEmpty": _empty}.items():
    type_rule(_name)(_rule)
type_rule("SequenceCopy", domain=INTERNAL)(_copied)
type_rule("OptionalList", domain=INTERNAL)(_same)


@type_rule("OptionalOf", "OptionalAbsent", domain=INTERNAL)
def optional_types(builder: Builder, node: Node) -> Sequence[AnyType]:
    return [node.attrs["type"]]


@type_rule("SequenceLength")
def _length_type(builder: Builder, node: Node) -> Sequence[AnyType]:
    return [TensorType(dtypes.i64, ())]


@type_rule("SequencePresent", domain=INTERNAL)
def _present_type(builder: Builder, node: Node) -> Sequence[AnyType]:
    return [TensorType(dtypes.boolean, ())]


@type_rule("SequenceShape", "SequenceJoinedShape", domain=INTERNAL)
def _extents_type(builder: Builder, node: Node) -> Sequence[AnyType]:
    return [TensorType(dtypes.i64, (int(node.attrs["rank"]),))]


@type_rule("SequenceRead", "SequenceJoin", domain=INTERNAL)
def _tensor_type(builder: Builder, node: Node) -> Sequence[AnyType]:
    """The last operand holds the extents."""
    seq, shape = node.inputs[0], builder.known(node.inputs[-1])
    assert seq is not None and shape is not None
    dims: Sequence[Dim] = shape.dims if shape.dims is not None else [int(n) for n in shape.load()]
    return [TensorType(sequence_of(seq, node).dtype, tuple(dims))]


def _axis(node: Node, rank: int) -> int:
    axis = int(node.attrs.get("axis", 0))
    if not -rank <= axis < rank:
        raise ModelError(f"axis {axis} is out of range for rank {rank}", node=node.where())
    return axis % rank


# -- what is made of others


@settles("Identity")
def settle_identity(builder: Builder, node: Node) -> Node:
    """Of a sequence or optional: a copy of the handle."""
    v = node.inputs[0]
    tensor = v is None or isinstance(v.type, TensorType)
    return node if tensor else replace(node, op="SequenceCopy", domain=INTERNAL)


@expansion("SequenceConstruct")
def sequence_construct(ctx: Ctx, builder: Builder, *xs: Value) -> Value:
    out: Value = builder.op("SequenceEmpty", [], dtype=xs[0].dtype.onnx)
    for x in xs:
        out = builder.op("SequenceInsert", [out, x])
    return out


def fixed(builder: Builder, ctx: Ctx, shape: Shape, found: Value, stem: str) -> Value:
    """The extents of a tensor of a sequence: those its type fixes, dims for the others. ``found``: all, from the run."""
    assert shape is not None
    made = builder.extents(found, stem)
    known = builder.known(made)
    assert known is not None and known.dims is not None
    return integers(builder, [d if n is None else n for n, d in zip(shape, known.dims, strict=True)])


def _ranked(ctx: Ctx, t: SequenceType) -> tuple[int | None, ...]:
    if t.shape is None:
        raise UnsupportedError(f"the rank of the tensors in {t} is not known", node=ctx.node.where(),
                               hint="declare a shape for the elements of the sequence; its extents may be open")
    return t.shape


@expansion("SequenceAt")
def sequence_at(ctx: Ctx, builder: Builder, seq: Value, position: Value) -> Value:
    shape = _ranked(ctx, sequence_of(seq, ctx.node))
    found = integer(builder, "SequenceShape", [seq, position], rank=len(shape))
    extents = fixed(builder, ctx, shape, found, f"at_{seq.name}") if shape else integers(builder, [])
    return integer(builder, "SequenceRead", [seq, position, extents])


@expansion("ConcatFromSequence")
def concat_from_sequence(ctx: Ctx, builder: Builder, seq: Value) -> Value:
    shape = _ranked(ctx, sequence_of(seq, ctx.node))
    stacks = ctx.attr_int("new_axis", 0)
    rank = len(shape) + stacks
    axis = ctx.axis_of(ctx.attr_int("axis"), rank)
    rest = list(shape)
    joined_shape = (*rest[:axis], None, *rest[axis + (0 if stacks else 1) :])
    found = integer(builder, "SequenceJoinedShape", [seq], rank=rank, axis=axis, stacks=stacks)
    return integer(builder, "SequenceJoin", [seq, fixed(builder, ctx, joined_shape, found, f"joined_{seq.name}")], axis=axis)


@expansion("Optional")
def optional(ctx: Ctx, builder: Builder, v: Value | None = None) -> Value:
    if v is None:
        declared: AnyType = ctx.node.attrs["type"]
        if isinstance(declared, TensorType):
            declared = OptionalType(SequenceType(declared.dtype, element_shape(declared)))
        elif isinstance(declared, SequenceType):
            declared = OptionalType(declared, True)
        return integer(builder, "OptionalAbsent", [], type=declared)
    if isinstance(v.type, TensorType):
        one: Value = builder.op("SequenceConstruct", [v])
        return integer(builder, "OptionalOf", [one], type=OptionalType(sequence_of(one, ctx.node)))
    return integer(builder, "OptionalOf", [v], type=OptionalType(sequence_of(v, ctx.node), True))


@expansion("OptionalHasElement")
def optional_has_element(ctx: Ctx, builder: Builder, v: Value | None = None) -> Value:
    if v is None or isinstance(v.type, (TensorType, SequenceType)):
        return builder.constant(np.asarray(v is not None))
    return integer(builder, "SequencePresent", [v])


@expansion("OptionalGetElement")
def optional_get_element(ctx: Ctx, builder: Builder, v: Value) -> Value:
    """The value, or a status where it is absent."""
    if isinstance(v.type, OptionalType) and not v.type.holds_sequence:
        return builder.op("SequenceAt", [v, builder.constant(np.asarray(0))])  # type: ignore[no-any-return]
    if isinstance(v.type, TensorType):
        return v
    return integer(builder, "OptionalList", [v])


# -- calls of sequence.h

HANDLE = [((), dtypes.sequence)]


def _plain(function: str, results: list[tuple[tuple[Dim, ...], dtypes.DType]] | None = None) -> Any:
    """A lowering that hands its operands to ``function``."""

    def lower(ctx: Ctx, *xs: Def | None) -> Def:
        return call("sequence", function, [x for x in xs if x is not None], results or HANDLE)[0]

    return lower


lowering("SequenceErase")(_plain("sequence_erase"))
lowering("SequenceEmpty")(_plain("sequence_empty"))
lowering("SequenceLength")(_plain("sequence_length", [((), dtypes.i64)]))
lowering("SequenceCopy", "OptionalOf", domain=INTERNAL)(_plain("sequence_copy"))
lowering("OptionalList", domain=INTERNAL)(_plain("optional_list"))
lowering("OptionalAbsent", domain=INTERNAL)(_plain("optional_absent"))
lowering("SequencePresent", domain=INTERNAL)(_plain("sequence_present", [((), dtypes.boolean)]))


@lowering("SequenceInsert")
def sequence_insert(ctx: Ctx, seq: Def, x: Def, position: Def | None = None) -> Def:
    args = [seq, x, *([] if position is None else [position])]
    return call("sequence", "sequence_insert", args, HANDLE, rank=x.rank, dims=(x.shape,), type=x.dtype.onnx)[0]


@lowering("SplitToSequence")
def split_to_sequence(ctx: Ctx, x: Def, sizes: Def | None = None) -> Def:
    axis = _axis(ctx.node, x.rank)
    around: dict[str, Any] = {"outer": index.prod_dims(x.shape[:axis]), "n": x.shape[axis],
                              "inner": index.prod_dims(x.shape[axis + 1 :]), "rank": x.rank, "dims": (x.shape,), "axis": axis}
    if sizes is None:
        return call("sequence", "sequence_split", [x], HANDLE, **around, keep=bool(ctx.attr_int("keepdims", 1)),
                    type=x.dtype.onnx)[0]
    if sizes.rank == 0:
        return call("sequence", "sequence_chunks", [x, sizes], HANDLE, **around, type=x.dtype.onnx)[0]
    return call("sequence", "sequence_parts", [x, sizes], HANDLE, parts=sizes.shape[0], **around, type=x.dtype.onnx)[0]


@settles("SplitToSequence")
def settle_split(builder: Builder, node: Node) -> Node:
    """Sizes are i64."""
    sizes = node.inputs[1] if len(node.inputs) > 1 else None
    if sizes is None:
        return replace(node, inputs=node.inputs[:1])
    wide = sizes if sizes.dtype is dtypes.i64 else builder.op("Cast", [sizes], to=dtypes.i64)
    return replace(node, inputs=(node.inputs[0], wide))


@lowering("SequenceShape", domain=INTERNAL)
def sequence_shape(ctx: Ctx, seq: Def, position: Def) -> Def:
    rank = ctx.attr_int("rank")
    return call("sequence", "sequence_shape", [seq, position], [((rank,), dtypes.i64)], rank=rank)[0]


@lowering("SequenceJoinedShape", domain=INTERNAL)
def sequence_joined_shape(ctx: Ctx, seq: Def) -> Def:
    rank = ctx.attr_int("rank")
    return call("sequence", "sequence_joined_shape", [seq], [((rank,), dtypes.i64)], rank=rank, axis=ctx.attr_int("axis"),
                stacks=bool(ctx.attr_int("stacks")))[0]


@lowering("SequenceRead", domain=INTERNAL)
def sequence_read(ctx: Ctx, seq: Def, position: Def, extents: Def) -> Def:
    t = _result(ctx)
    return call("sequence", "sequence_read", [seq, position], [(t.shape, t.dtype)], count=index.prod_dims(t.shape))[0]


@lowering("SequenceJoin", domain=INTERNAL)
def sequence_join(ctx: Ctx, seq: Def, extents: Def) -> Def:
    t, axis = _result(ctx), ctx.attr_int("axis")
    return call("sequence", "sequence_join", [seq], [(t.shape, t.dtype)], outer=index.prod_dims(t.shape[:axis]), n=t.shape[axis],
                inner=index.prod_dims(t.shape[axis + 1 :]))[0]


def _result(ctx: Ctx) -> TensorType:
    out = ctx.node.outputs[0]
    assert out is not None
    return out.tensor


# -- the same in NumPy: a sequence is a list, an absent optional is None


def _place(at: Array, size: int) -> int:
    place = int(np.asarray(at).reshape(-1)[0])
    return place + size if place < 0 else place


@evaluates("SequenceInsert")
def _insert(node: Node, seq: list[Array], x: Array, at: Array | None = None) -> Any:
    place = len(seq) if at is None else _place(at, len(seq))
    return [*seq[:place], x, *seq[place:]]


@evaluates("SequenceErase")
def _erase(node: Node, seq: list[Array], at: Array | None = None) -> Any:
    place = len(seq) - 1 if at is None else _place(at, len(seq))
    return [*seq[:place], *seq[place + 1 :]]


@evaluates("SplitToSequence")
def _split_list(node: Node, x: Array, sizes: Array | None = None) -> Any:
    axis = _axis(node, x.ndim)
    n = x.shape[axis]
    each = np.ones(n, np.int64) if sizes is None else sizes if sizes.ndim else None
    cuts = np.cumsum(each)[:-1] if each is not None else np.arange(int(sizes), n, int(sizes))  # type: ignore[arg-type]
    parts = np.split(x, cuts, axis) if n else []
    drop = sizes is None and not node.attrs.get("keepdims", 1)
    return [np.squeeze(p, axis) if drop else p for p in parts]


@evaluates("SequenceJoin", domain=INTERNAL)
def _join(node: Node, seq: list[Array], extents: Array) -> Any:
    stacked = seq[0].ndim < len(extents)
    return np.stack(seq, node.attrs["axis"]) if stacked else np.concatenate(seq, node.attrs["axis"])


@evaluates("SequenceJoinedShape", domain=INTERNAL)
def _joined_shape(node: Node, seq: list[Array]) -> Any:
    make = np.stack if node.attrs["stacks"] else np.concatenate
    return np.array(make(seq, node.attrs["axis"]).shape, np.int64)


evaluates("SequenceEmpty")(lambda node: [])
evaluates("SequenceLength")(lambda node, seq: np.asarray(len(seq or ()), np.int64))
evaluates("SequenceCopy", "OptionalList", domain=INTERNAL)(lambda node, v: v)
evaluates("OptionalOf", domain=INTERNAL)(lambda node, v: v)
evaluates("OptionalAbsent", domain=INTERNAL)(lambda node: None)
evaluates("SequencePresent", domain=INTERNAL)(lambda node, v: np.asarray(v is not None))
evaluates("SequenceShape", domain=INTERNAL)(lambda node, seq, at: np.array(seq[_place(at, len(seq))].shape, np.int64))
evaluates("SequenceRead", domain=INTERNAL)(lambda node, seq, at, extents: seq[_place(at, len(seq))])
