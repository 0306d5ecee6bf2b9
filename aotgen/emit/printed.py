# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What printing a nest yields: a function, and how it is called."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aotgen.emit.text import Text
from aotgen.ir.index import Atom, Dim
from aotgen.ir.program import Tensor
from aotgen.targets.base import Nest, Schedule


@dataclass(frozen=True, slots=True)
class PrintedKernel:
    """One function. ``text(name)`` is its definition, ``key`` equal for nests that print the same code.

    ``params``: the pointers to pass, in order, as (operand, C type of an element, is it only read); each pointer is the
    operand's buffer plus ``Tensor.base`` elements. ``dims``: open dims used; when there are any, the first
    argument is the ``Dims`` struct. ``scratch``: bytes per thread of a ``void*`` argument after the pointers
    (0: no such argument). ``includes``: kernel headers. ``vector_loops``: lane loops that were promised to
    vectorise. ``launch(name, args, team)`` is the statement that runs it, ``args`` being the spelled arguments in order, as
    thread ``team[0]`` of ``team[1]``.
    """

    key: str
    params: tuple[tuple[Tensor, str, bool], ...]
    dims: tuple[Atom, ...]
    scratch: Dim
    includes: tuple[str, ...]
    vector_loops: int
    schedule: Schedule
    signature: tuple[str, ...]
    body: Text
    facts: Nest
    total: str
    uses_thread: bool

    def text(self, name: str) -> Text:
        """The whole function."""
        out = Text()
        out.block(self.schedule.signature(name, self.signature, self.uses_thread)).add(self.body)
        return out

    def launch(self, name: str, args: Sequence[str], team: tuple[str, str] = ("tid", "nt")) -> str:
        return self.schedule.launch(name, args, self.facts, self.total, team)
