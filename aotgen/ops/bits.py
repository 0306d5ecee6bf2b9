# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""BitCast: the same bits read as another type of the same width."""

from __future__ import annotations

from aotgen.core.errors import ModelError
from aotgen.ir import expr
from aotgen.ir.define import Def, compute
from aotgen.ops.registry import Ctx, lowering


@lowering("BitCast")
def bit_cast(ctx: Ctx, x: Def) -> Def:
    """A 16-bit float goes through float32, so a signalling NaN comes out quiet."""
    to = ctx.attr_dtype("to")
    if "s" in (x.dtype.kind, to.kind):
        raise ctx.refuse(f"BitCast from {x.dtype} to {to} is not compiled")
    if x.dtype.bits != to.bits:
        raise ModelError(f"BitCast from {x.dtype} to {to}, which has another width", node=ctx.node.where())
    return compute(x.shape, lambda *i: expr.bitcast(x[i], x.dtype, to), to)
