# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Results that take over the buffer of an operand that dies in the same step.

Allowed when every load of the operand's buffer is at exactly the element offset the result is stored at, in the same
stage, at or before the store: each element is then read for the last time just before it is replaced, whatever the
thread or vector lane. The two buffers become one Buffer in the Program, so the printer sees one pointer and promises no
``__restrict`` that would be false.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from aotgen.ir.define import Def
from aotgen.ir.expr import loads_of
from aotgen.ir.index import Atom, Ix
from aotgen.ir.program import (
    Buffer,
    Check,
    Copy,
    Epilogue,
    Extents,
    Fill,
    If,
    KernelCall,
    LibraryCall,
    Loop,
    LoopNest,
    Program,
    Refuse,
    Step,
    Stmt,
    Swap,
    Take,
    Tensor,
    reads,
    writes,
)
from aotgen.plan.liveness import live_ranges

Pair = tuple[Buffer, Buffer]
Points = tuple[Sequence[Atom], Sequence[Atom], Sequence[Stmt]]  # loops, those of them that fold, statements


def take_over(program: Program) -> Program:
    """``program`` with results moved into dying operands wherever that is safe."""
    fixed = {t.buffer for s in program.walk() if isinstance(s, Loop) for pair in s.carried for t in pair}
    for _ in range(8):  # a chain x -> y -> z merges pairwise, halving each time
        spans = live_ranges(program)
        renamed: dict[Buffer, Buffer] = {}
        for step in program.walk():
            for old, new in _candidates(step):
                if (
                    old in spans
                    and new in spans
                    and spans[old][1] == spans[new][0]
                    and not ({old, new} & (fixed | renamed.keys() | set(renamed.values())))
                ):
                    renamed[new] = old
        if not renamed:
            return program
        program = _rename(program, renamed)
    return program


def _candidates(step: Step) -> Iterator[Pair]:
    """(operand, result) buffer pairs of a step that may become one."""
    if isinstance(step, LoopNest):
        stages: Sequence[Points] = [((*step.outer, *s.loops), s.folds, s.stmts) for s in step.stages]
        tensors = step.tensors
        outside: set[Buffer] = set()
    elif isinstance(step, KernelCall):
        stages, tensors = [(step.epilogue.axes, (), step.epilogue.stmts)], step.epilogue.tensors
        outside = {t.buffer for t in step.operands}
    else:
        return
    stored = [t.buffer for t in writes(step)]
    for result in dict.fromkeys(stored):
        for operand in dict.fromkeys(t.buffer for t in reads(step)):
            if (
                operand is not result
                and operand not in outside
                and operand not in stored
                and _same_storage(operand, result)
                and _same_offsets(stages, tensors, operand, result)
            ):
                yield operand, result


def _same_storage(a: Buffer, b: Buffer) -> bool:
    return a.place == b.place == "workspace" and a.dtype is b.dtype and a.size == b.size and a.align == b.align


def _same_offsets(stages: Sequence[Points], tensors: Mapping[Def, Tensor], operand: Buffer, result: Buffer) -> bool:
    """Is every load of ``operand`` at the offset of the one store to ``result``, in its stage, not after it?"""
    stores = [
        (k, n, s)
        for k, (_, _, stmts) in enumerate(stages)
        for n, s in enumerate(stmts)
        if s.target in tensors and tensors[s.target].buffer is result
    ]
    if len(stores) != 1:
        return False
    at_stage, at_stmt, store = stores[0]
    loops, folds, _ = stages[at_stage]
    where: Ix = tensors[store.target].offset(store.index)
    once = all(v.ext == 1 or v in where.vars() for v in loops)  # no point stores where another does
    if folds or not once or any(a.kind == "ind" for a in where.walk()):
        return False
    for k, (_, _, stmts) in enumerate(stages):
        for n, stmt in enumerate(stmts):
            for load in loads_of(stmt.value):
                d, idx = load.attr
                if d not in tensors or tensors[d].buffer is not operand:
                    continue
                if k != at_stage or n > at_stmt or tensors[d].offset(idx) != where:
                    return False
    return True


# ---------------------------------------------------------------------------------------------------- renaming


def _rename(program: Program, renamed: Mapping[Buffer, Buffer]) -> Program:
    return replace(program, steps=tuple(_renamed(s, renamed) for s in program.steps))


def _tensor(t: Tensor, renamed: Mapping[Buffer, Buffer]) -> Tensor:
    return replace(t, buffer=renamed[t.buffer]) if t.buffer in renamed else t


def _renamed(step: Step, renamed: Mapping[Buffer, Buffer]) -> Step:
    def one(t: Tensor) -> Tensor:
        return _tensor(t, renamed)

    def maybe(t: Tensor | None) -> Tensor | None:
        return None if t is None else one(t)

    def body(steps: Sequence[Step]) -> tuple[Step, ...]:
        return tuple(_renamed(s, renamed) for s in steps)

    if isinstance(step, LoopNest):
        return replace(step, tensors={d: one(t) for d, t in step.tensors.items()})
    if isinstance(step, KernelCall):
        epilogue: Epilogue = replace(step.epilogue, tensors={d: one(t) for d, t in step.epilogue.tensors.items()})
        return replace(step, operands=tuple(map(one, step.operands)), epilogue=epilogue)
    if isinstance(step, LibraryCall):
        return replace(
            step,
            inputs=tuple(map(one, step.inputs)),
            outputs=tuple(map(one, step.outputs)),
            scratch=maybe(step.scratch),
        )
    if isinstance(step, Extents):
        return replace(step, made=tuple((a, one(t) if isinstance(t, Tensor) else t) for a, t in step.made))
    if isinstance(step, Fill):
        return replace(step, tensor=one(step.tensor))
    if isinstance(step, Copy):
        return replace(step, dst=one(step.dst), src=one(step.src))
    if isinstance(step, If):
        return replace(step, cond=one(step.cond), then_steps=body(step.then_steps), else_steps=body(step.else_steps))
    if isinstance(step, (Refuse, Check, Take, Swap)):  # only buffers of the workspace are renamed
        return step
    trips = one(step.trips) if isinstance(step.trips, Tensor) else step.trips
    return replace(
        step,
        trips=trips,
        cond=maybe(step.cond),
        counter=maybe(step.counter),
        body=body(step.body),
        carried=tuple((one(a), one(b)) for a, b in step.carried),
    )
