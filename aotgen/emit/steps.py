# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Steps to statements of ``run``: one comment and one call each, and the functions, descriptors and functors they need.

Kernels that print the same text are one function, whatever layer they came from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from aotgen.core import dtypes
from aotgen.core.errors import InternalError
from aotgen.emit import dims as dims_text
from aotgen.emit.epilogue import print_epilogue
from aotgen.emit.interface import literal, shape_text
from aotgen.emit.loops import print_nest
from aotgen.emit.names import member, sanitize
from aotgen.emit.storage import Storage
from aotgen.emit.text import Text, clean_comment
from aotgen.ir import index
from aotgen.ir.bounds import bound
from aotgen.ir.index import Dim
from aotgen.ir.program import (
    Check,
    Copy,
    Extents,
    Fill,
    If,
    KernelCall,
    LibraryCall,
    Loop,
    LoopNest,
    Refuse,
    Step,
    Swap,
    Take,
    Tensor,
    reads,
    writes,
)
from aotgen.plan import halo
from aotgen.plan.barriers import waits_each_trip
from aotgen.targets.base import Dialect, Isa

COPY_QUANTUM = 1024  # elements: threads that copy neighbouring runs share few cache lines


class StepWriter:
    """Writes the steps of one unit. ``kernels`` collects the functions, ``headers`` what they include; ``scratch``: bytes
    per thread that each call wants, by which the workspace grows."""

    def __init__(self, storage: Storage, dialect: Dialect, isa: Isa | None) -> None:
        self.storage, self.dialect, self.isa = storage, dialect, isa
        self.kernels = Text()
        self.headers: dict[str, None] = dict.fromkeys(dialect.includes)
        self.functions: dict[str, str] = {}
        self.scratch: list[Dim] = []
        self._taken: dict[str, int] = {}
        self._alone = False  # is what is being written inside `if (tid == 0)`?
        self._pointers = frozenset(storage.names.values())
        self._number = 0
        self._total = sum(1 for _ in storage.planned.program.walk())

    def write(self, steps: Sequence[Step], text: Text) -> None:
        """Every step of ``steps``, those of regions inside."""
        by_type: dict[type, Callable[[Any, Text], None]] = {
            LoopNest: self._nest,
            KernelCall: self._kernel,
            LibraryCall: self._library,
            Fill: self._fill,
            Copy: self._copy,
            Extents: self._extents,
            Check: self._check,
            Take: self._take,
            Swap: self._swap,
            If: self._if,
            Loop: self._loop,
            Refuse: self._refuse,
        }
        body: Text | None = None  # where steps of thread 0 alone go, while they follow each other
        for step in steps:
            why = self.storage.planned.barriers.get(step)
            if why:
                text.raw(f"barrier.wait(nt);  // {clean_comment(why)}")
            alone = not self._alone and self.storage.planned.share(step).alone
            if not alone:
                body = None
            elif body is None or why:
                body = text.block("if (tid == 0)")
            self._alone = self._alone or alone
            self._number += 1
            to = body or text
            to.comment(self.title(step))
            by_type[type(step)](step, to)
            self._alone = self._alone and not alone

    @property
    def _team(self) -> tuple[str, str]:
        """Which thread of how many a call is told it is."""
        return ("0", "1") if self._alone else ("tid", "nt")

    def title(self, step: Step) -> str:
        """``[12/49] conv3x3+relu  /layer1/0/conv1   f32[1,64,56,56] -> f32[1,64,56,56]   231 MFLOP``."""
        words = [f"[{self._number}/{self._total}] {step.name}"]
        if step.origin and step.origin != step.name:
            words.append(step.origin)
        io = [
            ", ".join(dict.fromkeys(f"{t.dtype}[{shape_text(t.shape)}]" for t in tensors if t.buffer.place != "const"))
            for tensors in (reads(step), writes(step))
        ]
        if any(io):
            words.append(" -> ".join(part or "constants" for part in io) if io[1] else io[0])
        if isinstance(step, KernelCall) and isinstance(step.flops, int) and step.flops:
            words.append(flops_text(step.flops))
        return "  ".join(words)

    def _function(self, key: str, stem: str, text: Callable[[str], Text]) -> str:
        """The name of the function or struct with this text, written at its first use."""
        name = self.functions.get(key)
        if name is None:
            stem = sanitize(stem, "k")
            name = ""
            while not name or name in self._pointers:  # a pointer of `run` would hide the function
                n = self._taken[stem] = self._taken.get(stem, 0) + 1
                name = f"{stem}_{n}"
            self.functions[key] = name
            self.kernels.add(text(name)).line()
        return name

    # -- leaves
    def _nest(self, step: LoopNest, text: Text) -> None:
        total = index.prod_dims(v.ext for v in step.outer if v.ext is not None)
        quantum = self.storage.planned.share(step).quantum(total)
        short = step.short
        if short is not None and all(s.turns for s in self.dialect.schedules):
            test = " && ".join(map(dims_text.condition, short.conditions))
            turned = text.block(f"if ({test})").comment("rows too short for vectors, side by side")
            self._loops(replace(short.nest, tensors=step.tensors), quantum, turned)
            text = text.clause("else")
        self._loops(step, quantum, text)

    def _loops(self, nest: LoopNest, quantum: Dim, text: Text) -> None:
        printed = print_nest(nest, self.dialect, quantum)
        self.headers.update(dict.fromkeys(printed.includes))
        name = self._function(printed.key, _stem(nest.name, "loops"), printed.text)
        args = ["d"] if printed.dims else []
        args += [self.storage.at_base(t) for t, _, _ in printed.params]
        if printed.scratch != 0:
            self.scratch.append(self._most(printed.scratch))
            # Threads may stand in different steps: each keeps to its own part of the largest scratch.
            args.append(f"scratch + tid * (f.scratch_stride - {dims_text.spell(printed.scratch)})")
        text.line(printed.launch(name, args, self._team))

    def _kernel(self, step: KernelCall, text: Text) -> None:
        functor = print_epilogue(step.epilogue, self.dialect)
        self.headers.update(dict.fromkeys((*functor.includes, step.header)))
        epi = self._function(functor.key, f"epi_{step.function}", functor.text)
        rows = (*step.desc, *self._parts(step))
        desc = self._function(f"desc {rows}", f"desc_{step.function}", lambda name: descriptor(name, rows))
        given = ["d"] if functor.dims else []
        given += [self.storage.at_base(t) for t, _, _ in functor.params]
        open_rows = [f"{dims_text.spell(v)}" for _, v in rows if not isinstance(v, int)]
        args = [
            f"{desc}{{{', '.join(open_rows)}}}",
            *map(self.storage.at_origin, step.operands),
            f"{epi}{{{', '.join(given)}}}",
            *self._team,
        ]
        template = ", ".join([desc, *map(str, self._tile(step))])
        text.line(f"{step.function}<{template}>({', '.join(args)});")

    def _parts(self, step: Step) -> tuple[tuple[str, Dim], ...]:
        """The row of a descriptor that keeps parts of a step whole."""
        parts = self.storage.planned.share(step).parts
        return () if parts == 0 else (("parts", parts),)

    def _tile(self, step: KernelCall) -> tuple[int, ...]:
        tile = step.tiles.get(self.isa.name) if self.isa else next(iter(step.tiles.values()), ())
        if tile is None:
            raise InternalError(f"{step.function} has no tile for {self.isa}", node=step.origin)
        return tile

    def _library(self, step: LibraryCall, text: Text) -> None:
        self.headers[step.header] = None
        args = [self.storage.at_origin(t) for t in (*step.inputs, *step.outputs)]
        args += [_argument(v) for _, v in step.params]
        only = "" if self._alone else "tid == 0"
        if any(t.dtype is dtypes.sequence for t in (*step.inputs, *step.outputs)):
            text.line(f"if (tid == 0) {step.function}({', '.join(('pool', *args))});")
        elif step.takes_pool:
            status = f"*f.status = {self.storage.face.name}_status_memory"
            done = f"{step.function}({', '.join((*args, 'pool'))})"
            text.line(f"if ({' && '.join(x for x in (only, f'!{done}') if x)}) {status};")
        elif step.scratch is None:
            text.line(f"{step.function}({', '.join((*args, *self._team))});")
        else:
            args += ["0", "1", self.storage.at_base(step.scratch)]
            text.line(f"{f'if ({only}) ' if only else ''}{step.function}({', '.join(args)});")

    # -- dims and memory that only a run knows; every thread has its own copy of dims and pointers
    def _extents(self, step: Extents, text: Text) -> None:
        """All values first: one may be made of another's old value."""
        body, tests = text.block(), []
        for k, (a, value) in enumerate(step.made):
            spelled = self.storage.scalar(value) if isinstance(value, Tensor) else dims_text.spell(value)
            body.line(f"const int64_t n{k} = {spelled};")
            low = index.as_dim(a.lo if a.lo is not None else 0)
            highs = [h for h in (a.hi, dims_text.LARGEST_DIM) if h is not None][: 1 if isinstance(a.hi, int) else 2]
            tests += [f"n{k} < {dims_text.spell(low)}", *(f"n{k} > {dims_text.spell(h)}" for h in highs)]
        self._end_run(body.block(f"if ({' || '.join(tests)})"), "extent")
        for k, (a, _) in enumerate(step.made):
            body.line(f"d.{member(a.name)} = static_cast<int>(n{k});")

    def _check(self, step: Check, text: Text) -> None:
        for c in step.conditions:
            wrong = text.block(f"if (!({dims_text.condition(c)}))")
            wrong.comment(clean_comment(str(c)))
            self._end_run(wrong, "dims")

    def _take(self, step: Take, text: Text) -> None:
        t = step.tensor
        slot, name = self.storage.planned.slots[t.buffer], self.storage.names[t.buffer]
        size = index.as_dim(index.ix(step.size) * t.dtype.bytes)
        spelled = dims_text.spell(size)
        if not isinstance(size, int):
            spelled = f"{dims_text.rough(size)} > 1e15 ? -1 : {spelled}"
        text.line(f"if (tid == 0) {'grow' if step.keep else 'hold'}(pool, {slot}, {spelled});")
        text.raw("barrier.wait(nt);  // the pool has made room")
        text.line(f"{name} = static_cast<{t.dtype.c}*>(pool.slots[{slot}].data);")
        self._end_run(text.block(f"if ({name} == nullptr)"), "memory")

    def _swap(self, step: Swap, text: Text) -> None:
        buffers = step.a.buffer, step.b.buffer
        a, b = (self.storage.names[x] for x in buffers)
        i, j = (self.storage.planned.slots[x] for x in buffers)
        if step.a.dtype is dtypes.sequence:
            text.line(f"if (tid == 0) swap_slots(pool, {i}, {j});")
            return
        body = text.block()
        body.line(f"{step.a.dtype.c}* const was = {a};")
        body.line(f"{a} = {b};")
        body.line(f"{b} = was;")
        body.line(f"if (tid == 0) swap_slots(pool, {i}, {j});")

    def _end_run(self, text: Text, status: str) -> None:
        """Every thread leaves; the first says why."""
        text.line(f"if (tid == 0) *f.status = {self.storage.face.name}_status_{status};")
        text.line("return;")

    def _most(self, size: Dim) -> Dim:
        """The largest ``size`` with the extents that steps make."""
        data = self.storage.planned.program.data_dims
        most = bound(size, data) if data else size
        if most is None:
            raise InternalError(f"{size} has no bound")
        return most

    def _fill(self, step: Fill, text: Text) -> None:
        self.headers["cpu/halo.h"] = None
        rows = halo.rows(step)
        named = (*rows.desc, *self._parts(step))
        desc = self._function(f"desc {named}", "desc_halo", lambda name: descriptor(name, named))
        body = text
        at: list[str] = [self.storage.at_origin(step.tensor)]
        for n, (extent, stride) in enumerate(rows.outer):
            body = body.block(f"for (int64_t i{n} = 0; i{n} < {dims_text.spell(extent)}; ++i{n})")
            at.append(f"i{n} * {dims_text.spell(stride)}")
        given = ", ".join(dims_text.spell(v) for _, v in named if not isinstance(v, int))
        t = step.tensor.dtype
        value = self.dialect.store(t, self.dialect.literal(_fill_value(step), t.compute))
        call = f"{desc}{{{given}}}, {' + '.join(at)}, static_cast<{t.c}>({value}), {', '.join(self._team)}"
        body.line(f"fill_halo({call});")

    def _copy(self, step: Copy, text: Text) -> None:
        dst, src = self.storage.at_base(step.dst), self.storage.at_base(step.src)
        elements = step.dst.layout.size
        size = index.as_dim(index.ix(elements) * step.dst.dtype.bytes)
        if step.dst.dtype is dtypes.sequence:
            text.line(f"if (tid == 0) sequence_copy(pool, {src}, {dst});")
            self.headers["sequence.h"] = None
        elif dst == src:
            text.comment("already there")
        elif self._alone:
            spelled = dims_text.spell(size)
            text.line(f"__builtin_memmove({dst}, {src}, {spelled if isinstance(size, int) else f'static_cast<size_t>({spelled})'});")
        else:
            share = self.storage.planned.share(step)
            quantum = dims_text.spell(share.quantum(elements)) if share.parts != 0 else COPY_QUANTUM
            body = text.block()
            body.line(f"const Range mine = share({dims_text.spell(elements)}, tid, nt, {quantum});")
            each = f"static_cast<size_t>(mine.e - mine.b) * {step.dst.dtype.bytes}"
            body.line(f"__builtin_memcpy({dst} + mine.b, {src} + mine.b, {each});")

    # -- regions
    def _if(self, step: If, text: Text) -> None:
        self.write(step.then_steps, text.block(f"if ({self.storage.scalar(step.cond)} != 0)"))
        if step.else_steps:
            self.write(step.else_steps, text.clause("else"))

    def _loop(self, step: Loop, text: Text) -> None:
        trips = self.storage.scalar(step.trips) if isinstance(step.trips, Tensor) else dims_text.spell(step.trips)
        n = self._number
        outside = text.block()
        outside.line(f"const int64_t trips{n} = {trips};")
        if step.ran is not None:
            outside.line(f"d.{member(step.ran.name)} = 0;")
        body = outside.block(f"for (int64_t trip{n} = 0; trip{n} < trips{n}; ++trip{n})")
        if step.cond is not None:
            body.line(f"if ({self.storage.scalar(step.cond)} == 0) break;")
        if step.ran is not None:
            body.line(f"d.{member(step.ran.name)} = static_cast<int>(trip{n}) + 1;")
        if step.counter is not None:
            body.line(f"if (tid == 0) {self.storage.scalar(step.counter)} = trip{n};")
        if waits_each_trip(step) and not self._alone:
            body.line("barrier.wait(nt);")
        self.write(step.body, body)
        if not self._alone:
            body.line("barrier.wait(nt);")
        for k, (a, b) in enumerate(step.carried):
            if a.buffer is not b.buffer:
                x, y = self.storage.names[a.buffer], self.storage.names[b.buffer]
                body.line(f"{a.dtype.c}* const swap{n}_{k} = {x};")
                body.line(f"{x} = {y};")
                body.line(f"{y} = swap{n}_{k};")


    def _refuse(self, step: Refuse, text: Text) -> None:
        text.comment(clean_comment(step.why))
        text.line(f"if (tid == 0) *f.status = {self.storage.face.name}_status_branch;")


def descriptor(name: str, rows: Sequence[tuple[str, Dim]]) -> Text:
    """``struct name``: fixed extents as types, open ones as members to be given in order."""
    out = Text()
    body = out.block(f"struct {name}", "};")
    for row, value in rows:
        body.line(f"static constexpr Int<{value}> {row}{{}};" if isinstance(value, int) else f"int64_t {row};")
    return out


def flops_text(flops: int) -> str:
    """``231 MFLOP``."""
    for unit, size in (("GFLOP", 10**9), ("MFLOP", 10**6), ("kFLOP", 10**3)):
        if flops >= size:
            return f"{flops / size:.3g} {unit}"
    return f"{flops} FLOP"


def _stem(name: str, fallback: str) -> str:
    """A function name without the number that made a step's name unique."""
    return name.rstrip("0123456789_") or fallback


def _fill_value(step: Fill) -> float | int:
    fill = step.tensor.layout.fill
    return fill if step.tensor.dtype.is_float else int(fill)


def _argument(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return literal(value)
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, (int, index.Ix)):
        return dims_text.spell(value)
    if isinstance(value, (tuple, list)):
        return f"{{{', '.join(map(_argument, value))}}}"
    raise InternalError(f"a library function is passed {value!r}")


def _float(value: float) -> str:
    if value != value:
        return '__builtin_nan("")'
    if abs(value) == float("inf"):
        return "-__builtin_inf()" if value < 0 else "__builtin_inf()"
    return repr(value)
