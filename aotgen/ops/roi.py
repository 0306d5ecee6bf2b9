# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""MaxRoiPool: the maximum of every bin of every region, regions rounded to whole pixels."""

from __future__ import annotations

from aotgen.core.errors import ModelError
from aotgen.ir import expr, index
from aotgen.ir.define import Def, compute, reduce_
from aotgen.ir.expr import E
from aotgen.ir.index import Dim, Ix
from aotgen.ops.registry import Ctx, lowering
from aotgen.ops.sized import sized


def _edge(rois: Def, n: Ix, k: int, scale: float) -> E:
    """A corner of region ``n`` in feature pixels, rounded half up, as i32."""
    return expr.cast(expr.fn("floor", rois[n, index.ix(k)] * scale + 0.5), "i32")


def _bin(low: E, high: E, i: Ix, bins: int, extent: Dim) -> tuple[E, E]:
    """Pixels ``[start, end)`` of bin ``i`` along one axis, as i32."""
    # In float32 whatever the data is: a quotient rounded differently would move the edge of a bin.
    size = expr.cast(expr.fn("max", high - low + 1, expr.const(1, "i32")), "f32") / float(bins)
    at = expr.cast(expr.ix_value(i), "f32")
    limit = expr.ix_value(extent, "i32")

    def clamped(e: E) -> E:
        return expr.fn("min", expr.fn("max", expr.cast(e, "i32") + low, expr.const(0, "i32")), limit)

    return clamped(expr.fn("floor", at * size)), clamped(expr.fn("ceil", (at + 1.0) * size))


@lowering("MaxRoiPool")
def max_roi_pool(ctx: Ctx, x: Def, rois: Def) -> Def:
    """x: ``[N, C, H, W]``, rois: ``[R, 5]`` (image, x1, y1, x2, y2), result ``[R, C, ph, pw]``; an empty bin is 0."""
    shape, scale = ctx.attr_ints("pooled_shape"), ctx.attr_float("spatial_scale", 1.0)
    if x.rank != 4 or rois.rank != 2 or len(shape) != 2:
        raise ModelError(f"MaxRoiPool of {list(x.shape)} over regions {list(rois.shape)} into {shape}")
    rois = sized(rois, {1: 5}, "regions")
    count, (height, width) = rois.shape[0], x.shape[2:]
    bounds = []
    for k, (bins, extent) in enumerate(zip(shape, (height, width), strict=True)):
        low, high = 2 - k, 4 - k  # y before x
        for side in range(2):
            bounds.append(compute((count, bins), lambda n, i, a=(low, high, bins, extent, side): _bin(
                _edge(rois, n, a[0], scale), _edge(rois, n, a[1], scale), i, a[2], a[3])[a[4]]))
    top, bottom, left, right = bounds
    kind = x.dtype.compute
    nothing = expr.const(float("-inf"), kind)

    def term(o: list[Ix], r: list[Ix]) -> E:
        n, c, i, j = o
        h, w = (expr.ix_value(v, "i32") for v in r)
        inside = expr.all_([top[n, i] <= h, h < bottom[n, i], left[n, j] <= w, w < right[n, j]])
        image = expr.index_of(expr.cast(rois[n, index.ix(0)], "i32"), x.shape[0])
        return expr.select(inside, x[image, c, r[0], r[1]], nothing)

    most = reduce_("max", (count, x.shape[1], *shape), [height, width], term)

    def f(n: Ix, c: Ix, i: Ix, j: Ix) -> E:
        empty = expr.fn("or", bottom[n, i] <= top[n, i], right[n, j] <= left[n, j])
        return expr.select(empty, expr.const(0, kind), most[n, c, i, j])

    return compute(most.shape, f, x.dtype)
