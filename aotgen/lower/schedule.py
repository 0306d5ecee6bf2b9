# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A nest made ready for printing by any target: ``prepare`` is the order, each step is LoopNest -> LoopNest.

split (divisions vanish) -> order (large strides outside) -> collapse (neighbouring loops merge) -> orient (which loop is
the vector; an outer one is sunk into every stage) -> clip (guarded reductions get tighter bounds) -> segment (the vector loop
is cut, and stages are made conditional, where a guard changes) -> tidy. Every question is put to the index simplifier.
"""

from __future__ import annotations

from dataclasses import replace

from aotgen.ir.program import LoopNest
from aotgen.lower.loops import collapse, order, split
from aotgen.lower.orient import orient
from aotgen.lower.segment import clip, segment


def prepare(nest: LoopNest, simd_min: int = 16) -> LoopNest:
    """The nest as it is printed: see ``ir.program.Stage`` for what a printer may assume of it. ``simd_min``: the shortest
    loop worth a vector."""
    for step in (split, order, collapse):
        nest = step(nest)
    nest = orient(nest, simd_min)
    stages = tuple(piece for s in nest.stages for c in clip(s) for piece in segment(c))
    return replace(nest, stages=stages)
