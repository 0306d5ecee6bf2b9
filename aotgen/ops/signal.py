# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Discrete Fourier transforms and what audio front ends put around them.

A transform of known length is a product with a constant matrix of cosines and sines that takes the interleaved (real,
imaginary) pairs of a line to those of its spectrum: the matrix kernels beat an FFT at the lengths of audio frames. One of
open length, or too long for a table, is the defining sum.
"""

from __future__ import annotations

from math import log, pi

import numpy as np
from numpy.typing import NDArray

from aotgen.core import dtypes
from aotgen.core.errors import ModelError
from aotgen.ir import expr, facts, index
from aotgen.ir.define import Def, compute, reduce_
from aotgen.ir.expr import E, cast, const, fn, ix_value, select
from aotgen.ir.graph import Node, Value
from aotgen.ir.index import Dim, Ix
from aotgen.ops.broadcast import flat_element
from aotgen.ops.builder import Builder
from aotgen.ops.extents import integer, integers, is_data, named_axes, operand, picked, vector
from aotgen.ops.registry import INTERNAL, Ctx, expansion, lowering, settles
from aotgen.ops.shorthand import Sub

TABLE_LIMIT = 1 << 22  # elements of a constant transform matrix


def transform_matrix(read: int, length: int, kept: int, parts: int, inverse: bool, real: bool) -> NDArray[np.float64]:
    """``[read * parts, kept * outs]``: from (real, imaginary) pairs of the first ``read`` of ``length`` elements to
    ``kept`` elements of the transform. ``parts`` 1: real input. ``real``: the input is the half spectrum of a real signal,
    which is the output (``outs`` 1)."""
    angle = (2 * pi / length) * (np.outer(np.arange(read), np.arange(kept)) % length)
    c, s = np.cos(angle), np.sin(angle) * (1 if inverse else -1)
    scale = 1 / length if inverse else 1.0
    if real:  # x[n] = (1/N) sum_k w_k (re cos - im sin): w_k counts the mirrored half of the spectrum
        k = np.arange(read)
        weight = np.where((k == 0) | (2 * k == length), 1.0, np.where(2 * k < length, 2.0, 0.0))[:, None] * scale
        rows = [c * weight, -s * weight][:parts]
        return np.stack(rows, 1).reshape(read * parts, kept)
    pairs = [np.stack([c, s], -1), np.stack([-s, c], -1)][:parts]
    return (np.stack(pairs, 1) * scale).reshape(read * parts, kept * 2)


def transformed(s: Sub, x: Value, length: Dim, inverse: bool, onesided: bool) -> Value:
    """The transform of ``x [..., n, parts]`` along its last axis but one."""
    real = inverse and onesided
    if onesided and not inverse:
        x = s.sized(x, {-1: 1}, "a real signal, which the one-sided transform takes,")
    n, parts = x.shape[-2], x.shape[-1]
    if isinstance(parts, int) and parts not in (1, 2):
        raise ModelError(f"a signal of type {x.type}: the last axis holds 1 or 2 parts")
    kept = index.as_dim(index.ix(length) // 2 + 1) if onesided and not inverse else index.as_dim(length)
    outs = 1 if real else 2
    want = index.as_dim(index.ix(length) // 2 + 1) if real else length
    known = isinstance(parts, int) and isinstance(n, int) and isinstance(length, int) and isinstance(kept, int) and isinstance(want, int)
    if known and min(n, want) * parts * kept * outs <= TABLE_LIMIT:  # type: ignore[type-var, operator]
        assert isinstance(n, int) and isinstance(length, int) and isinstance(kept, int) and isinstance(want, int)
        assert isinstance(parts, int)
        read = min(n, want)
        table = transform_matrix(read, length, kept, parts, inverse, real)
        x = s.slice(x, len(x.shape) - 2, 0, read)
        lead = x.shape[:-2]
        flat = s.reshape(x, [*lead, read * parts])
        y = s("MatMul", flat, s.builder.constant(table.astype(x.dtype.numpy), "dft"))
        return s.reshape(y, [*lead, kept, outs])
    return s("DftSum", x, s.ints([length]), domain="aotgen", inverse=int(inverse), onesided=int(onesided))  # type: ignore[no-any-return]


@lowering("DftSum", domain="aotgen")
def dft_sum(ctx: Ctx, x: Def, dft_length: Def) -> Def:
    """The defining sum along the last axis but one, in float64. dft_length: ``[1]`` i64, known. The last axis of x: 1 or 2
    parts, an open one must be either when the library runs."""
    inverse, onesided = bool(ctx.attr_int("inverse")), bool(ctx.attr_int("onesided"))
    length, n, parts = ctx.values(1, "dft_length")[0], x.shape[-2], x.shape[-1]
    real = inverse and onesided
    half = index.as_dim(index.ix(length) // 2 + 1)
    kept, outs = (half if onesided and not inverse else length), (1 if real else 2)
    size = expr.cast(expr.ix_value(length), "f64")
    turn = expr.const(2 * pi, "f64") / size
    zero = expr.const(0, "f64")
    facts.assume_nonneg(index.ix(parts) - 1)
    facts.assume_nonneg(2 - index.ix(parts))

    def term(o: list[Ix], r: list[Ix]) -> E:
        j, k, part = r[0], o[-2], o[-1]
        angle = expr.cast(expr.ix_value((j * k) % length), "f64") * turn
        c, s = expr.fn("cos", angle), expr.fn("sin", angle) * (1.0 if inverse else -1.0)
        a = expr.cast(x[(*o[:-2], j, index.ix(0))], "f64")
        b = zero if parts == 1 else expr.cast(x[(*o[:-2], j, index.ix(1))], "f64")
        b = expr.guard(expr.ge0(index.ix(parts) - 2), b, zero)
        if real:
            mirrored = expr.all_([expr.ge0(j - 1), expr.ge0(length - 2 * j - 1)])
            value = (a * c - b * s) * expr.select(mirrored, expr.const(2, "f64"), expr.const(1, "f64"))
        else:
            value = expr.select(expr.ge0(-part), a * c - b * s, a * s + b * c)
        return expr.guard(expr.ge0(index.ix(half if real else length) - 1 - j), value, zero)

    total = reduce_("sum", (*x.shape[:-2], kept, outs), [n], term)
    kind = x.dtype.compute
    return compute(total.shape, lambda *i: expr.cast(total[i] / size if inverse else total[i], kind), x.dtype)


@settles("DFT")
def settle_dft(builder: Builder, node: Node) -> Node:
    """Along an axis that is data: the second of four, before and behind which the others are flattened."""
    node = operand(1)(builder, node)
    if not is_data(builder, node, 2):
        return node
    x, length, axis = node.inputs
    assert x is not None and axis is not None
    axis = vector(builder, axis)
    around = builder.extents(integer(builder, "ExtentsAround", [x, axis]), f"around_{axis.name}")
    flat = builder.op("Reshape", [x, around], allowzero=1)
    (before, n, behind), parts = flat.shape, x.shape[-1]
    lines = integers(builder, [before, n, index.as_dim(index.ix(behind) // parts), parts])
    flat = builder.op("Reshape", [flat, lines], allowzero=1)
    done = builder.op("DFT", [flat, length, builder.constant(np.array(1, np.int64))], **node.attrs)
    found = integer(builder, "DftExtents", [x, axis, integers(builder, [done.shape[1], done.shape[3]])])
    return Node("Reshape", (done, builder.extents(found, f"dft_{axis.name}")), node.outputs, {"allowzero": 1}, origin=node.origin)


@lowering("DftExtents", domain=INTERNAL)
def dft_extents(ctx: Ctx, x: Def, axis: Def, extents: Def) -> Def:
    """i64[rank]: the extents of ``x`` with the transformed axis as long as its spectrum; last, how many parts it has."""
    kept, parts = ctx.values(2, "extents")
    spectrum = named_axes(axis, x.rank)

    def f(k: Ix) -> E:
        return select(spectrum[k], ix_value(kept), picked([*x.shape[:-1], parts], k))

    return compute((x.rank,), f, dtypes.i64)


@expansion("DFT")
def dft(ctx: Ctx, builder: Builder, x: Value, dft_length: Value | None = None, axis: Value | None = None) -> Value:
    s, rank = Sub(ctx, builder), len(x.shape)
    a = ctx.axis_of(int(ctx.values(2, "axis")[0]) if axis is not None else -2, rank)  # type: ignore[arg-type]
    if a == rank - 1:
        raise ModelError("the last axis holds the parts of a number, it cannot be transformed")
    inverse, onesided = bool(ctx.attr_int("inverse", 0)), bool(ctx.attr_int("onesided", 0))
    if dft_length is not None:
        length = ctx.values(1, "dft_length")[0]
    else:
        length = index.as_dim((index.ix(x.shape[a]) - 1) * 2) if inverse and onesided else x.shape[a]
    order = [k for k in range(rank) if k not in (a, rank - 1)] + [a, rank - 1]
    y = transformed(s, s.transpose(x, order), length, inverse, onesided)
    return s.transpose(y, [order.index(k) for k in range(rank)])


@expansion("STFT")
def stft(ctx: Ctx, builder: Builder, signal: Value, step: Value, window: Value | None = None,
         frame_length: Value | None = None) -> Value:
    """signal: ``[B, L]``, ``[B, L, 1]`` or ``[B, L, 2]``; result ``[B, frames, bins, 2]``."""
    s = Sub(ctx, builder)
    signal = s.reshape(signal, [*signal.shape, 1]) if len(signal.shape) == 2 else signal
    if frame_length is not None:
        length = ctx.values(3, "frame_length")[0]
    else:
        length = window.shape[0] if window is not None else signal.shape[1]
    hop = ctx.values(1, "frame_step")[0]
    if (isinstance(hop, int) and hop < 1) or (isinstance(length, int) and length < 1):
        raise ModelError(f"STFT with frames of {length} every {hop}")
    if window is not None:
        window = s.sized(window, {0: length}, "a window")
    framed = s("Frames", signal, s.ints([length, hop]), window, domain=INTERNAL)
    onesided = bool(ctx.attr_int("onesided", 1)) and signal.shape[2] != 2  # an open number of parts is taken to be 1
    return transformed(s, framed, length, False, onesided)


@lowering("Frames", domain=INTERNAL)
def frames(ctx: Ctx, x: Def, extents: Def, window: Def | None = None) -> Def:
    """Overlapping windowed pieces ``[B, frames, length, parts]`` of ``x [B, L, parts]``. extents: known, the length of a
    piece and the step from one to the next."""
    length, step = ctx.values(1, "extents")
    room = index.ix(x.shape[1]) - length
    if index.nonneg(-1 - room):
        raise ModelError(f"frames of {length} of a signal of {x.shape[1]}")
    facts.assume_nonneg(room)
    count = index.as_dim(room // step + 1)

    def f(b: Ix, k: Ix, j: Ix, part: Ix) -> E:
        value = x[b, k * step + j, part]
        return value if window is None else value * window[j]

    return compute((x.shape[0], count, length, x.shape[2]), f, x.dtype)


# -- mel filters


@lowering("MelWeightMatrix")
def mel_weight_matrix(ctx: Ctx, bins: Def, dft_length: Def, rate: Def, low: Def, high: Def) -> Def:
    """Triangular filters from DFT bins to mel bins, ``[dft_length / 2 + 1, num_mel_bins]``: corners equally spaced in mel,
    rounded down to DFT bins. ``rate``, ``low`` and ``high`` may be data."""
    count, length = ctx.values(0, "num_mel_bins")[0], ctx.values(1, "dft_length")[0]
    hertz = [cast(flat_element(d), "f64") for d in (low, high)]
    start, end = (fn("log", hz / 700.0 + 1.0) * (2595 / log(10)) for hz in hertz)

    def corner(k: Ix) -> E:
        mel = cast(ix_value(k), "f64") * ((end - start) / cast(ix_value(index.ix(count) + 2), "f64")) + start
        hz = (fn("exp", mel * (log(10) / 2595)) - 1.0) * 700.0
        return cast(fn("floor", cast(ix_value(index.ix(length) + 1), "f64") * hz / cast(flat_element(rate), "f64")), "i64")

    at = compute((index.as_dim(index.ix(count) + 2),), corner, dtypes.i64)

    def weight(row: Ix, k: Ix) -> E:
        i, left, centre, right = ix_value(row), at[k], at[k + 1], at[k + 2]
        rise, fall = (cast(a, "f64") / cast(fn("max", b, const(1, "i64")), "f64")
                      for a, b in ((i - left, centre - left), (right - i, right - centre)))
        one, nil = const(1, "f64"), const(0, "f64")
        below = select(fn("and", left <= i, i < centre), rise, nil)
        return select(i.eq(centre), one, select(fn("and", centre < i, i < right), fall, below))

    dtype = ctx.attr_dtype("output_datatype", dtypes.f32)
    return compute((index.as_dim(index.ix(length) // 2 + 1), count), lambda *i: cast(weight(*i), dtype), dtype)
