# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Dead code: nodes, optional outputs and constants that no output depends on are removed. A node that makes extents stays
while anything has them."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

from aotgen.ir.graph import Graph, Node, Value, mentioned_by
from aotgen.ir.index import Atom
from aotgen.ops.registry import DIMS

name = "dce"


def run(graph: Graph, known: Set[Atom] = frozenset()) -> Graph:
    """``known``: the dims of the graph around."""
    makes = _makers(graph, known)
    every = frozenset(known).union(*makes.values(), *(v.dims() for v in graph.inputs))
    live: set[Value] = set(graph.outputs)
    dims = {a for v in graph.outputs for a in mentioned_by(v, graph.constants)}
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        needed = dims & makes[node]
        if not needed and not any(v in live for v in node.outputs):
            continue
        if node.bodies:
            node = replace(node, bodies={k: run(b, every) for k, b in node.bodies.items()})
        elif DIMS not in node.attrs:
            held = live | _telling(node, needed, live)
            if any(v is not None and v not in held for v in node.outputs):
                node = replace(node, outputs=tuple(v if v in held else None for v in node.outputs))
        kept.append(node)
        live.update(node.uses())
        dims.update(node.dims(graph.constants))
    constants = {v: c for v, c in graph.constants.items() if v in live}
    return replace(graph, nodes=tuple(reversed(kept)), constants=constants)


def _telling(node: Node, needed: Set[Atom], live: Set[Value]) -> set[Value]:
    """Results that nothing reads but that must stay, for no other has one of the ``needed`` dims in its shape."""
    outs = [v for v in node.outputs if v is not None]
    told = {a for v in outs if v in live for a in v.dims()}
    return {next(v for v in outs if a in v.dims()) for a in sorted(needed - told, key=lambda a: a.name)}


def _makers(graph: Graph, known: Set[Atom]) -> dict[Node, set[Atom]]:
    """The dims that each node is the first to mention in a result: nobody else makes them."""
    seen = set(known).union(*(v.dims() for v in graph.inputs))
    out: dict[Node, set[Atom]] = {}
    for node in graph.nodes:
        out[node] = {*node.attrs.get(DIMS, ()), *(a for v in node.outputs if v is not None for a in v.dims())} - seen
        seen |= out[node]
    return out
