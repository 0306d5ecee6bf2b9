# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""How a stage's lane loop is cut: into runs where a sum is long, and off a remainder that no vector fills.

What compilers make of the lanes beyond the last whole vector is scalar code. Where a lane is dear (a softmax's exponential),
up to fifteen of those cost more than all vectors of a short row: they run as one more vector, masked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from aotgen.emit import nests
from aotgen.emit.folds import Acc
from aotgen.emit.names import NameTable
from aotgen.emit.text import Text
from aotgen.ir import index
from aotgen.ir.define import LONG_SUM
from aotgen.ir.program import Stage
from aotgen.targets.base import Fold, Schedule

FEW = 2  # lanes beyond a half vector, when their number is known, that are as well done one by one


@dataclass(frozen=True, slots=True)
class Lanes:
    """One lane loop to print: the variable ``name`` of C type ``ctype`` from ``lo`` to ``hi``; ``folds``: the accumulators
    whose lanes are merged, with their names; ``vector``: it may run as vectors."""

    name: str
    lo: str
    hi: str
    ctype: str
    folds: Sequence[tuple[Fold, str]]
    vector: bool


def merged(accs: Sequence[Acc]) -> list[tuple[Fold, str]]:
    """What the lanes of a loop are merged into."""
    return [(a.fold.part, a.part) if a.part and a.fold.part else (a.fold, a.name) for a in accs if not a.spread]


def runs(stage: Stage, accs: Sequence[Acc], names: NameTable, text: Text, loop: Lanes) -> tuple[Text, Lanes]:
    """Where ``loop`` goes and what is left of it: at most ``LONG_SUM`` lanes where some sum is kept in parts, which start here."""
    parts = [a for a in accs if a.part]
    if not parts:
        return text, loop
    lo, hi = loop.lo, loop.hi
    if _most(stage) > LONG_SUM:
        lo, hi = names.numbered("b"), names.numbered("k")
        text = text.block(f"for ({loop.ctype} {lo} = {loop.lo}, {hi}; {lo} < {loop.hi}; {lo} = {hi})")
        text.line(f"{hi} = {lo} + vmin<{loop.ctype}>({LONG_SUM}, {_factor(loop.hi)} - {lo});")
    for a in parts:
        assert a.fold.part is not None
        text.line(f"{a.fold.part.ctype} {a.part} = {a.fold.part.init};")
    return text, Lanes(loop.name, lo, hi, loop.ctype, loop.folds, loop.vector)


def bodies(stage: Stage, dear: bool, schedule: Schedule, names: NameTable, text: Text, loop: Lanes) -> list[Text]:
    """The bodies to write the stage's statements into, one after the other. ``dear``: values of the nest
    are; what else it does gets by with as little, since rows of a nest are equally long."""

    def opened(into: Text, lo: str, hi: str, within: str = "") -> Text:
        return schedule.lane_loop(into, loop.name, lo, hi, loop.ctype, loop.folds, loop.vector, within)  # type: ignore[no-any-return]

    def masked(into: Text, lo: str, n: int) -> Text:
        mask, own = names.numbered("m"), lo == "0"
        left = _factor(loop.hi) if own else f"({_factor(loop.hi)} - {lo})"
        into.line(f"const unsigned {mask} = (1u << {left}) - 1u;")
        # not a comparison, at which compilers would split the loop
        return opened(into, lo, str(n) if own else f"{lo} + {n}", f"{mask} >> {loop.name if own else f'({loop.name} - {lo})'} & 1u")

    n = schedule.remainder
    if not (dear and loop.vector and _ragged(stage, n)):
        return [opened(text, loop.lo, loop.hi)]
    if loop.lo == "0" and 0 < _most(stage) <= n:
        return [masked(text, "0", 1 << (int(_most(stage)) - 1).bit_length())]
    whole = names.numbered("k")
    text.line(f"const {loop.ctype} {whole} = {_whole(loop, n)};")
    first = opened(text.block(f"if ({loop.lo} < {whole})"), loop.lo, whole)  # a merge of no lanes still takes its time
    return [first, masked(text.block(f"if ({whole} < {loop.hi})"), whole, n)]


def _whole(loop: Lanes, n: int) -> str:
    lo, hi = _factor(loop.lo), _factor(loop.hi)
    return f"{hi} / {n} * {n}" if lo == "0" else f"{lo} + ({hi} - {lo}) / {n} * {n}"


def _factor(text: str) -> str:
    return text if text.isalnum() else f"({text})"


def _ragged(stage: Stage, lanes: int) -> bool:
    """May the last ``lanes`` be fewer?"""
    if not lanes:
        return False
    assert stage.lane is not None and stage.lane.ext is not None
    extent = stage.lane.ext.const()
    if extent is None:
        return not nests.INT_LIMIT - lanes <= _most(stage) < math.inf
    return lanes // 2 < extent < LONG_SUM and extent % (lanes // 2) > FEW


def _most(stage: Stage) -> float:
    """The largest number of lanes."""
    assert stage.lane is not None and stage.lane.ext is not None
    most = nests.upper(index.as_dim(stage.lane.ext))
    return math.inf if most is None else most
