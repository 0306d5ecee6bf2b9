# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The planning stage: a Program with everything decided that its text needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aotgen.ir.program import Buffer, Program, Step
from aotgen.plan import barriers, inplace, memory, order, weights
from aotgen.plan.liveness import accesses
from aotgen.plan.memory import MemoryPlan
from aotgen.plan.weights import WeightsPlan


@dataclass(frozen=True, slots=True)
class Planned:
    """``program``: steps in their final order, buffers merged where a result takes over a dying operand.
    ``barriers``: for each step the reason why every thread must wait before it, absent where none need wait. ``slots``: the
    buffers that a run takes from its pool, numbered."""

    program: Program
    memory: MemoryPlan
    weights: WeightsPlan
    barriers: Mapping[Step, str]
    slots: Mapping[Buffer, int]


def plan(program: Program) -> Planned:
    """Order, in-place reuse, arena, weights and barriers of ``program``. Deterministic."""
    program = order.reorder(program)
    program = inplace.take_over(program)
    arena = memory.plan_memory(program)
    used = dict.fromkeys(b for s in program.steps for part in accesses(s) for b in part)
    ports = dict.fromkeys(p.tensor.buffer for p in (*program.inputs, *program.outputs))
    slots = {b: k for k, b in enumerate(b for b in {**used, **ports} if b.place == "pool")}
    return Planned(program, arena, weights.plan_weights(program), barriers.plan_barriers(program, arena), slots)
