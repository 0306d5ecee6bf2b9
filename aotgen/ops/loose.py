# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Values whose rank the branch of an If decides: ``f32[]`` in one, ``f32[1]`` in the other.

Such a value is stored with every axis it can have; what is not there in one branch is a leading axis of extent 1, so its
elements are the same. It is ``loose``. A node that reads one is typed for every rank it can have: mostly, as where it is
broadcast, the results agree. Where their ranks alone differ they are loose as well; anything else is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

from aotgen.core.errors import UnsupportedError
from aotgen.ir import index
from aotgen.ir.graph import AnyType, Node, TensorType, Value


def is_loose(t: AnyType) -> bool:
    return isinstance(t, TensorType) and t.loose > 0


def either(types: Sequence[AnyType], where: str) -> AnyType:
    """The type of a value that has one of ``types``. Raises UnsupportedError where they differ by more than leading axes of
    extent 1."""
    widest = max((t for t in types if isinstance(t, TensorType)), key=lambda t: len(t.shape), default=None)
    if widest is None or all(t == types[0] for t in types):
        return types[0]
    rank = len(widest.shape)
    least = rank
    for t in types:
        if not isinstance(t, TensorType) or t.dtype is not widest.dtype or widest.shape[rank - len(t.shape):] != t.shape:
            raise _undecided(types, where)
        least = min(least, len(t.shape) - t.loose)
    if any(index.ix(d) != 1 for d in widest.shape[:rank - least]):
        raise _undecided(types, where)
    return replace(widest, loose=rank - least)


def _undecided(types: Sequence[AnyType], where: str) -> UnsupportedError:
    return UnsupportedError(f"the branch that an If takes decides a rank: {' or '.join(dict.fromkeys(map(repr, types)))}", node=where,
                            hint="give both branches results of one rank")


def narrowed(node: Node) -> Iterator[Node]:
    """``node`` with its loose operands as they are in other branches; nothing where it has none."""
    loose = list(dict.fromkeys(v for v in node.inputs if v is not None and is_loose(v.type)))
    choices = [[_without(v, axes) for axes in range(v.type.loose + 1)] for v in loose if isinstance(v.type, TensorType)]
    for chosen in list(product(*choices))[1:]:
        to = dict(zip(loose, chosen, strict=True))
        yield replace(node, inputs=tuple(None if v is None else to.get(v, v) for v in node.inputs))


def _without(v: Value, axes: int) -> Value:
    """``v`` without so many of its leading axes, and nothing loose about it."""
    assert isinstance(v.type, TensorType)
    return replace(v, type=TensorType(v.type.dtype, v.type.shape[axes:]))
