# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Dead code: nodes, optional outputs and constants that no output depends on are removed."""

from __future__ import annotations

from dataclasses import replace

from aotgen.ir.graph import Graph, Node, Value

name = "dce"


def run(graph: Graph) -> Graph:
    live: set[Value] = set(graph.outputs)
    kept: list[Node] = []
    for node in reversed(graph.nodes):
        if not any(v in live for v in node.outputs):
            continue
        if node.bodies:
            node = replace(node, bodies={k: run(b) for k, b in node.bodies.items()})
        elif any(v is not None and v not in live for v in node.outputs):
            node = replace(node, outputs=tuple(v if v in live else None for v in node.outputs))
        kept.append(node)
        live.update(node.uses())
    constants = {v: c for v, c in graph.constants.items() if v in live}
    return replace(graph, nodes=tuple(reversed(kept)), constants=constants)
