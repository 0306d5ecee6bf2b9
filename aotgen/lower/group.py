# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Grouping: Defs that share an outer domain become one row kernel, in stages.

A Def opens a group whose outer domain is its own parallel axes, or joins the last step among its producers when each
outer dimension is read at one bare axis of its own; dimensions that are not (reduced, broadcast, shifted) become inner. So
softmax, layer normalisation with what follows it, and masked softmax are one kernel each, without a pattern.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from aotgen.ir import define, index
from aotgen.ir.bounds import before_run
from aotgen.ir.define import Def
from aotgen.ir.index import Atom, Dim, Ix
from aotgen.lower.fuse import _loads, bare, estimate


@dataclass(frozen=True, slots=True)
class Limits:
    """When a join is refused: ``row_bytes`` of temporaries per outer iteration, ``stages`` in a nest, fewer than ``min_outer``
    outer iterations left for more than ``large`` points of work, no outer loop left above ``small`` points; a row temporary
    with dims other than ``dims`` (None: any will do) and without a bound, for which no room can be set aside before a run."""

    row_bytes: int = 256 << 10
    stages: int = 8
    min_outer: int = 32
    large: int = 1 << 16
    small: int = 4096
    dims: frozenset[Atom] | None = None

    def boundless(self, extent: Dim) -> bool:
        """Can nothing be said before a run of how large ``extent`` may get?"""
        return self.dims is not None and before_run(extent, self.dims) is None


@dataclass(frozen=True, slots=True)
class Domain:
    """The outer loops of a group: ``extents``, and for each member (``axes``) and outside Def read (``reads``) the
    position of its axis for each outer loop (None: not at one bare axis)."""

    extents: tuple[Ix, ...]
    axes: Mapping[Def, tuple[int, ...]]
    reads: Mapping[Def, tuple[int | None, ...]]


def groups(defs: Sequence[Def], materialised: Collection[Def] = (), limits: Limits = Limits()) -> list[list[Def]]:
    """Groups of expression Defs, one nest each (a scatter alone), in an order that some execution order follows.

    ``defs``: what is to be computed; calls among them and behind them are walked too, so that no cycle through a call can
    form, but not returned. ``materialised``: Defs stored in any case, which do not count as row temporaries.
    """
    steps: list[_Step] = []
    where: dict[Def, int] = {}
    reader: dict[Def, int] = {}  # outside Def -> last group that reads it
    for d in define.topological(defs):
        if d.is_source or d in where:
            continue
        after = max((where[p] for p in d.reads() if p in where), default=-1)
        if d.call is not None:
            where.update({r: len(steps) for r in d.call.results})
            steps.append(_Step([]))
            continue
        at = _join(steps, d, after, reader, materialised, limits)
        if at is None:
            at = len(steps)
            steps.append(_Step([d], None if d.red == "scatter" else open_domain(d)))
        where[d] = at
        reader.update({p: at for p in d.reads() if where.get(p, -1) != at})
    return [s.members for s in steps if s.members]


@dataclass(slots=True)
class _Step:
    members: list[Def]
    domain: Domain | None = None  # None: nothing can join


def _join(
    steps: list[_Step], d: Def, after: int, reader: Mapping[Def, int], materialised: Collection[Def], limits: Limits
) -> int | None:
    """The step that ``d`` may join, its domain updated; None to open a new one."""
    if d.red == "scatter":
        return None
    beside = max((reader.get(p, -1) for p in d.reads()), default=-1)
    for at in dict.fromkeys((after, beside)):
        if at < max(after, 0):
            continue
        step = steps[at]
        domain = extend(step.domain, d) if step.domain is not None else None
        if domain is None or step.domain is None:
            continue
        if at != after and not (len(domain.extents) == len(step.domain.extents) and _reduces([*step.members, d])):
            continue
        members = [*step.members, d]
        if _allowed(members, step.domain, domain, materialised, limits):
            steps[at] = _Step(members, domain)
            return at
    return None


def _reduces(members: Sequence[Def]) -> bool:
    return any(m.red is not None for m in members)


def _allowed(members: list[Def], before: Domain, after: Domain, materialised: Collection[Def], limits: Limits) -> bool:
    if any(limits.boundless(d) for m in members if m not in materialised
           for k, d in enumerate(m.shape) if k not in after.axes[m]):
        return False
    work = [points(m) for m in members]
    outer = estimate(after.extents)
    if not after.extents and max(work) > limits.small:
        return False
    own = estimate(open_domain(members[-1]).extents)
    if outer < min(limits.min_outer, max(estimate(before.extents), own)) and sum(work) > limits.large:
        return False
    row = sum(
        estimate(m.shape) // max(outer, 1) * m.dtype.bytes
        for m in members
        if m not in materialised and estimate(m.shape) > outer
    )
    return row <= limits.row_bytes and len(stage_plans(members, after)) <= limits.stages


def points(d: Def) -> int:
    """How many times the expression of ``d`` is evaluated."""
    return estimate(v.ext for v in dict.fromkeys((*d.axes, *d.rvars)))


def parallel_axes(d: Def) -> list[int]:
    """Positions of the axes that may be outer loops: longer than 1 and not scanned."""
    scanned = d.rvars if d.red == "scan" else ()
    return [k for k, a in enumerate(d.axes) if a.ext != 1 and a not in scanned]


def open_domain(d: Def) -> Domain:
    """The domain of a group of ``d`` alone."""
    places = tuple(parallel_axes(d))
    extents = tuple(_ext(d.axes[k]) for k in places)
    return Domain(extents, {d: places}, _outside(d, {}, {d: places}, {}))


def domain_of(members: Sequence[Def]) -> Domain:
    """The domain of a whole group, joining its members one by one."""
    domain = open_domain(members[0])
    for d in members[1:]:
        joined = extend(domain, d)
        assert joined is not None, f"{d!r} does not belong to its group"
        domain = joined
    return domain


def extend(domain: Domain, d: Def) -> Domain | None:
    """The domain once ``d`` has joined: the outer loops that ``d`` shares. None where it reads nothing of the group, or
    where the shared outside Defs leave no common loop."""
    inside = [ld for ld in _loads(d) if ld.attr[0] in domain.axes]
    places: Mapping[Def, Sequence[int | None]] = domain.axes if inside else domain.reads
    loads = inside or [ld for ld in _loads(d) if ld.attr[0] in domain.reads]
    if not loads:
        return None
    own = {d.axes[k]: k for k in parallel_axes(d)}
    found: list[int | None] = []
    for n, extent in enumerate(domain.extents):
        ks = set()
        for ld in loads:
            p = places[ld.attr[0]][n]
            a = bare(ld.attr[1][p]) if p is not None else None
            ks.add(own[a] if a in own and _ext(a) == extent else None)
        k = ks.pop() if len(ks) == 1 else None
        found.append(None if k in found else k)
    keep = [n for n, k in enumerate(found) if k is not None]
    if not inside and not keep:
        return None
    mine = {d: tuple(k for k in found if k is not None)}
    axes = {m: tuple(at[n] for n in keep) for m, at in domain.axes.items()} | mine
    reads = {m: tuple(at[n] for n in keep) for m, at in domain.reads.items()}
    return Domain(tuple(domain.extents[n] for n in keep), axes, _outside(d, reads, mine, axes))


def _outside(
    d: Def,
    before: Mapping[Def, tuple[int | None, ...]],
    mine: Mapping[Def, tuple[int, ...]],
    members: Mapping[Def, object],
) -> dict[Def, tuple[int | None, ...]]:
    """Where the Defs from outside that ``d`` reads are indexed by each outer loop."""
    out = dict(before)
    for ld in _loads(d):
        p, idx = ld.attr
        if p in members:
            continue
        at = tuple(next((k for k, i in enumerate(idx) if bare(i) is d.axes[n]), None) for n in mine[d])
        seen = out.get(p)
        out[p] = at if seen is None else tuple(a if a == b else None for a, b in zip(at, seen, strict=True))
    return out


def _ext(a: Atom) -> Ix:
    assert a.ext is not None
    return a.ext


# ---------------------------------------------------------------------------------------------------- stages


@dataclass(slots=True)
class StagePlan:
    """One loop nest of a group: its loops, and each member with its own variables in terms of them."""

    inner: list[Atom]
    folds: list[Atom]
    members: list[tuple[Def, dict[Atom, Ix]]] = field(default_factory=list)

    @property
    def loops(self) -> list[Atom]:
        return [*self.inner, *self.folds]


def member_loops(d: Def, outer: Collection[int]) -> tuple[list[Atom], list[Atom]]:
    """The variables of ``d`` that are inner loops and those it folds over, extent 1 left out."""
    folds = [r for r in d.rvars if r.ext != 1]
    inner = [a for k, a in enumerate(d.axes) if k not in outer and a.ext != 1 and a not in folds]
    return inner, folds


def stage_plans(members: Sequence[Def], domain: Domain) -> list[StagePlan]:
    """Members placed in the earliest stage that has their loops and does not read what it has not finished."""
    plans: list[StagePlan] = []
    place: dict[Def, int] = {}
    for d in members:
        mine = [p for p in d.reads() if p in place]
        first = max((place[p] + (p.red is not None) for p in mine), default=0)
        for at in range(first, len(plans)):
            env = _fit(plans[at], d, domain)
            if env is not None:
                plan = plans[at]
                break
        else:
            at = len(plans)
            inner, folds = (_copies(vs) for vs in member_loops(d, domain.axes[d]))
            own = [v for vs in member_loops(d, domain.axes[d]) for v in vs]
            env = {v: index.var(new) for v, new in zip(own, [*inner, *folds], strict=True)}
            plan = StagePlan(inner, folds)
            plans.append(plan)
        place[d] = at
        plan.members.append((d, env))
    return plans


def _copies(variables: Sequence[Atom]) -> list[Atom]:
    return [index.fresh_var(_ext(v), v.name, v.lo or 0) for v in variables]


def _fit(plan: StagePlan, d: Def, domain: Domain) -> dict[Atom, Ix] | None:
    """The variables of ``d`` as loops of ``plan``, or None; updates the folds of a plan that had none."""
    inner, folds = member_loops(d, domain.axes[d])
    if len(inner) + len(folds) != len(plan.loops):
        return None
    if (plan.folds or folds) and any(m.red == "scan" for m in [d, *(m for m, _ in plan.members)]):
        return None
    env = _same_points(plan, d, domain)
    if env is None:
        return None
    if not env:
        env = dict(zip([*inner, *folds], plan.loops, strict=True))
    if len(set(env.values())) != len(plan.loops) or set(env) != {*inner, *folds}:
        return None
    if any(a.ext != v.ext or a.lo != v.lo for a, v in env.items()):
        return None
    mapped = {env[v] for v in folds}
    if plan.folds and folds and mapped != set(plan.folds):
        return None
    if folds and not plan.folds:
        plan.folds = [v for v in plan.inner if v in mapped]
        plan.inner = [v for v in plan.inner if v not in mapped]
    return {a: index.var(v) for a, v in env.items()}


def _same_points(plan: StagePlan, d: Def, domain: Domain) -> dict[Atom, Atom] | None:
    """Variables of ``d`` forced by its reads of members of this very plan; None when one is read at another point."""
    env: dict[Atom, Atom] = {}
    theirs = dict(plan.members)
    for ld in _loads(d):
        p, idx = ld.attr
        if p not in theirs:
            continue
        for k, a in enumerate(p.axes):
            if k in domain.axes[p] or a.ext == 1:
                continue
            mine = bare(idx[k])
            loop = bare(theirs[p][a])
            if mine is None or loop is None or env.setdefault(mine, loop) is not loop:
                return None
    return env
