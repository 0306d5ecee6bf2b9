# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""f(constants) becomes a constant: a recorded fold, evaluated in float64 when it is needed and rounded once.

Only the last value of a constant subgraph is stored. A node that merely spreads its input (Expand, Tile) stays: lowering
reads through it, while its contents would be bytes to fetch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from aotgen.ir.graph import Constant, Graph, Node, Value
from aotgen.passes.evaluate import contents_of, is_foldable

name = "fold_constants"
SPREADS = ("Expand", "Tile", "ConstantOfShape")
SMALL = 1024  # elements: computed at once, and stored even where spread
LARGEST = 1 << 24  # bytes a fold may add to the library beyond twice its operands


def run(graph: Graph) -> Graph:
    return _fold(graph, {})


def _fold(graph: Graph, outer: Mapping[Value, Constant]) -> Graph:
    base = {**outer, **{v: c for v, c in graph.constants.items() if c.dims is None}}
    made: dict[Value, Node] = {}
    for node in graph.nodes:
        if node.inputs and is_foldable(node) and all(v is None or v in base or v in made for v in node.inputs):
            made.update((v, node) for v in node.outputs if v is not None)
    stored, dropped = _choose(graph, made)
    constants = dict(graph.constants)
    for v in stored:
        constants[v] = _constant(v, made, base)
    nodes: list[Node] = []
    visible = {**outer, **constants}
    for node in graph.nodes:
        if id(node) in dropped:
            continue
        bodies = {k: _fold(b, {v: c for v, c in visible.items() if c.dims is None}) for k, b in node.bodies.items()}
        nodes.append(replace(node, bodies=bodies) if bodies else node)
    return replace(graph, nodes=tuple(nodes), constants=constants)


def _choose(graph: Graph, made: Mapping[Value, Node]) -> tuple[list[Value], set[int]]:
    """Which computable values to store, and which nodes (by identity) that makes superfluous. Backwards: a node is needed
    at run time when it is not computable, or is too large to store and somebody needs it."""
    needed: set[Value] = set(graph.outputs)
    stored: list[Value] = []
    dropped: set[int] = set()
    for node in reversed(graph.nodes):
        mine = [v for v in node.outputs if v is not None]
        if not mine or mine[0] not in made:
            needed.update(node.uses())
            continue
        wanted = [v for v in mine if v in needed]
        if wanted and not _worth_storing(node, wanted):
            needed.update(node.uses())
            continue
        stored.extend(wanted)
        dropped.add(id(node))
    return stored, dropped


def _worth_storing(node: Node, wanted: list[Value]) -> bool:
    size = sum(map(_elements, wanted))
    nbytes = sum(_elements(v) * v.dtype.bytes for v in wanted)
    source = sum(_elements(v) * v.dtype.bytes for v in node.inputs if v is not None)
    if size <= SMALL:
        return True
    if node.op in SPREADS and not node.domain:
        return nbytes <= source
    return nbytes <= max(2 * source, LARGEST)


def _elements(v: Value) -> int:
    """Of a value whose extents are all numbers."""
    return math.prod(d for d in v.shape if isinstance(d, int))


def _constant(v: Value, made: Mapping[Value, Node], base: Mapping[Value, Constant]) -> Constant:
    """The recorded fold of ``v``; small results are computed now, so that later passes may look at them."""
    nodes: dict[int, Node] = {}

    def visit(node: Node) -> None:
        if id(node) in nodes:
            return
        for u in node.inputs:
            if u is not None and u in made:
                visit(made[u])
        nodes[id(node)] = node

    visit(made[v])
    order = list(nodes.values())
    reads = {u: base[u] for n in order for u in n.inputs if u is not None and u in base}
    shape = tuple(map(int, v.shape))  # type: ignore[arg-type]
    fold = Constant(v.dtype, shape, lambda: contents_of(order, [v], reads)[0].reshape(shape))
    return Constant.of(fold.load()) if fold.size <= SMALL else fold
