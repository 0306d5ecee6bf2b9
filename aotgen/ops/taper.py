# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""HannWindow, HammingWindow and BlackmanWindow: sums of cosines, one row of coefficients each.

The standard's bodies compute in float32; here it is float64, rounded once: an integer window truncates, and what
is exactly 1 must not come out as the float32 below it.
"""

from __future__ import annotations

from math import pi

from aotgen.core import dtypes
from aotgen.ir.graph import Value
from aotgen.ops.builder import Builder
from aotgen.ops.registry import Ctx, expansion
from aotgen.ops.shorthand import Sub

# a0 - a1 cos(t) + a2 cos(2t)
COEFFICIENTS: dict[str, tuple[float, ...]] = {
    "HannWindow": (0.5, 0.5),
    "HammingWindow": (25 / 46, 21 / 46),
    "BlackmanWindow": (0.42, 0.5, 0.08),
}


@expansion(*COEFFICIENTS)
def window(ctx: Ctx, builder: Builder, size: Value) -> Value:
    """size: one integer, the length; result ``[size]`` of ``output_datatype`` (float32 by default)."""
    s = Sub(ctx, builder)
    zero, one = (s.scalar(k, dtypes.i64) for k in (0, 1))
    count = s.reshape(s.cast(size, dtypes.i64), [])
    steps = s.cast(s("Range", zero, count, one), dtypes.f64)
    length = count if ctx.attr_int("periodic", 1) else s("Max", s("Sub", count, one), one)
    turn = s("Mul", s("Div", steps, s.cast(length, dtypes.f64)), s.scalar(2 * pi, dtypes.f64))
    total = None
    for k, a in reversed(list(enumerate(COEFFICIENTS[ctx.node.op]))):
        wave = s("Mul", s("Cos", s("Mul", turn, s.scalar(k, dtypes.f64))), s.scalar(a * (-1) ** k, dtypes.f64))
        total = wave if total is None else s("Add", wave, total)
    assert total is not None
    return s.cast(total, ctx.attr_dtype("output_datatype", dtypes.f32))
