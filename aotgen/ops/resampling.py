# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What Resize reads: where an output element lies in the input, the taps around it and their weights.

The formulas are written once, over numbers that are arrays where extents are known, and expressions where they are open
or computed from data. Either way an axis becomes two small tables, the taps read and their weights: constants in the
first case, computed when the library runs in the second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aotgen.core import dtypes
from aotgen.core.errors import ModelError
from aotgen.ir import expr, index
from aotgen.ir.define import Def, compute, reduce_
from aotgen.ir.expr import E
from aotgen.ir.index import Dim, Ix
from aotgen.ops.quantize import saturated
from aotgen.ops.registry import INTERNAL, Ctx, lowering

Array = NDArray[Any]
Number = Any  # an array, or an expression
UNROLLED = 4  # taps: up to this many are one pointwise expression, more are a reduction


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """What the formulas ask of numbers beyond Python's own operators."""

    floor: Callable[[Number], Number]
    ceil: Callable[[Number], Number]
    size: Callable[[Number], Number]  # without its sign
    least: Callable[[Number, Number], Number]
    most: Callable[[Number, Number], Number]
    where: Callable[[Any, Number, Number], Number]


def _lifted(*numbers: Number) -> tuple[E, ...]:
    """Python numbers among expressions take their type."""
    kind = next(n.dtype for n in numbers if isinstance(n, E))
    return tuple(n if isinstance(n, E) else expr.const(n, kind) for n in numbers)


ARRAYS = Arithmetic(np.floor, np.ceil, np.abs, np.minimum, np.maximum, np.where)
EXPRESSIONS = Arithmetic(
    lambda a: expr.fn("floor", a), lambda a: expr.fn("ceil", a), lambda a: expr.fn("abs", a),
    lambda a, b: expr.fn("min", *_lifted(a, b)), lambda a, b: expr.fn("max", *_lifted(a, b)),
    lambda c, a, b: expr.select(c, *_lifted(a, b)))


@dataclass(frozen=True, slots=True)
class Line:
    """The numbers of one axis: its extents, ``scale`` (output per input), and where the region of interest starts and ends."""

    size: Number
    out: Number
    scale: Number
    start: Number
    end: Number

    @property
    def last(self) -> Number:
        return self.size - 1.0


# -- coordinates


def _half_pixel(x: Number, a: Line, f: Arithmetic) -> Number:
    return (x + 0.5) / a.scale - 0.5


def _symmetric(x: Number, a: Line, f: Arithmetic) -> Number:
    return a.size / 2.0 * (1.0 - a.out / (a.scale * a.size)) + (x + 0.5) / a.scale - 0.5


def _pytorch(x: Number, a: Line, f: Arithmetic) -> Number:
    return f.where(a.out <= 1.0, x * 0.0, _half_pixel(x, a, f))


def _corners(x: Number, a: Line, f: Arithmetic) -> Number:
    return x * a.last / f.most(a.out - 1.0, 1.0)


def _cropped(x: Number, a: Line, f: Arithmetic) -> Number:
    spread = a.start * a.last + x * (a.end - a.start) * a.last / f.most(a.out - 1.0, 1.0)
    return f.where(a.out <= 1.0, (a.start + a.end) * 0.5 * a.last, spread)


# coordinate_transformation_mode: where output element ``x`` of an axis lies in the input.
COORDINATES: dict[str, Callable[[Number, Line, Arithmetic], Number]] = {
    "half_pixel": _half_pixel, "half_pixel_symmetric": _symmetric, "pytorch_half_pixel": _pytorch, "align_corners": _corners,
    "asymmetric": lambda x, a, f: x / a.scale, "tf_crop_and_resize": _cropped,
    "tf_half_pixel_for_nn": lambda x, a, f: (x + 0.5) / a.scale}  # operator set 11 only

# nearest_mode: the element that coordinate ``c`` of an axis stands for. ``simple`` is what opset 10 had.
NEAREST: dict[str, Callable[[Number, Line, Arithmetic], Number]] = {
    "floor": lambda c, a, f: f.floor(c),
    "ceil": lambda c, a, f: f.ceil(c),
    "round_prefer_floor": lambda c, a, f: f.floor(c) + f.where(c - f.floor(c) > 0.5, 1.0, c * 0.0),
    "round_prefer_ceil": lambda c, a, f: f.floor(c) + f.where(c - f.floor(c) >= 0.5, 1.0, c * 0.0),
    "simple": lambda c, a, f: f.where(a.scale < 1.0, f.ceil(c), f.floor(c))}


@dataclass(frozen=True, slots=True)
class Modes:
    """The attributes that say how coordinates and weights are formed."""

    mode: str
    coordinates: str
    nearest: str
    cubic_a: float
    exclude_outside: bool
    antialias: bool
    extrapolation: float

    @staticmethod
    def of(ctx: Ctx) -> Modes:
        out = Modes(ctx.attr_str("mode", "nearest"), ctx.attr_str("coordinate_transformation_mode", "half_pixel"),
                    ctx.attr_str("nearest_mode", "round_prefer_floor"), ctx.attr_float("cubic_coeff_a", -0.75),
                    bool(ctx.attr_int("exclude_outside", 0)), bool(ctx.attr_int("antialias", 0)),
                    ctx.attr_float("extrapolation_value", 0.0))
        for what, value, known in (("mode", out.mode, TAPS), ("nearest_mode", out.nearest, NEAREST),
                                   ("coordinate_transformation_mode", out.coordinates, COORDINATES)):
            if value not in known:
                raise ModelError(f"unknown Resize {what} '{value}'")
        return out

    @property
    def crops(self) -> bool:
        """Is there a region of interest, outside of which nothing is read?"""
        return self.coordinates == "tf_crop_and_resize"

    @property
    def spreads(self) -> bool:
        """Does the number of taps follow the scale?"""
        return self.antialias and self.mode != "nearest"

    def place(self, x: Number, a: Line, f: Arithmetic) -> Number:
        return COORDINATES[self.coordinates](x, a, f)

    def nearest_at(self, c: Number, a: Line, f: Arithmetic) -> Number:
        return f.most(f.least(NEAREST[self.nearest](c, a, f), a.last), 0.0)

    def shrink(self, a: Line, f: Arithmetic) -> Number:
        """What the distance of a tap is multiplied by: below 1 where taps are spread over what an output element covers."""
        return f.least(a.scale, 1.0) if self.antialias else a.scale * 0.0 + 1.0

    def tap(self, c: Number, t: Number, count: Number, a: Line, f: Arithmetic) -> tuple[Number, Number]:
        """The element that tap ``t`` of ``count`` around ``c`` reads, clamped into the axis, and its weight."""
        at = f.floor(c) - count * 0.5 + 1.0 + t
        weight = WEIGHTS[self.mode]((at - c) * self.shrink(a, f), self.cubic_a, f)
        if self.exclude_outside:
            weight = f.where(at < 0.0, weight * 0.0, f.where(at > a.last, weight * 0.0, weight))
        return f.most(f.least(at, a.last), 0.0), weight

    @property
    def divides(self) -> bool:
        """Must the weights be divided by their sum?"""
        return self.exclude_outside or self.antialias


def _linear(x: Number, a: float, f: Arithmetic) -> Number:
    return f.most(1.0 - f.size(x), 0.0)


def _cubic(x: Number, a: float, f: Arithmetic) -> Number:
    """Keys' cubic convolution kernel."""
    x = f.size(x)
    near = ((a + 2) * x - (a + 3)) * x * x + 1.0
    far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
    return f.where(x <= 1.0, near, f.where(x < 2.0, far, x * 0.0))


WEIGHTS: dict[str, Callable[[Number, float, Arithmetic], Number]] = {"linear": _linear, "cubic": _cubic}
TAPS = {"nearest": 1, "linear": 2, "cubic": 4}  # how many, where they are not spread


# -- known extents


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis to resize. ``scale`` (output per input) and ``roi`` (start, end) are known numbers."""

    axis: int
    size: int
    out: int
    scale: float
    roi: tuple[float, float]

    def line(self, t: Any) -> Line:
        return Line(*(np.full(1, v, t) for v in (self.size, self.out, self.scale, *self.roi)))

    def coordinates(self, m: Modes, t: Any) -> Array:
        """Where each output element lies in the input, in float type ``t``."""
        return np.broadcast_to(m.place(np.arange(self.out).astype(t), self.line(t), ARRAYS), (self.out,))

    def nearest(self, m: Modes) -> Array:
        """The element read for each output element. onnxruntime's float32 coordinates decide ties."""
        at = m.nearest_at(self.coordinates(m, np.float32), self.line(np.float32), ARRAYS)
        return np.asarray(at).astype(np.int64)

    def tables(self, m: Modes) -> tuple[Array, Array]:
        """``[out, taps]`` tables of the elements read and their weights."""
        line, c = self.line(np.float64), self.coordinates(m, np.float64)
        count = spread(self.scale, m.mode) if m.spreads and self.out else TAPS[m.mode]
        at, w = m.tap(c[:, None], np.arange(count)[None], count, line, ARRAYS)
        return at.astype(np.int32), w / w.sum(axis=1, keepdims=True) if m.divides else w

    def outside(self, m: Modes) -> Array:
        """bool[out]: does the element lie outside the input?"""
        c = self.coordinates(m, np.float32)
        return (c < 0) | (c > self.size - 1)


def spread(scale: float, mode: str) -> int:
    """How many taps there are where they cover what an output element covers."""
    return 2 * ceil(TAPS[mode] / 2 / min(scale, 1.0))


@lowering("Resample", domain=INTERNAL)
def resample(ctx: Ctx, x: Def, *tables: Def) -> Def:
    """Resize with known maps: each planned axis in turn is read through an integer map or constant tables."""
    plans, rest = ctx.attr_ints("plans"), list(tables)
    weighted = bool(ctx.attr_int("weighted"))
    y = _blended(x) if weighted else x
    for k in range(0, len(plans), 7):
        axis, out, p, r, q, taps, masked = plans[k:k + 7]
        at = rest.pop(0) if p == 0 else None
        w = rest.pop(0) if weighted else None
        y = _mapped(y, axis, out, (p, r, q)) if at is None else _read(y, axis, out, taps, at, w)
        if masked:
            y = _outside(y, rest.pop(0), axis, ctx.attr_float("extrapolation"))
    return _stored(y, x)


def weight_type(dtype: dtypes.DType) -> dtypes.DType:
    """What elements are weighted in. A sum of weights may miss 1 by a rounding, and integers are cut off: in float64 the
    result of equal neighbours is nudged back by far less than a step."""
    return dtypes.f32 if dtype.is_float and dtype is not dtypes.f64 else dtypes.f64


def _blended(x: Def) -> Def:
    """Integers as numbers that can be weighted."""
    kind = weight_type(x.dtype)
    return x if x.dtype.is_float else compute(x.shape, lambda *i: expr.cast(x[i], kind), kind)


def _stored(y: Def, x: Def) -> Def:
    """Weighted sums in the type of the operator: integers are cut off toward 0 and, where cubic weights overshoot, clamped."""
    if y.dtype is x.dtype:
        return y
    if not x.dtype.is_integer:
        return compute(y.shape, lambda *i: y[i], x.dtype)
    return compute(y.shape, lambda *i: saturated(_whole(y[i]), x.dtype), x.dtype)


def _whole(e: E) -> E:
    """``e`` without its fraction; within 2^-20 of an integer, that integer."""
    near = expr.fn("rint", e)
    return expr.select(expr.fn("abs", e - near) < 2.0**-20, near, expr.fn("trunc", e))


def _shape(x: Def, axis: int, out: Dim) -> tuple[Dim, ...]:
    return (*x.shape[:axis], out, *x.shape[axis + 1:])


def _mapped(x: Def, axis: int, out: Dim, affine: tuple[int, int, int]) -> Def:
    """Element ``(o*p + r) // q`` of an axis."""
    p, r, q = affine
    return compute(_shape(x, axis, out), lambda *i: x[(*i[:axis], (i[axis] * p + r) // q, *i[axis + 1:])], x.dtype)


def _read(x: Def, axis: int, out: Dim, taps: Dim, at: Def, w: Def | None, optional: bool = False) -> Def:
    """The sum of the elements ``at [out, taps]`` of an axis, weighted by ``w [out, taps]``. ``optional``: the axis may turn
    out to be one that does not change; a tap without weight must not count then, were it infinite."""
    shape = _shape(x, axis, out)

    def element(i: Sequence[Ix], t: Ix) -> E:
        o = i[axis]
        value = x[(*i[:axis], expr.index_of(at[o, t], x.shape[axis]), *i[axis + 1:])]
        if w is None:
            return value
        return expr.select(w[o, t].eq(0.0), expr.const(0, value.dtype), value * w[o, t]) if optional else value * w[o, t]

    def pointwise(*i: Ix) -> E:
        assert isinstance(taps, int)
        total = element(i, index.ix(0))
        for t in range(1, taps):
            total = total + element(i, index.ix(t))
        return total

    if w is None:
        return compute(shape, pointwise, x.dtype)
    if isinstance(taps, int) and taps <= UNROLLED:
        return compute(shape, pointwise)
    return reduce_("sum", shape, [taps], lambda o, r: element(o, r[0]))


def _outside(y: Def, mask: Def, axis: int, value: float) -> Def:
    """``value`` where an axis was sampled outside the input."""
    kind = dtypes.compute_of(y.dtype).name
    return compute(y.shape, lambda *i: expr.select(mask[i[axis]], expr.const(value, kind), y[i]), y.dtype)


# -- open extents


def _real(v: Dim, kind: str) -> E:
    return expr.cast(expr.ix_value(v), kind)


def ratio(out: Dim, size: Dim, kind: str) -> E:
    """Output per input, rounded to f32 as a scale is."""
    return expr.cast(_real(out, "f32") / _real(size, "f32"), kind)


@dataclass(frozen=True, slots=True)
class Open:
    """One axis to resize, of which something is known only when the library runs. ``scale``, ``start``, ``end``: f32."""

    axis: int
    size: Dim
    out: Dim
    scale: E
    start: E
    end: E

    def line(self, kind: str) -> Line:
        return Line(_real(self.size, kind), _real(self.out, kind), *(expr.cast(e, kind) for e in (self.scale, self.start, self.end)))

    @property
    def is_copy(self) -> bool:
        """Is every element certainly read from where it is written?"""
        whole = self.start.op == "const" and self.start.attr == 0.0 and self.end.op == "const" and self.end.attr == 1.0
        same = index.as_dim(self.size) == index.as_dim(self.out)
        return same and whole and (self.scale is ratio(self.out, self.size, "f32") or (self.scale.op == "const" and self.scale.attr == 1.0))

    def coordinate(self, o: Ix, m: Modes, kind: str) -> E:
        return m.place(_real(o, kind), self.line(kind), EXPRESSIONS)  # type: ignore[no-any-return]

    def nearest(self, m: Modes) -> Def:
        """i32[out, 1]"""
        def f(o: Ix, _: Ix) -> E:
            return expr.cast(m.nearest_at(self.coordinate(o, m, "f32"), self.line("f32"), EXPRESSIONS), "i32")

        return compute((self.out, 1), f, dtypes.i32)

    def tables(self, m: Modes, taps: Dim, kind: dtypes.DType) -> tuple[Def, Def]:
        """i32 and ``kind`` tables ``[out, taps]``, worked out in f64."""
        def tap(o: Ix, t: Ix) -> tuple[E, E]:
            c, count = self.coordinate(o, m, "f64"), _real(taps, "f64")
            return m.tap(c, _real(t, "f64"), count, self.line("f64"), EXPRESSIONS)

        shape = (self.out, taps)
        at = compute(shape, lambda o, t: expr.cast(tap(o, t)[0], "i32"), dtypes.i32)
        if not m.divides:
            return at, compute(shape, lambda o, t: expr.cast(tap(o, t)[1], kind), kind)
        w = compute(shape, lambda o, t: tap(o, t)[1])
        total = reduce_("sum", (self.out,), [taps], lambda o, r: w[o[0], r[0]])
        return at, compute(shape, lambda o, t: expr.cast(w[o, t] / total[o], kind), kind)

    def outside(self, m: Modes) -> Def:
        """bool[out]"""
        def f(o: Ix) -> E:
            c = self.coordinate(o, m, "f32")
            return expr.fn("or", c < 0.0, c > self.line("f32").last)

        return compute((self.out,), f, dtypes.boolean)


@lowering("ResizeOpen", domain=INTERNAL)
def resize_open(ctx: Ctx, x: Def, sizes: Def, scales: Def | None = None, roi: Def | None = None,
                taps: Def | None = None) -> Def:
    """Resize whose tables are computed when it runs. ``sizes``: the extents of ``axes``, known as polynomials of dims;
    ``scales``: f32, by default output per input; ``roi``: f32, starts and then ends; ``taps``: as many as ``axes``, known,
    where they are spread."""
    m, axes, outs = Modes.of(ctx), ctx.attr_ints("axes"), ctx.values(1, "sizes")
    kind = weight_type(x.dtype)
    y = _blended(x) if m.mode != "nearest" else x
    for k, axis in enumerate(axes):
        size, out = x.shape[axis], index.as_dim(outs[k])
        scale = ratio(out, size, "f32") if scales is None else _number(ctx, 2, scales, k)
        start, end = (expr.const(e, "f32") if roi is None else _number(ctx, 3, roi, k + e * len(axes)) for e in (0, 1))
        a = Open(axis, size, out, scale, start, end)
        if a.is_copy:
            continue
        if m.mode == "nearest":
            y = _read(y, axis, out, 1, a.nearest(m), None)
        else:
            count = ctx.values(4, "taps")[k] if taps is not None else TAPS[m.mode]
            y = _read(y, axis, out, count, *a.tables(m, count, kind), optional=True)
        if m.crops:
            y = _outside(y, a.outside(m), axis, m.extrapolation)
    return _stored(y, x)


def _number(ctx: Ctx, operand: int, d: Def, k: int) -> E:
    """Element ``k`` of a vector of f32: a constant where it is known."""
    known = ctx.const(operand)
    return d[k] if known is None else expr.const(float(known.reshape(-1)[k]), "f32")
