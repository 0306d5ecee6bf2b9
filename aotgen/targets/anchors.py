# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What a kernel rule says: how a contraction becomes a template kernel, what layouts it needs, what it costs.

A rule is ``f(ctx, inputs, plain) -> Candidate | Decline``: it sees the node, its input Defs and the plain Defs the operator
lowers to, and offers a kernel or says why not. Rules are rows of a target; the cheapest accepted candidate wins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Union

from aotgen.ir import define, index
from aotgen.ir.bounds import bound
from aotgen.ir.define import Def
from aotgen.ir.index import Atom, Dim, Ix
from aotgen.ir.program import BLOCK, Layout, Parts, Tensor
from aotgen.ops.registry import Ctx

Halo = tuple[tuple[int, int], ...]
OPEN = (1, 4, 12, 32, 64, 96, 128, 192, 320, 1024, 16000)  # a step, a small batch, a sentence, an image, a second of sound


@dataclass(frozen=True, slots=True)
class Strided:
    """Any layout in which every logical axis has one stride (a view of stored data). ``unit``: this axis must have
    stride 1; ``otherwise``: the layout to copy into when the data is not stored like that."""

    unit: int | None = None
    otherwise: Layout | None = None


@dataclass(frozen=True, slots=True)
class Exact:
    """Exactly this layout (packed weights and panels)."""

    layout: Layout


@dataclass(frozen=True, slots=True)
class Spatial:
    """An activation ``[N, C, spatial...]`` with at least this halo of zeros; ``blocked``: NC..16c, else plain."""

    halo: Halo
    blocked: bool


Need = Union[Strided, Exact, Spatial]
DescRows = tuple[tuple[str, Dim], ...]


@dataclass(frozen=True, slots=True, eq=False)
class KernelSpec:
    """One use of a template kernel, before layouts are known.

    ``needs``: one per operand. ``desc``: the descriptor's rows once every operand has its Tensor. ``axes``: fresh functor
    axes and the accumulator's logical index in terms of them. ``tiles``: tile arguments by ISA name. ``blocked``: the
    accumulator axis whose blocks of 16 are the lanes. ``parts``: how threads may share the kernel, given the functor axes
    and the operands; None where that cannot be said.
    """

    function: str
    header: str
    needs: tuple[Need, ...]
    desc: Callable[[Sequence[Tensor]], DescRows]
    axes: Callable[[], tuple[tuple[Atom, ...], tuple[Ix, ...]]]
    tiles: Mapping[str, tuple[int, ...]]
    lane_axis: int
    flops: Dim
    parts: Callable[[Sequence[Atom], Sequence[Tensor]], Parts] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Candidate:
    """An accepted kernel: ``spec`` applied to ``operands`` yields an accumulator of ``shape`` (f32); ``result`` says what the
    node's output Defs are in terms of it. ``cost``: estimated nanoseconds on one core."""

    spec: KernelSpec
    operands: tuple[Def, ...]
    shape: tuple[Dim, ...]
    result: Callable[[Def], tuple[Def, ...]]
    cost: float

    def apply(self, origin: str) -> tuple[Def, ...]:
        """The node's output Defs over a fresh accumulator."""
        (acc,) = define.call(
            "kernel",
            self.spec.function,
            self.operands,
            [(self.shape, self.operands[0].dtype)],
            spec=self.spec,
        )
        acc.origin = origin
        return self.result(acc)


@dataclass(frozen=True, slots=True)
class Decline:
    """A rule's refusal, for ``aotgen explain``."""

    why: str


Rule = Callable[[Ctx, Sequence["Def | None"], Sequence["Def | None"]], Union[Candidate, Decline]]


def lane_split(extent: Dim) -> tuple[Atom, Atom, Ix]:
    """Block and lane variables of a blocked axis, and the logical index ``16*block + lane``."""
    blocks = index.fresh_var((index.ix(extent) + (BLOCK - 1)) // BLOCK, "nb")
    lane = index.fresh_var(BLOCK, "l")
    return blocks, lane, point(blocks) * BLOCK + index.var(lane)


def point(axis: Atom) -> Ix:
    """An axis as an index: 0 where its extent is 1."""
    return index.ix(0) if axis.ext == 1 and axis.lo == 0 else index.var(axis)


def whole(t: Tensor, axis: int, border: tuple[int, int] = (0, 0)) -> Ix:
    """Any index along an axis of an operand: pad lanes of its last block included, and a ``border`` before (from which
    a kernel counts) and after it."""
    extent = index.ix(t.shape[axis]) + sum(border)
    if axis == t.layout.block_axis:
        extent = (extent + (t.layout.block - 1)) // t.layout.block * t.layout.block
    return index.var(index.fresh_var(extent))


def likely(d: Dim) -> tuple[int, ...]:
    """Numbers to choose by where an extent is open: what it is at some values of its dims; its own where it is known."""
    return tuple(dict.fromkeys(size_hint(d, n) for n in OPEN)) if not isinstance(d, int) else (d,)


def size_hint(d: Dim, open_dim: int = 128) -> int:
    """A number for cost estimates: open dims count as ``open_dim``. Never appears in generated code."""
    if isinstance(d, int):
        return d
    return max(1, int(d.evaluate({a: _within(a, open_dim) for a in d.walk() if a.kind == "dim"})))


def _within(a: Atom, n: int) -> int:
    """``n``, or the bound of a dim that does not reach it."""
    most = bound(index.as_dim(index.var(a)))
    return min(n, most) if isinstance(most, int) else n
