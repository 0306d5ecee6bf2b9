# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Transposes cancel, merge and move down: T'(T(x)) = (T'T)(x); reshape(reshape(x)) = reshape(x); f(T(x), T(y)) = T(f(x, y)).

Moving down happens a region at a time: the nodes between transposes that can run in the other order are found first, and
the region moves only when fewer elements are transposed afterwards. Models exported from NHWC frameworks are full of such
regions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np

from aotgen.core import dtypes
from aotgen.core.errors import ModelError
from aotgen.ir import define, expr, index
from aotgen.ir.expr import E
from aotgen.ir.graph import Constant, Graph, Node, TensorType, Value
from aotgen.ops import registry
from aotgen.ops.broadcast import along, broadcast
from aotgen.ops.registry import Ctx
from aotgen.passes.rewrite import Rewrite, lazy, transform, use_counts

name = "sink_transposes"
Perm = tuple[int, ...]
RESHAPES = ("Reshape", "Flatten", "Squeeze", "Unsqueeze")
ALONG_AXIS = ("Softmax", "LogSoftmax", "Concat")  # one ``axis`` attribute, every operand of the output's rank
REDUCTIONS = ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd")


def run(graph: Graph) -> Graph:
    graph = transform(graph, _merge)
    return transform(_sink_everywhere(graph), _merge)


# -- merging neighbours


def _merge(rw: Rewrite, node: Node) -> bool:
    if node.domain or not node.inputs or node.inputs[0] is None or node.outputs[0] is None:
        return False
    source = rw.producer(node.inputs[0])
    if source is None or source.domain or not source.inputs or source.inputs[0] is None:
        return False
    out = node.outputs[0]
    if node.op == "Transpose" and source.op == "Transpose":
        return _merge_transposes(rw, node, source, out)
    if node.op in RESHAPES and source.op in RESHAPES:
        if source.inputs[0].shape == out.shape:
            return rw.replace(out, source.inputs[0]) or _reshape_to(rw, node, source.inputs[0], out)
        return _reshape_to(rw, node, source.inputs[0], out)
    return False


def _merge_transposes(rw: Rewrite, node: Node, source: Node, out: Value) -> bool:
    perm = compose(perm_of(source), perm_of(node))
    origin = source.inputs[0]
    assert origin is not None
    if perm == tuple(range(len(perm))) and rw.replace(out, origin):
        return True
    rw.emit(node, [origin], {"perm": list(perm)})
    return True


def _reshape_to(rw: Rewrite, node: Node, x: Value, out: Value) -> bool:
    shape = rw.builder.constant(Constant.of_dims(out.shape, (len(out.shape),), dtypes.i64), "shape")
    rw.emit(node, [x, shape], {"allowzero": 1} if 0 in out.shape else {}, op="Reshape")
    return True


def perm_of(node: Node) -> Perm:
    """The permutation of a Transpose: axis k of the output is axis ``perm[k]`` of the input."""
    x = node.inputs[0]
    assert x is not None
    rank = len(x.shape)
    return tuple(int(p) % rank for p in node.attrs.get("perm", range(rank - 1, -1, -1)))


def compose(first: Perm, then: Perm) -> Perm:
    """The single permutation of a Transpose by ``first`` followed by one by ``then``."""
    return tuple(first[k] for k in then)


def inverse(perm: Perm) -> Perm:
    return tuple(perm.index(k) for k in range(len(perm)))


# -- moving regions


@dataclass
class _Region:
    """Values that are all transposed by ``perm``: results of ``entries`` (Transposes) and of ``nodes`` between them."""

    perm: Perm
    entries: list[Node] = field(default_factory=list)
    nodes: list[Node] = field(default_factory=list)
    values: set[Value] = field(default_factory=set)


def _sink_everywhere(graph: Graph) -> Graph:
    bodies = {id(n): {k: _sink_everywhere(b) for k, b in n.bodies.items()} for n in graph.nodes if n.bodies}
    moved = {id(n): region for region in _regions(graph) if _gain(graph, region) > 0 for n in (*region.entries, *region.nodes)}
    if not moved and not bodies:
        return graph
    return _Sinker(graph, moved, bodies).run()


def _regions(graph: Graph) -> list[_Region]:
    """Maximal groups of nodes whose tensor operands are all transposed alike, or constant."""
    owner: dict[Value, _Region] = {}
    for node in graph.nodes:
        out = node.outputs[0] if len(node.outputs) == 1 else None
        if out is None or node.bodies or not isinstance(out.type, TensorType):
            continue
        if node.op == "Transpose" and not node.domain:
            region = owner[out] = _Region(perm_of(node), [node])
            region.values.add(out)
            continue
        found = [owner[v] for v in node.inputs if v is not None and v in owner]
        if not found or any(r.perm != found[0].perm for r in found) or not _commutes(graph, node, owner, len(found[0].perm)):
            continue
        region = found[0]
        for other in found[1:]:
            _absorb(region, other, owner)
        region.nodes.append(node)
        region.values.add(out)
        owner[out] = region
    return list({id(r): r for r in owner.values() if r.nodes}.values())


def _absorb(region: _Region, other: _Region, owner: dict[Value, _Region]) -> None:
    if other is region:
        return
    region.entries += other.entries
    region.nodes += other.nodes
    region.values |= other.values
    owner.update(dict.fromkeys(other.values, region))


def _commutes(graph: Graph, node: Node, owner: dict[Value, _Region], rank: int) -> bool:
    """Can ``node`` run before a transpose instead of after it?"""
    out = node.outputs[0]
    assert out is not None
    if len(out.shape) != rank:
        return False
    data = node.inputs[:1] if node.op in REDUCTIONS else node.inputs
    for v in data:
        if v is None or v in owner:
            if v is not None and len(v.shape) != rank:
                return False
        elif v not in graph.constants or graph.constants[v].dims is not None or len(v.shape) > rank:
            return False
    if node.op in ALONG_AXIS and not node.domain:
        return all(v in owner for v in data)
    if node.op in REDUCTIONS and not node.domain:
        axes = node.inputs[1] if len(node.inputs) > 1 else None
        return bool(node.attrs.get("keepdims", 1)) and axes is not None and axes in graph.constants
    return is_pointwise(node, graph)


def is_pointwise(node: Node, graph: Graph) -> bool:
    """Does each output element depend on nothing but the operands' elements at its own (broadcast) index?

    Asked of the operator's expression, so a new elementwise operator needs no entry anywhere.
    """
    row = registry.find(node.op, node.domain)
    if row is None or row.lower is None:
        return False
    known = {v: graph.constants[v] for v in node.inputs if v is not None and v in graph.constants}
    ins = [None if v is None else define.source(v.name, v.shape, v.dtype) for v in node.inputs]
    d = registry.lower_node(Ctx(node, known), ins)[0]
    return d is not None and _each_its_own(d, {id(i) for i in ins})


def _each_its_own(d: define.Def, operands: set[int]) -> bool:
    """``d``, and every Def on its way to the ``operands`` (by identity): a mean divides a sum at its own index too."""
    if id(d) in operands:
        return True
    if d.expr is None or d.red is not None:
        return False
    read = [ld.attr[0] for ld in expr.loads_of(d.expr)]
    if not all(_own_index(e, d) for e in expr.nodes_of(d.expr)) or not all(_each_its_own(s, operands) for s in read):
        return False
    try:
        return d.shape == broadcast(*(s.shape for s in read))  # else it has extents of its own
    except ModelError:  # guarded reads of shapes that differ
        return False


def _own_index(e: E, d: define.Def) -> bool:
    if e.op in ("ix", "ge0"):
        return not e.attr.vars()
    if e.op != "load":
        return True
    source, idx = e.attr
    tail = d.axes[len(d.axes) - len(idx):]
    return all(i in (index.var(a), along(n, index.var(a))) or (i == 0 and (n == 1 or a.ext == 1))
               for i, a, n in zip(idx, tail, source.shape, strict=True))


def _elements(v: Value) -> int:
    """Extents multiplied; an open dim counts as 64, only to compare."""
    return math.prod(d if isinstance(d, int) else 64 for d in v.shape)


def _gain(graph: Graph, region: _Region) -> int:
    """Elements no longer transposed when the region moves above its transposes."""
    users = graph.users()
    inside = {id(n) for n in region.nodes}
    before = sum(_elements(n.outputs[0]) for n in region.entries if n.outputs[0] is not None)
    after = 0
    for v in region.values:
        kept = v in graph.outputs
        for user in users.get(v, ()):
            if id(user) in inside:
                continue
            if user.op == "Transpose" and not user.domain:
                before += _elements(v)
                after += 0 if compose(region.perm, perm_of(user)) == tuple(range(len(region.perm))) else _elements(v)
            else:
                kept = True
        after += _elements(v) if kept else 0
    return before - after


class _Sinker:
    """Rebuilds a graph with the chosen regions in the order of their transposes' inputs; ``plain`` maps a region's value
    to what it is before transposing, and a Transpose is added only for readers outside."""

    def __init__(self, graph: Graph, moved: dict[int, _Region], bodies: dict[int, dict[str, Graph]]) -> None:
        self.rw = Rewrite(graph)
        self.graph, self.moved, self.bodies = graph, moved, bodies
        self.plain: dict[Value, Value] = {}
        self.outside = _read_outside(graph, moved)

    def run(self) -> Graph:
        for node in self.graph.nodes:
            region = self.moved.get(id(node))
            if region is None:
                self.rw.keep(replace(node, bodies=self.bodies[id(node)]) if node.bodies else node)
            elif node.op == "Transpose":
                out, x = node.outputs[0], node.inputs[0]
                assert out is not None
                assert x is not None
                self.plain[out] = x
                if out in self.outside:
                    self.rw.keep(node)
            else:
                self._move(node, region)
        return self.rw.finish()

    def _move(self, node: Node, region: _Region) -> None:
        out = node.outputs[0]
        assert out is not None
        back = inverse(region.perm)
        shape = tuple(out.shape[k] for k in back)
        below = Value(self.rw.builder.unique(f"{out.name}_sunk"), TensorType(out.dtype, shape))
        inputs, attrs = self._operands(node, region.perm)
        self.rw.emit(node, inputs, attrs, outputs=[below])
        self.plain[out] = below
        if out in self.outside:
            self.rw.emit(node, [below], {"perm": list(region.perm)}, op="Transpose", outputs=[out])

    def _operands(self, node: Node, perm: Perm) -> tuple[list[Value | None], dict[str, object]]:
        attrs = dict(node.attrs)
        if node.op in REDUCTIONS:
            axes = self.rw.small(node.inputs[1])
            assert axes is not None
            assert node.inputs[0] is not None
            moved = np.array([perm[int(a)] for a in axes.ravel()], np.int64)
            return [self.plain[node.inputs[0]], self.rw.builder.constant(moved, "axes")], attrs
        if node.op in ALONG_AXIS:
            attrs["axis"] = perm[int(attrs.get("axis", -1))]
        return [None if v is None else self.plain.get(v) or self._permuted(v, perm) for v in node.inputs], attrs

    def _permuted(self, v: Value, perm: Perm) -> Value:
        """A constant operand in the order before the transpose; broadcast axes are written out."""
        c = self.graph.constants[v]
        if all(d == 1 for d in c.shape):
            return v
        wide = (1,) * (len(perm) - len(c.shape)) + c.shape
        back = inverse(perm)
        shape = tuple(wide[k] for k in back)
        return self.rw.builder.constant(lazy(c.dtype, shape, lambda: c.load().reshape(wide).transpose(back)), v.name)


def _read_outside(graph: Graph, moved: dict[int, _Region]) -> set[Value]:
    """Values of moved regions that somebody else reads as they were."""
    counts = use_counts(graph)
    for node in graph.nodes:
        region = moved.get(id(node))
        if region is not None and node.op != "Transpose":
            counts.subtract(v for v in node.inputs if v is not None and v in region.values)
    return {v for v, n in counts.items() if n > 0}
