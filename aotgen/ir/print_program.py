# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Text of a Program: buffers, then one block a step, every loop and statement of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from aotgen.ir.define import Def
from aotgen.ir.expr import E
from aotgen.ir.index import ix
from aotgen.ir.program import (
    Buffer,
    Check,
    Copy,
    Extents,
    Fill,
    If,
    KernelCall,
    LibraryCall,
    Loop,
    LoopNest,
    Program,
    Refuse,
    Stage,
    Step,
    Stmt,
    Swap,
    Take,
    Tensor,
    reads,
    writes,
)

INFIX = {"add": "+", "sub": "-", "mul": "*", "div": "/", "lt": "<", "le": "<=", "eq": "==", "and": "and", "or": "or"}


def print_program(program: Program) -> str:
    """The whole Program. Deterministic: the same Program gives the same text."""
    text = _Text()
    text.add(f"program {program.name}({', '.join(map(str, program.dims))})")
    ports = [("input", program.inputs), ("output", program.outputs)]
    text.lines += [f"  {kind} {p.name}: {_tensor(p.tensor)}" for kind, rows in ports for p in rows]
    text.lines += [f"  buffer {_buffer(b)}" for b in _buffers(program)]
    text.steps(program.steps)
    return "\n".join(text.lines)


def _buffers(program: Program) -> Iterable[Buffer]:
    return dict.fromkeys(t.buffer for s in program.walk() for t in (*reads(s), *writes(s)))


def _buffer(b: Buffer) -> str:
    return f"{b.name}: {b.dtype} x {b.size}, {b.place}"


def _dims(values: Iterable[object]) -> str:
    return ",".join(map(str, values))


def _tensor(t: Tensor) -> str:
    """``r f32[1,16,32,32] strides (18496,18496,544,16) at 560 block 16 of axis 1 halo (1,1) of axis 2``."""
    lay = t.layout
    at = ix(lay.base) + t.base
    parts = [f"{t.buffer.name} {t.dtype}[{_dims(t.shape)}]"]
    if not lay.is_row_major or t.base != 0:
        parts.append(f"strides ({_dims(lay.strides)}) at {at}")
    if lay.block_axis >= 0:
        parts.append(f"block {lay.block} of axis {lay.block_axis}")
    parts += [f"halo ({b},{a}) of axis {k}" for k, (b, a) in enumerate(lay.halo) if b or a]
    return " ".join(parts)


@dataclass(slots=True)
class _Text:
    """Lines written so far, and the names given to Defs that have none."""

    lines: list[str] = field(default_factory=list)
    names: dict[Def, str] = field(default_factory=dict)

    def add(self, text: str, depth: int = 0) -> None:
        self.lines.append("  " * depth + text)

    def steps(self, steps: Sequence[Step], depth: int = 1) -> None:
        for step in steps:
            self._step(step, depth)

    def _step(self, step: Step, depth: int) -> None:
        origin = f"  # {step.origin}" if step.origin else ""
        if isinstance(step, LoopNest):
            self._nest(step, depth, origin)
        elif isinstance(step, KernelCall):
            self._kernel(step, depth, origin)
        elif isinstance(step, Fill):
            self.add(f"fill {step.name}: halo of {_tensor(step.tensor)}{origin}", depth)
        elif isinstance(step, Copy):
            self.add(f"copy {step.name}: {_tensor(step.dst)} = {_tensor(step.src)}{origin}", depth)
        elif isinstance(step, LibraryCall):
            self.add(f"library {step.function} {step.name}{origin}", depth)
            for word, tensors in (("in", step.inputs), ("out", step.outputs)):
                self._tensors(word, tensors, depth + 1)
            self.add(" ".join(f"{k}={v}" for k, v in step.params), depth + 1)
        elif isinstance(step, Refuse):
            self.add(f"refuse {step.name}: {step.why}{origin}", depth)
        elif isinstance(step, Extents):
            values = (f"{a} = {_tensor(v) if isinstance(v, Tensor) else v}" for a, v in step.made)
            self.add(f"extents {step.name}: {', '.join(values)}{origin}", depth)
        elif isinstance(step, Check):
            self.add(f"check {step.name}: {' and '.join(map(str, step.conditions))}{origin}", depth)
        elif isinstance(step, Take):
            self.add(f"take {step.name}: {step.size} of {step.tensor.buffer.name}{', kept' if step.keep else ''}{origin}", depth)
        elif isinstance(step, Swap):
            self.add(f"swap {step.name}: {step.a.buffer.name} and {step.b.buffer.name}{origin}", depth)
        else:
            self._region(step, depth, origin)

    def _region(self, step: If | Loop, depth: int, origin: str) -> None:
        if isinstance(step, If):
            self.add(f"if {step.name} on {_tensor(step.cond)}{origin}", depth)
            self.steps(step.then_steps, depth + 1)
            self.add("else", depth)
            self.steps(step.else_steps, depth + 1)
            return
        trips = _tensor(step.trips) if isinstance(step.trips, Tensor) else step.trips
        also = f" while {_tensor(step.cond)}" if step.cond is not None else ""
        self.add(f"loop {step.name}, at most {trips} trips{also}{origin}", depth)
        self.steps(step.body, depth + 1)

    def _tensors(self, word: str, tensors: Iterable[Tensor], depth: int) -> None:
        for t in tensors:
            self.add(f"{word} {_tensor(t)}", depth)

    def _kernel(self, step: KernelCall, depth: int, origin: str) -> None:
        self.add(f"kernel {step.function} {step.name} ({step.header}){origin}", depth)
        self.add("desc " + " ".join(f"{k}={v}" for k, v in step.desc), depth + 1)
        self.add("tile " + " ".join(f"{k}={'x'.join(map(str, v))}" for k, v in step.tiles.items()), depth + 1)
        self._tensors("in", step.operands, depth + 1)
        epilogue = step.epilogue
        self.names[epilogue.acc] = "acc"
        self.add(f"epilogue over {_dims(epilogue.axes)}", depth + 1)
        for s in epilogue.stmts:
            self._stmt(s, epilogue.tensors, depth + 2)

    def _nest(self, step: LoopNest, depth: int, origin: str) -> None:
        loops = " ".join(f"{v}<{v.ext}" for v in step.outer)
        self.add(f"nest {step.name}" + (f" for {loops}" if loops else "") + origin, depth)
        for d in step.temps:
            self.add(f"temp {self._name(d)}: {d.dtype}[{_dims(d.shape)}]", depth + 1)
        for stage in step.stages:
            self._stage(stage, step.tensors, depth + 1)

    def _stage(self, stage: Stage, tensors: Mapping[Def, Tensor], depth: int) -> None:
        loops = []
        for v in stage.loops:
            bound = stage.bound(v)
            end = "?" if v.ext is None else str(ix(v.lo or 0) + v.ext)
            low = f"max({_dims([v.lo, *bound.lows])})<=" if bound.lows else ""
            high = f"min({_dims([end, *bound.highs])})" if bound.highs else end
            role = " fold" if v in stage.folds else ""
            loops.append(f"{low}{v}<{high}{role}{' lane' if v is stage.lane else ''}")
        condition = f" if {self._expr(stage.cond)}" if stage.cond is not None else ""
        self.add("stage" + (f" for {', '.join(loops)}" if loops else "") + condition, depth)
        for s in stage.stmts:
            self._stmt(s, tensors, depth + 1)

    def _stmt(self, s: Stmt, tensors: Mapping[Def, Tensor], depth: int) -> None:
        stored = tensors.get(s.target)
        into = f"{stored.buffer.name if stored else self._name(s.target)}[{_dims(s.index)}]"
        how = f"{s.red}{' ' + s.fold if s.fold else ''} " if s.red else ""
        where = f" at {s.position}" if s.position is not None else ""
        self.add(f"{into} = {how}{self._expr(s.value)}{where}", depth)

    def _name(self, d: Def) -> str:
        return self.names.setdefault(d, d.name or f"t{len(self.names)}")

    def _expr(self, e: E) -> str:
        """Infix where an operator has a sign. Shared subexpressions are written out: this is for reading."""
        if e.op == "load":
            return f"{self._name(e.attr[0])}[{_dims(e.attr[1])}]"
        if e.op in ("const", "ix", "ge0"):
            return repr(e)
        args = [self._expr(a) for a in e.args]
        if e.op in INFIX and len(args) == 2:
            return f"({args[0]} {INFIX[e.op]} {args[1]})"
        name = f"{e.op}<{e.attr}>" if e.attr is not None else e.op
        return f"{name}({', '.join(args)})"
