# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""com.microsoft and ai.onnx.ml operators in the element types onnxruntime has for them, against onnxruntime: one row each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graphs import close, expect, f32, ints, run

MS, ML = "com.microsoft", "ai.onnx.ml"
SMALL = [np.uint8, np.int8]
REAL = np.float32


def q(dtype: type, *shape: int) -> Any:
    info = np.iinfo(dtype)
    return ints(dtype, info.min, info.max + 1, *shape)


def whole(dtype: type, value: int) -> Any:
    return np.array(value, dtype)


def scale(value: float) -> Any:
    return np.array(value, REAL)


@pytest.mark.parametrize("dtype", SMALL)
@pytest.mark.parametrize("op, arity, attrs", [
    ("QLinearAdd", 2, {}), ("QLinearMul", 2, {}), ("QLinearSigmoid", 1, {}), ("QLinearLeakyRelu", 1, {"alpha": 0.1}),
    ("QLinearAveragePool", 1, {"kernel_shape": [2, 2]}),
    ("QLinearGlobalAveragePool", 1, {"channels_last": 0})])
def test_between_quantised_tensors(op: str, arity: int, attrs: dict[str, Any], dtype: type) -> None:
    args: list[Any] = []
    for k in range(arity):
        args += [q(dtype, 2, 3, 4, 4), scale(0.05 * (k + 1)), whole(dtype, 3 + k)]
    args += [scale(1 / 256 if "Sigmoid" in op else 0.11), whole(dtype, 0 if dtype is np.uint8 else -128)]
    within_a_step(run(op, args, domain=MS, **attrs), expect(op, args, domain=MS, **attrs))


def within_a_step(got: list[Any], want: list[Any]) -> None:
    """Equal, but where a float that decides lies within rounding of a half: there one step, and rarely."""
    for g, w in zip(got, want, strict=True):
        assert g.dtype == w.dtype and g.shape == w.shape
        gap = np.abs(g.astype(int) - w.astype(int))
        assert gap.max() <= 1 and (gap > 0).mean() < 0.05


@pytest.mark.parametrize("dtype", SMALL)
def test_concat_and_where(dtype: type) -> None:
    x, y = q(dtype, 2, 3), q(dtype, 2, 5)
    triples = [x, scale(0.1), whole(dtype, 2), y, scale(0.3), whole(dtype, 9)]
    args = [scale(0.2), whole(dtype, 4), *triples]
    within_a_step(run("QLinearConcat", args, domain=MS, axis=1), expect("QLinearConcat", args, domain=MS, axis=1))
    args = [np.array([[True, False, True]]), x, scale(0.1), whole(dtype, 2), q(dtype, 2, 3), scale(0.3), whole(dtype, 9),
            scale(0.2), whole(dtype, 4)]
    within_a_step(run("QLinearWhere", args, domain=MS), expect("QLinearWhere", args, domain=MS))


@pytest.mark.parametrize("op, inputs", [("Gelu", 1), ("QuickGelu", 1), ("FastGelu", 2), ("BiasGelu", 2)])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_elementwise(op: str, inputs: int, dtype: type) -> None:
    """In float16 against the float32 result: half a unit of 2^-11 and the same again for the operands' sums."""
    args = [f32(3, 8).astype(dtype), f32(8).astype(dtype)][:inputs]
    want = expect(op, [a.astype(REAL) for a in args], domain=MS)
    got = run(op, args, domain=MS)
    assert got[0].dtype == dtype
    close([got[0].astype(REAL)], want, 2.0**-10 if dtype is np.float16 else 2e-6)


def packed(values: np.ndarray, bits: int) -> np.ndarray:
    """Numbers of ``bits`` bits, several to a byte along the last axis, the first in the low bits."""
    per = 8 // bits
    padded = np.pad(values, [(0, 0)] * (values.ndim - 1) + [(0, -values.shape[-1] % per)])
    groups = padded.reshape(*padded.shape[:-1], -1, per)
    return np.bitwise_or.reduce(groups << (np.arange(per) * bits), axis=-1).astype(np.uint8)


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("block", [16, 32, 128])
@pytest.mark.parametrize("zeros", ["none", "packed", "real"])
@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_matmul_of_few_bits(bits: int, block: int, zeros: str, dtype: type) -> None:
    """Against the definition: w = (q - zero) * scale, blocks along K."""
    k, n = 160, 5
    blocks, top = -(-k // block), 1 << bits
    numbers, points = ints(np.int64, 0, top, n, blocks * block), ints(np.int64, 0, top, n, blocks)
    scales = np.abs(f32(n, blocks)).astype(dtype)
    args: list[Any] = [f32(3, k).astype(dtype), packed(numbers.reshape(n, blocks, block), bits), scales.reshape(-1)]
    if zeros != "none":
        args.append(packed(points, bits).reshape(-1) if zeros == "packed" else points.astype(dtype).reshape(-1))
    else:
        points = np.full_like(points, top // 2)
    w = ((numbers.reshape(n, blocks, block) - points[..., None]) * scales[..., None].astype(float)).reshape(n, -1)[:, :k]
    want = args[0].astype(float) @ w.T
    got = run("MatMulNBits", args, domain=MS, K=k, N=n, bits=bits, block_size=block)[0]
    assert got.dtype == dtype
    # float16: each weight is rounded to a unit of 2^-11 of itself before it is multiplied.
    unit = 2.0**-11 if dtype is np.float16 else 2.0**-22
    np.testing.assert_allclose(got, want, atol=float(unit * 4 * (np.abs(args[0].astype(float)) @ np.abs(w.T)).max()), rtol=0)


@pytest.mark.parametrize("op, dtypes, attrs", [
    ("Scaler", [np.float32, np.float64, np.int64, np.int32], {"offset": [1.0, 2.0, 0.5], "scale": [2.0, 0.5, 1.0]}),
    ("Normalizer", [np.float32, np.float64, np.int64, np.int32], {"norm": "L2"}),
    ("Binarizer", [np.float32], {"threshold": 1.0}),
    ("ArrayFeatureExtractor", [np.float32, np.float64, np.int64, np.int32], {}),
    ("Imputer", [np.float32], {"imputed_value_floats": [7.0], "replaced_value_float": 2.0}),
    ("Imputer", [np.int64], {"imputed_value_int64s": [7], "replaced_value_int64": 2}),
    ("OneHotEncoder", [np.float32, np.float64, np.int64], {"cats_int64s": [0, 1, 2]}),
    ("LinearRegressor", [np.float32], {"coefficients": [1.0, 2.0, 3.0], "intercepts": [0.5]}),
    ("FeatureVectorizer", [np.float32, np.float64, np.int64, np.int32], {"inputdimensions": [3]})])
def test_classic_operators(op: str, dtypes: list[type], attrs: dict[str, Any]) -> None:
    for dtype in dtypes:
        args: list[Any] = [ints(dtype, 0, 4, 5, 3)]
        if op == "ArrayFeatureExtractor":
            args.append(np.array([2, 0], np.int64))
        got, want = run(op, args, domain=ML, **attrs), expect(op, args, domain=ML, **attrs)
        assert [g.dtype for g in got] == [w.dtype for w in want], dtype
        close(got, want, 2e-6)
