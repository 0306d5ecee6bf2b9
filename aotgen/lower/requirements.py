# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What open dims must satisfy for a Program to run: the facts lowering assumed, and that no extent is negative."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set

from aotgen.core.errors import UnsupportedError
from aotgen.ir.facts import Condition, needed_by, needed_to_divide
from aotgen.ir.index import Atom, Dim, Ix
from aotgen.ir.program import KernelCall, Loop, LoopNest, Port, Step, Tensor, reads, walk_steps, writes


def conditions(steps: Sequence[Step], ports: Iterable[Port], assumed: Iterable[Condition], dims: Sequence[Atom],
               ) -> tuple[Condition, ...]:
    """Each condition once, those on sizes first: the assumed ones may divide by what they keep positive.
    Raises UnsupportedError where an extent is known only when a step has run."""
    known = set(dims)
    extents = [d for p in ports for d in p.tensor.shape]
    for step in walk_steps(steps):
        for d in _extents(step):
            if not isinstance(d, int) and not _only_of(d, known):
                raise UnsupportedError(f"an extent of {step.name}, {d}, depends on input data", node=step.origin,
                                       hint="models whose shapes follow from those of their inputs compile")
            extents.append(d)
    found = needed_by(extents)
    for c in assumed:
        found.update(needed_to_divide(c.value))
        found[c] = None
    return tuple(c for c in found if _only_of(c.value, known))


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
