# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The rarer com.microsoft operators against onnxruntime, or NumPy where it has no CPU kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from graphs import check, close, expect, f32, feeds_and_model, ints, run

from aotgen.frontend import load_graph
from aotgen.ops.interp import run_graph

MS = "com.microsoft"
erf = np.vectorize(__import__("math").erf)


def same(op: str, args: list[Any], n: int = 1, tol: float = 2e-5, **attrs: Any) -> None:
    check(op, args, n=n, tol=tol, domain=MS, **attrs)


def real(value: float) -> Any:
    return np.array(value, np.float32)


def weights(*shape: int) -> Any:
    """Of 7 bits: onnxruntime adds pairs of products in 16 bits on some CPUs, which 2 * 255 * 64 just fits."""
    return ints(np.int8, -64, 64, *shape)


def byte(value: int, kind: Any = np.uint8) -> Any:
    return np.array(value, kind)


# -- read as operators of the standard


@pytest.mark.parametrize("op, args, n, attrs", [
    ("Trilu", [f32(3, 4)], 1, {"upper": 0}),
    ("GridSample", [f32(1, 2, 4, 5), np.tanh(f32(1, 3, 3, 2))], 1, {"mode": "bilinear", "padding_mode": "border"}),
    ("GatherND", [f32(3, 4, 2), np.array([[0, 1], [2, 3]], np.int64)], 1, {}),
    ("Pad", [f32(2, 3), np.array([0, 1, 1, 0], np.int64), np.array([1.5], np.float32)], 1, {}),
    ("ExpandDims", [f32(2, 3), np.array(1, np.int32)], 1, {}),
    ("TorchEmbedding", [f32(5, 3), np.array([[0, 4], [2, 2]], np.int64)], 1, {}),
    ("Range", [np.array([1], np.int64), np.array(5, np.int64)], 1, {}),
    ("Unique", [np.array([2, 1, 1, 3, 4, 3], np.float32)], 3, {}),
], ids=lambda v: v if isinstance(v, str) else "")
def test_standard(op: str, args: list[Any], n: int, attrs: dict[str, Any]) -> None:
    model, feeds = feeds_and_model(op, args, n, MS, attrs, const=range(1, len(args)) if op != "GridSample" else ())
    try:
        want = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feeds)
    except Exception as e:
        assert op == "TorchEmbedding", e  # has no CPU kernel
        want = [args[0][args[1]]]
    got = run_graph(load_graph(model), feeds)
    close([got[f"out{k}"] for k in range(n)], want)


# -- fused sums and activations


def test_sums_and_activations() -> None:
    x, bias, skip = f32(2, 3, 8), f32(8), f32(2, 3, 8)
    close(run("BiasAdd", [x, bias, skip], domain=MS), [x + bias + skip])
    y, mask = run("BiasDropout", [x, bias, skip], n=2, domain=MS)
    close([y], [x + bias + skip])
    assert mask.all() and mask.shape == y.shape
    left, right = np.split(x + bias, 2, -1)
    close(run("BiasSplitGelu", [x, bias], domain=MS), [left * right * 0.5 * (1 + erf(right / 2**0.5)).astype("f")], 1e-5)


@pytest.mark.parametrize("axis", [2, 3])
def test_bias_softmax(axis: int) -> None:
    x, bias = f32(2, 3, 4, 5), f32(2, 1, 1, 5)
    e = np.exp(x + bias)
    close(run("BiasSoftmax", [x, bias], domain=MS, axis=axis, is_inner_broadcast=1), [e / e.sum(tuple(range(axis, 4)), keepdims=True)])


@pytest.mark.parametrize("name, params", [("Relu", {}), ("Softmax", {"activation_axis": 1}), ("LeakyRelu", {"activation_alpha": 0.2})])
def test_fused_matmul_activation(name: str, params: dict[str, Any]) -> None:
    a, b = f32(4, 3), f32(4, 5)
    product = a.T @ b * np.float32(0.5)
    e = np.exp(product)
    want = {"Relu": np.maximum(product, 0), "Softmax": e / e.sum(1, keepdims=True), "LeakyRelu": np.where(product < 0, product * np.float32(0.2), product)}
    close(run("FusedMatMulActivation", [a, b], domain=MS, activation=name, transA=1, alpha=0.5, **params), [want[name]], 1e-6)
    close(run("TransposeMatMul", [a, b], domain=MS, transA=1, alpha=0.5), [product], 1e-6)


@pytest.mark.parametrize("silu", [0, 1])
def test_group_norm(silu: int) -> None:
    x, gamma, beta, skip, bias = f32(2, 3, 4, 6), f32(6), f32(6), f32(2, 6), f32(6)

    def norm(v: Any) -> Any:
        g = v.reshape(2, 12, 2, 3)
        g = (g - g.mean((1, 3), keepdims=True)) / np.sqrt(g.var((1, 3), keepdims=True) + 1e-5)
        y = g.reshape(v.shape) * gamma + beta
        return (y / (1 + np.exp(-y)) if silu else y).astype(np.float32)

    close(run("GroupNorm", [x, gamma, beta], domain=MS, groups=2, activation=silu), [norm(x)], 1e-5)
    total = x + skip[:, None, None] + bias
    close(run("SkipGroupNorm", [x, gamma, beta, skip, bias], n=2, domain=MS, groups=2, activation=silu), [norm(total), total], 1e-5)


def test_distances_and_complex_products() -> None:
    same("CDist", [f32(3, 4), f32(5, 4)], metric="euclidean")
    same("CDist", [f32(3, 4), f32(5, 4)], metric="sqeuclidean")
    a, b = f32(2, 3, 2), f32(3, 2)
    x, y = (v[..., 0] + 1j * v[..., 1] for v in (a, b))
    for op, want in (("ComplexMul", x * y), ("ComplexMulConj", x * y.conj())):
        close(run(op, [a, b], domain=MS), [np.stack([want.real, want.imag], -1).astype("f")])


@pytest.mark.parametrize("size", [1, 2, 3])
def test_tokens_that_would_repeat(size: int) -> None:
    ids = np.array([[1, 2, 3, 1, 2], [4, 4, 4, 4, 4], [0, 1, 2, 3, 4]], np.int64)
    same("NGramRepeatBlock", [ids, f32(3, 7)], ngram_size=size)


# -- few bits


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("with_zeros", [False, True])
def test_gather_of_blocks(bits: int, with_zeros: bool) -> None:
    per, rows, width, size = 8 // bits, 6, 64, 16
    args: list[Any] = [ints(np.uint8, 0, 256, rows, width // per), np.array([[5, 0], [2, 2]], np.int64), f32(rows, width // size)]
    if with_zeros:
        args.append(ints(np.uint8, 0, 256, rows, width // size // per))
    same("GatherBlockQuantized", args, block_size=size, bits=bits, gather_axis=0, quantize_axis=1)


@pytest.mark.parametrize("kind", [0, 1])
def test_matmul_of_codes(kind: int) -> None:
    k, n, block = 64, 6, 16
    args = [f32(3, k), ints(np.uint8, 0, 256, n * k // 2), np.abs(f32(n * k // block))]
    same("MatMulBnb4", args, const=(1, 2), K=k, N=n, block_size=block, quant_type=kind)


# -- quantised transformers


@pytest.mark.parametrize("columns", [False, True])
@pytest.mark.parametrize("past", [False, True])
def test_quantised_attention(columns: bool, past: bool) -> None:
    heads, size, batch, seq, held = 2, 8, 2, 3, 4
    wide = 3 * heads * size
    scale, zero = (np.abs(f32(wide)) / 20, np.zeros(wide, np.int8)) if columns else (real(0.02), byte(3, np.int8))
    mask = np.array([[1] * (seq + held * past)] * batch, np.int32)
    args = [ints(np.uint8, 0, 256, batch, seq, 12), weights(12, wide), f32(wide), real(0.01), scale, mask,
            byte(120), zero, *([f32(2, batch, heads, held, size)] if past else [])]
    same("QAttention", args, n=2, num_heads=heads, unidirectional=1)


def test_quantised_embedding() -> None:
    ids = np.array([[1, 2, 3], [7, 0, 6]], np.int32)
    tables = [ints(np.uint8, 0, 256, *shape) for shape in ((8, 8), (5, 8), (2, 8), (8,), (8,))]
    args = [ids, (ids % 2).astype(np.int32), *tables, None, *(real(0.01 * k) for k in range(1, 6)), *(byte(100 + k) for k in range(5))]
    same("QEmbedLayerNormalization", args, n=2)


def test_convolution_with_channels_last() -> None:
    args = [ints(np.uint8, 0, 256, 1, 6, 7, 4), real(0.1), byte(7), weights(5, 4, 3, 3), real(0.02),
            byte(0, np.int8), real(3.0), byte(100), ints(np.int32, -99, 99, 5)]
    want, = expect("QLinearConv", args, domain=MS, channels_last=1, pads=[1, 1, 1, 1])
    got, = run("QLinearConv", args, domain=MS, channels_last=1, pads=[1, 1, 1, 1])
    assert np.abs(got.astype(int) - want).max() <= 1  # onnxruntime multiplies by one rounded factor: ties fall either way


def test_integer_sums_and_products() -> None:
    a, b = ints(np.uint8, 0, 256, 3, 4), ints(np.uint8, 0, 256, 3, 4)
    close(run("MulInteger", [a, byte(7), b, byte(9)], domain=MS), [(a.astype(np.int32) - 7) * (b.astype(np.int32) - 9)])
    close(run("ReduceSumInteger", [a], domain=MS, axes=[1], keepdims=0), [a.astype(np.int32).sum(1, dtype=np.int32)])
    got, = run("QLinearReduceMean", [a, real(0.1), byte(7), real(0.12), byte(9)], domain=MS, axes=[0])
    want = np.rint((a - 7.0).mean(0, keepdims=True) * 0.1 / 0.12) + 9
    assert np.abs(got - np.clip(want, 0, 255)).max() <= 1
