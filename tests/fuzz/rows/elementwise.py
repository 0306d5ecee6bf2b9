# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Elementwise operators."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import helper

from tests.fuzz.generator import Gen
from tests.fuzz.rows import add, row
from tests.fuzz.values import ANY, FLOATS, INTEGERS, NUMBERS, SIGNED, Array, Var

Attrs = Callable[[Gen], dict[str, Any]]
FRACTION = lambda a: np.abs(a - np.round(a))  # noqa: E731  (distance to an integer)
HALF = lambda a: np.abs(a - np.floor(a) - 0.5)  # noqa: E731  (to where rounding jumps)
ZERO = np.abs


def tenths(g: Gen, low: int, high: int) -> float:
    return g.int(low, high) / 10


@dataclass(frozen=True)
class Unary:
    """``types`` it takes, the domain ``[low, high]``, whether its result is ``exact``, its ``jump``s, its attributes, and
    whether it is ``steady``: no difference of nearly equal numbers, so every element is right to a few roundings of itself."""

    types: tuple[str, ...] = FLOATS
    low: float | None = None
    high: float | None = None
    exact: bool = False
    jump: Callable[[Array], Array] | None = None
    attrs: Attrs = lambda g: {}
    domain: str = ""
    steady: bool = True

    def apply(self, g: Gen, op: str) -> None:
        free = g.settings.hostile  # any contents: the result may be NaN
        x = g.any(self.types, low=None if free else self.low, high=None if free else self.high)
        if self.jump is not None:
            g.apart(x, self.jump, "close to a jump")
        g.need(self.steady or free or (x.high > -2 and x.scale > 0.05), "nothing but the difference of nearly equal numbers")
        g.node(op, [x], exact=self.exact, domain=self.domain, **self.attrs(g))


MICROSOFT = "com.microsoft"
SIGNED_NUMBERS = FLOATS + SIGNED
UNARY: dict[str, Unary] = {
    "Abs": Unary(NUMBERS, exact=True),
    "Neg": Unary(SIGNED_NUMBERS, exact=True),
    "Sign": Unary(NUMBERS, jump=ZERO, exact=True),
    "Relu": Unary((*FLOATS, "int8", "int32"), exact=True),
    "Identity": Unary(ANY, exact=True),
    "Not": Unary(("bool",)),
    "BitwiseNot": Unary(INTEGERS),
    "Floor": Unary(jump=FRACTION, exact=True),
    "Ceil": Unary(jump=FRACTION, exact=True),
    "Round": Unary(jump=HALF, exact=True),
    "Exp": Unary(low=-20, high=6),
    "Log": Unary(low=0.02),
    "Sqrt": Unary(low=0.01),
    "Reciprocal": Unary(low=0.05),
    "Sin": Unary(low=-50, high=50), "Cos": Unary(low=-50, high=50), "Tan": Unary(low=-1.3, high=1.3),
    "Asin": Unary(low=-0.95, high=0.95), "Acos": Unary(low=-0.95, high=0.95), "Atan": Unary(),
    "Sinh": Unary(low=-6, high=6), "Cosh": Unary(low=-6, high=6), "Tanh": Unary(),
    "Asinh": Unary(), "Acosh": Unary(low=1.1), "Atanh": Unary(low=-0.95, high=0.95),
    "Erf": Unary(), "Sigmoid": Unary(), "Softplus": Unary(), "Softsign": Unary(), "Mish": Unary(), "HardSwish": Unary(),
    "LeakyRelu": Unary(attrs=lambda g: {"alpha": tenths(g, -5, 15)}),
    "Elu": Unary(steady=False, attrs=lambda g: {"alpha": tenths(g, 1, 20)}),
    "Celu": Unary(steady=False, attrs=lambda g: {"alpha": tenths(g, 1, 20)}),
    "Selu": Unary(steady=False, attrs=lambda g: {"alpha": tenths(g, 1, 20), "gamma": tenths(g, 1, 20)} if g.chance(0.5) else {}),
    "HardSigmoid": Unary(attrs=lambda g: {"alpha": tenths(g, 1, 9), "beta": tenths(g, 0, 9)}),
    "ThresholdedRelu": Unary(jump=lambda a: np.abs(a - 0.5), attrs=lambda g: {"alpha": 0.5}),
    "Shrink": Unary(jump=lambda a: np.abs(np.abs(a) - 0.5), attrs=lambda g: {"lambd": 0.5, "bias": tenths(g, 0, 9)}),
    "Gelu": Unary(steady=False, attrs=lambda g: {"approximate": g.of(("none", "tanh"))}),
    "QuickGelu": Unary(domain=MICROSOFT, attrs=lambda g: {"alpha": tenths(g, 5, 20)}),
    "FastGelu": Unary(("float32",), steady=False, domain=MICROSOFT),
    "IsNaN": Unary(FLOATS),
    "IsInf": Unary(FLOATS, attrs=lambda g: {"detect_negative": g.int(0, 1), "detect_positive": g.int(0, 1)}),
}
for _name, _unary in UNARY.items():
    add(_name, __name__, lambda g, op=_name, u=_unary: u.apply(g, op), pointwise=_unary.steady)  # type: ignore[misc]


def two(g: Gen, types: tuple[str, ...], low: float | None = None, high: float | None = None) -> tuple[Var, Var]:
    """Operands that broadcast, in either order. ``low`` and ``high`` bound the second."""
    a = g.any(types)
    b = g.broadcast(a, low=low, high=high)
    return (a, b) if low is not None or high is not None or g.chance(0.5) else (b, a)


BINARY = {"Add": NUMBERS, "Sub": NUMBERS, "Mul": NUMBERS, "And": ("bool",), "Or": ("bool",), "Xor": ("bool",),
          "BitwiseAnd": INTEGERS, "BitwiseOr": INTEGERS, "BitwiseXor": INTEGERS}
for _name, _types in BINARY.items():
    add(_name, __name__, lambda g, op=_name, t=_types: g.node(op, two(g, t)) and None, pointwise=True)  # type: ignore[misc]


@row("Div", __name__, pointwise=True)
def div(g: Gen) -> None:
    a, b = two(g, NUMBERS, low=1 if g.chance(0.5) else 0.5)
    if a.dtype in SIGNED and g.chance(0.5):
        b = g.broadcast(a, low=-7, high=-1)
    g.node("Div", [a, b])


@row("Mod", __name__, pointwise=True)
def mod(g: Gen) -> None:
    a, b = two(g, NUMBERS, low=1)
    if a.is_float:
        g.need((a.exact and b.exact) or g.settings.hostile, "Mod jumps")
    elif a.dtype in SIGNED and g.chance(0.5):
        b = g.broadcast(a, low=-7, high=-1)
    g.node("Mod", [a, b], exact=True, fmod=1 if a.is_float else g.int(0, 1))


@row("Pow", __name__, pointwise=True)
def pow_(g: Gen) -> None:
    a = g.any((*FLOATS, "int32", "int64"), low=0.1 if g.chance(0.7) else None, high=6)
    if g.chance(0.5):
        b = g.weight(np.array(g.of((2, 3, 1, 0, 0.5, -1, -2, 4, 1.5)), a.dtype if g.chance(0.7) else "float32"))
    else:
        b = g.broadcast(a, (a.dtype, "float32", "int64", "int32"), low=0, high=3)
    g.need(a.low > 0 or np.all(b.wide[0] == np.round(b.wide[0])) or g.settings.hostile, "a root of a negative number")
    g.need(a.is_float or b.low >= 0 or g.settings.hostile, "an integer to a negative power")
    g.need(a.is_float or b.dtype.startswith("int"), "an integer to a fraction jumps")
    g.node("Pow", [a, b])


@row("BitShift", __name__, pointwise=True)
def bit_shift(g: Gen) -> None:
    a = g.any(("uint8", "uint32", "uint64", "uint16"))
    g.node("BitShift", [a, g.broadcast(a, low=0, high=7)], direction=g.of(("LEFT", "RIGHT")))


for _name in ("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"):

    def _compared(g: Gen, op: str = _name) -> None:
        a, b = two(g, ANY if op == "Equal" else NUMBERS)
        if a.is_float:
            shape = np.broadcast_shapes(a.shape, b.shape)
            g.need(len(shape) <= 5, "a high rank")
            g.differ(a, b)
        g.node(op, [a, b])

    add(_name, __name__, _compared, pointwise=True)

for _name in ("Sum", "Mean", "Max", "Min"):

    def _variadic(g: Gen, op: str = _name) -> None:
        a = g.any(FLOATS if op in ("Sum", "Mean") else NUMBERS)
        g.node(op, [a, *(g.broadcast(a, within=True) for _ in range(g.int(0, 3)))], exact=op in ("Max", "Min"))

    add(_name, __name__, _variadic, pointwise=_name in ("Max", "Min"))


@row("Where", __name__, pointwise=True)
def where(g: Gen) -> None:
    x = g.any(ANY)
    y, c = g.broadcast(x, within=g.chance(0.8)), g.broadcast(x, ("bool",), within=True)
    g.node("Where", [c, x, y], exact=True)


@row("Clip", __name__, pointwise=True)
def clip(g: Gen) -> None:
    x = g.any(NUMBERS)
    low, high = g.int(0, 2), g.int(2, 5)

    def bound(value: int) -> Var | None:
        if g.chance(0.2):
            return None
        return g.weight(np.array(value, x.dtype)) if g.chance(0.7) else g.given([np.array(value, x.dtype)] * g.settings.runs)

    g.node("Clip", [x, bound(low), bound(high)], exact=True)


@row("PRelu", __name__, pointwise=True)
def prelu(g: Gen) -> None:
    x = g.any((*FLOATS, "int32", "int64"), low=None)
    g.node("PRelu", [x, g.broadcast(x, within=True)])


@row("BiasGelu", __name__)
def bias_gelu(g: Gen) -> None:
    x = g.any(("float32",), (1, 4))
    g.need(x.fixed(x.rank - 1), "an open last axis")
    bias = g.any(("float32",), shape=[x.sizes[-1]])
    g.node("BiasGelu", [x, bias], domain=MICROSOFT)


@row("Dropout", __name__, pointwise=True)
def dropout(g: Gen) -> None:
    g.node("Dropout", [g.any(FLOATS)], n=g.int(1, 2), exact=True)


@row("Cast", __name__, pointwise=True)
def cast(g: Gen) -> None:
    x = g.any(ANY)
    to = g.of(ANY)
    if x.is_float and to == "bool":
        g.apart(x, ZERO, "close to zero")
    elif x.is_float and to in INTEGERS:
        g.need(g.settings.hostile or x.within(np.iinfo(to).min / 2, np.iinfo(to).max / 2), "out of range")
        g.need(not g.settings.hostile, "out of range conversions differ between machines")
        g.apart(x, FRACTION, "close to an integer")
    g.node("Cast", [x], exact=True, to=int(helper.np_dtype_to_tensor_dtype(np.dtype(to))))
