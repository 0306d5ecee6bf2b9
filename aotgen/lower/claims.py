# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Epilogues: a template kernel claims the pointwise Defs that follow it, up to the value that must be stored.

From the accumulator outward: while everything that reads the current value meets again in one Def, through pointwise Defs
that touch each element once, that Def is computed in registers too. A transpose, reshape or interleaving on the way
only changes where the result is stored (``invert``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from aotgen.core import dtypes
from aotgen.ir import expr, index
from aotgen.ir.define import Call, Def, topological
from aotgen.ir.expr import E
from aotgen.ir.index import Ix
from aotgen.ir.program import Epilogue, Stmt
from aotgen.lower.invert import invert
from aotgen.targets.anchors import KernelSpec

REGION_LIMIT = 24  # pointwise Defs between two meeting points
LOAD_LIMIT = 12  # tensors an epilogue reads per output


@dataclass(slots=True)
class _Chain:
    """What is known inside one kernel's epilogue: the logical index and the value of each claimed Def. ``taken``: Defs that
    other epilogues compute."""

    taken: frozenset[Def]

    at: dict[Def, tuple[Ix, ...]] = field(default_factory=dict)
    value: dict[Def, E] = field(default_factory=dict)


def claim(outputs: Sequence[Def], fixed: frozenset[Def]) -> None:
    """Give every kernel call reachable from ``outputs`` its epilogue: the last claimed Def *becomes* the call (its
    expression moves into the epilogue). ``fixed``: Defs that must be stored as they are."""
    order = topological(outputs)
    users: dict[Def, list[Def]] = {}
    for d in order:
        for r in d.reads():
            users.setdefault(r, []).append(d)
    rank = {d: n for n, d in enumerate(order)}
    taken: set[Def] = set()
    for acc in order:
        if acc.call is not None and acc.call.kind == "kernel" and "epilogue" not in acc.call.params:
            taken |= _claim_one(acc, users, rank, fixed, taken)


def _claim_one(acc: Def, users: Mapping[Def, list[Def]], rank: Mapping[Def, int], fixed: frozenset[Def],
               taken: set[Def]) -> set[Def]:
    """Claim for one accumulator; the Defs its epilogue computes."""
    assert acc.call is not None
    spec: KernelSpec = acc.call.params["spec"]
    axes, at = spec.axes()
    chain = _Chain(frozenset(taken), {acc: at}, {acc: acc[at]})
    last = acc
    while last not in fixed:
        following = _meeting_point(last, users, rank, fixed, chain)
        if following is None:
            break
        last = following
    _become_call(acc, last, axes, chain, spec)
    return {*chain.at} - {acc}


def _meeting_point(
    start: Def, users: Mapping[Def, list[Def]], rank: Mapping[Def, int], fixed: frozenset[Def], chain: _Chain
) -> Def | None:
    """The Def in which all uses of ``start`` meet, with everything up to it added to ``chain``; None when there is none."""
    trial = _Chain(chain.taken, dict(chain.at), dict(chain.value))
    frontier = set(users.get(start, []))
    for _ in range(REGION_LIMIT):
        if not frontier:
            return None
        d = min(frontier, key=lambda x: rank[x])
        if not _add(d, trial):
            return None
        if len(frontier) == 1:
            chain.at.update(trial.at)
            chain.value.update(trial.value)
            return d
        if d in fixed:
            return None
        frontier.remove(d)
        frontier.update(users.get(d, []))
    return None


def _add(d: Def, chain: _Chain) -> bool:
    """Express ``d`` at the accumulator's point, if it is pointwise, f32 and reads each claimed Def at one fitting index."""
    if d in chain.taken or d.expr is None or d.red is not None or d.dtype is not dtypes.f32:
        return False
    loads = expr.loads_of(d.expr)
    if len(loads) > LOAD_LIMIT or any(ld.dtype != "f32" for ld in loads):
        return False
    env = None
    for ld in loads:
        target, idx = ld.attr
        if target not in chain.at or env is not None:
            continue
        if index.ix(target.size) != index.ix(d.size):
            return False
        env = invert(idx, d.axes, chain.at[target])
        if env is None:
            return False
    if env is None or any(a.kind == "ind" for i in _all_indices(d.expr) for a in i.walk()):
        return False
    for ld in loads:
        target, idx = ld.attr
        if target in chain.at and tuple(i.subst(env) for i in idx) != chain.at[target]:
            return False
    chain.at[d] = tuple(index.ix(0) if a.ext == 1 and a.lo == 0 else env[a] for a in d.axes)
    chain.value[d] = expr.rebuild(
        d.expr, env, lambda t, i: chain.value[t] if t in chain.at else _through_views(t, i)
    )
    return True


def _all_indices(e: E) -> list[Ix]:
    out: list[Ix] = []
    stack, seen = [e], set()
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        out.extend(node.indices())
        stack.extend(node.args)
    return out


def _through_views(d: Def, at: tuple[Ix, ...]) -> E | None:
    """A load seen through pure views, where they end in an input, a constant or a number: a broadcast bias is read where
    it lives. (What another kernel may still claim is left alone.)"""
    if d.red is not None or d.expr is None or d.expr.op not in ("load", "const"):
        return None
    inner = expr.rebuild(d.expr, dict(zip(d.axes, at, strict=True)))
    if inner.op != "load":
        return inner
    return inner if inner.attr[0].is_source else _through_views(*inner.attr)


def _become_call(acc: Def, last: Def, axes: tuple[index.Atom, ...], chain: _Chain, spec: KernelSpec) -> None:
    """Turn ``last`` into the kernel's result; ``acc`` stays as the placeholder its epilogue loads."""
    assert acc.call is not None
    operands = acc.call.args
    value = chain.value[last]
    extra = [ld.attr[0] for ld in expr.loads_of(value) if ld.attr[0] is not acc]
    if last is acc:
        holder = Def(acc.name, acc.shape, acc.dtype, origin=acc.origin)
        value = expr.rebuild(value, {}, lambda t, i: holder[i] if t is acc else None)
        acc_def = holder
    else:
        acc_def = acc
    stmt = Stmt(last, chain.at[last], value)
    call = Call(
        "kernel",
        spec.function,
        (*operands, *dict.fromkeys(extra)),
        {"spec": spec, "operands": len(operands), "epilogue": Epilogue(axes, acc_def, (stmt,), {})},
    )
    call.results = (last,)
    last.call, last.expr, last.axes, last.result = call, None, (), 0
    last.origin = acc.origin or last.origin
