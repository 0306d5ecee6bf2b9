# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Quantisation against onnxruntime: per tensor, per axis, blocked; every integer type."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from check import check, ours, reference

RNG = np.random.default_rng(11)
STEPS = [np.float32(v) for v in (-1e9, -128.5, -1.5, -0.5, 0.0, 0.5, 1.5, 2.5, 127.5, 128.0, 255.5, 40000.0, 1e9)]


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16"])
@pytest.mark.parametrize("zero", [0, 3])
def test_rounds_half_to_even_and_saturates(dtype: str, zero: int) -> None:
    check("QuantizeLinear", [np.array(STEPS, np.float32), np.array(1, np.float32), np.array(zero, dtype)])


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("dtype", ["int8", "uint8", "uint16"])
def test_per_axis(axis: int, dtype: str) -> None:
    x = (RNG.standard_normal((3, 4, 5)) * 20).astype(np.float32)
    n = x.shape[axis]
    scale, zero = (RNG.random(n) + 0.1).astype(np.float32), RNG.integers(0, 9, n).astype(dtype)
    q = check("QuantizeLinear", [x, scale, zero], {"axis": axis})[0]
    check("DequantizeLinear", [q, scale, zero], {"axis": axis})


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16", "int32"])
@pytest.mark.parametrize("with_zero", [True, False])
def test_dequantize(dtype: str, with_zero: bool) -> None:
    info = np.iinfo(dtype)
    x = np.array([info.min, info.max, 0, 1, 7], dtype) if dtype != "int32" else np.array([-70000, 70000, 0, 3], dtype)
    zero = np.array(0 if dtype == "int32" else 5, dtype)
    check("DequantizeLinear", [x, np.array(0.03, np.float32), zero if with_zero else None])


@pytest.mark.parametrize("axis,block", [(0, 2), (1, 3)])
def test_blocked(axis: int, block: int) -> None:
    x = (RNG.standard_normal((4, 6)) * 20).astype(np.float32)
    shape = [4, 6]
    shape[axis] //= block
    scale, zero = (RNG.random(shape) + 0.1).astype(np.float32), RNG.integers(-3, 3, shape).astype(np.int8)
    q = check("QuantizeLinear", [x, scale, zero], {"axis": axis, "block_size": block})[0]
    check("DequantizeLinear", [q, scale, zero], {"axis": axis, "block_size": block})


def test_half_and_output_dtype() -> None:
    x = np.array([-3, 0.25, 7], np.float16)
    y = ours("QuantizeLinear", [x, np.array(0.5, np.float16)], {"output_dtype": 3})[0]
    assert y.dtype == np.int8 and y.tolist() == [-6, 0, 14]
    z = ours("DequantizeLinear", [y, np.array(0.5, np.float16)], {})[0]
    assert z.dtype == np.float16 and z.tolist() == [-3, 0, 7]
    assert ours("QuantizeLinear", [x, np.array(0.5, np.float16)], {})[0].dtype == np.uint8


@pytest.mark.parametrize(
    "x", [[0, 2, -3, -2.5, 1.34, 0.5], [-1, -2.1, -1.3, -2.5, -3.34, -4], [1, 2.1, 3.3], [0, 0], [5.0]], ids=str
)
def test_dynamic(x: list[float]) -> None:
    check("DynamicQuantizeLinear", [np.array(x, np.float32)], outputs=3)


def test_contrib_domain() -> None:
    x: Any = np.array([1.0, 2.0], np.float32)
    q = ours("QuantizeLinear", [x, np.array(0.5, np.float32), np.array(1, np.uint8)], {}, domain="com.microsoft")[0]
    assert q.tolist() == [3, 5]


# -- onnxruntime's operators on quantised tensors


def quantised(seed: int, *shape: int, dtype: str = "uint8") -> list[np.ndarray[Any, Any]]:
    info = np.iinfo(dtype)
    rng = np.random.default_rng(seed)
    return [
        rng.integers(info.min, info.max + 1, shape).astype(dtype),
        np.array(rng.random() * 0.05 + 0.02, np.float32),
        np.array(rng.integers(info.min // 2, info.max // 2), dtype),
    ]


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("dtype", ["uint8", "int8"])
@pytest.mark.parametrize("op", ["QLinearAdd", "QLinearMul"])
def test_binary(op: str, dtype: str, known: bool) -> None:
    inputs = [*quantised(1, 3, 20, dtype=dtype), *quantised(2, 20, dtype=dtype), *quantised(3, 1, dtype=dtype)[1:]]
    one_step(op, inputs, {}, [1, 2, 4, 5, 6, 7] if known else [])


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
@pytest.mark.parametrize("op,attrs", [("QLinearSigmoid", {}), ("QLinearLeakyRelu", {"alpha": 0.2})])
def test_unary(op: str, attrs: dict[str, float], dtype: str) -> None:
    one_step(op, [*quantised(1, 3, 20, dtype=dtype), *quantised(3, 1, dtype=dtype)[1:]], attrs, [1, 2, 3, 4])


def test_concat() -> None:
    one_step(
        "QLinearConcat",
        [*quantised(3, 1)[1:], *quantised(1, 2, 3), *quantised(2, 2, 5)],
        {"axis": 1},
        [0, 1, 3, 4, 6, 7],
    )


def one_step(op: str, inputs: list[Any], attrs: dict[str, Any], const: list[int]) -> None:
    """Equal but for roundings at a tie: onnxruntime computes some of these through a table or in fixed point."""
    got = ours(op, inputs, attrs, const_inputs=const, domain="com.microsoft")[0]
    (want,) = reference(op, inputs, attrs, domain="com.microsoft")
    off = np.abs(got.astype(int) - want.astype(int))
    assert got.dtype == want.dtype and got.shape == want.shape
    assert off.max(initial=0) <= 1 and (off == 0).mean() > 0.95
