# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Short rows written out.

Where a nest does a handful of things to each outer iteration (a layer norm of four values, a softmax over two classes), its
stages become one without loops and without temporaries: the row lies in registers, and an outer loop can be the vector.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace

from aotgen.ir import expr, index
from aotgen.ir.define import Def
from aotgen.ir.expr import E
from aotgen.ir.index import Atom, Ix
from aotgen.ir.program import LoopNest, Stage, Stmt

FEW = 8  # points of a stage
MOST = 128  # flops of all that is written out: compilers make no vectors of much more (a softmax over 6: three times slower)
COMBINE = {"sum": "add", "prod": "mul", "max": "max", "min": "min"}  # a reduction, and the operator it repeats

Point = tuple[Def, tuple[Ix, ...]]


def written_out(nest: LoopNest) -> LoopNest:
    """``nest`` as a single stage of straight code where each stage has few points and some stage folds; else as it is."""
    if not nest.outer or not any(s.folds for s in nest.stages) or not all(map(_plain, nest.stages)):
        return nest
    if sum(_count(s) * expr.flops(st.value) for s in nest.stages for st in s.stmts) > MOST:
        return nest
    code = _Code(nest)
    for stage in nest.stages:
        code.write(stage)
    if code.lost:
        return nest
    return replace(nest, stages=(Stage((), tuple(code.stmts)),), temps=())


def _plain(s: Stage) -> bool:
    """Few points, all of which are computed, folded by an operator that is an expression's too."""
    return (
        s.cond is None
        and not s.bounds
        and 0 < _count(s) <= FEW
        and all(v.lo is not None and v.lo.const() is not None for v in s.loops)
        and all(st.red is None or (st.red in COMBINE and st.value.dtype != "bool") for st in s.stmts)
    )


def _count(s: Stage) -> int:
    """Points of a stage; 0 if not known."""
    n = index.prod_dims(v.ext for v in s.loops if v.ext is not None)
    return n if isinstance(n, int) else 0


def _points(loops: tuple[Atom, ...]) -> Iterator[dict[Atom, Ix]]:
    ranges = []
    for v in loops:
        assert v.lo is not None and v.ext is not None
        first, n = v.lo.const(), v.ext.const()
        assert first is not None and n is not None
        ranges.append(range(first, first + n))
    return (dict(zip(loops, map(index.ix, at), strict=True)) for at in itertools.product(*ranges))


class _Code:
    """Statements in the order in which the stages run, and what is at each place that one of them wrote. ``lost``: a
    temporary is read where it is not known what it holds."""

    def __init__(self, nest: LoopNest) -> None:
        self.temps = frozenset(nest.temps)
        self.stmts: list[Stmt] = []
        self.values: dict[Point, E] = {}
        self.lost = False

    def write(self, stage: Stage) -> None:
        for at in _points(stage.inner):
            folded: dict[Stmt, E] = {}
            for step in _points(stage.folds):
                env = at | step
                for st in stage.stmts:
                    value = expr.rebuild(st.value, env, self._loaded)
                    if st.red is None:
                        self._store(st, env, value)
                    else:
                        folded[st] = expr.fn(COMBINE[st.red], folded[st], value) if st in folded else value
            for st, value in folded.items():
                self._store(st, at, value)

    def _store(self, st: Stmt, env: Mapping[Atom, Ix], value: E) -> None:
        where = tuple(i.subst(env) for i in st.index)
        if st.target not in self.temps:
            self.stmts.append(Stmt(st.target, where, value))
        self.values[st.target, where] = value

    def _loaded(self, d: Def, idx: tuple[Ix, ...]) -> E | None:
        """What a load of ``d`` finds; None where it stays a load: an element rounded when it was stored, or another's."""
        value = self.values.get((d, idx))
        if value is not None and (d in self.temps or d.dtype.name == value.dtype):
            return value
        self.lost = self.lost or d in self.temps
        return None
