# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Graph -> Defs: every node's meaning in the expression language, with contractions offered to the target's rules.

The cheapest accepted kernel replaces a node's plain Def by a kernel call; where every rule declines, the plain Def stands.
Control flow becomes a region call that ``lower/regions.py`` opens later.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aotgen.core import dtypes
from aotgen.core.errors import AotgenError, InternalError
from aotgen.ir import define, expr, index
from aotgen.ir.define import Def
from aotgen.ir.graph import Constant, Graph, Node, Value
from aotgen.lower import extents
from aotgen.ops import registry
from aotgen.ops.builder import COMPOSITE
from aotgen.ops.registry import Ctx
from aotgen.targets.anchors import Candidate, Decline, Rule

REGIONS = frozenset({"If", "Loop", "Scan"})
CONSTANT = "constant"  # origin of a Def whose contents are known


@dataclass(frozen=True, slots=True)
class Choice:
    """One line of ``aotgen explain``: what a node became and why."""

    node: str
    chosen: str
    cost: float
    declined: tuple[str, ...]


@dataclass(slots=True)
class Scope:
    """One graph (the model or a body) being lowered. ``env``: the Def of each Value; ``constants``: contents of constant
    Defs, shared by all scopes of a compile; ``log``: decisions."""

    graph: Graph
    rules: Mapping[str, Sequence[Rule]]
    env: dict[Value, Def] = field(default_factory=dict)
    constants: dict[Def, Constant] = field(default_factory=dict)
    known: Mapping[Value, Constant] = field(default_factory=dict)
    log: list[Choice] = field(default_factory=list)
    made: dict[index.Atom, Def] = field(default_factory=dict)  # extents known after a call of this scope

    def build(self) -> list[Def]:
        """Lower every node; the Defs of the graph's outputs."""
        self.known = {**self.known, **self.graph.constants}
        for v in self.graph.inputs:
            if v not in self.env:
                self.env[v] = self._input(v)
        for node in self.graph.nodes:
            self.lower_node(node)
        return [self.value(v) for v in self.graph.outputs]

    def lower_node(self, node: Node) -> None:
        """Give every output of ``node`` its Def."""
        try:
            outs = self._region(node) if node.op in REGIONS else self._node(node)
        except AotgenError as e:
            raise e.at(node.where()) from None
        for v, d in zip(node.outputs, outs, strict=False):
            if v is not None and d is not None:
                d.name = d.name or v.name
                self.env[v] = d

    def value(self, v: Value) -> Def:
        """The Def of ``v``; constants become Defs when first used."""
        d = self.env.get(v)
        if d is None:
            c = self.known.get(v)
            if c is None:
                raise InternalError(f"value {v} is used before it is defined")
            d = self.env[v] = self.constant(c, v.name)
        return d

    def constant(self, c: Constant, name: str) -> Def:
        """A constant as a Def: contents of one element (or of open dims) become part of expressions."""
        compute_type = dtypes.compute_of(c.dtype).name
        if c.dims is not None:
            return _symbolic(c, compute_type, name)
        if c.size == 1:
            value = c.load().reshape(-1).astype(c.dtype.numpy)[0]
            return define.compute(c.shape, lambda *_: expr.const(value, compute_type), c.dtype, name)
        d = define.source(name, c.shape, c.dtype)
        d.origin = CONSTANT
        self.constants[d] = c
        return d

    def _input(self, v: Value) -> Def:
        return define.source(v.name, v.storage.shape, v.storage.dtype)

    def _node(self, node: Node) -> Sequence[Def | None]:
        composite = node.bodies.get(COMPOSITE)
        inputs = [None if v is None else self.value(v) for v in node.inputs]
        ctx = Ctx(node, {v: self.known[v] for v in node.inputs if v is not None and v in self.known})
        plain = registry.lower_node(ctx, inputs) if composite is None else ()
        best = self._best_offer(ctx, inputs, plain)
        if best is None and composite is not None:
            return self._open(node, composite)
        outs = plain if best is None else (*best.apply(node.origin), *plain[1:])
        extents.adopt(outs, node, self.made)
        for d in outs:
            if d is not None and not d.origin:
                d.origin = node.origin or node.op
        return outs

    def _best_offer(self, ctx: Ctx, inputs: Sequence[Def | None], plain: Sequence[Def | None]) -> Candidate | None:
        """The cheapest kernel the target's rules offer for a node; the decision is logged."""
        node = ctx.node
        best: Candidate | None = None
        declined: list[str] = []
        for rule in self.rules.get(node.op, ()):
            offer = rule(ctx, inputs, plain)
            if isinstance(offer, Decline):
                declined.append(offer.why)
            elif best is None or offer.cost < best.cost:
                best = offer
        if node.op in self.rules:
            chosen = best.spec.function if best else "loops"
            self.log.append(Choice(node.where(), chosen, best.cost if best else 0.0, tuple(declined)))
        return best

    def _open(self, node: Node, body: Graph) -> Sequence[Def | None]:
        """A composite that no kernel takes: its body's nodes in its place."""
        self.known = {**self.known, **body.constants}
        for inner in body.nodes:
            self.lower_node(inner)
        made = iter(body.outputs)
        return [None if v is None else self.value(next(made)) for v in node.outputs]

    def _region(self, node: Node) -> Sequence[Def | None]:
        """A region call: reads its operands and everything its bodies capture."""
        inputs = [self.value(v) for v in node.inputs if v is not None]
        captured = {
            v: self.value(v) for body in node.bodies.values() for v in body.captured() if v not in self.known
        }
        results = [(v.storage.shape, v.storage.dtype) if v is not None else ((), dtypes.f32) for v in node.outputs]
        args = list(dict.fromkeys([*inputs, *captured.values()]))
        at = {d: k for k, d in enumerate(args)}  # placement may put another Def of the same contents there
        outs = define.call(
            "region",
            node.op,
            args,
            results,
            node=node,
            captured={v: at[d] for v, d in captured.items()},
            inputs=tuple(None if v is None else at[self.value(v)] for v in node.inputs),
        )
        extents.adopt(outs, node, self.made)
        for d in outs:
            d.origin = node.origin or node.op
        return outs


def _symbolic(c: Constant, compute_type: str, name: str) -> Def:
    """Integer contents with open dims, as an expression: element ``i`` is picked by guards."""
    assert c.dims is not None
    values = c.dims

    def at(*i: index.Ix) -> expr.E:
        flat = index.ix(0)
        for v, extent in zip(i, c.shape, strict=True):
            flat = flat * extent + v
        out = expr.ix_value(values[-1] if values else 0, compute_type)
        for k in reversed(range(len(values) - 1)):
            out = expr.guard(expr.ge0(k - flat), expr.ix_value(values[k], compute_type), out)
        return out

    return define.compute(c.shape, at, c.dtype, name)
