# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Extents that an operator needs to be a particular number (four corners a box, two parts a complex element) or another
extent: assumed where a model leaves them open, checked when the library runs."""

from __future__ import annotations

from collections.abc import Mapping

from aotgen.core.errors import ModelError
from aotgen.ir import facts
from aotgen.ir.define import Def, compute
from aotgen.ir.index import Dim, as_dim
from aotgen.ops.broadcast import never_equal
from aotgen.ops.registry import Ctx, lowering


def sized(x: Def, extents: Mapping[int, Dim], what: str) -> Def:
    """``x`` with the axes in ``extents`` (negative ones count from the end) assumed to be as long as they say; ``x`` itself
    where they are. Raises ModelError, naming ``what``, where they cannot be."""
    shape = list(x.shape)
    for axis, extent in extents.items():
        shape[axis] = _assumed(x, axis, as_dim(extent), what)
    return x if tuple(shape) == x.shape else compute(shape, lambda *i: x[i], x.dtype)


def _assumed(x: Def, axis: int, extent: Dim, what: str) -> Dim:
    known = isinstance(x.shape[axis], int) and isinstance(extent, int)
    if (known and x.shape[axis] != extent) or never_equal(x.shape[axis], extent):
        raise ModelError(f"{what} of shape {list(x.shape)}: axis {axis} must be {extent}")
    facts.assume_equal(x.shape[axis], extent)
    return extent


@lowering("Sized", domain="aotgen")
def sized_def(ctx: Ctx, x: Def, extents: Def) -> Def:
    """x with axes ``axes`` assumed to have ``extents`` (i64, known): for expansions, whose assumptions lowering must see."""
    return sized(x, dict(zip(ctx.attr_ints("at"), ctx.values(1, "extents"), strict=True)), ctx.attr_str("what"))
