# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Dead code: nodes, optional outputs and constants that no output depends on are removed. A node that makes extents stays
while anything has them."""

from __future__ import annotations

from dataclasses import replace

from aotgen.ir.graph import Graph, Node, Value
from aotgen.ops.registry import DIMS

name = "dce"


def run(graph: Graph) -> Graph:
    live: set[Value] = set(graph.outputs)
    dims = {a for v in graph.outputs for a in v.dims()}
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if not any(v in live for v in node.outputs) and not dims.intersection(node.attrs.get(DIMS, ())):
            continue
        if node.bodies:
            node = replace(node, bodies={k: run(b) for k, b in node.bodies.items()})
        elif DIMS not in node.attrs and any(v is not None and v not in live for v in node.outputs):
            node = replace(node, outputs=tuple(v if v in live else None for v in node.outputs))
        kept.append(node)
        live.update(node.uses())
        dims.update(node.dims(graph.constants))
    constants = {v: c for v, c in graph.constants.items() if v in live}
    return replace(graph, nodes=tuple(reversed(kept)), constants=constants)
