# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A group of Defs as a loop nest: outer loops, stages, row temporaries."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aotgen.core import dtypes
from aotgen.core.errors import InternalError
from aotgen.ir import expr, index
from aotgen.ir.define import Def
from aotgen.ir.expr import E
from aotgen.ir.index import Atom, Ix
from aotgen.ir.program import LoopNest, Stage, Stmt, Tensor
from aotgen.lower.fuse import bare
from aotgen.lower.group import Domain, domain_of, stage_plans


def lower(group: Sequence[Def], tensors: Mapping[Def, Tensor], name: str) -> list[LoopNest]:
    """The nest of one group; for a scatter, which is alone in its group, a copy of ``into`` before it (left out when both
    are the same Tensor: in place). Members found in ``tensors`` are stored there, the others become temporaries of one outer
    iteration; everything else that is read must be in ``tensors``.

    Raises InternalError for a read without a Tensor.
    """
    d = group[0]
    if d.red == "scatter":
        assert d.into is not None
        update = _lower_scatter(d, tensors, name)
        return [update] if tensors[d.into] == tensors[d] else [_copy_into(d, tensors, f"{name}_copy"), update]
    domain = domain_of(group)
    outer = tuple(
        index.fresh_var(e, group[0].axes[k].name) for e, k in zip(domain.extents, domain.axes[group[0]], strict=True)
    )
    temps = {d: _temp(d, domain) for d in group if d not in tensors}
    read = _Reader(tensors, domain, temps)
    stages = []
    for plan in stage_plans(group, domain):
        folds = tuple(plan.folds)
        stmts = tuple(_statement(d, env | _outer_env(d, domain, outer), folds, read) for d, env in plan.members)
        stages.append(Stage(tuple(plan.inner), stmts, folds))
    origin = ", ".join(dict.fromkeys(d.origin for d in group if d.origin))
    return [LoopNest(name, outer, tuple(stages), read.used(), tuple(temps.values()), origin)]


def _copy_into(d: Def, tensors: Mapping[Def, Tensor], name: str) -> LoopNest:
    """The nest that copies ``into`` of a scatter to where the scatter will update it."""
    source = d.into
    assert source is not None
    axes = tuple(index.fresh_var(n, f"i{k}") for k, n in enumerate(map(index.ix, d.shape)) if n != 1)
    free = iter(axes)
    point = tuple(index.ix(0) if n == 1 else index.var(next(free)) for n in d.shape)
    stmt = Stmt(d, point, expr.load(source, point))
    return LoopNest(name, axes, (Stage((), (stmt,)),), {d: tensors[d], source: tensors[source]}, (), d.origin)


class _Reader:
    """Rewrites loads: temporaries by their own indices, everything else by its Tensor (recorded)."""

    def __init__(self, tensors: Mapping[Def, Tensor], domain: Domain | None, temps: Mapping[Def, Def]) -> None:
        self.tensors, self.domain, self.temps = tensors, domain, temps
        self.seen: dict[Def, None] = {}

    def place(self, d: Def, idx: Sequence[Ix]) -> tuple[Def, tuple[Ix, ...]]:
        """The Def and indices to use for element ``idx`` of ``d`` inside the nest."""
        if d not in self.temps:
            if d not in self.tensors:
                raise InternalError(f"{d!r} is read or written by a nest but has no tensor")
            self.seen[d] = None
            return d, tuple(idx)
        assert self.domain is not None
        return self.temps[d], tuple(idx[k] for k in _kept(d, self.domain))

    def on_load(self, d: Def, idx: tuple[Ix, ...]) -> E:
        return expr.load(*self.place(d, idx))

    def used(self) -> dict[Def, Tensor]:
        return {d: self.tensors[d] for d in self.seen}


def _kept(d: Def, domain: Domain) -> list[int]:
    """The axes that a temporary of ``d`` has: those not outer and longer than 1."""
    return [k for k, n in enumerate(d.shape) if k not in domain.axes[d] and n != 1]


def _temp(d: Def, domain: Domain) -> Def:
    """Storage of one outer iteration's part of ``d``: floats in their compute type, the rest as stored."""
    dtype = dtypes.compute_of(d.dtype) if d.dtype.is_float else d.dtype
    return Def(d.name, tuple(d.shape[k] for k in _kept(d, domain)), dtype, origin=d.origin)


def _outer_env(d: Def, domain: Domain, outer: Sequence[Atom]) -> dict[Atom, Ix]:
    env = {d.axes[k]: index.var(v) for k, v in zip(domain.axes[d], outer, strict=True)}
    return env | {a: index.ix(0) for a in (*d.axes, *d.rvars) if a.ext == 1}


def _statement(d: Def, env: dict[Atom, Ix], folds: tuple[Atom, ...], read: _Reader) -> Stmt:
    assert d.expr is not None
    value = expr.rebuild(d.expr, env, read.on_load, {})
    target, at = read.place(d, [env[a] for a in d.axes])
    red = d.red
    position = None
    if red is not None and red.startswith("arg"):
        position = index.ix(0)
        for r in d.rvars:
            position = position * (r.ext or 1) + env[r]
    if red is None or (red != "scan" and not d.rvars) or not any(r.ext != 1 for r in d.rvars):
        return Stmt(target, at, value if position is None else expr.ix_value(position, "i64"))
    return Stmt(target, at, value, red, folds, d.fold, position)


def _lower_scatter(d: Def, tensors: Mapping[Def, Tensor], name: str) -> LoopNest:
    """Outer loops over the update axes that the target is indexed by alone: distinct iterations, distinct elements."""
    assert d.expr is not None
    read = _Reader(tensors, None, {})
    live = [a for a in d.axes if a.ext != 1]
    outer_axes = [a for a in live if any(_only(i, a) for i in d.at)]
    fresh = {a: index.fresh_var(a.ext or 1, a.name, a.lo or 0) for a in live}
    env = {a: index.var(v) for a, v in fresh.items()} | {a: index.ix(0) for a in d.axes if a.ext == 1}
    memo: dict[E, E] = {}
    value = expr.rebuild(d.expr, env, read.on_load, memo)
    at = tuple(expr._rebuild_index(i, env, read.on_load, memo) for i in d.at)
    target, at = read.place(d, at)
    inner = tuple(fresh[a] for a in live if a not in outer_axes)
    stage = Stage(inner, (Stmt(target, at, value, "scatter", (), d.fold),))
    return LoopNest(name, tuple(fresh[a] for a in outer_axes), (stage,), read.used(), (), d.origin)


def _only(i: Ix, a: Atom) -> bool:
    """Is ``i`` the variable ``a`` plus or minus something without variables?"""
    return bare(i) is a or (bare(i - (i - index.var(a))) is a and not (i - index.var(a)).vars())
