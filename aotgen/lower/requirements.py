# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What dims must satisfy for a Program to run: the facts lowering assumed, and that no extent is negative."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass

from aotgen.core.errors import UnsupportedError
from aotgen.ir.facts import Condition, needed_by, needed_to_divide
from aotgen.ir.index import Atom, Dim, Ix
from aotgen.ir.program import If, KernelCall, LibraryCall, Loop, LoopNest, Port, Step, Tensor, reads, walk_steps, writes


@dataclass(frozen=True, slots=True)
class Wanted:
    """``before``: conditions on open dims. ``made``: the dims that steps make; ``after``: conditions that mention them.
    Each once, those on sizes first: the assumed ones may divide by what they keep positive."""

    before: tuple[Condition, ...]
    made: tuple[Atom, ...]
    after: tuple[Condition, ...]


def conditions(steps: Sequence[Step], ports: Iterable[Port], assumed: Iterable[Condition], dims: Sequence[Atom]) -> Wanted:
    """Raises UnsupportedError where an extent is used that no step before it has made."""
    known = set(dims)
    shapes = [d for p in ports for d in p.tensor.shape]
    extents = list(shapes)
    _visit(steps, known, extents)
    for d in shapes:
        _require(d, known, "an output", "")
    made = {a for s in walk_steps(steps) if isinstance(s, LibraryCall) for a, _ in s.extents}
    found = needed_by(extents)
    for c in assumed:
        found.update(needed_to_divide(c.value))
        found[c] = None
    before = tuple(c for c in found if _only_of(c.value, set(dims)))
    after = tuple(c for c in found if c not in before and _only_of(c.value, {*dims, *made}))
    return Wanted(before, tuple(sorted(made, key=lambda a: a.name)), after)


def _visit(steps: Sequence[Step], known: set[Atom], extents: list[Dim]) -> None:
    """Collects the extents of ``steps``; ``known`` gains the dims that any path through them makes."""
    for step in steps:
        if isinstance(step, LibraryCall):
            known.update(a for a, _ in step.extents)
        for d in _extents(step):
            _require(d, known, step.name, step.origin)
            extents.append(d)
        if isinstance(step, If):
            sides = [set(known), set(known)]
            _visit(step.then_steps, sides[0], extents)
            _visit(step.else_steps, sides[1], extents)
            known.update(sides[0] & sides[1])
        elif isinstance(step, Loop):
            _visit(step.body, set(known), extents)


def _require(d: Dim, known: Set[Atom], what: str, origin: str) -> None:
    if not isinstance(d, int) and not _only_of(d, known):
        raise UnsupportedError(f"an extent of {what}, {d}, depends on input data", node=origin,
                               hint="models whose shapes follow from those of their inputs compile")


def _only_of(value: Ix, dims: Set[Atom]) -> bool:
    return all(a.kind in ("div", "mod") or a in dims for a in value.walk())


def _extents(step: Step) -> Iterator[Dim]:
    """Extents a step is made of."""
    for t in (*reads(step), *writes(step)):
        yield from t.shape
    if isinstance(step, LoopNest):
        yield from (d for t in step.temps for d in t.shape)
    elif isinstance(step, KernelCall):
        yield from (d for t in step.epilogue.tensors.values() for d in t.shape)
    elif isinstance(step, Loop) and not isinstance(step.trips, Tensor):
        yield step.trips
