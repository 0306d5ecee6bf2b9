# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The Python interpreter of loop nests: every loop run one point at a time, exactly as ``ir.program`` defines a nest.

Slow and literal on purpose: it is what each transformation of a nest is tested against, before and after, and it checks
what a printer may assume: offsets inside buffers, spread lanes within ``LANES``, conditions free of the lane.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aotgen.core import dtypes
from aotgen.core.errors import InternalError
from aotgen.ir import index
from aotgen.ir.define import LONG, Def
from aotgen.ir.expr import E
from aotgen.ir.index import Atom, Ix
from aotgen.ir.interpret import bitcast_array, cast_array
from aotgen.ir.program import LANES, Buffer, LoopNest, Stage, Stmt, row_major
from aotgen.ir.scalar import OPS

Array = NDArray[Any]
Env = dict[Atom, int]
_FOLDS: Mapping[str, Any] = {"sum": np.add, "add": np.add, "prod": np.multiply, "mul": np.multiply, "max": np.maximum,
                             "min": np.minimum, "and": np.logical_and, "or": np.logical_or}  # fmt: skip


def run(nest: LoopNest, memory: Mapping[Buffer, Array], dims: Mapping[str, int] | None = None) -> None:
    """Execute ``nest`` on flat arrays of storage elements, one per buffer, in place.

    Outer iterations run in reverse, so a dependence between them shows. Raises InternalError for an offset outside its
    buffer or a nest that breaks its contract.
    """
    machine = _Machine(nest, memory, dict(dims or {}))
    for point in reversed(list(machine.points(nest.outer, {}))):
        machine.temps = {d: np.zeros(machine.size(d.shape), d.dtype.numpy) for d in nest.temps}
        for stage in nest.stages:
            machine.stage(stage, point)


class _Machine:
    def __init__(self, nest: LoopNest, memory: Mapping[Buffer, Array], dims: dict[str, int]) -> None:
        self.nest, self.memory, self.dims = nest, memory, dims
        self.temps: dict[Def, Array] = {}
        self.base = {a: dims[a.name] for a in _dims(nest)}

    # -- loops
    def points(self, loops: Sequence[Atom], env: Env, stage: Stage | None = None) -> Iterator[Env]:
        """Every point of ``loops``, outermost first, on top of ``env``."""
        env = env or dict(self.base)
        if not loops:
            yield env
            return
        v = loops[0]
        assert v.lo is not None
        assert v.ext is not None
        lo = self.ix(v.lo, env)
        hi = lo + self.ix(v.ext, env)
        if stage is not None:
            b = stage.bound(v)
            lo = max([lo, *(self.ix(x, env) for x in b.lows)])
            hi = min([hi, *(self.ix(x, env) for x in b.highs)])
        for k in range(lo, hi):
            yield from self.points(loops[1:], {**env, v: k}, stage)

    def stage(self, stage: Stage, env: Env) -> None:
        """One stage of one outer iteration."""
        _check(stage)
        spread = stage.lane if stage.folds and stage.lane in stage.inner else None
        front = [v for v in stage.inner if v is not spread]
        if spread is None and stage.lane in stage.inner and not stage.folds:
            front = list(stage.loops)
        for point in self.points(front, env, stage):
            if stage.cond is not None and not self.value(stage.cond, point):
                continue
            if not stage.folds:
                for s in stage.stmts:
                    self.point(s, point)
                continue
            lanes = [spread] if spread is not None else []
            totals: dict[tuple[Stmt, Any], Any] = {}
            inside = [v for v in stage.loops if v in stage.folds]
            for at in self.points([*inside, *lanes], point, stage):
                for s in stage.stmts:
                    self.fold(s, at, totals, at[spread] if spread is not None else None)
            for at in self.points(lanes, point, stage):
                for s in stage.stmts:
                    if s.red is not None and s.red != "scan":
                        self.finish(s, at, totals, at[spread] if spread is not None else None)

    def point(self, s: Stmt, env: Env) -> None:
        """A statement outside any fold."""
        value = self.value(s.value, env)
        if s.red == "scatter" and s.fold != "set":
            t = dtypes.compute_of(s.target.dtype).numpy
            value = _FOLDS[s.fold](self.load(s.target, s.index, env).astype(t), value)
        elif s.red not in (None, "scatter"):
            raise InternalError(f"{s.red} in a stage without folds")
        self.store(s, env, value)

    def fold(self, s: Stmt, env: Env, totals: dict[tuple[Stmt, Any], Any], lane: int | None) -> None:
        if s.red is None:
            self.point(s, env)
            return
        value = self.value(s.value, env)
        key = (s, lane)
        if s.red.startswith("arg"):
            assert s.position is not None
            here = (value, self.ix(s.position, env))
            totals[key] = here if key not in totals else _better(s.red, totals[key], here)
            return
        kind = s.fold if s.red == "scan" else s.red
        work = np.dtype(np.float64) if s.fold == LONG else s.value.type.numpy
        before = totals[key] if key in totals else _identity(kind, work)
        totals[key] = _FOLDS[kind](before, value, dtype=work)
        if s.red == "scan":
            self.store(s, env, totals[key])

    def finish(self, s: Stmt, env: Env, totals: dict[tuple[Stmt, Any], Any], lane: int | None) -> None:
        assert s.red is not None
        if s.red.startswith("arg"):
            self.store(s, env, np.asarray(totals[s, lane][1]))
        else:
            self.store(s, env, totals.get((s, lane), _identity(s.red, s.value.type.numpy)))

    # -- storage
    def place(self, d: Def, idx: Sequence[Ix], env: Env) -> tuple[Array, int]:
        if d in self.temps:
            where, at = self.temps[d], self.ix(row_major(d.shape).offset(idx), env)
        else:
            where, at = self.memory[self.nest.tensors[d].buffer], self.ix(self.nest.tensors[d].offset(idx), env)
        if not 0 <= at < where.size:
            raise InternalError(f"{d!r}: offset {at} outside {where.size} elements")
        return where, at

    def load(self, d: Def, idx: Sequence[Ix], env: Env) -> Array:
        where, at = self.place(d, idx, env)
        return np.asarray(where[at])

    def store(self, s: Stmt, env: Env, value: Any) -> None:
        where, at = self.place(s.target, s.index, env)
        with np.errstate(all="ignore"):
            where[at] = np.asarray(value).astype(where.dtype)

    def size(self, shape: Sequence[index.Dim]) -> int:
        return math.prod(self.ix(index.ix(n), self.base) for n in shape)

    # -- expressions
    def ix(self, i: Ix, env: Env) -> int:
        return int(i.evaluate(env, lambda e: self.value(e, env)) if i.const() is None else i.const() or 0)

    def value(self, e: E, env: Env) -> Any:
        t = e.type.numpy
        if e.op == "const":
            return np.asarray(e.attr, t)
        if e.op == "load":
            return self.load(e.attr[0], e.attr[1], env).astype(t)
        if e.op == "ix":
            return np.asarray(self.ix(e.attr, env)).astype(t)
        if e.op == "ge0":
            return np.asarray(self.ix(e.attr, env) >= 0)
        if e.op == "guard":
            return self.value(e.args[1] if self.value(e.args[0], env) else e.args[2], env)
        args = [self.value(a, env) for a in e.args]
        with np.errstate(all="ignore"):
            if e.op == "select":
                return args[1] if args[0] else args[2]
            if e.op == "cast":
                return cast_array(np.asarray(args[0]), dtypes.of(e.attr))
            if e.op == "bitcast":
                return bitcast_array(np.asarray(args[0]).reshape(1), e.attr).astype(t)[0]
            return np.asarray(OPS[e.op].numpy(*args)).astype(t)


def _better(kind: str, a: tuple[Any, int], b: tuple[Any, int]) -> tuple[Any, int]:
    """The winner of two (value, position) pairs; NaN beats everything, ties go to the first or last position."""
    first, second = (a, b) if a[1] <= b[1] else (b, a)
    if kind.endswith("last"):
        first, second = second, first
    x, y = first[0], second[0]
    wins = y > x if "max" in kind else y < x
    return second if x == x and (y != y or wins) else first


def _identity(kind: str, t: np.dtype[Any]) -> Array:
    if kind in ("max", "min"):
        if t.kind == "f":
            return np.asarray(-math.inf if kind == "max" else math.inf, t)
        if t.kind == "b":
            return np.asarray(kind == "min")
        return np.asarray(np.iinfo(t).min if kind == "max" else np.iinfo(t).max, t)
    return np.asarray({"sum": 0, "add": 0, "prod": 1, "mul": 1, "and": True, "or": False}[kind], t)


def _check(stage: Stage) -> None:
    """The parts of a stage's contract that execution alone would not notice."""
    lane = stage.lane
    if lane is None:
        return
    if lane not in stage.loops:
        raise InternalError("the lane is not a loop of its stage")
    if stage.cond is not None and (lane in stage.cond.vars() or stage.cond.vars() & set(stage.folds)):
        raise InternalError("a condition depends on the lane or a fold")
    assert lane.ext is not None
    if stage.folds and lane in stage.inner and (lane.ext.const() is None or (lane.ext.const() or 0) > LANES):
        raise InternalError(f"a spread lane of {lane.ext}")
    if lane in stage.folds and any(s.red == "scan" for s in stage.stmts):
        raise InternalError("a scan over the lane")
    for b in stage.bounds:
        if any(lane in i.vars() for i in (*b.lows, *b.highs)):
            raise InternalError("a bound depends on the lane")


def _dims(nest: LoopNest) -> set[Atom]:
    """Every open dim that the nest mentions."""
    found: list[Ix] = []
    for t in nest.tensors.values():
        found += [index.ix(n) for n in (*t.layout.strides, *t.layout.shape, t.layout.base, t.base)]
    found += [index.ix(n) for d in nest.temps for n in d.shape]
    loops = [*nest.outer, *itertools.chain.from_iterable(s.loops for s in nest.stages)]
    found += [i for v in loops for i in (v.lo, v.ext) if i is not None]
    for stage in nest.stages:
        found += [i for b in stage.bounds for i in (*b.lows, *b.highs)]
        for s in stage.stmts:
            found += s.index
            stack = [s.value]
            while stack:
                e = stack.pop()
                found += e.indices()
                stack += e.args
    return {a for i in found for a in i.walk() if a.kind == "dim"}
