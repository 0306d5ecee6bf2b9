# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""softmax(Q K^T / c [+ mask]) V: the scale of the scores becomes a Mul, so that every attention looks alike to lowering.

Only where that is exact: c is a power of two whose reciprocal is a normal number, so x / c = x * (1 / c) for every x.
"""

from __future__ import annotations

import numpy as np

from aotgen.ir.graph import Graph, Node, Value
from aotgen.passes.rewrite import Rewrite, transform

name = "recognise_attention"


def run(graph: Graph) -> Graph:
    scores = _score_divisions(graph)

    def visit(rw: Rewrite, node: Node) -> bool:
        if node.outputs and node.outputs[0] in scores:
            return _to_mul(rw, node)
        return False

    return transform(graph, visit)


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
