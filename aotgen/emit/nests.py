# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Questions about a loop nest that printing asks: its parameters, its index type, what a schedule decides by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from aotgen.emit.names import NameTable
from aotgen.ir import expr, index
from aotgen.ir.bounds import bound
from aotgen.ir.define import Def
from aotgen.ir.expr import E
from aotgen.ir.index import Atom, Dim, Ix
from aotgen.ir.program import LoopNest, Stage, Tensor
from aotgen.targets.base import Nest

INT_LIMIT = 1 << 31


@dataclass(slots=True)
class Pointer:
    """One pointer parameter: the first operand that uses it, and every Def it serves with its own Tensor.
    ``stored``: it is written through; ``shared``: another pointer reaches the same buffer, so it cannot be
    ``restrict``."""

    name: str
    ctype: str
    tensor: Tensor
    tensors: dict[Def, Tensor]
    stored: bool
    shared: bool
    what: str

    def offset(self, d: Def, idx: Sequence[Ix]) -> Ix:
        return self.tensors[d].layout.offset(idx)


def parameters(nest: LoopNest, table: NameTable) -> _Pointers:
    """Stored operands first (``y``, or ``y0 y1``...), then the loaded ones (``x``), each in order of first
    use. Operands at the same place of one buffer share a pointer (in place)."""
    targets = [d for d in dict.fromkeys(s.target for st in nest.stages for s in st.stmts) if d in nest.tensors]
    loads = [d for d in _loaded(nest) if d in nest.tensors and d not in targets]
    by_place: dict[tuple[int, Dim], Pointer] = {}
    out = _Pointers()
    for d in (*targets, *loads):
        t = nest.tensors[d]
        key = (id(t.buffer), t.base)
        p = by_place.get(key)
        if p is None:
            p = by_place[key] = Pointer("", t.dtype.c, t, {}, False, False, describe_tensor(d, t))
        p.tensors[d] = t
        p.stored = p.stored or d in targets
        out[d] = p
    ordered = list(by_place.values())
    for p in ordered:
        same = [q for q in ordered if q.tensor.buffer is p.tensor.buffer]
        p.shared = len(same) > 1 and any(q.stored for q in same)
    for letter, group in (("y", [p for p in ordered if p.stored]), ("x", [p for p in ordered if not p.stored])):
        for p in group:
            p.name = table.fresh(letter) if len(group) == 1 else table.numbered(letter)
    out.distinct = ordered
    return out


class _Pointers(dict[Def, Pointer]):
    """Def -> its pointer; ``distinct``: each pointer once, in parameter order."""

    distinct: list[Pointer]


def roots(stage: Stage) -> list[E]:
    """The expressions a stage prints: its condition, values, and what its bounds and store indices load."""
    out: list[E] = [stage.cond] if stage.cond is not None else []
    indices = [i for b in stage.bounds for i in (*b.lows, *b.highs)]
    for s in stage.stmts:
        out.append(s.value)
        indices.extend(s.index)
    return out + list(dict.fromkeys(a.payload for i in indices for a in i.walk() if a.kind == "ind"))


def _loaded(nest: LoopNest) -> list[Def]:
    """Every Def that is loaded, in order of first use."""
    return list(dict.fromkeys(ld.attr[0] for st in nest.stages for e in roots(st) for ld in expr.loads_of(e)))


def describe_tensor(d: Def, t: Tensor) -> str:
    return f"{d.name or t.buffer.name}  {t.dtype}[{','.join(map(str, t.shape))}]"


def upper(size: Dim) -> int | None:
    """The largest value of an extent; None when an open dim has no bound."""
    most = bound(size)
    return most if isinstance(most, int) else None


def index_type(nest: LoopNest) -> str:
    """``int`` when no offset or trip count of the nest can reach 2^31, else ``int64_t``."""
    spans = [upper(t.layout.size) for t in nest.tensors.values()]
    spans += [upper(index.prod_dims(a.ext or 1 for a in (*nest.outer, *s.loops))) for s in nest.stages]
    return "int" if all(s is not None and s < INT_LIMIT for s in spans) else "int64_t"


def temp_offset(d: Def, idx: Sequence[Ix]) -> Ix:
    """Row-major position in a temporary."""
    out = index.ix(0)
    for i, n in zip(idx, d.shape, strict=True):
        out = out * n + i
    return out


def spilled(arrays: Sequence[Def], limit: int) -> set[Def]:
    """The row temporaries that do not fit the stack together: unbounded ones, then the largest."""
    size = {t: None if (n := upper(t.size)) is None else n * t.dtype.bytes for t in arrays}
    out = {t for t, n in size.items() if n is None}
    rest = sorted((t for t in arrays if t not in out), key=lambda t: -(size[t] or 0))
    while rest and sum(size[t] or 0 for t in rest) > limit:
        out.add(rest.pop(0))
    return out


def defined_at_store(nest: LoopNest) -> set[Def]:
    """Scalar temps stored once, unconditionally and outside every loop but the outer ones: their store defines them."""
    stores: dict[Def, list[Stage]] = {}
    for stage in nest.stages:
        for s in stage.stmts:
            stores.setdefault(s.target, []).append(stage)
    return {
        t
        for t in nest.temps
        if not t.shape
        and len(stores.get(t, ())) == 1
        and stores[t][0].cond is None
        and not stores[t][0].inner
        and (not stores[t][0].folds or _folded(stores[t][0], t))
    }


def _folded(stage: Stage, t: Def) -> bool:
    return all(s.red not in (None, "scan", "scatter") for s in stage.stmts if s.target is t)


def increasing(position: Ix, loops: Sequence[Atom], folds: Sequence[Atom]) -> bool:
    """Does ``position`` grow at every step of the fold loops in the order they run?"""
    inner = index.ix(0)
    for v in reversed([v for v in loops if v in folds]):
        k = position.coefficient(v)
        if k is None or not index.nonneg(k - inner - 1):
            return False
        inner = inner + k * ((v.ext or index.ix(1)) - 1)
    return True


def title(stage: Stage, number: int) -> str:
    """One line on what a stage does."""
    what = dict.fromkeys(f"{s.red + ' ' if s.red else ''}{s.target.name or 'value'}" for s in stage.stmts)
    return f"{number}: {', '.join(what)}"


# -- schedules


def describe(nest: LoopNest) -> Nest:
    """The facts a schedule decides by."""
    rows = upper(index.prod_dims(a.ext or 1 for a in nest.outer))
    widths = [upper(index.as_dim(s.lane.ext)) for s in nest.stages if s.lane is not None and s.lane.ext is not None]
    width = None if None in widths else max((w for w in widths if w is not None), default=0)
    spread = any(s.folds and s.lane is not None and s.lane not in s.folds for s in nest.stages)
    stored = {s.target for st in nest.stages for s in st.stmts}
    rereads = any(d in stored and d in nest.tensors for d in _loaded(nest))
    across = (
        rereads
        or any(_reads_across(nest, s) for s in nest.stages)
        or len({s.lane.ext for s in nest.stages if s.lane is not None}) > 1
    )
    return Nest(
        rows,
        width,
        len(nest.stages),
        any(s.folds for s in nest.stages),
        spread,
        tuple(upper(t.size) for t in nest.temps if t.shape),
        across,
        not nest.outer,
        lanes_only=all(s.loops == (() if s.lane is None else (s.lane,)) for s in nest.stages),
        straight=not any(s.loops for s in nest.stages),
        arg_folds=any((s.red or "").startswith("arg") for st in nest.stages for s in st.stmts),
    )


def _reads_across(nest: LoopNest, stage: Stage) -> bool:
    """Does some lane touch an element of a row temporary that is not its own (lane 0 being the range's first)?"""
    whole = stage.lane is not None and stage.lane.lo == 0 and not any(b.var is stage.lane for b in stage.bounds)
    own = index.var(stage.lane) if whole and stage.lane is not None else None
    touched = [(s.target, s.index) for s in stage.stmts]
    touched += [ld.attr for s in stage.stmts for ld in expr.loads_of(s.value)]
    return any(d in nest.temps and d.shape and temp_offset(d, idx) != own for d, idx in touched)


def flatten(nest: LoopNest) -> LoopNest:
    """A nest of one stage with every loop but the folds outer, their bounds as conditions: one thread an element. Any
    other nest (several stages, row temporaries, scatters) as it is."""
    stage = nest.stages[0]
    if len(nest.stages) > 1 or nest.temps or any(s.red == "scatter" for s in stage.stmts):
        return nest
    conds = [] if stage.cond is None else [stage.cond]
    for b in stage.bounds:
        if b.var in stage.inner:
            conds += [expr.ge0(index.var(b.var) - lo) for lo in b.lows]
            conds += [expr.ge0(hi - 1 - index.var(b.var)) for hi in b.highs]
    kept = tuple(b for b in stage.bounds if b.var in stage.folds)
    lane = stage.lane if stage.lane in stage.folds else None
    flat = Stage((), stage.stmts, stage.folds, lane, expr.all_(conds) if conds else None, kept)
    inner = [v for v in stage.loops if v in stage.inner]
    return replace(nest, outer=(*nest.outer, *inner), stages=(flat,))


def conjuncts(cond: E | None) -> list[E]:
    """The parts of a conjunction."""
    if cond is None:
        return []
    return [c for a in cond.args for c in conjuncts(a)] if cond.op == "and" else [cond]
