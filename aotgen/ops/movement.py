# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Operators that only move elements: each is an index map, so it costs nothing once inlined."""

from __future__ import annotations

from collections.abc import Sequence

from aotgen.core.errors import ModelError
from aotgen.ir import expr, facts, index
from aotgen.ir.define import Def, compute
from aotgen.ir.expr import E, between, const, fn, guard, ix_value, nothing, select
from aotgen.ir.index import Dim, Ix, as_dim, ix
from aotgen.ops.broadcast import broadcast, flat_element, known_or_loaded, read, unread
from aotgen.ops.registry import Ctx, lowering

# -- reshaping


def reshaped(x: Def, shape: Sequence[Dim]) -> Def:
    """``x`` with the same elements in the same order under another shape. Runs of axes with equal products are mapped
    separately, so axes that do not change stay plain."""
    if x.size == 0:
        return unread(x, shape)
    groups = _matching_runs(x.shape, shape)

    def f(*i: Ix) -> E:
        at: list[Ix] = []
        for (a, b), (c, d) in groups:
            at.extend(_unflatten(i[c:d], shape[c:d], x.shape[a:b]))
        return x[tuple(at)]

    return compute(shape, f, x.dtype)


def _unflatten(point: Sequence[Ix], source: Sequence[Dim], target: Sequence[Dim]) -> list[Ix]:
    """A point of extents ``source`` as a point of extents ``target`` at the same row-major position."""
    if list(source) == list(target):
        return list(point)
    flat = ix(0)
    for k, d in zip(point, source, strict=True):
        flat = flat * d + k
    out: list[Ix] = []
    for n, d in reversed(list(enumerate(target))):
        outermost = all(e == 1 for e in target[:n])
        out.append(ix(0) if d == 1 else flat if outermost else flat % ix(d))
        flat = flat if outermost or d == 1 else flat // ix(d)
    return out[::-1]


def _prefix_products(shape: Sequence[Dim]) -> list[Ix]:
    out = [ix(1)]
    for d in shape:
        out.append(out[-1] * d)
    return out


Run = tuple[tuple[int, int], tuple[int, int]]


def _matching_runs(a: Sequence[Dim], b: Sequence[Dim]) -> list[Run]:
    """Cut both shapes wherever their prefix products agree."""
    pa, pb = _prefix_products(a), _prefix_products(b)
    runs: list[Run] = []
    i = j = 0
    for n in range(1, len(pa)):
        m = next((m for m in range(j + 1, len(pb)) if pb[m] == pa[n]), None)
        if m is not None and n < len(a):
            runs.append(((i, n), (j, m)))
            i, j = n, m
    runs.append(((i, len(a)), (j, len(b))))
    return runs


@lowering("Reshape")
def reshape(ctx: Ctx, x: Def, shape: Def) -> Def:
    wanted = [as_dim(v) for v in ctx.values(1, "shape")]
    if not ctx.attr_int("allowzero", 0):
        if any(v == 0 and k >= x.rank for k, v in enumerate(wanted)):
            raise ModelError(f"shape {wanted} copies an extent that {list(x.shape)} does not have")
        wanted = [x.shape[k] if v == 0 else v for k, v in enumerate(wanted)]
    if wanted.count(-1) > 1:
        raise ModelError(f"shape {wanted} has more than one -1")
    if -1 in wanted:
        hole = wanted.index(-1)
        rest = index.prod_dims(d for k, d in enumerate(wanted) if k != hole)
        wanted[hole] = 0 if rest == 0 else as_dim(ix(x.size) // ix(rest))
    total = index.prod_dims(wanted)
    if isinstance(total, int) and isinstance(x.size, int) and total != x.size:
        raise ModelError(f"cannot reshape {list(x.shape)} ({x.size} elements) to {wanted} ({total})")
    facts.assume_equal(x.size, total)
    return reshaped(x, wanted)


@lowering("Flatten")
def flatten(ctx: Ctx, x: Def) -> Def:
    axis = ctx.attr_int("axis", 1)
    if not -x.rank <= axis <= x.rank:
        raise ModelError(f"axis {axis} is out of range for rank {x.rank}")
    axis += x.rank if axis < 0 else 0
    return reshaped(x, (index.prod_dims(x.shape[:axis]), index.prod_dims(x.shape[axis:])))


@lowering("Squeeze")
def squeeze(ctx: Ctx, x: Def, axes: Def | None = None) -> Def:
    gone = set(ctx.axes(1, x.rank, [k for k, d in enumerate(x.shape) if d == 1]))
    if any(isinstance(x.shape[k], int) and x.shape[k] != 1 for k in gone):
        raise ModelError(f"cannot squeeze axes {sorted(gone)} of shape {list(x.shape)}")
    for k in gone:
        facts.assume_equal(x.shape[k], 1)
    shape = [d for k, d in enumerate(x.shape) if k not in gone]

    def f(*i: Ix) -> E:
        kept = iter(i)
        return x[tuple(ix(0) if k in gone else next(kept) for k in range(x.rank))]

    return compute(shape, f, x.dtype)


@lowering("Unsqueeze")
def unsqueeze(ctx: Ctx, x: Def, axes: Def | None = None) -> Def:
    count = len(ctx.attr_ints("axes")) if ctx.has("axes") else len(ctx.values(1, "axes"))
    new = ctx.axes(1, x.rank + count)
    if len(set(new)) != count:
        raise ModelError(f"axes {new} repeat")
    old = iter(x.shape)
    shape = [1 if k in new else next(old) for k in range(x.rank + count)]
    return compute(shape, lambda *i: x[tuple(p for k, p in enumerate(i) if k not in new)], x.dtype)


@lowering("Transpose")
def transpose(ctx: Ctx, x: Def) -> Def:
    perm = ctx.attr_ints("perm", range(x.rank)[::-1])
    perm = [ctx.axis_of(p, x.rank) for p in perm]
    if sorted(perm) != list(range(x.rank)):
        raise ModelError(f"perm {perm} is not a permutation of {x.rank} axes")
    inverse = [perm.index(k) for k in range(x.rank)]
    return compute([x.shape[p] for p in perm], lambda *i: x[tuple(i[k] for k in inverse)], x.dtype)


@lowering("Expand")
def expand(ctx: Ctx, x: Def, shape: Def) -> Def:
    return compute(broadcast(x.shape, ctx.values(1, "shape")), lambda *i: read(x, i), x.dtype)


@lowering("Tile")
def tile(ctx: Ctx, x: Def, repeats: Def) -> Def:
    times = ctx.values(1, "repeats")
    if len(times) != x.rank:
        raise ModelError(f"repeats {times} for rank {x.rank}")
    shape = [as_dim(ix(d) * n) for d, n in zip(x.shape, times, strict=True)]
    if 0 in shape:
        return unread(x, shape)

    def f(*i: Ix) -> E:
        return x[
            tuple(k if n == 1 else ix(0) if d == 1 else k % ix(d) for k, d, n in zip(i, x.shape, times, strict=True))
        ]

    return compute(shape, f, x.dtype)


# -- padding


def _turns_once(d: Dim, before: Dim, after: Dim) -> bool:
    """Is it known that no more is added than there is to reflect?"""
    return index.nonneg(ix(d) - 1 - before) and index.nonneg(ix(d) - 1 - after)


def mirrored(k: Ix, d: Dim, once: bool) -> Ix:
    """Index ``k`` reflected at both ends (the edge itself is not repeated), as often as it takes or ``once`` at each."""
    if d == 1:
        return ix(0)
    kind = "i32" if isinstance(d, int) else "i64"
    last = ix_value(ix(d) - 1, kind)
    if once:  # |k| reflects the near end, last - |last - k| the far one
        return expr.index_of(last - fn("abs", last - fn("abs", ix_value(k, kind))), d)
    return expr.index_of(last - fn("abs", last - ix_value(k % (2 * ix(d) - 2), kind)), d)


def _padded_index(mode: str, k: Ix, d: Dim, before: Dim, after: Dim, once: bool) -> Ix:
    if before == 0 and after == 0:
        return k
    if mode == "edge":
        kind = "i32" if isinstance(d, int) else "i64"
        v = fn("max", ix_value(k, kind), const(0, kind))
        return expr.index_of(fn("min", v, ix_value(ix(d) - 1, kind)), d)
    return mirrored(k, d, once or _turns_once(d, before, after)) if mode == "reflect" else k % ix(d)


@lowering("Pad")
def pad(ctx: Ctx, x: Def, pads: Def, value: Def | None = None, axes: Def | None = None) -> Def:
    amounts = ctx.values(1, "pads")
    where = ctx.axes(3, x.rank)
    before: list[Dim] = [0] * x.rank
    after: list[Dim] = [0] * x.rank
    for k, axis in enumerate(where):
        before[axis], after[axis] = as_dim(amounts[k]), as_dim(amounts[k + len(where)])
    given = known_or_loaded(ctx, 2, value) if value is not None and value.size != 0 else None
    fill = nothing(x.dtype) if given is None else given
    return padded(ctx, x, before, after, ctx.attr_str("mode", "constant"), fill)


def padded(ctx: Ctx, x: Def, before: Sequence[Dim], after: Sequence[Dim], mode: str, fill: E) -> Def:
    """``x`` with elements added (or, where negative, removed) at both ends of each axis."""
    shape = [as_dim(ix(d) + b + a) for d, b, a in zip(x.shape, before, after, strict=True)]
    if any(isinstance(d, int) and d < 0 for d in shape):
        raise ModelError(f"pads {list(before)} and {list(after)} remove more than {list(x.shape)} has")
    if mode not in ("constant", "edge", "reflect", "wrap"):
        raise ctx.refuse(f"unknown padding mode {mode}")
    if mode != "constant":
        if 0 in x.shape and 0 not in shape:
            raise ModelError(f"cannot pad an empty axis of {list(x.shape)} in mode {mode}")
        if 0 in x.shape:
            return unread(x, shape)

    def f(*i: Ix) -> E:
        at = [k - b for k, b in zip(i, before, strict=True)]
        if mode == "constant":
            return guard(expr.all_([between(0, k, d) for k, d in zip(at, x.shape, strict=True)]), x[tuple(at)], fill)
        sides = list(zip(at, x.shape, before, after, strict=True))
        far, near = (x[tuple(_padded_index(mode, k, d, b, a, once) for k, d, b, a in sides)] for once in (False, True))
        # Where only the run knows how often it takes: nearly always once, and a remainder for each element is dear.
        open_ = [(k, d) for k, d, b, a in sides if not isinstance(d, int) and (b, a) != (0, 0) and not _turns_once(d, b, a)]
        if mode != "reflect" or not open_:
            return far
        return guard(expr.all_([between(1 - ix(d), k, 2 * ix(d) - 1) for k, d in open_]), near, far)

    return compute(shape, f, x.dtype)


@lowering("CenterCropPad")
def center_crop_pad(ctx: Ctx, x: Def, shape: Def) -> Def:
    where = ctx.axes(2, x.rank)
    before: list[Dim] = [0] * x.rank
    after: list[Dim] = [0] * x.rank
    for axis, target in zip(where, ctx.values(1, "shape"), strict=True):
        grow = ix(target) - x.shape[axis]
        if index.nonneg(grow):
            before[axis] = as_dim(grow // 2)
        elif index.nonneg(-grow):
            before[axis] = as_dim(-((-grow) // 2))
        else:
            raise ctx.refuse(
                f"axis {axis} of extent {x.shape[axis]} may grow or shrink to {target}", "fix it with --dim"
            )
        after[axis] = as_dim(grow - before[axis])
    return padded(ctx, x, before, after, "constant", nothing(x.dtype))


# -- rearranging


@lowering("DepthToSpace")
def depth_to_space(ctx: Ctx, x: Def) -> Def:
    b = ctx.attr_int("blocksize")
    n, depth, h, w = x.shape
    channels = as_dim(ix(depth) // (b * b))
    column_first = ctx.attr_str("mode", "DCR") == "CRD"

    def f(i: Ix, c: Ix, y: Ix, z: Ix) -> E:
        block = (y % b) * b + z % b
        return x[i, c * (b * b) + block if column_first else block * channels + c, y // b, z // b]

    return compute((n, channels, as_dim(ix(h) * b), as_dim(ix(w) * b)), f, x.dtype)


@lowering("SpaceToDepth")
def space_to_depth(ctx: Ctx, x: Def) -> Def:
    b = ctx.attr_int("blocksize")
    n, channels, h, w = x.shape
    if channels == 0:
        return unread(x, (n, 0, as_dim(ix(h) // b), as_dim(ix(w) // b)))

    column_first = ctx.attr_str("mode", "DCR") == "CRD"

    def f(i: Ix, k: Ix, y: Ix, z: Ix) -> E:
        block, c = (k % (b * b), k // (b * b)) if column_first else (k // ix(channels), k % ix(channels))
        return x[i, c, y * b + block // b, z * b + block % b]

    return compute((n, as_dim(ix(channels) * b * b), as_dim(ix(h) // b), as_dim(ix(w) // b)), f, x.dtype)


@lowering("ReverseSequence")
def reverse_sequence(ctx: Ctx, x: Def, lengths: Def) -> Def:
    batch, time = ctx.axis(x.rank, 1, "batch_axis"), ctx.axis(x.rank, 0, "time_axis")

    def f(*i: Ix) -> E:
        n, k = lengths[i[batch]], ix_value(i[time])
        at = expr.index_of(select(k < n, n - 1 - k, k), x.shape[time])
        return x[tuple(at if axis == time else p for axis, p in enumerate(i))]

    return compute(x.shape, f, x.dtype)


@lowering("Trilu")
def trilu(ctx: Ctx, x: Def, k: Def | None = None) -> Def:
    """The upper (``upper`` = 1) or lower triangle of the last two axes, shifted by ``k``."""
    upper = bool(ctx.attr_int("upper", 1))
    shift = ix_value(0) if k is None else ix_value(ctx.values(1, "k")[0]) if ctx.is_const(1) else flat_element(k)

    def f(*i: Ix) -> E:
        diagonal = ix_value(i[-1] - i[-2])
        return select(shift <= diagonal if upper else diagonal <= shift, x[i], nothing(x.dtype))

    return compute(x.shape, f, x.dtype)
