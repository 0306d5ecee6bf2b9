# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Extents that input data decides, and what operators do with operands that must be known and are not.

``Extents`` (internal) takes integers that a run has computed for the values of its dims; what follows is lowered as if the
dims had been open from the start. Every operator with a shape among its operands says in a ``@settles`` function how its
extents follow from the data: in most cases they are the operand itself.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from aotgen.core import dtypes
from aotgen.core.errors import ModelError
from aotgen.ir.define import Call, Def, call, reduce_
from aotgen.ir.expr import E, const, fn, ge0, ix_value, select
from aotgen.ir.graph import Constant, Node, Value
from aotgen.ir.index import Dim, Ix
from aotgen.ir.interpret import Array, library
from aotgen.ops.registry import DIMS, INTERNAL, Ctx, lowering

if TYPE_CHECKING:
    from aotgen.ops.builder import Builder

ANY = -(2**31)  # the least value of a dim that may be negative: an amount of padding


@lowering("Extents", domain=INTERNAL)
def extents(ctx: Ctx, values: Def) -> Def:
    """i64[n] -> the same integers; from here on the node's dims have these values."""
    return call("library", "extents", [values], [(values.shape, dtypes.i64)], dims=ctx.node.attrs[DIMS])[0]


@library("extents")
def _extents_reference(c: Call, args: Sequence[Array]) -> list[Array]:
    return [np.asarray(args[0], np.int64)]


def is_data(builder: Builder, node: Node, k: int) -> bool:
    """Is operand ``k`` given, but computed from input data?"""
    v = node.inputs[k] if k < len(node.inputs) else None
    return v is not None and builder.known(v) is None


def with_input(node: Node, k: int, v: Value | None) -> Node:
    """``node`` with operand ``k`` exchanged."""
    return replace(node, inputs=(*node.inputs[:k], v, *node.inputs[k + 1 :]))


def vector(builder: Builder, v: Value) -> Value:
    """Integers as i64[n], a scalar as i64[1]."""
    if v.dtype is not dtypes.i64:
        v = builder.op("Cast", [v], to=dtypes.i64)
    return v if len(v.shape) == 1 else builder.op("Reshape", [v, integers(builder, [-1])])


def of_length(builder: Builder, v: Value, n: int) -> Value:
    """A vector of ``n`` elements, assumed to be that long where its extent is open. Raises ModelError where it is not."""
    if v.shape == (n,):
        return v
    if len(v.shape) != 1 or isinstance(v.shape[0], int):
        raise ModelError(f"{v.name} of shape {list(v.shape)} must be a vector of {n}")
    return builder.op("Reshape", [v, integers(builder, [n])])  # type: ignore[no-any-return]


def integers(builder: Builder, values: Sequence[Dim]) -> Value:
    """i64[n] of numbers, or of polynomials of dims."""
    return builder.constant(Constant.of_dims(tuple(values), (len(values),), dtypes.i64), "extents")


def integer(builder: Builder, op: str, inputs: Sequence[Value | None], **attrs: object) -> Value:
    """The i64[n] that an internal operator computes."""
    (out,) = builder.node(op, inputs, attrs, domain=INTERNAL)
    assert out is not None
    return out


def operand(*operands: int) -> Callable[[Builder, Node], Node]:
    """A ``@settles`` function for an operator of which ``operands`` are themselves extents."""

    def settle(builder: Builder, node: Node) -> Node:
        for k in operands:
            if not is_data(builder, node, k):
                continue
            v = node.inputs[k]
            assert v is not None
            made = builder.extents(vector(builder, v), f"{node.op.lower()}_{v.name}")
            node = with_input(node, k, made if v.shape else builder.op("Reshape", [made, integers(builder, [])]))
        return node

    return settle


# -- what several of these operators compute


def picked(values: Sequence[Dim], k: Ix) -> E:
    """``values[k]`` as i64; 0 where there is none."""
    out = const(0, "i64")
    for n in range(len(values) - 1, -1, -1):
        out = select(ix_value(k).eq(ix_value(n)), ix_value(values[n]), out)
    return out


def named_axes(axes: Def, rank: int) -> Def:
    """bool[rank]: is the axis among ``axes`` (i64[m], counted from either end)?"""

    def f(o: list[Ix], r: list[Ix]) -> E:
        a = axes[r[0]]
        return select(a < 0, a + rank, a).eq(ix_value(o[0]))

    return reduce_("or", (rank,), axes.shape, f, dtypes.boolean)


def others_before(flags: Def) -> Def:
    """i64[n]: how many of the flags before each one are not set."""

    def f(o: list[Ix], r: list[Ix]) -> E:
        counts = fn("and", ge0(o[0] - 1 - r[0]), fn("not", flags[r[0]]))
        return select(counts, const(1, "i64"), const(0, "i64"))

    return reduce_("sum", flags.shape, flags.shape, f, dtypes.i64)
