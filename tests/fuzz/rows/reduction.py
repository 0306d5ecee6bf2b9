# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Reductions, ArgMax, ArgMin; Softmax and its kin; running sums."""

from __future__ import annotations

import numpy as np

from tests.fuzz.generator import Gen
from tests.fuzz.rows import add
from tests.fuzz.values import FLOATS, Var

WIDE = (*FLOATS, "int32", "int64")
# What it takes, and below what its operand must not lie.
KINDS: dict[str, tuple[tuple[str, ...], float | None]] = {
    "ReduceSum": (WIDE, None), "ReduceMean": (WIDE, None), "ReduceProd": (WIDE, None), "ReduceMax": ((*WIDE, "int8", "uint8", "bool"), None),
    "ReduceMin": ((*WIDE, "int8", "uint8", "bool"), None), "ReduceL1": (WIDE, None), "ReduceL2": (WIDE, None), "ReduceSumSquare": (WIDE, None),
    "ReduceLogSum": (FLOATS, 0.3), "ReduceLogSumExp": (FLOATS, None),
}
POWERS = ("ReduceProd", "ReduceSumSquare")
TRUNCATED = ("ReduceMean", "ReduceL2")


def reduce(g: Gen, op: str) -> None:
    types, low = KINDS[op]
    x = g.any(types, (0, 4), low=low, high=8 if op == "ReduceProd" else None)
    g.need(x.is_float or op not in POWERS or x.scale < 1000, "an overflow, which onnxruntime lets saturate")
    g.need(op != "ReduceProd" or x.is_float or all(np.log2(np.maximum(np.abs(a), 1)).sum() < 8 * a.itemsize - 4 for a in x.wide), "an overflow")
    g.need(op not in TRUNCATED or x.is_float, "integers rounded this way or that")
    axes = g.some(x.rank, 1) if x.rank else []
    ins: list[Var] = [x]
    if axes and g.chance(0.85):
        g.rnd.shuffle(axes)
        ins.append(g.ints(*(g.signed(a, x.rank) for a in axes)))
        rest: dict[str, int] = {}
    else:
        rest = {"noop_with_empty_axes": g.int(0, 1)} if g.chance(0.3) else {}
    g.need(g.settings.hostile or x.size > 0, "nothing to reduce")
    g.node(op, ins, keepdims=g.int(0, 1), exact=op in ("ReduceMax", "ReduceMin"), **rest)


for _name in KINDS:
    add(_name, __name__, lambda g, op=_name: reduce(g, op))  # type: ignore[misc]

for _name in ("ArgMax", "ArgMin"):

    def _arg(g: Gen, op: str = _name) -> None:
        x = g.any((*FLOATS, "int32", "int8", "uint8"), (1, 4))
        axis = g.int(0, x.rank - 1)
        g.need(x.least(axis) > 0, "nothing to compare")
        g.ranked(x, axis)
        g.node(op, [x], axis=g.signed(axis, x.rank), keepdims=g.int(0, 1), select_last_index=g.int(0, 1))

    add(_name, __name__, _arg)
