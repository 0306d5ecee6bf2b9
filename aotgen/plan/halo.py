# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A Fill step as the descriptor of ``kernels/cpu/halo.h``: up to four axes, larger strides first."""

from __future__ import annotations

from dataclasses import dataclass

from aotgen.core.errors import InternalError
from aotgen.ir import index
from aotgen.ir.index import Dim
from aotgen.ir.program import Fill

AXES = 4


@dataclass(frozen=True, slots=True)
class HaloRows:
    """``desc``: rows of the descriptor; ``outer``: (extent, stride) of leading axes without a border, looped outside."""

    desc: tuple[tuple[str, Dim], ...]
    outer: tuple[tuple[Dim, Dim], ...]


@dataclass(slots=True)
class _Axis:
    n: Dim
    stride: Dim
    before: int
    after: int

    @property
    def bordered(self) -> bool:
        return bool(self.before or self.after)


def rows(step: Fill) -> HaloRows:
    """Axes of the tensor's storage, neighbours without borders joined where their strides allow it."""
    layout = step.tensor.layout
    halo = layout.halo or ((0, 0),) * len(layout.shape)
    axes = []
    for a, (n, stride, (before, after)) in enumerate(zip(layout.shape, layout.strides, halo, strict=True)):
        if a == layout.block_axis:
            n = index.as_dim((index.ix(n) + (layout.block - 1)) // layout.block)
            if before or after:
                raise InternalError(f"{step.name}: a border on the blocked axis")
        if n != 1 or before or after:
            axes.append(_Axis(n, stride, before, after))
    if all(isinstance(a.stride, int) for a in axes):
        axes.sort(key=lambda a: -int(a.stride))  # type: ignore[arg-type]
    merged: list[_Axis] = []
    for axis in axes:
        top = merged[-1] if merged else None
        if (
            top
            and not top.bordered
            and not axis.bordered
            and top.stride == index.as_dim(index.ix(axis.stride) * axis.n)
        ):
            merged[-1] = _Axis(index.as_dim(index.ix(top.n) * axis.n), axis.stride, 0, 0)
        else:
            merged.append(axis)
    outer = merged[: max(0, len(merged) - AXES)]
    inner = merged[len(outer) :]
    if any(x.bordered for x in outer):
        raise InternalError(f"{step.name}: borders on more than {AXES} axes")
    inner = [_Axis(1, 0, 0, 0)] * (AXES - len(inner)) + inner
    desc: list[tuple[str, Dim]] = []
    for k, x in enumerate(inner):
        desc += [(f"n{k}", x.n), (f"b{k}", x.before), (f"a{k}", x.after), (f"s{k}", x.stride)]
    desc.append(("L", layout.block if layout.block_axis >= 0 else 1))
    return HaloRows(tuple(desc), tuple((x.n, x.stride) for x in outer))
