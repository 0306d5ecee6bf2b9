# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The Graph interpreter: what a whole model means, node by node in NumPy.

A node runs through its lowering and ``ir.interpret``; where whole networks spend their time (``interp_fast.FAST``) plain
NumPy stands in. It is the float64 truth of verification, the constant folder's oracle and the reference of the tests.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aotgen.core.errors import ModelError, UnsupportedError
from aotgen.ir import define, index, interpret
from aotgen.ir.define import Def
from aotgen.ir.graph import Constant, Graph, Node, TensorType, Value, fingerprint
from aotgen.ops import registry
from aotgen.ops.builder import COMPOSITE
from aotgen.ops.interp_fast import FAST
from aotgen.ops.loose import is_loose
from aotgen.ops.registry import Ctx

Array = NDArray[Any]
Env = MutableMapping[Value, Array]
SMALL = 1024  # elements: contents a lowering may ask for when it cannot do without


def run_graph(graph: Graph, feeds: Mapping[str, Array], wide: bool = False) -> dict[str, Array]:
    """Outputs of ``graph`` by name for inputs by name. ``wide``: every float in float64, rounded only where an explicit
    cast rounds. Raises ModelError for a missing or misshapen input."""
    run = _Runner(wide)
    env: dict[Value, Array] = {}
    for v in graph.inputs:
        if v.name not in feeds:
            raise ModelError(f"input '{v.name}' was not given")
        if not isinstance(v.type, TensorType):
            env[v] = feeds[v.name]
            continue
        env[v] = np.asarray(feeds[v.name])
        if env[v].ndim != len(v.shape):
            raise ModelError(f"input '{v.name}' is {v.type} but was given shape {env[v].shape}")
    outputs = run.graph(graph, env)
    return {v.name: a for v, a in zip(graph.outputs, outputs, strict=True)}


class _Runner:
    """One run: extents of open dims so far, and lowerings already made."""

    def __init__(self, wide: bool) -> None:
        self.wide = wide
        self.dims: dict[str, int] = {}
        self.lowered: dict[Any, tuple[list[Def | None], tuple[Def | None, ...]]] = {}
        self.fresh: set[str] = set()  # extents that a node has just made
        self.known: dict[Value, Constant] = {}
        self.loaded: dict[Constant, Array] = {}

    def graph(self, graph: Graph, env: Env) -> list[Array]:
        """Outputs of ``graph``; ``env`` holds its inputs and everything it captures, and receives its values."""
        for v in graph.inputs:
            self.bind(v, env[v])
        self.known.update(graph.constants)
        sizes = {v: names for v, c in graph.constants.items() if (names := _names(c))}
        for v, c in graph.constants.items():
            if sizes.get(v, set()) <= self.dims.keys():
                env[v] = self.contents(c)
        for node in graph.nodes:
            found: set[str] = set()
            for out, a in zip(node.outputs, self.node(node, env), strict=False):
                if out is not None:
                    env[out] = a
                    found |= self.bind(out, a)
            found |= self.fresh
            self.fresh = set()
            for v, names in sizes.items():  # contents that follow from an extent just made
                if names & found and names <= self.dims.keys():
                    env[v] = self.contents(graph.constants[v])
        return [env[v] for v in graph.outputs]

    def bind(self, v: Value, a: Array) -> set[str]:
        """Take the extents of open dims from the contents of ``v``; their names."""
        found: set[str] = set()
        if not isinstance(v.type, TensorType):
            return found
        for d, n in zip(v.type.shape, a.shape, strict=True):
            atoms = index.dims_of(d)
            if len(atoms) == 1 and index.ix(d) == index.var(atoms[0]):
                self.dims[atoms[0].name] = n
                found.add(atoms[0].name)
        return found

    def contents(self, c: Constant) -> Array:
        if c.dims is not None:
            values = [int(index.ix(d).evaluate({a: self.dims[a.name] for a in index.dims_of(d)})) for d in c.dims]
            return np.array(values, c.dtype.numpy).reshape(c.shape)
        if c not in self.loaded:
            self.loaded[c] = c.load()
        return self.loaded[c]

    # -- nodes
    def node(self, node: Node, env: Env) -> Sequence[Array]:
        region = CONTROL.get((node.domain, node.op))
        if region is not None:
            return region(self, node, env)
        if COMPOSITE in node.bodies:
            made = iter(self.graph(node.bodies[COMPOSITE], ChainMap({}, env)))
            return [np.zeros(0) if v is None else next(made) for v in node.outputs]
        arrays = [None if v is None else env[v] for v in node.inputs]
        direct = registry.EVALUATE.get((node.domain, node.op))
        if direct is not None:
            return [direct(node, *arrays)]
        fast = FAST.get((node.domain, node.op))
        if fast is not None:
            done = fast(Ctx(node), arrays, self.wide)
            if done is not None:
                return [done]
        return self.lowering(node, arrays, env)

    def lowering(self, node: Node, arrays: Sequence[Array | None], env: Env) -> Sequence[Array]:
        """The node's Defs over the shapes at hand. Contents known at compile time are offered to the lowering first;
        only if it asks for more, those computed from input data too."""
        if registry.find(node.op, node.domain) is None:
            raise UnsupportedError(f"operator {node.op} has no lowering", node=node.where())
        try:
            sources, outs = self.defs(node, arrays, {})
        except UnsupportedError:
            small = {v: Constant.of(a) for v, a in zip(node.inputs, arrays, strict=True)
                     if v is not None and a is not None and a.size <= SMALL}
            sources, outs = self.defs(node, arrays, small)
        feeds = {s: a for s, a in zip(sources, arrays, strict=True) if s is not None and a is not None}
        live = [d for d in outs if d is not None]
        values = interpret.evaluate(live, feeds, self.wide, self.dims)
        return [np.zeros(0) if d is None else values[d] for d in outs]

    def defs(self, node: Node, arrays: Sequence[Array | None], known: Mapping[Value, Constant],
             ) -> tuple[list[Def | None], tuple[Def | None, ...]]:
        """Source and output Defs of a node, remembered by shapes (and by contents where they were needed)."""
        facts = tuple(fingerprint(c.load()) for c in known.values())
        fixed = {v: Constant.of(self.contents(c)) for v in node.inputs if v is not None and (c := self.known.get(v))}
        facts += tuple(fingerprint(fixed[v].load()) for v in fixed if self.known[v].dims is not None)
        key = (node, tuple(None if a is None else a.shape for a in arrays), facts)
        if key not in self.lowered:
            sources = [None if v is None or a is None else define.source(v.name, a.shape, v.dtype)
                       for v, a in zip(node.inputs, arrays, strict=True)]
            self.lowered[key] = sources, registry.lower_node(Ctx(node, {**fixed, **known}), sources)
        return self.lowered[key]

    # -- regions
    def body(self, body: Graph, inputs: Sequence[Array], env: Env) -> list[Array]:
        inner: Env = ChainMap({}, env)
        for v, a in zip(body.inputs, inputs, strict=True):
            inner[v] = a
        return self.graph(body, inner)


def _names(c: Constant) -> set[str]:
    """The open dims that the contents of ``c`` mention."""
    return {a.name for d in c.dims or () for a in index.dims_of(d)}


def _if(run: _Runner, node: Node, env: Env) -> Sequence[Array]:
    assert node.inputs[0] is not None
    taken = bool(env[node.inputs[0]].ravel()[0])
    out = run.body(node.bodies["then_branch" if taken else "else_branch"], [], env)
    return [_whole(a, v) for a, v in zip(out, node.outputs, strict=True)]


def _whole(a: Array, v: Value | None) -> Array:
    """``a`` with the leading axes that its branch leaves out."""
    missing = len(v.shape) - np.ndim(a) if v is not None and is_loose(v.type) else 0
    return np.reshape(a, (1,) * missing + a.shape) if missing else a


def _loop(run: _Runner, node: Node, env: Env) -> Sequence[Array]:
    limit, cond = (None if v is None else env[v].ravel()[0] for v in node.inputs[:2])
    carried = [env[v] for v in node.inputs[2:] if v is not None]
    body = node.bodies["body"]
    kept: list[list[Array]] = [[] for _ in body.outputs[1 + len(carried):]]
    trip, go = 0, True if cond is None else bool(cond)
    while go and (limit is None or trip < limit):
        out = run.body(body, [np.asarray(trip, np.int64), np.asarray(go, np.bool_), *carried], env)
        go, carried = bool(out[0].ravel()[0]), out[1:1 + len(carried)]
        for k, a in zip(kept, out[1 + len(carried):], strict=True):
            k.append(a)
        trip += 1
    return [*carried, *(_stacked(k, v, 0, run) for k, v in zip(kept, body.outputs[1 + len(carried):], strict=True))]


def _scan(run: _Runner, node: Node, env: Env) -> Sequence[Array]:
    count = int(node.attrs["num_scan_inputs"])
    body = node.bodies["body"]
    arrays = [env[v] for v in node.inputs if v is not None]
    states, scanned = arrays[:len(arrays) - count], arrays[len(arrays) - count:]
    outs = len(body.outputs) - len(states)

    def flags(name: str, n: int) -> list[int]:
        return [int(a) for a in node.attrs.get(name, [0] * n)]

    in_axes, in_back = flags("scan_input_axes", count), flags("scan_input_directions", count)
    out_axes, out_back = flags("scan_output_axes", outs), flags("scan_output_directions", outs)
    trips = scanned[0].shape[in_axes[0]]
    kept: list[list[Array]] = [[] for _ in range(outs)]
    for t in range(trips):
        parts = [np.take(a, trips - 1 - t if back else t, axis)
                 for a, axis, back in zip(scanned, in_axes, in_back, strict=True)]
        out = run.body(body, [*states, *parts], env)
        states = out[:len(states)]
        for k, a in zip(kept, out[len(states):], strict=True):
            k.append(a)
    return [*states, *(_stacked(k[::-1] if back else k, v, axis, run)
                       for k, v, axis, back in zip(kept, body.outputs[len(states):], out_axes, out_back, strict=True))]


def _stacked(parts: list[Array], v: Value, axis: int, run: _Runner) -> Array:
    """The values of every trip along ``axis``; for no trips an empty tensor of the body's type, in which a dim that trips make
    is 0, as in a library."""
    if parts:
        return np.stack(parts, axis)
    shape = [int(index.ix(d).evaluate({a: run.dims.get(a.name, 0) for a in index.dims_of(d)})) for d in v.shape]
    shape.insert(axis if axis >= 0 else axis + len(shape) + 1, 0)
    return np.zeros(shape, v.dtype.numpy)


def _extents(run: _Runner, node: Node, env: Env) -> Sequence[Array]:
    """The node's dims are the elements of its operand."""
    assert node.inputs[0] is not None
    values = env[node.inputs[0]]
    made = {a.name: int(n) for a, n in zip(node.attrs[registry.DIMS], values, strict=True)}
    run.dims.update(made)
    run.fresh |= made.keys()
    return [values]


Region = Callable[[_Runner, Node, Env], Sequence[Array]]
CONTROL: dict[registry.Key, Region] = {("", "If"): _if, ("", "Loop"): _loop, ("", "Scan"): _scan,
                                       (registry.INTERNAL, "Extents"): _extents}
