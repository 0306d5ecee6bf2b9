# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Layout: where in storage the element at a logical index lies. Views, blocked channels, halos and packed weights are all
layouts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from aotgen.ir import index
from aotgen.ir.index import Dim, Ix

BLOCK = 16  # channels (or columns) per block, on every hosted CPU: plan and blob never depend on the ISA


@dataclass(frozen=True, slots=True)
class Layout:
    """Logical index -> element offset: ``base + sum(strides[a] * i[a])``; on the ``block_axis`` the index is split,
    ``strides[a] * (i // block) + i % block``.

    ``size``: elements of storage the tensor spans, halo and pad lanes included. ``halo``: elements before and after each
    axis that exist in storage around the logical extent and hold ``fill`` (written by a Fill step, never by a kernel).
    """

    shape: tuple[Dim, ...]
    strides: tuple[Dim, ...]
    size: Dim
    base: Dim = 0
    block_axis: int = -1
    block: int = 1
    halo: tuple[tuple[int, int], ...] = ()
    fill: float = 0.0

    def offset(self, at: Sequence[Ix | int]) -> Ix:
        """Element offset of the logical index ``at``."""
        out = index.ix(self.base)
        for axis, (i, stride) in enumerate(zip(at, self.strides, strict=True)):
            i = index.ix(i)
            out = out + (
                (i // self.block) * stride + i % self.block if axis == self.block_axis else i * stride
            )
        return out

    @property
    def has_halo(self) -> bool:
        return any(b or a for b, a in self.halo)

    @property
    def is_row_major(self) -> bool:
        return self.block_axis < 0 and not self.has_halo and self.strides == row_major(self.shape).strides


def row_major(shape: Sequence[Dim]) -> Layout:
    """The plain C layout."""
    return packed(shape)


def packed(
    shape: Sequence[Dim],
    order: Sequence[int] | None = None,
    block_axis: int = -1,
    halo: Sequence[tuple[int, int]] = (),
    fill: float = 0.0,
    block: int = BLOCK,
) -> Layout:
    """A dense layout storing axes in ``order`` (outermost first; default as given). With ``block_axis`` that axis is cut
    into blocks of ``block`` (the last one padded) and the place inside the block becomes the innermost storage axis:
    NCHW16c is ``packed(nchw, block_axis=1)``, GEMM panels ``[N/16][K][16]`` of ``[K, N]`` are ``packed(kn, (1, 0), 1)``.
    """
    shape = tuple(index.as_dim(d) for d in shape)
    order = tuple(order) if order is not None else tuple(range(len(shape)))
    halo = tuple(halo) or ((0, 0),) * len(shape)
    strides: list[Dim] = [0] * len(shape)
    step: Ix = index.ix(block if block_axis >= 0 else 1)
    base: Ix = index.ix(0)
    for axis in reversed(order):
        extent = index.ix(shape[axis]) + sum(halo[axis])
        if axis == block_axis:
            extent = (extent + (block - 1)) // block
        strides[axis] = index.as_dim(step)
        base = base + step * halo[axis][0]
        step = step * extent
    halo_out = halo if any(b or a for b, a in halo) else ()
    return Layout(
        shape,
        tuple(strides),
        index.as_dim(step),
        index.as_dim(base),
        block_axis,
        block if block_axis >= 0 else 1,
        halo_out,
        fill,
    )
