# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The planning stage: a Program with everything decided that its text needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from aotgen.ir.program import Buffer, Program, Step
from aotgen.plan import alone, barriers, inplace, memory, order, texts, weights
from aotgen.plan.liveness import accesses
from aotgen.plan.memory import MemoryPlan
from aotgen.plan.shares import ALL, Share
from aotgen.plan.texts import TextsPlan
from aotgen.plan.weights import WeightsPlan


@dataclass(frozen=True, slots=True)
class Planned:
    """``program``: steps in their final order, buffers merged where a result takes over a dying operand.
    ``barriers``: for each step the reason why every thread must wait before it, absent where none need wait.
    ``shares``: how threads share a step, absent where any near-equal runs will do. ``slots``: the buffers that a run takes
    from its pool, numbered."""

    program: Program
    memory: MemoryPlan
    weights: WeightsPlan
    texts: TextsPlan
    barriers: Mapping[Step, str]
    slots: Mapping[Buffer, int]
    shares: Mapping[Step, Share] = field(default_factory=dict)

    def share(self, step: Step) -> Share:
        """How threads share ``step``."""
        return self.shares.get(step, ALL)


def plan(program: Program) -> Planned:
    """Order, in-place reuse, arena, weights, and how threads share the steps of ``program``. Deterministic."""
    program = order.reorder(program)
    program = inplace.take_over(program)
    arena = memory.plan_memory(program)
    known: barriers.Known = {}
    shared = barriers.plan_barriers(program, arena, known=known)
    small = alone.choose(program, shared.barriers)
    if small:
        shared = barriers.plan_barriers(program, arena, small, known)
    used = dict.fromkeys(b for s in program.steps for part in accesses(s) for b in part)
    ports = dict.fromkeys(p.tensor.buffer for p in (*program.inputs, *program.outputs))
    slots = {b: k for k, b in enumerate(b for b in {**used, **ports} if b.place == "pool")}
    constants = weights.plan_weights(program), texts.plan_texts(program)
    return Planned(program, arena, *constants, shared.barriers, slots, shared.shares)
