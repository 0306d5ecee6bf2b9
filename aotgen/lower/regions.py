# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Regions: If, Loop and Scan as steps whose bodies are scopes of their own.

A body reads outer values where they live and writes its results into buffers the region owns. A carried value has two
buffers: the body reads one and writes the other, and the trip ends with a copy back. No fusion or view crosses an edge.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aotgen.core import dtypes
from aotgen.core.errors import UnsupportedError
from aotgen.ir import define, expr, index
from aotgen.ir.define import Call, Def
from aotgen.ir.graph import Graph, Node, Value
from aotgen.ir.index import Atom, Dim, Ix
from aotgen.ir.program import (
    Copy,
    Extents,
    If,
    Loop,
    LoopNest,
    Refuse,
    Stage,
    Step,
    Stmt,
    Swap,
    Take,
    Tensor,
    row_major,
)
from aotgen.lower import schedule
from aotgen.lower.scope import Scope
from aotgen.lower.state import State
from aotgen.ops.registry import DIMS

LowerScope = Callable[[Scope, State, "dict[Def, Tensor]", Sequence[Tensor]], list[Step]]


@dataclass(slots=True)
class _Region:
    """One region being opened: its node, where everything outside lives, and how to lower a body."""

    call: Call
    state: State
    tensors: dict[Def, Tensor]
    outer: Scope
    lower_scope: LowerScope
    name: str
    steps: list[Step] = field(default_factory=list)  # before the region
    body: list[Step] = field(default_factory=list)

    @property
    def node(self) -> Node:
        node: Node = self.call.params["node"]
        return node

    @property
    def origin(self) -> str:
        return self.node.origin

    def input(self, k: int) -> Tensor | None:
        """Where operand ``k`` of the node lives."""
        at = self.call.params["inputs"][k]
        return None if at is None else self.tensors[self.call.args[at]]

    def result(self, k: int) -> Tensor:
        return self.tensors[self.call.results[k]]

    def scratch(self, stem: str, dtype: dtypes.DType, shape: Sequence[Dim]) -> Tensor:
        return self.state.buffer(f"{self.name}_{stem}", dtype, row_major(shape), "workspace")

    def copy(self, dst: Tensor, src: Tensor) -> Copy:
        return Copy(self.state.unique(f"{self.name}_copy"), dst, src, self.origin)

    def extents(self, result: Sequence[Dim], found: Sequence[Dim]) -> list[tuple[Atom, Dim | Tensor]]:
        """The dims of a result that this region makes, and what they are where its shape is ``found``."""
        own = self.node.attrs.get(DIMS, ())
        pairs = [(index.dims_of(d), n) for d, n in zip(result, found, strict=True)]
        return [(a[0], n) for a, n in pairs if len(a) == 1 and a[0] in own and index.ix(n) != index.var(a[0])]

    def set_extents(self, made: Sequence[tuple[Atom, Dim | Tensor]]) -> list[Step]:
        """A step that gives the region's dims their values; none where it makes none."""
        made = tuple(dict(made).items())
        return [Extents(self.state.unique(f"{self.name}_extents"), made, self.origin)] if made else []

    def room(self, where: Tensor, size: Dim, keep: bool = False) -> list[Step]:
        """Room in the pool, where ``where`` lives there and does not see to it itself."""
        if where.buffer.place != "pool" or where.dtype is dtypes.sequence:
            return []
        return [Take(self.state.unique(f"room_{where.buffer.name}"), where, size, keep, self.origin)]

    def move(self, dst: Tensor, src: Tensor) -> list[Step]:
        """``dst = src`` where src is not read again, in the shape of ``src``: by an exchange in the pool, else a copy."""
        if dst.buffer.place == src.buffer.place == "pool":
            return [Swap(self.state.unique(f"{self.name}_swap"), dst, src, self.origin)]
        shaped = Tensor(dst.buffer, src.layout, dst.base)
        return [*self.room(dst, src.layout.size), self.copy(shaped, src)]

    def scope(self, graph: Graph) -> tuple[Scope, dict[Def, Tensor]]:
        """A scope for a body in which captured values are sources living where the outer graph put them."""
        inner = Scope(graph, self.outer.rules, constants=self.state.constants, known=self.outer.known, log=self.state.log)
        tensors: dict[Def, Tensor] = {}
        captured: dict[Value, int] = self.call.params["captured"]
        for v, at in captured.items():
            d = self.call.args[at]
            alias = inner.env[v] = define.source(v.name, d.shape, d.dtype)
            tensors[alias] = self.tensors[d] if d in self.tensors else self.state.weight(d)
        return inner, tensors


def lower_region(call: Call, state: State, tensors: dict[Def, Tensor], outer: Scope, lower_scope: LowerScope) -> list[Step]:
    """The steps of one If, Loop or Scan."""
    region = _Region(call, state, tensors, outer, lower_scope, state.unique(call.name.lower()))
    build = {"If": _if, "Loop": _loop, "Scan": _scan}[call.name]
    last = build(region)
    return [*region.steps, last]


def _if(r: _Region) -> Step:
    cond = r.input(0)
    assert cond is not None
    outs = [r.result(k) for k in range(len(r.call.results))]
    sides = []
    for key in ("then_branch", "else_branch"):
        body = r.node.bodies[key]
        scope, tensors = r.scope(body)
        stored = [Tensor(t.buffer, row_major(v.storage.shape), t.base) for t, v in zip(outs, body.outputs, strict=True)]
        steps = r.lower_scope(scope, r.state, tensors, stored)
        found = [pair for t, v in zip(outs, body.outputs, strict=True)
                 for pair in r.extents(t.shape[len(t.shape) - len(v.storage.shape):], v.storage.shape)]
        steps += r.set_extents(found)
        why = r.node.attrs.get(f"{key}_refused", "")
        sides.append((Refuse(r.state.unique(f"{r.name}_refuse"), why, r.origin), *steps) if why else tuple(steps))
    return If(r.name, cond, sides[0], sides[1], r.origin)


def _counter(r: _Region, tensors: dict[Def, Tensor]) -> tuple[Tensor, Def]:
    """The trip counter's storage, and a Def the body reads it through."""
    where = r.scratch("trip", dtypes.i64, ())
    d = define.source("trip", (), dtypes.i64)
    tensors[d] = where
    return where, d


def _carry(r: _Region, value: Tensor, k: int, after: Value) -> tuple[Tensor, Tensor, list[Step]]:
    """Storage read by the body (result ``k`` itself, initialised from ``value``), storage it writes (``after``), and the
    steps that end a trip."""
    current = r.result(k)
    shaped = Tensor(current.buffer, row_major(value.shape), current.base)
    r.steps += [*r.room(current, value.layout.size), r.copy(shaped, value)]
    following = r.scratch("next", current.dtype, after.storage.shape)
    return current, following, r.move(current, following)


def _begin(r: _Region, given: Sequence[Tensor | None], body_outputs: Sequence[Value]) -> list[Step]:
    """Give the dims of carried values their first extents; returns the step that gives them those of the next trip."""
    results = [t.shape for t in map(r.result, range(len(given)))]
    first = [pair for shape, t in zip(results, given, strict=True) if t is not None for pair in r.extents(shape, t.shape)]
    r.steps += r.set_extents(first)
    return r.set_extents([pair for shape, v in zip(results, body_outputs, strict=True) for pair in r.extents(shape, v.storage.shape)])


def _loop(r: _Region) -> Step:
    body = r.node.bodies["body"]
    scope, tensors = r.scope(body)
    counter, _ = _counter(r, tensors)
    carried = len(body.inputs) - 2
    _bind(scope, tensors, body.inputs[0], counter)
    cond_now, cond_next = r.scratch("cond", dtypes.boolean, ()), r.scratch("cond_next", dtypes.boolean, body.outputs[0].shape)
    given = r.input(1) if len(r.node.inputs) > 1 else None
    r.steps.append(r.copy(cond_now, given) if given else _store_true(r, cond_now))
    _bind(scope, tensors, body.inputs[1], cond_now)
    outs: list[Tensor] = [cond_next]
    ends: list[Step] = []
    moves: list[Step] = []
    last = _begin(r, [r.input(2 + k) for k in range(carried)], body.outputs[1:1 + carried])
    for k in range(carried):
        start = r.input(2 + k)
        assert start is not None
        now, following, after = _carry(r, start, k, body.outputs[1 + k])
        _bind(scope, tensors, body.inputs[2 + k], now)
        outs.append(following)
        moves += after
    ran = _ran(r, carried)
    for k in range(carried, len(r.call.results)):
        value = body.outputs[1 + k]
        piece = r.scratch("slice", value.dtype, value.shape)
        outs.append(piece)
        whole = r.result(k)
        ends += [*r.room(whole, whole.layout.size, keep=True), _store_slice(r, counter, piece, whole, 0, None)]
    r.body = r.lower_scope(scope, r.state, tensors, outs)
    ends += [r.copy(cond_now, cond_next), *moves, *last]
    return Loop(r.name, _trips(r), cond_now, counter, (*r.body, *ends), (), r.origin, ran)


def _ran(r: _Region, carried: int) -> Atom | None:
    """The dim that is the number of trips, where only the loop knows it."""
    own = r.node.attrs.get(DIMS, ())
    stacked = [index.dims_of(r.result(k).shape[0]) for k in range(carried, len(r.call.results))]
    return next((a[0] for a in stacked if len(a) == 1 and a[0] in own), None)


def _trips(r: _Region) -> Dim | Tensor:
    v = r.node.inputs[0]
    if v is None:
        return 2**62
    known = r.outer.known.get(v)
    if known is not None:
        return known.dims[0] if known.dims is not None else int(known.load().reshape(()))
    where = r.input(0)
    assert where is not None
    return where


def _store_true(r: _Region, where: Tensor) -> Step:
    target = define.source("cond", (), dtypes.boolean)
    stage = Stage((), (Stmt(target, (), expr.true()),))
    return LoopNest(r.state.unique(f"{r.name}_begin"), (), (stage,), {target: where}, origin=r.origin)


def _bind(scope: Scope, tensors: dict[Def, Tensor], v: Value, where: Tensor) -> None:
    """Body input ``v`` lives at ``where``."""
    t = v.storage
    d = scope.env[v] = define.source(v.name, t.shape, t.dtype)
    same_rank = len(where.shape) == len(t.shape)  # a body may declare its counter and condition as [1]
    tensors[d] = where if same_rank else Tensor(where.buffer, row_major(t.shape), where.base)


def _place_on(counter: Tensor, extent: Dim, backwards: bool) -> tuple[Def, Ix]:
    """The trip as an index into an axis of ``extent`` (from its end when ``backwards``), and the Def it loads."""
    trip = define.source("trip", (), dtypes.i64)
    at = expr.index_of(trip[()], extent)
    return trip, (index.ix(extent) - 1 - at if backwards else at)


def _store_slice(r: _Region, counter: Tensor, piece: Tensor, whole: Tensor, axis: int, backwards: bool | None) -> Step:
    """``whole[..., trip, ...] = piece``."""
    src = define.source("slice", piece.shape, piece.dtype)
    dst = define.source("stacked", whole.shape, whole.dtype)
    trip, at = _place_on(counter, whole.shape[axis], bool(backwards))
    axes = define.axes_for(piece.shape)
    points = [index.ix(0) if a.ext == 1 else index.var(a) for a in axes]
    stmt = Stmt(dst, (*points[:axis], at, *points[axis:]), src[tuple(points)])
    stage = Stage(axes, (stmt,)) if not axes else Stage((), (stmt,))
    nest = LoopNest(r.state.unique(f"{r.name}_stack"), axes, (stage,), {src: piece, dst: whole, trip: counter},
                    origin=r.origin)
    return schedule.prepare(nest)


def _scan(r: _Region) -> Step:
    """Scan-11: N carried states, then M scanned inputs; K scan outputs after the final states."""
    node, body = r.node, r.node.bodies["body"]
    scanned = int(node.attrs["num_scan_inputs"])
    states = len(node.inputs) - scanned
    axes_in = _list(node, "scan_input_axes", scanned)
    back_in = _list(node, "scan_input_directions", scanned)
    axes_out = _list(node, "scan_output_axes", len(body.outputs) - states)
    back_out = _list(node, "scan_output_directions", len(body.outputs) - states)
    scope, tensors = r.scope(body)
    counter, _ = _counter(r, tensors)
    outs: list[Tensor] = []
    ends: list[Step] = []
    trips: Dim = 0
    moves: list[Step] = []
    last = _begin(r, [r.input(k) for k in range(states)], body.outputs[:states])
    for k in range(states):
        start = r.input(k)
        assert start is not None
        now, following, after = _carry(r, start, k, body.outputs[k])
        _bind(scope, tensors, body.inputs[k], now)
        outs.append(following)
        moves += after
    for k in range(scanned):
        whole = r.input(states + k)
        v = body.inputs[states + k]
        assert whole is not None
        axis = axes_in[k] % len(whole.shape)
        trips = whole.shape[axis]
        scope.env[v] = _slice(v, whole, axis, bool(back_in[k]), counter, tensors)
    for k in range(len(body.outputs) - states):
        value = body.outputs[states + k]
        whole = r.result(states + k)
        piece = r.scratch("slice", value.dtype, value.shape)
        outs.append(piece)
        ends += r.room(whole, whole.layout.size, keep=True)
        ends.append(_store_slice(r, counter, piece, whole, axes_out[k] % len(whole.shape), bool(back_out[k])))
    r.body = r.lower_scope(scope, r.state, tensors, outs)
    return Loop(r.name, trips, None, counter, (*r.body, *ends, *moves, *last), (), r.origin)


def _slice(v: Value, whole: Tensor, axis: int, backwards: bool, counter: Tensor, tensors: dict[Def, Tensor]) -> Def:
    """Body input ``v``: ``whole[..., trip, ...]`` as a view."""
    src = define.source(v.name, whole.shape, whole.dtype)
    trip, at = _place_on(counter, whole.shape[axis], backwards)
    tensors[src], tensors[trip] = whole, counter
    return define.compute(v.shape, lambda *i: src[i[:axis] + (at,) + i[axis:]], v.dtype, v.name)


def _list(node: Node, name: str, n: int) -> list[int]:
    value: Any = node.attrs.get(name)
    out = [0] * n if value is None else [int(x) for x in value]
    if len(out) != n:
        raise UnsupportedError(f"'{name}' has {len(out)} entries for {n} tensors", node=node.where())
    return out
