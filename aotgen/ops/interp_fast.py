# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""NumPy stand-ins for the operators where whole networks spend their time. Each is tested against its lowering."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import prod
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from aotgen.ops.convolution import transposed_extents
from aotgen.ops.registry import Ctx
from aotgen.ops.window import Window, per_axis, span, windows

Array = NDArray[Any]
Fast = Callable[[Ctx, Sequence[Any], bool], "Array | None"]  # None: declines, the lowering runs


def _work(a: Array, wide: bool) -> Array:
    """``a`` in the type it is computed in."""
    if a.dtype.kind in "iub":
        return a
    return a.astype(np.float64 if wide or a.dtype == np.float64 else np.float32, copy=False)


def _stored(y: Array, like: Array, wide: bool) -> Array:
    return y if wide and y.dtype == np.float64 else y.astype(like.dtype, copy=False)


def matmul(ctx: Ctx, args: Sequence[Any], wide: bool) -> Array:
    a, b = args
    return _stored(np.matmul(_work(a, wide), _work(b, wide)), a, wide)


def _patches(x: Array, axes: Sequence[Window], fill: Any) -> Array:
    """``[N, C, out..., taps...]``: what every window of padded ``x`` reads (a view)."""
    pads, steps = [(0, 0), (0, 0)], []
    for w in axes:
        reach = int(span(w.taps, w.dilation))  # type: ignore[arg-type]
        lacking = (int(w.out) - 1) * w.stride + reach - int(w.before) - int(w.extent)  # type: ignore[arg-type]
        pads.append((max(int(w.before), 0), max(lacking, 0)))  # type: ignore[arg-type]
        steps.append(reach)
    crop = [slice(None)] * 2 + [slice(max(-int(w.before), 0), None) for w in axes]  # type: ignore[arg-type]
    view = sliding_window_view(np.pad(x[tuple(crop)], pads, constant_values=fill), steps, tuple(range(2, x.ndim)))
    pick = [slice(None)] * 2 + [slice(0, (int(w.out) - 1) * w.stride + 1, w.stride) for w in axes]  # type: ignore
    pick += [slice(None, None, w.dilation) for w in axes]
    return view[tuple(pick)]


def _convolve(x: Array, w: Array, group: int, axes: Sequence[Window]) -> Array:
    """Image by image: gather patches, one matrix product a group."""
    n = len(axes)
    rows = w.reshape(group, w.shape[0] // group, -1)
    images = []
    for image in x:
        p = _patches(image[None], axes, 0)[0]
        p = p.reshape(group, image.shape[0] // group, *p.shape[1:])
        p = np.moveaxis(p, range(2, 2 + n), range(2 + n, 2 + 2 * n))
        images.append((rows @ p.reshape(group, rows.shape[2], -1)).reshape(-1))
    return np.array(images).reshape(x.shape[0], w.shape[0], *(int(a.out) for a in axes))  # type: ignore[arg-type]


def conv(ctx: Ctx, args: Sequence[Any], wide: bool) -> Array | None:
    x, w, bias = (*args, None)[:3]
    axes = windows(ctx, x.shape[2:], w.shape[2:]) if x.ndim > 2 else []
    if x.size == 0 or not axes or any(a.out == 0 for a in axes):
        return None
    y = _convolve(_work(x, wide), _work(w, wide), ctx.attr_int("group", 1), axes)
    if bias is not None:
        y = y + _work(bias, wide).reshape(-1, *[1] * (x.ndim - 2))
    return _stored(y, x, wide)


def conv_transpose(ctx: Ctx, args: Sequence[Any], wide: bool) -> Array | None:
    """Zeros between the inputs, then a convolution with the flipped kernel."""
    x, w, bias = (*args, None)[:3]
    if x.size == 0 or x.ndim < 3:
        return None
    n, group = x.ndim - 2, ctx.attr_int("group", 1)
    strides, dilations = per_axis(ctx, "strides", n, 1), per_axis(ctx, "dilations", n, 1)
    before, out = transposed_extents(ctx, x.shape[2:], w.shape[2:], strides, dilations)
    spread = np.zeros((*x.shape[:2], *((d - 1) * s + 1 for d, s in zip(x.shape[2:], strides, strict=True))),
                      _work(x, wide).dtype)
    places = (slice(None), slice(None), *(slice(None, None, s) for s in strides))
    spread[places] = x
    axes = [Window(d, k, 1, t, int(span(k, t)) - 1 - int(b), 0, o)  # type: ignore[arg-type]
            for d, k, t, b, o in zip(spread.shape[2:], w.shape[2:], dilations, before, out, strict=True)]
    flipped = np.flip(_work(w, wide), tuple(range(2, 2 + n)))
    grouped = flipped.reshape(group, w.shape[0] // group, *w.shape[1:]).swapaxes(1, 2)
    y = _convolve(spread, grouped.reshape(-1, *grouped.shape[2:]), group, axes)
    if bias is not None:
        y = y + _work(bias, wide).reshape(-1, *[1] * n)
    return _stored(y, x, wide)


def max_pool(ctx: Ctx, args: Sequence[Any], wide: bool) -> Array | None:
    x, = args
    if x.size == 0 or x.ndim < 3 or ctx.wants(1):
        return None
    axes = windows(ctx, x.shape[2:], per_axis(ctx, "kernel_shape", x.ndim - 2, 1))
    if any(a.out == 0 for a in axes):
        return None
    work = _work(x, wide)
    fill = -np.inf if work.dtype.kind == "f" else np.iinfo(x.dtype).min
    p = _patches(work, axes, fill)
    return _stored(p.max(axis=tuple(range(x.ndim, p.ndim))), x, wide)


def global_average_pool(ctx: Ctx, args: Sequence[Any], wide: bool) -> Array | None:
    x, = args
    if x.size == 0 or x.ndim < 3:
        return None
    work, axes = _work(x, wide), tuple(range(2, x.ndim))
    return _stored(work.sum(axes, keepdims=True) / work.dtype.type(prod(x.shape[2:])), x, wide)


FAST: dict[tuple[str, str], Fast] = {
    ("", "MatMul"): matmul,
    ("", "Conv"): conv,
    ("", "ConvTranspose"): conv_transpose,
    ("", "MaxPool"): max_pool,
    ("", "GlobalAveragePool"): global_average_pool,
}
