# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A nest made ready for printing by any target: ``prepare`` is the order, each step is LoopNest -> LoopNest.

split (divisions vanish) -> order (large strides outside) -> collapse (neighbouring loops merge) -> unroll (rows of
a few points become straight code) -> orient (which loop is the vector; an outer one is sunk into every stage) -> clip (guarded
reductions get tighter bounds) -> segment (the vector loop is cut, and stages are made conditional, where a guard changes) ->
tidy. Rows that may turn out short are prepared both ways. Every question is put to the index simplifier.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from aotgen.ir.program import LoopNest, Stage
from aotgen.lower.loops import collapse, order, split
from aotgen.lower.orient import orient
from aotgen.lower.segment import clip, segment
from aotgen.lower.short_rows import by_rows, short_rows
from aotgen.lower.unroll import written_out


def prepare(nest: LoopNest, simd_min: int = 16) -> LoopNest:
    """The nest as it is printed: see ``ir.program.Stage`` for what a printer may assume of it. ``simd_min``: the shortest
    loop worth a vector."""
    for step in (split, order, collapse, written_out):
        nest = step(nest)
    short = short_rows(nest)
    if short is None:
        nest = orient(nest, simd_min)
    else:
        nest, short = by_rows(nest), replace(short, nest=replace(short.nest, stages=_cut(short.nest.stages)))
    return replace(nest, stages=_cut(nest.stages), short=short)


def _cut(stages: Sequence[Stage]) -> tuple[Stage, ...]:
    return tuple(piece for s in stages for c in clip(s) for piece in segment(c))
