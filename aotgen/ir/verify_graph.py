# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Is a Graph well formed? SSA, visibility of captured values, constants that match their types."""

from __future__ import annotations

from collections.abc import Set

from aotgen.core.errors import InternalError
from aotgen.ir.graph import Graph, Node, TensorType, Value


def verify(graph: Graph) -> None:
    """Raise InternalError, naming the node, unless every value is defined once and before its uses, names are unique,
    bodies read only what is visible to them, and constants have the dtype and extents of their values."""
    _verify(graph, frozenset(), {})


def _verify(graph: Graph, outer: Set[Value], names: dict[str, Value]) -> None:
    visible: set[Value] = set(outer)
    for v in (*graph.inputs, *graph.constants):
        _define(v, visible, names, f"graph {graph.name}")
    for v, c in graph.constants.items():
        if not isinstance(v.type, TensorType) or v.dtype is not c.dtype or v.shape != c.shape:
            raise InternalError(f"constant {v!r} holds {c.dtype}{list(c.shape)}")
        if c.dims is not None and len(c.dims) != c.size:
            raise InternalError(f"constant {v!r} holds {len(c.dims)} dims")
    for node in graph.nodes:
        _node(node, visible, names)
    for v in graph.outputs:
        if v not in visible:
            raise InternalError(f"output {v!r} of graph '{graph.name}' is not defined")


def _node(node: Node, visible: set[Value], names: dict[str, Value]) -> None:
    for v in node.inputs:
        if v is not None and v not in visible:
            raise InternalError(f"{v!r} is read before it is defined", node=node.where())
    for body in node.bodies.values():
        _verify(body, visible, names)
    if not any(v is not None for v in node.outputs):
        raise InternalError("the node has no outputs", node=node.where())
    for v in node.outputs:
        if v is not None:
            _define(v, visible, names, node.where())


def _define(v: Value, visible: set[Value], names: dict[str, Value], where: str) -> None:
    if v in visible:
        raise InternalError(f"{v!r} is defined twice", node=where)
    other = names.setdefault(v.name, v)
    if other is not v:
        raise InternalError(f"the name '{v.name}' belongs to {other!r} and {v!r}", node=where)
    visible.add(v)
