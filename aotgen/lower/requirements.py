# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What dims must satisfy for a Program to run: the facts lowering assumed, and that no extent is negative.

Conditions on open dims alone are checked before a run starts. Those on extents that steps make, and those of a body, are
``Check`` steps: as early in their own scope as all they mention is known, so a branch that is not taken refuses nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set

from aotgen.core.errors import UnsupportedError
from aotgen.ir.facts import Condition, needed_by, needed_to_divide
from aotgen.ir.index import Atom, Dim, Ix
from aotgen.ir.program import (
    Check,
    Extents,
    If,
    KernelCall,
    LibraryCall,
    Loop,
    LoopNest,
    Port,
    Step,
    Take,
    Tensor,
    reads,
    walk_steps,
    writes,
)
from aotgen.lower.state import State


def needed(steps: Sequence[Step], assumed: Iterable[Condition], shapes: Iterable[Dim] = ()) -> list[Condition]:
    """What ``steps`` (not those of bodies) and ``shapes`` ask of dims: each condition once, those on sizes first, because the
    assumed ones may divide by what they keep positive."""
    found = needed_by([*shapes, *(d for step in steps for d in _extents(step))])
    for c in assumed:
        found.update(needed_to_divide(c.value))
        found[c] = None
    return list(found)


def only_of(value: Ix, dims: Set[Atom]) -> bool:
    """Does ``value`` mention no dim but ``dims``?"""
    return all(a.kind != "dim" or a in dims for a in value.walk())


def checked(steps: Sequence[Step], conditions: Sequence[Condition], state: State) -> list[Step]:
    """``steps`` of one scope with a Check wherever the last dim of some conditions has been made."""
    waiting = list(conditions)
    makers = [set(made_by([step])) for step in steps]
    still: set[Atom] = set().union(*makers)
    out: list[Step] = []
    for made, step in zip((set[Atom](), *makers), (None, *steps), strict=True):
        if step is not None:
            out.append(step)
        still -= made
        due = tuple(c for c in waiting if not c.dims() & still)
        if due:
            out.append(Check(state.unique("check"), due))
            waiting = [c for c in waiting if c not in due]
    return out


def made_by(steps: Sequence[Step]) -> list[Atom]:
    """The dims that ``steps`` make, those of bodies included."""
    out: dict[Atom, None] = {}
    for s in walk_steps(steps):
        if isinstance(s, Extents):
            out.update((a, None) for a, _ in s.made)
        elif isinstance(s, Loop) and s.ran is not None:
            out[s.ran] = None
    return list(out)


def verify(steps: Sequence[Step], ports: Iterable[Port], dims: Sequence[Atom]) -> None:
    """Raises UnsupportedError where an extent is used that no step before it has made."""
    known = set(dims)
    _visit(steps, known)
    for p in ports:
        for d in p.tensor.shape:
            _require(d, known, f"output '{p.name}'", "")


def _visit(steps: Sequence[Step], known: set[Atom]) -> None:
    """``known`` gains the dims that any path through ``steps`` makes."""
    for step, following in zip(steps, (*steps[1:], None), strict=True):
        counts = isinstance(step, LibraryCall) and isinstance(following, Extents)  # its results are as large as it finds
        after = {*known, *(a for a, _ in following.made)} if counts and isinstance(following, Extents) else known
        for d in _extents(step):
            _require(d, after, step.name, step.origin)
        for c in step.conditions if isinstance(step, Check) else ():
            _require(c.value, after, f"a check ({c})", step.origin)
        if isinstance(step, Extents):
            known.update(a for a, _ in step.made)
        elif isinstance(step, If):
            sides = [set(known), set(known)]
            _visit(step.then_steps, sides[0])
            _visit(step.else_steps, sides[1])
            known.update(sides[0] & sides[1])
        elif isinstance(step, Loop):
            known.update([step.ran] if step.ran is not None else [])
            _visit(step.body, known)  # after no trips a dim is 0


def _require(d: Dim, known: Set[Atom], what: str, origin: str) -> None:
    if not isinstance(d, int) and not only_of(d, known):
        raise UnsupportedError(f"an extent of {what}, {d}, is needed before it is known", node=origin,
                               hint="models whose shapes follow from those of their inputs compile")


def _extents(step: Step) -> Iterator[Dim]:
    """Extents a step is made of."""
    if isinstance(step, Take):
        yield step.size
        return
    for t in (*reads(step), *writes(step)):
        yield from t.shape
    if isinstance(step, LoopNest):
        yield from (d for t in step.temps for d in t.shape)
    elif isinstance(step, KernelCall):
        yield from (d for t in step.epilogue.tensors.values() for d in t.shape)
    elif isinstance(step, Loop) and not isinstance(step.trips, Tensor):
        yield step.trips
