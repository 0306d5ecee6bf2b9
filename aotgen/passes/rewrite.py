# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Rewriting a frozen Graph: what every pass is written with.

``transform(graph, visit)`` walks a graph and its bodies in order; ``visit`` may replace a node or leave it. Values keep
their identity, so a node that is kept costs nothing and a new node may define an old value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aotgen.ir.graph import Constant, Graph, Node, Value
from aotgen.ops.builder import KNOWN_LIMIT, Builder

Visit = Callable[["Rewrite", Node], bool]


class Rewrite:
    """A graph being rewritten. ``builder`` adds typed nodes; ``emit`` defines existing values; ``replace`` redirects."""

    def __init__(self, graph: Graph, parent: Rewrite | None = None) -> None:
        self.graph, self.parent = graph, parent
        self.builder: Builder = Builder(graph.name, parent.builder if parent else None)
        if parent is None:
            self.builder._names.update(dict.fromkeys(all_names(graph), 0))
        self.builder.inputs = list(graph.inputs)
        self.builder.constants = dict(graph.constants)
        self.replaced: dict[Value, Value] = parent.replaced if parent else {}
        self.uses = use_counts(graph)
        self.outputs = set(graph.outputs)
        self._producers: dict[Value, Node] = {}
        self._seen = 0

    # -- reading
    def value(self, v: Value) -> Value:
        """What ``v`` has become."""
        while v in self.replaced:
            v = self.replaced[v]
        return v

    def producer(self, v: Value | None) -> Node | None:
        """The rewritten node of this graph that defines ``v``; None for inputs, constants and outer values."""
        for node in self.builder.nodes[self._seen:]:
            self._producers.update((o, node) for o in node.outputs if o is not None)
        self._seen = len(self.builder.nodes)
        return None if v is None else self._producers.get(self.value(v))

    def known(self, v: Value | None) -> Constant | None:
        """The constant behind ``v``, here or in an enclosing graph."""
        return None if v is None else self.builder.known(self.value(v))

    def small(self, v: Value | None) -> NDArray[Any] | None:
        """Contents of a small constant, else None."""
        c = self.known(v)
        return c.load() if c is not None and c.dims is None and c.size <= KNOWN_LIMIT else None

    def only_use(self, v: Value) -> bool:
        """Is ``v`` read exactly once and not an output?"""
        return self.uses[v] == 1 and v not in self.outputs

    # -- writing
    def replace(self, old: Value, new: Value) -> bool:
        """Let every later reader of ``old`` read ``new``; False when that would make an output of this graph something
        it does not compute itself, or name one value twice among the outputs."""
        new = self.value(new)
        if old in self.outputs and (self.producer(new) is None or new in self.outputs):
            return False
        if old in self.outputs:
            self.outputs.add(new)
        self.replaced[old] = new
        self.uses[new] += self.uses[old] - 1
        return True

    def keep(self, node: Node) -> None:
        """Take ``node`` over, reading what its operands have become."""
        inputs = tuple(None if v is None else self.value(v) for v in node.inputs)
        if inputs != node.inputs or node.bodies:
            node = replace(node, inputs=inputs)
        self.builder.nodes.append(node)

    def emit(self, like: Node, inputs: Sequence[Value | None], attrs: Mapping[str, Any] | None = None, *, op: str = "",
             outputs: Sequence[Value | None] | None = None) -> None:
        """Add a node like ``like``, or ``op`` of ONNX in its place; its outputs must have the types it gives them."""
        made = replace(like, op=op or like.op, domain="" if op else like.domain,
                       inputs=tuple(None if v is None else self.value(v) for v in inputs),
                       outputs=tuple(like.outputs if outputs is None else outputs),
                       attrs=like.attrs if attrs is None else dict(attrs))
        self.builder.nodes.append(made)

    def fresh(self, like: Value, stem: str) -> Value:
        """A new value of the type of ``like``."""
        return Value(self.builder.unique(stem), like.type)

    def finish(self) -> Graph:
        outputs = tuple(self.value(v) for v in self.graph.outputs)
        g = Graph(self.graph.name, self.graph.inputs, outputs, tuple(self.builder.nodes), dict(self.builder.constants))
        return rename_outputs(g, [v.name for v in self.graph.outputs]) if self.parent is None else g


def transform(graph: Graph, visit: Visit, parent: Rewrite | None = None) -> Graph:
    """Rewrite ``graph`` and its bodies, innermost first. ``visit`` returns True when it has dealt with the node."""
    rw = Rewrite(graph, parent)
    for node in graph.nodes:
        if node.bodies:
            node = replace(node, bodies={k: transform(b, visit, rw) for k, b in node.bodies.items()})
        if not visit(rw, node):
            rw.keep(node)
    return rw.finish()


def use_counts(graph: Graph) -> Counter[Value]:
    """How often each value is read: by nodes (once per operand), bodies and outputs."""
    counts: Counter[Value] = Counter()
    for node in graph.nodes:
        counts.update(node.uses())
    counts.update(graph.outputs)
    return counts


def all_values(graph: Graph) -> Iterator[Value]:
    """Every value defined in ``graph`` and its bodies."""
    yield from graph.inputs
    yield from graph.constants
    for node in graph.nodes:
        yield from (v for v in node.outputs if v is not None)
        for body in node.bodies.values():
            yield from all_values(body)


def all_names(graph: Graph) -> list[str]:
    return [v.name for v in all_values(graph)]


def substitute(graph: Graph, to: Mapping[Value, Value]) -> Graph:
    """``graph`` with values exchanged wherever they are defined or read, in bodies too."""
    if not to:
        return graph

    def swap(v: Value | None) -> Value | None:
        return v if v is None else to.get(v, v)

    nodes = tuple(replace(n, inputs=tuple(map(swap, n.inputs)), outputs=tuple(map(swap, n.outputs)),
                          bodies={k: substitute(b, to) for k, b in n.bodies.items()}) for n in graph.nodes)
    constants = {to.get(v, v): c for v, c in graph.constants.items()}
    return Graph(graph.name, tuple(to.get(v, v) for v in graph.inputs), tuple(to.get(v, v) for v in graph.outputs),
                 nodes, constants)


def rename_outputs(graph: Graph, names: Sequence[str]) -> Graph:
    """``graph`` with its outputs called ``names``. An output that is an input, or the same value as an earlier output,
    gets a copy (Identity) of its own unless it already has the right name."""
    taken = {v.name: v for v in all_values(graph)}
    to: dict[Value, Value] = {}
    copies: list[Node] = []
    outputs: list[Value] = []
    for v, name in zip(graph.outputs, names, strict=True):
        if v.name == name and v not in outputs:
            outputs.append(v)
            continue
        fixed = v in outputs or v in to or v in graph.inputs
        named = Value(name, v.type)
        if (holder := taken.get(name)) is not None and holder not in (v, *graph.inputs):
            to[holder] = Value(_free(name, taken), holder.type)
        taken[name] = named
        if fixed:
            copies.append(Node("Identity", (v,), (named,), origin=name))
        else:
            to[v] = named
        outputs.append(named if fixed else v)
    graph = replace(graph, nodes=(*graph.nodes, *copies), outputs=tuple(outputs))
    return substitute(graph, to)


def _free(stem: str, taken: Mapping[str, Value]) -> str:
    n = 1
    while f"{stem}_{n}" in taken:
        n += 1
    return f"{stem}_{n}"


def lazy(dtype: Any, shape: Sequence[int], f: Callable[[], NDArray[Any]]) -> Constant:
    """A constant computed from others when it is needed, rounded once to ``dtype``."""
    shape = tuple(map(int, shape))
    return Constant(dtype, shape, lambda: np.asarray(f()).astype(dtype.numpy).reshape(shape))
