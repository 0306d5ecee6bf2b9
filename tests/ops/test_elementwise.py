# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Elementwise operators and casts against onnxruntime: every dtype, broadcasts, special values."""

from __future__ import annotations

import math
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from check import check, ours

from aotgen.core import dtypes
from aotgen.core.errors import ModelError
from aotgen.ir import choice, facts
from aotgen.ir.graph import TensorType
from aotgen.ir.index import dim
from aotgen.ops.builder import Builder

SPECIAL = [
    np.nan,
    np.inf,
    -np.inf,
    -0.0,
    0.0,
    1.0,
    -1.0,
    0.5,
    -0.5,
    2.5,
    -2.5,
    3.5,
    88.0,
    -88.0,
    1e-6,
    20.0,
    -20.0,
    7.25,
]
INTS = ["int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]
FLOATS = ["float16", "float32", "float64"]


def floats(dtype: str = "float32") -> np.ndarray[Any, Any]:
    return np.array(SPECIAL, dtype).reshape(3, 6)


def numbers(dtype: str, shape: tuple[int, ...], seed: int = 0) -> np.ndarray[Any, Any]:
    rng = np.random.default_rng(seed)
    if dtype.startswith("float"):
        return (rng.standard_normal(shape) * 3).astype(dtype)
    if dtype == "bool":
        return rng.integers(0, 2, shape).astype(bool)
    info = np.iinfo(dtype)
    return rng.integers(max(info.min, -100), min(info.max, 100), shape).astype(dtype)


UNARY: list[tuple[str, dict[str, Any]]] = [
    *(
        (name, {})
        for name in (
            "Neg Abs Sign Exp Log Sqrt Reciprocal Sin Cos Tan Asin Acos Atan Sinh Cosh Tanh Asinh Acosh Atanh Erf Sigmoid Floor "
            "Ceil Round Relu LeakyRelu Elu Selu Celu HardSigmoid HardSwish Softplus Softsign Mish Gelu Shrink "
            "Identity IsNaN IsInf"
        ).split()
    ),
    ("LeakyRelu", {"alpha": 0.3}),
    ("Elu", {"alpha": 0.7}),
    ("Selu", {"alpha": 2.0, "gamma": 3.0}),
    ("Celu", {"alpha": 2.0}),
    ("ThresholdedRelu", {"alpha": 0.7}),
    ("HardSigmoid", {"alpha": 0.5, "beta": 0.6}),
    ("Gelu", {"approximate": "tanh"}),
    ("Shrink", {"lambd": 1.5, "bias": 1.5}),
    ("IsInf", {"detect_negative": 0}),
    ("IsInf", {"detect_positive": 0}),
    ("IsInf", {"detect_positive": 0, "detect_negative": 0}),
    ("Swish", {}),
    ("Swish", {"alpha": 1.5}),
]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("op,attrs", UNARY, ids=lambda v: str(v))
def test_unary(op: str, attrs: dict[str, Any], dtype: str) -> None:
    x = floats(dtype)
    if op in NAN_FREE:
        x = x[np.isfinite(x)]
    coarse = dtype == "float64" and op in ("Erf", "Gelu")  # the reference is float32 there
    check(op, [x], attrs, tolerance=5e-3 if dtype == "float16" else 1e-6 if coarse else None)


# onnxruntime's and the reference's answers for NaN and infinity are not the standard's formula here
NAN_FREE = {
    "Softsign",
    "Mish",
    "Gelu",
    "Shrink",
    "HardSwish",
    "HardSigmoid",
    "ThresholdedRelu",
    "Elu",
    "Selu",
    "Celu",
    "Sin",
    "Cos",
    "Tan",
    "Erf",
    "Relu",
    "Sign",
    "LeakyRelu",
    "Swish",
    "Softplus",
}


@pytest.mark.parametrize(
    "op", ["Relu", "LeakyRelu", "Elu", "Selu", "Celu", "Softplus", "Mish", "Gelu", "HardSwish", "HardSigmoid"]
)
def test_activations_keep_nan(op: str) -> None:
    assert np.isnan(ours(op, [np.array([np.nan], np.float32)], {})[0][0])


def test_softplus_is_stable() -> None:
    y = ours("Softplus", [np.array([-np.inf, -200, -20, 0, 20, 200, np.inf], np.float32)], {})[0]
    np.testing.assert_allclose(y, [0, 0, 2.0611537e-9, 0.6931472, 20, 200, np.inf], rtol=1e-6)


@pytest.mark.parametrize("dtype", INTS)
@pytest.mark.parametrize("op", ["Abs", "Sign", "BitwiseNot", "Identity"])
def test_unary_integers(op: str, dtype: str) -> None:
    info = np.iinfo(dtype)
    check(op, [np.array([info.min, info.max, 0, 1, 5], dtype)])


@pytest.mark.parametrize("dtype", ["int8", "int16", "int32", "int64"])
def test_neg_wraps(dtype: str) -> None:
    x = np.array([np.iinfo(dtype).min, 3], dtype)
    np.testing.assert_array_equal(ours("Neg", [x], {})[0], -x)


BROADCASTS = [
    ((2, 3), (2, 3)),
    ((2, 3), (3,)),
    ((2, 1, 4), (3, 1)),
    ((), (2, 2)),
    ((2, 2), ()),
    ((0, 3), (1, 3)),
    ((4,), (1,)),
]


@pytest.mark.parametrize("dtype", [*INTS, *FLOATS])
@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Max", "Min"])
def test_arithmetic(op: str, dtype: str) -> None:
    a, b = numbers(dtype, (3, 4)), numbers(dtype, (4,), 1)
    b = np.where(b == 0, np.array(1, dtype), b)
    with np.errstate(all="ignore"):
        want = {"Add": np.add, "Sub": np.subtract, "Mul": np.multiply, "Max": np.maximum, "Min": np.minimum}.get(op)
        check(op, [a, b], expected=[want(a, b)] if want and not dtype.startswith("f") else None)


@pytest.mark.parametrize("shapes", BROADCASTS, ids=str)
@pytest.mark.parametrize("op", ["Add", "Equal", "Where", "Max", "PRelu"])
def test_broadcast(op: str, shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    a, b = numbers("float32", shapes[0]), numbers("float32", shapes[1], 1)
    if op == "PRelu" and np.broadcast_shapes(*shapes) != shapes[0]:
        pytest.skip("the slope is broadcast to the input only")
    check(op, [a > 0, a, b] if op == "Where" else [a, b])


@pytest.mark.parametrize("op", ["Max", "Min", "Sum", "Mean"])
@pytest.mark.parametrize("count", [1, 2, 3])
def test_variadic(op: str, count: int) -> None:
    check(op, [numbers("float32", s, k) for k, s in enumerate([(2, 3), (3,), (2, 1)][:count])])


@pytest.mark.parametrize("op", ["Max", "Min"])
def test_min_max_propagate_nan(op: str) -> None:
    a, b = np.array([np.nan, 1, 2], np.float32), np.array([1, np.nan, 3], np.float32)
    assert np.isnan(ours(op, [a, b], {})[0]).tolist() == [True, True, False]


@pytest.mark.parametrize("dtype", [*INTS, *FLOATS])
@pytest.mark.parametrize("op", ["Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual"])
def test_comparisons(op: str, dtype: str) -> None:
    f = {
        "Equal": np.equal,
        "Less": np.less,
        "LessOrEqual": np.less_equal,
        "Greater": np.greater,
        "GreaterOrEqual": np.greater_equal,
    }[op]
    a = floats(dtype) if dtype.startswith("f") else numbers(dtype, (3, 6))
    b = np.roll(a, 1)
    b[0] = a[0]
    check(op, [a, b], expected=[f(a, b)])


@pytest.mark.parametrize("op", ["And", "Or", "Xor", "Equal"])
def test_logic(op: str) -> None:
    check(op, [numbers("bool", (4, 3)), numbers("bool", (3,), 1)])


def test_not() -> None:
    check("Not", [numbers("bool", (5,))])


@pytest.mark.parametrize("dtype", INTS)
@pytest.mark.parametrize("op", ["BitwiseAnd", "BitwiseOr", "BitwiseXor"])
def test_bitwise(op: str, dtype: str) -> None:
    check(op, [numbers(dtype, (4, 3)), numbers(dtype, (3,), 1)])


@pytest.mark.parametrize("direction", ["LEFT", "RIGHT"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "uint32", "uint64"])
def test_bit_shift(dtype: str, direction: str) -> None:
    x = np.array([1, 200, 255, 16, 77], dtype)
    y = np.array([0, 1, 7, 3, 2], dtype)
    check("BitShift", [x, y], {"direction": direction})


@pytest.mark.parametrize("dtype", [*INTS, *FLOATS])
@pytest.mark.parametrize("fmod", [0, 1])
def test_mod(dtype: str, fmod: int) -> None:
    if dtype.startswith("float") and not fmod:
        pytest.skip("floats need fmod")
    a, b = numbers(dtype, (20,)), numbers(dtype, (20,), 1)
    check("Mod", [a, np.where(b == 0, np.array(7, dtype), b)], {"fmod": fmod})


@pytest.mark.parametrize("exponent", [-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 2.5])
@pytest.mark.parametrize("known", [True, False])
def test_pow(exponent: float, known: bool) -> None:
    x = np.array([0.0, -0.0, 1.5, 2.0, np.inf, -np.inf, np.nan, 9.0], np.float32)
    want = np.array([_pow(float(v), exponent) for v in x], np.float32)
    p = np.array(exponent, np.float32) if known else np.full(x.shape, exponent, np.float32)
    check("Pow", [x, p], const_inputs=[1] if known else [], expected=[want])


def _pow(x: float, p: float) -> float:
    return (
        math.inf if x == 0 and p < 0 and p != -1 else math.copysign(math.inf, x) if x == 0 and p < 0 else math.pow(x, p)
    )


@pytest.mark.parametrize(
    "base,exponent",
    [
        ("float32", "int64"),
        ("int32", "float32"),
        ("int64", "int64"),
        ("float32", "int32"),
        ("int32", "int32"),
        ("float64", "float32"),
    ],
)
def test_pow_mixed(base: str, exponent: str) -> None:
    check("Pow", [np.array([1, 2, 3, 10], base), np.array([3, 2, 1, 4], exponent)])


@pytest.mark.parametrize("kind", ["int32", "int64", "uint64"])
def test_pow_of_integers_wraps(kind: str) -> None:
    base, exponent = np.array([7, 3, 10, 823543, 2, 1], kind), np.array([7, 60, 30, 3, 200, 9], kind)
    bits = 8 * np.dtype(kind).itemsize
    want = [pow(int(a), int(b), 1 << bits) for a, b in zip(base, exponent)]
    check("Pow", [base, exponent], expected=[np.array(want, np.uint64).astype(kind)])


def test_pow_of_integers_truncates_reciprocals() -> None:
    base, exponent = np.array([1, -1, -1, 2, -3, 0], np.int64), np.array([-2, -3, -4, -1, -2, -1], np.int64)
    check("Pow", [base, exponent], expected=[np.array([1, -1, 1, 0, 0, 0], np.int64)])


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "int64", "uint8", "int8", "uint32", "uint64"])
@pytest.mark.parametrize("bounds", [(True, True), (True, False), (False, True), (False, False)], ids=str)
def test_clip(dtype: str, bounds: tuple[bool, bool]) -> None:
    x = numbers(dtype, (3, 5))
    given = [np.array(v, dtype) if on else None for v, on in zip((2, 40), bounds, strict=True)]
    for const in ((), (1, 2)):
        check("Clip", [x, *given], const_inputs=const)


def test_clip_low_above_high() -> None:
    check(
        "Clip",
        [np.array([0, 5, 9], np.float32), np.array(7, np.float32), np.array(3, np.float32)],
        expected=[np.array([3, 3, 3], np.float32)],
    )


def test_dropout_is_identity_with_a_mask() -> None:
    x = numbers("float32", (2, 3))
    y, mask = ours("Dropout", [x], {}, 2)
    assert (y == x).all() and mask.dtype == bool and mask.all()


@pytest.mark.parametrize("op", ["Gelu", "QuickGelu", "FastGelu"])
def test_contrib_gelu(op: str) -> None:
    check(op, [numbers("float32", (4, 8))], domain="com.microsoft")


def test_contrib_gelu_with_bias() -> None:
    x, b = numbers("float32", (4, 8)), numbers("float32", (8,), 1)
    check("BiasGelu", [x, b], domain="com.microsoft")
    check("FastGelu", [x, b], domain="com.microsoft")


@pytest.mark.parametrize("op", ["Add", "Mul", "Max", "Exp", "Gelu", "Sigmoid"])
def test_bfloat16_rounds_once(op: str) -> None:
    x = numbers("float32", (4, 5)).astype(ml_dtypes.bfloat16)
    args = [x, np.roll(x, 1)] if op in ("Add", "Mul", "Max") else [x]
    wide = ours(op, [a.astype(np.float32) for a in args], {})[0]
    got = ours(op, args, {})[0]
    assert got.dtype == ml_dtypes.bfloat16
    np.testing.assert_array_equal(got, wide.astype(ml_dtypes.bfloat16))


# -- casts


@pytest.mark.parametrize("to", [*INTS, *FLOATS, "bool"])
@pytest.mark.parametrize("source", [*INTS, *FLOATS, "bool"])
def test_cast(source: str, to: str) -> None:
    x = np.abs(numbers(source, (4, 5)))
    check("Cast", [x], {"to": dtypes.of(np.dtype(to)).onnx}, expected=[x.astype(to)])


@pytest.mark.parametrize("to", ["int32", "int64", "uint32", "uint64"])
def test_cast_saturates(to: str) -> None:
    info = np.iinfo(to)
    x = np.array([1e30, -1e30, np.nan, np.inf, -np.inf, -0.9, 2.9], np.float32)
    y = ours("Cast", [x], {"to": dtypes.of(np.dtype(to)).onnx})[0]
    lowest = info.min if info.min < 0 else int(info.max) // 2 + 1  # below 0: as signed, then wrapped
    assert y.tolist() == [info.max, lowest, 0, info.max, lowest, 0, 2]


def test_cast_wraps_and_tests_for_zero() -> None:
    x = np.array([256, 257, -1, 0], np.int64)
    assert ours("Cast", [x], {"to": dtypes.u8.onnx})[0].tolist() == [0, 1, 255, 0]
    assert ours("Cast", [x], {"to": dtypes.boolean.onnx})[0].tolist() == [True, True, True, False]
    assert ours("Cast", [np.array([np.nan, 0.1, -0.0], np.float32)], {"to": 9})[0].tolist() == [True, True, False]


def test_cast_like() -> None:
    assert ours("CastLike", [np.array([1.7], np.float32), np.array([0], np.int16)], {})[0].dtype == np.int16


# -- open dims


def test_open_dims_broadcast() -> None:
    b = Builder()
    n, m = dim("N"), dim("M")
    f32 = dtypes.f32
    x, row, other = (b.input(k, TensorType(f32, s)) for k, s in (("x", (n, 4)), ("row", (4,)), ("other", (m, 4))))
    assert b.op("Add", [x, row]).shape == (n, 4)
    with facts.assuming() as assumed:
        assert b.op("Add", [x, other]).shape == (choice.broadcast(n, m), 4)
    assert [str(c) for c in assumed] == ["N == M or N == 1 or M == 1"]
    with pytest.raises(ModelError, match="cannot be broadcast"):
        b.op("Add", [row, b.input("bad", TensorType(f32, (5,)))])


@pytest.mark.parametrize("dtype", ["float16", "float32", "int8", "uint32", "int64", "uint64"])
@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Max", "Equal", "Less"])
def test_a_known_scalar_is_a_constant_of_the_expression(op: str, dtype: str) -> None:
    x, c = np.abs(numbers(dtype, (3, 4))), np.array([[3]], dtype)
    known, loaded = ours(op, [x, c], {}, const_inputs=[1])[0], ours(op, [x, c], {})[0]
    np.testing.assert_array_equal(known, loaded)
