# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Defs -> steps: the order of lowering, on one page.

1 anchors (``scope``) · 2 epilogues (``claims``) · 3 layouts and views (``place``) · 4 the rest inlined (``fuse``) and
grouped (``group``) · 5 loop nests (``nest``, ``schedule``) · 6 steps in dependency order, regions opened recursively.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from aotgen.core import dtypes
from aotgen.core.errors import InternalError, UnsupportedError
from aotgen.ir import bounds, define, expr, facts, index
from aotgen.ir.define import Call, Def, topological
from aotgen.ir.facts import Condition
from aotgen.ir.graph import Graph
from aotgen.ir.index import Atom
from aotgen.ir.program import (
    Epilogue,
    Fill,
    KernelCall,
    Port,
    Program,
    Step,
    Take,
    Tensor,
    packed,
    row_major,
)
from aotgen.lower import (
    claims,
    constants,
    extents,
    fuse,
    group,
    library,
    nest,
    place,
    reach,
    regions,
    requirements,
    schedule,
)
from aotgen.lower.place import Folded, Operand, Placement, View
from aotgen.lower.scope import CONSTANT, Choice, Scope
from aotgen.lower.state import State
from aotgen.targets.anchors import KernelSpec, Need, Rule, Spatial

Unit = tuple[Def, ...]  # what becomes one step: the results of a call, or a group


@dataclass(frozen=True, slots=True)
class Lowered:
    """The Program, and what was decided on the way."""

    program: Program
    choices: tuple[Choice, ...]


def lower(graph: Graph, rules: Mapping[str, Sequence[Rule]], name: str = "model") -> Lowered:
    """Lower a whole model. ``rules``: kernel rules by operator name (a target's)."""
    state = State(rules, tuple(graph.dims()))
    scope = Scope(graph, rules, constants=state.constants, log=state.log)
    tensors: dict[Def, Tensor] = {}
    inputs = []
    for v in graph.inputs:
        t = v.storage
        d = scope.env[v] = define.source(v.name, t.shape, t.dtype)
        tensors[d] = state.buffer(v.name, t.dtype, row_major(t.shape), "input")
        inputs.append(Port(v.name, tensors[d], v.type))
    stored = [(v.name, v.storage) for v in graph.outputs]
    outputs = [state.buffer(name, t.dtype, row_major(t.shape), "output") for name, t in stored]
    ports = [Port(v.name, t, v.type) for v, t in zip(graph.outputs, outputs, strict=True)]
    with facts.assuming() as assumed:
        steps = _lower_steps(scope, state, tensors, outputs, assumed)
    wanted = requirements.needed(steps, assumed, [d for p in (*inputs, *ports) for d in p.tensor.shape])
    before = tuple(c for c in wanted if c.dims() <= set(state.dims))
    steps = requirements.checked(steps, [c for c in wanted if c not in before], state)
    requirements.verify(steps, ports, state.dims)
    made = tuple(sorted(requirements.made_by(steps), key=lambda a: a.name))
    program = Program(name, tuple(inputs), tuple(ports), tuple(steps), dict(state.weights), state.dims, before, made)
    return Lowered(program, tuple(state.log))


def lower_scope(scope: Scope, state: State, tensors: dict[Def, Tensor], bound: Sequence[Tensor]) -> list[Step]:
    """The steps of a body whose outputs are to be stored in ``bound``, with the checks of what they ask of dims.
    ``tensors``: where the scope's sources live; extended with everything the scope stores."""
    with facts.assuming() as assumed:
        steps = _lower_steps(scope, state, tensors, bound, assumed)
    return requirements.checked(steps, requirements.needed(steps, assumed), state)


def _lower_steps(scope: Scope, state: State, tensors: dict[Def, Tensor], bound: Sequence[Tensor],
                 assumed: Iterable[Condition]) -> list[Step]:
    """``assumed``: what lowering notes as it goes."""
    made = scope.build()
    constants.fold(made, state)
    outputs = _distinct(made)
    reach.note(outputs)
    roots = list(dict.fromkeys((*outputs, *extents.asked_for(assumed, scope.made))))
    extents.order(roots, scope.made)
    claims.claim(roots, frozenset(roots))
    extents.order(roots, scope.made)
    placement = place.place(roots)
    fuse.inline(roots, placement.layouts.keys())
    extents.order(roots, scope.made)
    order = topological(roots)
    limits = group.Limits(dims=frozenset(state.dims))
    groups = [tuple(g) for g in group.groups(roots, placement.layouts.keys(), limits)]
    tensors.update(zip(outputs, bound, strict=True))
    _bind(order, groups, placement, state, tensors)
    return _emit(_ordered(order, groups), placement, state, tensors, scope)


def _distinct(outputs: Sequence[Def]) -> list[Def]:
    """Output Defs that can each be stored in their own place: a source or a repeated Def is copied."""
    seen: set[Def] = set()
    out: list[Def] = []
    for d in outputs:
        if d.is_source or d in seen or (d.call is not None and d.call.kind != "kernel"):
            c = _copy_of(d)
            c.origin = d.origin if d.origin != CONSTANT else ""
            d = c
        seen.add(d)
        out.append(d)
    return out


def _copy_of(d: Def) -> Def:
    if d.dtype is dtypes.sequence:
        (c,) = define.call("sequence", "sequence_copy", [d], [((), dtypes.sequence)])
        c.name = d.name
        return c
    return define.compute(d.shape, lambda *i: d[i], d.dtype, d.name)


def _bind(order: Sequence[Def], groups: Sequence[tuple[Def, ...]], placement: Placement, state: State,
          tensors: dict[Def, Tensor]) -> None:
    """A Tensor for every Def that outlives its own step."""
    home = {d: n for n, g in enumerate(groups) for d in g}
    crossing = {p for d in order for p in d.reads() if home.get(p) is None or home.get(p) != home.get(d)}
    for d in order:
        if d in tensors:
            continue
        if d.is_source and d.origin == CONSTANT:
            tensors[d] = state.weight(d)
        elif d.is_source:
            raise InternalError(f"source {d} has no place")
        elif d in crossing or d in placement.layouts or d.call is not None or d.red == "scatter":
            layout = placement.layouts.get(d) or place.follow(d, placement.layouts)
            placement.layouts[d] = layout
            tensors[d] = state.buffer(d.name or _stem(d.origin), d.dtype, layout, "workspace")


def _ordered(order: Sequence[Def], groups: Sequence[tuple[Def, ...]]) -> list[Unit]:
    """Steps in dependency order, as close to the Graph's own order as that allows."""
    unit_of: dict[Def, Unit] = {d: g for g in groups for d in g}
    unit_of.update((d, d.call.results) for d in order if d.call is not None)
    done: dict[Unit, None] = {}
    active: set[Unit] = set()

    def visit(u: Unit) -> None:
        if u in done:
            return
        if u in active:
            raise InternalError("grouping made a cycle between steps")
        active.add(u)
        for needed in dict.fromkeys(unit_of[p] for d in u for p in d.reads() if p in unit_of):
            if needed is not u:
                visit(needed)
        active.remove(u)
        done[u] = None

    for d in order:
        if d in unit_of:
            visit(unit_of[d])
    return list(done)


def _emit(units: Sequence[Unit], placement: Placement, state: State, tensors: dict[Def, Tensor], scope: Scope) -> list[Step]:
    """One step per unit; a stored tensor's halo is filled just before its producer runs."""
    steps: list[Step] = []
    for u in units:
        made = _unit_steps(u, placement, state, tensors, scope)
        for d in u:
            t = tensors.get(d)
            own = d.dtype is dtypes.sequence or (d.call is not None and d.call.kind == "region")  # sees to it itself
            if t is not None and t.buffer.place == "pool" and not own:
                steps.append(_take(d, t, requirements.made_by(made), state))
            if t is not None and t.layout.has_halo:
                steps.append(Fill(state.unique(f"halo_{t.buffer.name}"), t, d.origin))
        steps.extend(made)
    return steps


def _take(d: Def, t: Tensor, own: Sequence[Atom], state: State) -> Take:
    """Room for ``d`` before the step that writes it. ``own``: dims that this step makes, of which only a bound is known."""
    size = bounds.bound(t.layout.size, own) if own else t.layout.size
    if size is None:
        raise UnsupportedError("the size of its result depends on input data and nothing bounds it", node=d.origin)
    return Take(state.unique(f"room_{t.buffer.name}"), t, size, origin=d.origin)


def _unit_steps(u: Sequence[Def], placement: Placement, state: State, tensors: dict[Def, Tensor], scope: Scope,
                ) -> list[Step]:
    call = u[0].call
    if call is None:
        origin = next((d.origin for d in reversed(u) if d.origin), "")
        made = nest.lower(u, tensors, state.unique(_stem(origin) or u[-1].name or "loops"))
        return [schedule.prepare(replace(n, origin=origin)) for n in made]
    if call.kind == "kernel":
        return [_kernel(call, placement, state, tensors)]
    if call.kind == "sequence":
        return [library.lower_sequence(call, state, tensors)]
    if call.kind == "library":
        return library.lower_library(call, state, tensors)
    return regions.lower_region(call, state, tensors, scope, lower_scope)


def _stem(origin: str) -> str:
    """The last part of an ONNX path."""
    return origin.rsplit("/", 1)[-1]


def _operand(o: Operand, tensors: Mapping[Def, Tensor], state: State) -> Tensor:
    if isinstance(o, Folded):
        return state.weight(o.value, o.layout)
    if isinstance(o, View):
        t = tensors[o.base]
        return Tensor(t.buffer, place.with_size(t.layout, o.strides, o.shape, o.offset), t.base)
    return tensors[o]


def _from_corner(t: Tensor, need: Need) -> Tensor:
    """A convolution's input starts at the corner of its own padding, which the stored halo may exceed."""
    if not isinstance(need, Spatial):
        return t
    before = [before * index.ix(stride) for (before, _), stride in zip(need.halo, t.layout.strides, strict=True)]
    return Tensor(t.buffer, t.layout, index.as_dim(index.ix(t.base) - sum(before, index.ix(0))))


def _kernel(u: Call, placement: Placement, state: State, tensors: Mapping[Def, Tensor]) -> KernelCall:
    spec: KernelSpec = u.params["spec"]
    epilogue: Epilogue = u.params["epilogue"]
    chosen = zip(placement.operands[epilogue.stmts[0].target], spec.needs, strict=True)
    operands = tuple(_from_corner(_operand(o, tensors, state), need) for o, need in chosen)
    loads = [ld for s in epilogue.stmts for ld in expr.loads_of(s.value) if ld.attr[0] is not epilogue.acc]
    bound = {ld.attr[0]: _epilogue_operand(ld, epilogue, state, tensors) for ld in loads}
    bound.update((s.target, tensors[s.target]) for s in epilogue.stmts)
    origin = u.results[0].origin
    return KernelCall(
        state.unique(f"{spec.function}_{_stem(origin)}"), spec.function, spec.header, spec.tiles, spec.desc(operands),
        operands, replace(epilogue, tensors=bound), origin, spec.flops,
        spec.parts(epilogue.axes, operands) if spec.parts else None,
    )


def _epilogue_operand(ld: expr.E, epilogue: Epilogue, state: State, tensors: Mapping[Def, Tensor]) -> Tensor:
    """Where an epilogue reads ``ld``: a per-lane constant is stored padded to whole blocks, so tails need no care."""
    d, at = ld.attr
    lane = epilogue.axes[-1]
    axes = [k for k, n in enumerate(d.shape) if n != 1]
    if d.is_source and d.origin == CONSTANT and len(axes) == 1 and at[axes[0]].coefficient(lane) == 1:
        return state.weight(d, packed(d.shape, block_axis=axes[0]))
    return tensors[d]
