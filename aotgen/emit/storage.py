# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Where a unit finds its operands: one local pointer per buffer, declared at the top of ``run``.

A pointer stands for a whole buffer, so a view is pointer arithmetic at the call, and the two buffers of a carried pair
are swapped by swapping their pointers.
"""

from __future__ import annotations

from collections.abc import Iterable

from aotgen.core import dtypes
from aotgen.emit.arena import arena
from aotgen.emit.dims import spell
from aotgen.emit.interface import Interface
from aotgen.emit.names import NameTable
from aotgen.emit.text import Text
from aotgen.ir import index
from aotgen.ir.index import Dim
from aotgen.ir.program import Buffer, KernelCall, LibraryCall, Loop, Tensor
from aotgen.plan import Planned
from aotgen.plan.liveness import accesses

# What ``run`` itself and its callees call things.
TAKEN = ("f", "d", "tid", "nt", "barrier", "in", "out", "ws", "weights", "scratch", "run", "mine",
         "fill_halo", "pool")


class Storage:
    """Names and declarations of the pointers of one unit."""

    def __init__(self, planned: Planned, face: Interface) -> None:
        self.planned, self.face, self.arena = planned, face, arena(planned.memory)
        called = {s.function for s in planned.program.walk() if isinstance(s, KernelCall | LibraryCall)}
        table = NameTable((*TAKEN, *sorted(called)))
        steps = planned.program.steps
        used = dict.fromkeys(b for s in steps for part in accesses(s) for b in part)
        self.names: dict[Buffer, str] = {b: table.fresh(b.name) for b in used}
        self.written: set[Buffer] = {b for s in steps for b in accesses(s)[1]}
        self.swapped: set[Buffer] = {  # those whose pointer changes during a run
            t.buffer
            for s in planned.program.walk()
            if isinstance(s, Loop)
            for a, b in s.carried
            if a.buffer is not b.buffer
            for t in (a, b)
        }
        self.swapped.update(planned.slots)
        self._ports = {p.tensor.buffer: f"in.{face.member(p, False)}" for p in planned.program.inputs}
        outputs = [p for p in planned.program.outputs if p.tensor.buffer not in planned.slots]
        self._ports |= {p.tensor.buffer: f"out.{face.member(p, True)}" for p in outputs}

    def declare(self, text: Text, buffers: Iterable[Buffer] | None = None) -> None:
        """A declaration for every buffer used."""
        for b in self.names if buffers is None else buffers:
            if b.dtype is dtypes.sequence:
                continue
            const = "" if b in self.written else "const "
            fixed = "" if b in self.swapped else "const "
            text.line(f"{const}{b.dtype.c}* {fixed}{self.names[b]} = {self._place(b, const)};")

    def _place(self, b: Buffer, const: str) -> str:
        ctype = f"{const}{b.dtype.c}"
        if b in self.planned.texts.offsets:
            return f"{self.face.name}_texts + {self.planned.texts.offsets[b]}"
        if b in self._ports:
            port = self._ports[b]
            return port if b.dtype.port == b.dtype.c else f"reinterpret_cast<{ctype}*>({port})"
        if b.place == "const":
            return f"reinterpret_cast<const {b.dtype.c}*>(weights + {self.planned.weights.offsets[b]})"
        if b.place == "pool":
            return "nullptr"
        memory = self.planned.memory
        where = self.arena.offset(b) if memory.is_open else f" + {memory.offsets[b]}"
        return f"reinterpret_cast<{ctype}*>(ws{where})"

    def pointer(self, t: Tensor, base: Dim) -> str:
        """The buffer of ``t`` plus ``base`` elements."""
        if t.dtype is dtypes.sequence:
            return str(self.planned.slots[t.buffer])
        name = self.names[t.buffer]
        return name if base == 0 else f"{name} + {spell(base)}"

    def at_base(self, t: Tensor) -> str:
        """What a printed kernel is passed: it adds the layout's own base itself."""
        return self.pointer(t, t.base)

    def at_origin(self, t: Tensor) -> str:
        """What a template kernel is passed: the element at logical index 0."""
        return self.pointer(t, index.as_dim(index.ix(t.base) + t.layout.base))

    def scalar(self, t: Tensor) -> str:
        """The value of a scalar tensor."""
        at = index.as_dim(index.ix(t.base) + t.layout.base)
        return f"{self.names[t.buffer]}[{spell(at)}]"
