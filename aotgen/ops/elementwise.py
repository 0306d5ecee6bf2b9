# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Elementwise operators: one row each. Floats narrower than 32 bits are computed in f32 and rounded once, when stored.

Every row keeps NaN: ``min``/``max`` propagate it and a comparison with it is false, so choices are written such that
the NaN side is the one that carries the operand through.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import reduce

import numpy as np

from aotgen.core import dtypes
from aotgen.core.dtypes import DType
from aotgen.ir.define import Def, compute
from aotgen.ir.expr import E, cast, const, fn, select
from aotgen.ops.broadcast import elementwise, known_or_loaded
from aotgen.ops.registry import Ctx, lowering

Unary = Callable[[Ctx, E], E]
SQRT_HALF = math.sqrt(0.5)


# -- unary


def _op(name: str) -> Unary:
    return lambda ctx, x: fn(name, x)


def _abs(ctx: Ctx, x: E) -> E:
    return x if x.type.kind in "ub" else fn("abs", x)


def _sign(ctx: Ctx, x: E) -> E:
    return select(x.eq(0), x, const(1, x.dtype)) if x.type.kind == "u" else fn("sign", x)


def _elu(ctx: Ctx, x: E) -> E:
    return select(x < 0, (fn("exp", x) - 1) * ctx.attr_float("alpha", 1.0), x)


def _selu(ctx: Ctx, x: E) -> E:
    alpha = ctx.attr_float("alpha", 1.67326319217681884765625)
    return select(x < 0, (fn("exp", x) - 1) * alpha, x) * ctx.attr_float("gamma", 1.05070102214813232421875)


def _celu(ctx: Ctx, x: E) -> E:
    alpha = ctx.attr_float("alpha", 1.0)
    return select(x < 0, (fn("exp", x / alpha) - 1) * alpha, x)


def _leaky(ctx: Ctx, x: E) -> E:
    return select(x < 0, x * ctx.attr_float("alpha", 0.01), x)


def _thresholded(ctx: Ctx, x: E) -> E:
    return select(x > ctx.attr_float("alpha", 1.0), x, const(0, x.dtype))


def _unit(x: E) -> E:
    """``x`` clamped to [0, 1]."""
    return fn("max", fn("min", x, const(1, x.dtype)), const(0, x.dtype))


def _hard_sigmoid(ctx: Ctx, x: E) -> E:
    return _unit(x * ctx.attr_float("alpha", 0.2) + ctx.attr_float("beta", 0.5))


def softplus(x: E) -> E:
    """log(1 + exp(x)) without overflow: max(x, 0) + log1p(exp(-|x|))."""
    return fn("max", x, const(0, x.dtype)) + fn("log1p", fn("exp", -fn("abs", x)))


def gelu(x: E) -> E:
    return x * 0.5 * (fn("erf", x * SQRT_HALF) + 1)


def gelu_tanh(x: E) -> E:
    """The tanh approximation of Hendrycks & Gimpel (2016)."""
    return x * 0.5 * (fn("tanh", (x + x * x * x * 0.044715) * math.sqrt(2 / math.pi)) + 1)


def _gelu(ctx: Ctx, x: E) -> E:
    return gelu_tanh(x) if ctx.attr_str("approximate", "none") == "tanh" else gelu(x)


def _shrink(ctx: Ctx, x: E) -> E:
    lambd, bias = ctx.attr_float("lambd", 0.5), ctx.attr_float("bias", 0.0)
    v = x if x.type.is_float else cast(x, "f64")  # the thresholds are floats whatever the tensor is
    out = select(v < -lambd, v + bias, select(v > lambd, v - bias, const(0, v.dtype)))
    return out if v is x else cast(out, x.dtype)


def _swish(ctx: Ctx, x: E) -> E:
    alpha = ctx.attr_float("alpha", 1.0)
    return x * fn("sigmoid", x * alpha)


UNARY: dict[str, Unary] = {
    **{
        name: _op(name.lower())
        for name in [
            "Neg",
            "Exp",
            "Log",
            "Sqrt",
            "Sin",
            "Cos",
            "Tan",
            "Sinh",
            "Cosh",
            "Tanh",
            "Asinh",
            "Acosh",
            "Atanh",
            "Erf",
            "Sigmoid",
            "Floor",
            "Ceil",
            "Not",
            "Asin",
            "Acos",
            "Atan",
        ]
    },
    "Abs": _abs,
    "Sign": _sign,
    "Round": _op("rint"),
    "BitwiseNot": _op("bitnot"),
    "Reciprocal": lambda ctx, x: 1 / x,
    "Identity": lambda ctx, x: x,
    "Relu": lambda ctx, x: fn("max", x, const(0, x.dtype)),
    "LeakyRelu": _leaky,
    "Elu": _elu,
    "Selu": _selu,
    "Celu": _celu,
    "ThresholdedRelu": _thresholded,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": lambda ctx, x: x * _unit(x * float(np.float32(1 / 6)) + 0.5),
    "Softplus": lambda ctx, x: softplus(x),
    "Softsign": lambda ctx, x: x / (fn("abs", x) + 1),
    "Mish": lambda ctx, x: x * fn("tanh", softplus(x)),
    "Gelu": _gelu,
    "Shrink": _shrink,
    "Swish": _swish,
}


def _register_unary(name: str, row: Unary, domain: str = "") -> None:
    def lower(ctx: Ctx, x: Def) -> Def:
        return compute(x.shape, lambda *i: row(ctx, x[i]), x.dtype)

    lowering(name, domain=domain)(lower)


for _name, _row in UNARY.items():
    _register_unary(_name, _row)
_register_unary("Gelu", lambda ctx, x: gelu(x), "com.microsoft")
_register_unary("QuickGelu", lambda ctx, x: x * fn("sigmoid", x * ctx.attr_float("alpha", 1.702)), "com.microsoft")


@lowering("IsNaN")
def is_nan(ctx: Ctx, x: Def) -> Def:
    return compute(x.shape, lambda *i: fn("isnan", x[i]))


@lowering("IsInf")
def is_inf(ctx: Ctx, x: Def) -> Def:
    up, down = ctx.attr_int("detect_positive", 1), ctx.attr_int("detect_negative", 1)
    if up and down:
        return compute(x.shape, lambda *i: fn("isinf", x[i]))
    if not up and not down:
        return compute(x.shape, lambda *i: const(False, "bool"))
    return compute(x.shape, lambda *i: x[i].eq(math.inf if up else -math.inf))


# -- binary and variadic, broadcasting

BINARY: dict[str, Callable[[E, E], E]] = {
    **{
        name: (lambda op: lambda a, b: fn(op, a, b))(name.lower())
        for name in ["Add", "Sub", "Mul", "Div", "And", "Or", "Xor"]
    },
    **{f"Bitwise{name}": (lambda op: lambda a, b: fn(op, a, b))(f"bit{name.lower()}") for name in ["And", "Or", "Xor"]},
    "PRelu": lambda x, slope: select(x < 0, x * slope, x),
}
COMPARE: dict[str, Callable[[E, E], E]] = {
    "Equal": lambda a, b: fn("eq", a, b),
    "Less": lambda a, b: fn("lt", a, b),
    "LessOrEqual": lambda a, b: fn("le", a, b),
    "Greater": lambda a, b: fn("lt", b, a),
    "GreaterOrEqual": lambda a, b: fn("le", b, a),
}
VARIADIC: dict[str, Callable[..., E]] = {
    "Sum": lambda *xs: reduce(lambda a, b: a + b, xs),
    "Mean": lambda *xs: reduce(lambda a, b: a + b, xs) / len(xs),
    "Max": lambda *xs: reduce(lambda a, b: fn("max", a, b), xs),
    "Min": lambda *xs: reduce(lambda a, b: fn("min", a, b), xs),
}


def _register_nary(name: str, row: Callable[..., E], dtype: DType | None = None) -> None:
    def lower(ctx: Ctx, *xs: Def) -> Def:
        if name != "Equal" and dtypes.string in (x.dtype for x in xs):
            raise ctx.refuse(f"{name} of strings is not defined")
        return elementwise(ctx, row, xs, dtype)

    lowering(name)(lower)


for _name, _nary in {**BINARY, **VARIADIC}.items():
    _register_nary(_name, _nary)
for _name, _nary in COMPARE.items():
    _register_nary(_name, _nary, dtypes.boolean)


@lowering("FastGelu", domain="com.microsoft")
def fast_gelu(ctx: Ctx, x: Def, bias: Def | None = None) -> Def:
    return elementwise(ctx, lambda a, *b: gelu_tanh(a + b[0] if b else a), [x, bias] if bias is not None else [x])


@lowering("BiasGelu", domain="com.microsoft")
def bias_gelu(ctx: Ctx, x: Def, bias: Def) -> Def:
    return elementwise(ctx, lambda a, b: gelu(a + b), [x, bias])


@lowering("Mod")
def mod(ctx: Ctx, a: Def, b: Def) -> Def:
    """``fmod = 0``: the divisor's sign; 1: the dividend's."""
    return elementwise(ctx, lambda x, y: fn("fmod" if ctx.attr_int("fmod", 0) else "mod", x, y), [a, b])


@lowering("BitShift")
def bit_shift(ctx: Ctx, a: Def, b: Def) -> Def:
    """Right shifts of signed types extend the sign; an amount outside [0, bits) leaves only that extension (or 0)."""
    left, top = ctx.attr_str("direction") == "LEFT", a.dtype.bits - 1

    def f(x: E, y: E) -> E:
        if a.dtype.kind == "u":
            return fn("shl" if left else "shr", x, y)
        outside = fn("or", y < 0, y > top)
        within = select(outside, const(top, y.dtype), y)
        return select(outside, const(0, x.dtype), fn("shl", x, within)) if left else fn("shr", x, within)

    return elementwise(ctx, f, [a, b])


@lowering("Where")
def where(ctx: Ctx, condition: Def, x: Def, y: Def) -> Def:
    return elementwise(ctx, select, [condition, x, y], x.dtype)


@lowering("Pow")
def power(ctx: Ctx, x: Def, y: Def) -> Def:
    """The result has the base's type. A small constant exponent becomes multiplications or a square root."""
    exponent = ctx.const(1)
    if exponent is not None and exponent.size == 1 and y.rank <= x.rank:
        simple = _simple_power(float(exponent.reshape(-1)[0]), x.dtype)
        if simple is not None:
            return elementwise(ctx, lambda a, _: simple(a), [x, y])
    if x.dtype.is_integer and y.dtype.is_integer:  # exact, modulo what 64 bits wrap to
        whole = "u64" if y.dtype is dtypes.u64 else "i64"
        return elementwise(ctx, lambda a, b: cast(fn("pow", cast(a, whole), cast(b, whole)), x.dtype), [x, y])
    wide = not x.dtype.is_float or y.dtype == dtypes.f64
    through = "f64" if wide else dtypes.compute_of(x.dtype).name
    back = x.dtype if not x.dtype.is_float else dtypes.compute_of(x.dtype)
    return elementwise(ctx, lambda a, b: cast(fn("pow", cast(a, through), cast(b, through)), back), [x, y])


def _simple_power(p: float, dtype: DType) -> Callable[[E], E] | None:
    """x**p without pow; 0.5 keeps pow's +0 for -0 and +inf for -inf."""
    if p in (1.0, 2.0, 3.0, 4.0):
        return {
            1.0: lambda a: a,
            2.0: lambda a: a * a,
            3.0: lambda a: a * a * a,
            4.0: lambda a: a * a * (a * a),
        }[p]
    if not dtype.is_float:
        return None

    def root(a: E) -> E:
        return select(a.eq(-math.inf), const(math.inf, a.dtype), fn("sqrt", a + 0.0))

    return {0.5: root, -0.5: lambda a: 1 / root(a), -1.0: lambda a: 1 / a, -2.0: lambda a: 1 / (a * a)}.get(p)


@lowering("Clip")
def clip(ctx: Ctx, x: Def, low: Def | None = None, high: Def | None = None) -> Def:
    """min(max(x, low), high): where low > high the answer is high."""
    bounds = [known_or_loaded(ctx, k, b) for k, b in ((1, low), (2, high))]

    def f(*i: object) -> E:
        v = x[i]
        v = v if bounds[0] is None else fn("max", v, bounds[0])
        return v if bounds[1] is None else fn("min", v, bounds[1])

    return compute(x.shape, f, x.dtype)
