# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""softmax(f(Q K)) V, f any chain of elementwise nodes (scale, mask): one composite node ``aotgen.Attention``.

The nodes become its body unchanged, so no number changes; a target may take the node whole, and where none does lowering
opens it again. Before that the scale of the scores becomes a Mul where it is a Div by a power of two whose reciprocal is a
normal number: then x / c = x * (1 / c) for every x.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from aotgen.ir.graph import Graph, Node, Value
from aotgen.ops.builder import COMPOSITE
from aotgen.passes.rewrite import Rewrite, transform

name = "recognise_attention"
CHAIN = frozenset({"Add", "Sub", "Mul", "Div", "Where", "Softmax"})  # what may stand between the two products
LONGEST = 6


def run(graph: Graph) -> Graph:
    scores = _score_divisions(graph)

    def visit(rw: Rewrite, node: Node) -> bool:
        if node.outputs and node.outputs[0] in scores:
            return _to_mul(rw, node)
        return False

    return outline(transform(graph, visit))


def outline(graph: Graph) -> Graph:
    """Every attention pattern of ``graph`` and its bodies as a composite at the place of its last node."""
    made, users = graph.producers(), graph.users()
    keep = set(graph.outputs)
    inner: set[Node] = set()
    composites: dict[Node, Node] = {}
    for node in graph.nodes:
        if node.op == "Softmax" and not node.domain:
            parts = _pattern(node, made, users, keep)
            if parts and not inner.intersection(parts):
                inner.update(parts)
                composites[parts[-1]] = _composite(parts)
    nodes = [composites.get(n, n) for n in graph.nodes if n in composites or n not in inner]
    return graph.with_nodes(tuple(_inside(n) for n in nodes))


def _inside(node: Node) -> Node:
    """``node`` with its bodies outlined (a composite's is left as it is)."""
    if not node.bodies or COMPOSITE in node.bodies:
        return node
    return replace(node, bodies={k: outline(b) for k, b in node.bodies.items()})


def _pattern(softmax: Node, made: Mapping[Value, Node], users: Mapping[Value, list[Node]], keep: set[Value]) -> list[Node]:
    """The nodes from the product of queries and keys to the product with the values, in order; [] when there is no such
    chain or something else reads its inside."""
    chain, result = [softmax], softmax.outputs[0]
    assert result is not None
    while chain[0].op != "MatMul":
        links = [made[v] for v in chain[0].inputs if v is not None and v in made
                 and (made[v].op in CHAIN or made[v].op == "MatMul") and len(users.get(v, ())) == 1 and v not in keep
                 and v.shape == result.shape]
        if len(links) != 1 or len(chain) > LONGEST:
            return []
        chain.insert(0, links[0])
    after = users.get(softmax.outputs[0], [])  # type: ignore[arg-type]
    if len(after) != 1 or softmax.outputs[0] in keep or after[0].op != "MatMul" or after[0].inputs[0] is not softmax.outputs[0]:
        return []
    return [*chain, after[0]]


def _composite(parts: list[Node]) -> Node:
    """One node with ``parts`` as its body; reads the queries, the keys, the values, then what the chain adds."""
    own = {v for n in parts for v in n.outputs}
    first, last = parts[0], parts[-1]
    wanted = [*first.inputs, last.inputs[1], *(v for n in parts[1:-1] for v in n.inputs)]
    inputs = tuple(v for v in dict.fromkeys(wanted) if v is not None and v not in own)
    body = Graph("attention", (), tuple(v for v in last.outputs if v is not None), tuple(parts))
    return Node("Attention", inputs, last.outputs, {}, "aotgen", last.origin, {COMPOSITE: body})


def _score_divisions(graph: Graph) -> set[Value]:
    """Results of the Div in MatMul -> Div -> (Add) -> Softmax -> MatMul, here and in bodies."""
    found: set[Value] = set()
    made, users = graph.producers(), graph.users()

    def single_user(v: Value | None, ops: tuple[str, ...]) -> Node | None:
        reading = users.get(v, []) if v is not None else []
        return reading[0] if len(reading) == 1 and reading[0].op in ops and not reading[0].domain else None

    for node in graph.nodes:
        for body in node.bodies.values():
            found |= _score_divisions(body)
        if node.op != "Div" or node.domain or node.inputs[0] is None or node.outputs[0] is None:
            continue
        source = made.get(node.inputs[0])
        after = single_user(node.outputs[0], ("Add", "Softmax"))
        if after is not None and after.op == "Add":
            after = single_user(after.outputs[0], ("Softmax",))
        if source is None or source.op != "MatMul" or after is None:
            continue
        if any(u.op == "MatMul" for u in users.get(after.outputs[0], [])):  # type: ignore[arg-type]
            found.add(node.outputs[0])
    return found


def _to_mul(rw: Rewrite, node: Node) -> bool:
    c = rw.small(node.inputs[1])
    if c is None or c.size != 1 or c.dtype.kind != "f":
        return False
    value = float(c.ravel()[0])
    mantissa, _ = np.frexp(value)
    reciprocal = 1.0 / value if value else 0.0
    tiny = float(np.finfo(c.dtype).tiny)
    if abs(mantissa) != 0.5 or not tiny <= abs(reciprocal) < np.inf or abs(value) < tiny:
        return False
    by = rw.builder.constant(np.full(c.shape, reciprocal, c.dtype), "scale")
    rw.emit(node, [node.inputs[0], by], op="Mul")
    return True
