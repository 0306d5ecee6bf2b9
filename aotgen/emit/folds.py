# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Accumulators of a stage's folds, and when a position-keeping fold lets a new value take over."""

from __future__ import annotations

from dataclasses import dataclass

from aotgen.ir.program import Stmt
from aotgen.targets.base import Fold


@dataclass(slots=True)
class Acc:
    """An accumulator of one statement: ``name`` (and ``at``, the position, for argmax) of ``fold``; ``part``: the one of
    ``fold.part``, which a lane loop works on in its stead; ``spread``: it is an array over the lane; ``direct``: it is the
    row temporary its result goes to."""

    stmt: Stmt
    fold: Fold
    name: str
    at: str
    part: str
    spread: bool
    direct: bool


def kind_of(s: Stmt) -> str:
    """The fold a reduction, scan or argmax keeps: argmax keeps a maximum, a long sum says so itself."""
    kind = s.fold or s.red or ""
    return ("max" if "max" in kind else "min") if kind.startswith("arg") else kind


def takes_over(s: Stmt, value: str, best: str, position: str, at: str, ordered: bool) -> str:
    """The condition under which ``value`` at ``position`` replaces ``best`` at ``at`` (-1: nothing yet).

    NaN beats every number; ties go to the smallest (``_last``: largest) position, which is the earlier (later)
    one where positions are visited in increasing order (``ordered``)."""
    assert s.red is not None
    sign, last = (">" if "max" in s.red else "<"), s.red.endswith("last")
    tests = [f"({value} {sign}{'=' if last and ordered else ''} {best})", f"({at} < 0)"]
    if not ordered:
        tests.append(f"(({value} == {best}) & ({position} {'>' if last else '<'} {at}))")
    if s.value.type.is_float:
        nan = f"({value} != {value})"
        if not last:
            tests[0], nan = f"({tests[0]} & ({best} == {best}))", f"({nan} & ({best} == {best}))"
        tests.append(nan)
    return " | ".join(tests)
