# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The MatMul rule: float32 contractions to ``kernels/cpu/gemm.h``."""

from __future__ import annotations

from collections.abc import Sequence

from aotgen.core import dtypes
from aotgen.ir import define, expr, index
from aotgen.ir.define import Def
from aotgen.ir.index import Dim, Ix, ix
from aotgen.ir.program import BLOCK, Parts, Tensor, packed
from aotgen.ops.broadcast import along
from aotgen.ops.registry import Ctx
from aotgen.ops.shorthand import same_dim
from aotgen.ops.sized import sized
from aotgen.targets.anchors import (
    Candidate,
    Decline,
    DescRows,
    Exact,
    KernelSpec,
    Need,
    Strided,
    lane_split,
    likely,
    point,
    size_hint,
    whole,
)
from aotgen.targets.cpu import tiles

NS_PER_FLOP = 1 / 100.0  # one core near 100 GFLOP/s


def matmul(ctx: Ctx, inputs: Sequence[Def | None], plain: Sequence[Def | None]) -> Candidate | Decline:
    """``acc[b0, b1, m, n] = sum_k a[b0, b1, m, k] * b[b0|1, b1|1, k, n]``, batch dims folded to two, leading dims of ``a``
    folded into ``m`` when ``b`` has no batch."""
    a, b = inputs[0], inputs[1]
    out = plain[0]
    assert a is not None and b is not None and out is not None
    if a.dtype is not dtypes.f32 or b.dtype is not dtypes.f32:
        return Decline(f"gemm is float32, this is {a.dtype} x {b.dtype}")
    if 0 in (a.size, b.size):
        return Decline("an operand is empty")
    return _candidate(a, b, out)


def _candidate(a: Def, b: Def, out: Def) -> Candidate:
    left, right, batch, unfold = _fold_batches(a, b, out)
    (b0, b1), (m, k), n = batch, left.shape[2:], right.shape[3]
    blocks = packed(right.shape, (0, 1, 3, 2), block_axis=3)
    need_b: Need = Strided(unit=3, otherwise=blocks) if not _is_constant_like(b) else Exact(blocks)
    spec = KernelSpec(
        "gemm",
        "gemm.h",
        (Strided(), need_b),
        lambda t: _desc(t, (b0, b1), m, n, k),
        lambda: _axes((b0, b1), m, n),
        tiles.choose(likely(m), size_hint(n), most_rows=8),
        lane_axis=3,
        flops=index.as_dim(ix(2) * b0 * b1 * m * n * k),
        parts=lambda axes, t: _parts(axes, t, b1, n),
    )
    cost = size_hint(spec.flops) * NS_PER_FLOP
    return Candidate(spec, (left, right), (b0, b1, m, n), lambda acc: (_result(acc, out, unfold),), cost)


def _is_constant_like(d: Def) -> bool:
    """Does ``d`` depend on constants only (so that it is packed at compile time)?"""
    return all(s.is_source and s.origin == "constant" for s in define.topological([d]) if s.is_source)


Unfold = object


def _fold_batches(a: Def, b: Def, out: Def) -> tuple[Def, Def, tuple[Dim, Dim], list[Dim]]:
    """Four-axis views of both operands, the two batch extents, and the logical extents the batch axes stand for."""
    k = same_dim(a.shape[-1], b.shape[-2 if b.rank > 1 else 0], "the summed axes of MatMul")
    a, b = sized(a, {-1: k}, "a left operand"), sized(b, {-2 if b.rank > 1 else 0: k}, "a right operand")
    a_rows = a.shape[:-1] if a.rank > 1 else ()
    b_batch = b.shape[:-2]
    m: Dim = a.shape[-2] if a.rank > 1 else 1
    n: Dim = b.shape[-1] if b.rank > 1 else 1
    if all(d == 1 for d in b_batch):
        rows = index.prod_dims(a_rows)
        left = _flat_view(a, (1, 1, rows, k))
        right = _flat_view(b, (1, 1, k, n))
        return left, right, (1, 1), [rows]
    lead = list(out.shape[: len(out.shape) - (a.rank > 1) - (b.rank > 1)])
    pair = _two(lead)
    return (
        _batched(a, lead, pair, (m, k), a.rank == 1, False),
        _batched(b, lead, pair, (k, n), False, b.rank == 1),
        _extents(lead, pair),
        lead,
    )


def _two(lead: list[Dim]) -> int:
    """Where to cut the batch axes into (b0, b1)."""
    return max(len(lead) - 1, 0)


def _extents(lead: list[Dim], cut: int) -> tuple[Dim, Dim]:
    return index.prod_dims(lead[:cut]), index.prod_dims(lead[cut:])


def _batched(d: Def, lead: list[Dim], cut: int, matrix: tuple[Dim, Dim], row: bool, column: bool) -> Def:
    """``d`` seen as ``[b0, b1, r, c]``; a batch group in which ``d`` is all broadcast keeps extent 1."""
    own = [1] * (len(lead) - max(d.rank - 2, 0)) + list(d.shape[:-2] if d.rank > 1 else [])
    groups = (range(cut), range(cut, len(lead)))
    extents = [index.prod_dims(lead[g.start : g.stop]) if any(own[q] != 1 for q in g) else 1 for g in groups]

    def at(g0: Ix, g1: Ix, r: Ix, c: Ix) -> expr.E:
        idx: list[Ix] = []
        for g, flat in zip(groups, (g0, g1), strict=True):
            part: list[Ix] = []
            for q in reversed(g):
                flat, digit = (flat // lead[q], flat % lead[q]) if q != g.start else (flat, flat)
                part.append(along(own[q], digit))
            idx.extend(reversed(part))
        idx = idx[len(idx) - max(d.rank - 2, 0) :] if d.rank > 2 else []
        tail = [c] if row else [r] if column else [r, c]
        return d[tuple(idx + tail)]

    return define.compute((extents[0], extents[1], *matrix), at, d.dtype)


def _flat_view(d: Def, shape: tuple[Dim, ...]) -> Def:
    """``d`` reshaped (row-major) to ``shape``."""

    def at(*i: Ix) -> expr.E:
        flat = ix(0)
        for v, extent in zip(i, shape, strict=True):
            flat = flat * extent + v
        idx: list[Ix] = []
        for n, extent in reversed(list(enumerate(d.shape))):
            idx.append(flat if n == 0 else flat % extent)
            flat = flat // extent
        return d[tuple(reversed(idx))] if d.rank else d[()]

    return define.compute(shape, at, d.dtype)


def _result(acc: Def, out: Def, lead: list[Dim]) -> Def:
    """The node's output as a view of the accumulator."""
    b1, m, n = acc.shape[1], acc.shape[2], acc.shape[3]

    def at(*i: Ix) -> expr.E:
        flat = ix(0)
        for v, extent in zip(i, out.shape, strict=True):
            flat = flat * extent + v
        column = flat % n
        flat = flat // n
        row = flat % m
        flat = flat // m
        return acc[(flat // b1, flat % b1, row, column)]

    result = define.compute(out.shape, at, out.dtype)
    result.origin = acc.origin
    return result


def _stride(t: Tensor, axis: int) -> Dim:
    """Stride of ``axis``; 0 where the extent is 1 (a broadcast batch)."""
    return 0 if t.shape[axis] == 1 else t.layout.strides[axis]


def _desc(t: Sequence[Tensor], batch: tuple[Dim, Dim], m: Dim, n: Dim, k: Dim) -> DescRows:
    a, b = t
    panels = b.layout.block_axis == 3
    return (
        ("B0", batch[0]),
        ("B1", batch[1]),
        ("M", m),
        ("N", n),
        ("K", k),
        ("aB0", _stride(a, 0)),
        ("aB1", _stride(a, 1)),
        ("aM", _stride(a, 2)),
        ("aK", a.layout.strides[3]),
        ("bB0", _stride(b, 0)),
        ("bB1", _stride(b, 1)),
        ("bP", b.layout.strides[3] if panels else BLOCK),
        ("bK", b.layout.strides[2]),
        ("bPadded", 1 if panels else 0),
    )


def _axes(batch: tuple[Dim, Dim], m: Dim, n: Dim) -> tuple[tuple[index.Atom, ...], tuple[Ix, ...]]:
    b = index.fresh_var(ix(batch[0]) * batch[1], "b")
    row = index.fresh_var(ix(m), "m")
    nb, lane, column = lane_split(n)
    return (b, row, nb, lane), (point(b) // batch[1], point(b) % batch[1], point(row), column)


def _parts(axes: Sequence[index.Atom], t: Sequence[Tensor], b1: Dim, n: Dim) -> Parts:
    """A point is a batch item: it reads its own matrices, whole."""
    batch = point(axes[0])
    at = (batch // b1, batch % b1)
    return Parts((axes[0],), tuple(_item(x, at) for x in t), axes[2], n)


def _item(t: Tensor, at: tuple[Ix, Ix]) -> tuple[Ix, ...]:
    """The matrix of batch item ``at``, pad lanes included; a batch of extent 1 is shared."""
    batch = [ix(0) if extent == 1 else i for extent, i in zip(t.shape, at, strict=False)]
    return (*batch, *(whole(t, axis) for axis in (2, 3)))
