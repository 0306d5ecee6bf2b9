# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""com.microsoft operators against onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graphs import check, close, expect, f32, ints, run

MS = "com.microsoft"
H, K, W = 4, 2, 16  # query heads, key heads, head size


def same(op: str, args: list[Any], n: int = 1, tol: float = 2e-5, **attrs: Any) -> None:
    check(op, args, n=n, tol=tol, domain=MS, **attrs)


def u8(*shape: int) -> Any:
    return ints(np.uint8, 0, 256, *shape)


def i8(*shape: int) -> Any:
    """Weights of 7 bits: onnxruntime adds pairs of products in 16 bits on some CPUs, which 2 * 255 * 64 just fits."""
    return ints(np.int8, -64, 64, *shape)


def real(value: float) -> Any:
    return np.array(value, np.float32)


def zero(value: int) -> Any:
    return np.array(value, np.uint8)


@pytest.mark.parametrize("name, params", [
    ("Relu", {}), ("Tanh", {}), ("LeakyRelu", {"activation_alpha": 0.2}), ("Elu", {"activation_alpha": 0.7}),
    ("HardSigmoid", {"activation_alpha": 0.2, "activation_beta": 0.4})])
def test_fused_gemm(name: str, params: dict[str, float]) -> None:
    same("FusedGemm", [f32(5, 8), f32(6, 8), f32(6)], transB=1, alpha=0.5, activation=name, **params)


def test_gemm_fast_gelu() -> None:
    x, w, b = f32(2, 5, 8), f32(8, 6), f32(6)
    close(run("GemmFastGelu", [x, w, b], domain=MS), expect("FastGelu", [x @ w, b], domain=MS), 1e-5)


@pytest.mark.parametrize("pairs", [0, 1])
def test_rotary(pairs: int) -> None:
    cos, sin, at = f32(16, 4), f32(16, 4), np.array([[0, 1, 2], [5, 6, 7]], np.int64)
    same("RotaryEmbedding", [f32(2, 3, 24), at, cos, sin], interleaved=pairs)
    same("RotaryEmbedding", [f32(2, 3, 3, 8), at, cos, sin], interleaved=pairs)
    same("RotaryEmbedding", [f32(2, 3, 24), np.array([4], np.int64), cos, sin], interleaved=pairs)
    same("RotaryEmbedding", [f32(2, 3, 36), at, cos, sin], interleaved=pairs, num_heads=3, rotary_embedding_dim=8)


@pytest.mark.parametrize("turn", [0, 1])
@pytest.mark.parametrize("attrs", [{}, {"local_window_size": 2}, {"softcap": 3.0}])
@pytest.mark.parametrize("batch, seq, held", [(2, 3, 0), (2, 1, 5), (1, 3, 5)])
@pytest.mark.parametrize("known", [False, True])
def test_grouped_query(turn: int, attrs: dict[str, Any], batch: int, seq: int, held: int, known: bool) -> None:
    past = [f32(batch, K, held, W), f32(batch, K, held, W)] if held else [None, None]
    caches = [f32(16, W // 2), f32(16, W // 2)] if turn else [None, None]
    total = held + seq
    args = [f32(batch, seq, H * W), f32(batch, seq, K * W), f32(batch, seq, K * W), *past,
            np.full(batch, total - 1, np.int32), np.array([total], np.int32), *caches]
    same("GroupQueryAttention", args, n=3, const=(6,) if known else (), num_heads=H, kv_num_heads=K, do_rotary=turn, **attrs)


def test_grouped_query_packed() -> None:
    args = [f32(2, 3, (H + 2 * K) * W), None, None, None, None, np.array([2, 2], np.int32), np.array([3], np.int32)]
    same("GroupQueryAttention", args, n=3, const=(6,), num_heads=H, kv_num_heads=K)


def test_grouped_query_with_a_cache_of_fixed_size() -> None:
    args = [f32(2, 1, H * W), f32(2, 1, K * W), f32(2, 1, K * W), f32(2, K, 9, W), f32(2, K, 9, W),
            np.array([5, 3], np.int32), np.array([6], np.int32)]
    got = run("GroupQueryAttention", args, n=3, const=(6,), domain=MS, num_heads=H, kv_num_heads=K)
    want = expect("GroupQueryAttention", args, n=3, domain=MS, num_heads=H, kv_num_heads=K)
    close(got[:1], want[:1], 2e-5)
    for b, n in enumerate((6, 4)):  # onnxruntime clears what lies beyond, the cache keeps it
        close([g[b, :, :n] for g in got[1:]], [w[b, :, :n] for w in want[1:]])


@pytest.mark.parametrize("bits", [2, 4, 8])
@pytest.mark.parametrize("k, block", [(64, 16), (48, 32)])
def test_matmul_n_bits(bits: int, k: int, block: int) -> None:
    blocks, n = -(-k // block), 6
    args = [f32(3, k), u8(n, blocks, block * bits // 8), np.abs(f32(n * blocks))]
    attrs = {"K": k, "N": n, "bits": bits, "block_size": block}
    same("MatMulNBits", args, tol=1e-4, const=(1, 2), **attrs)
    same("MatMulNBits", [*args, u8(n * -(-blocks * bits // 8))], tol=1e-4, const=(1, 2, 3), **attrs)


def test_integer_products() -> None:
    same("MatMulIntegerToFloat", [u8(3, 8), i8(8, 5), real(0.1), real(0.2), zero(7), np.array(3, np.int8), f32(5)])
    same("MatMulIntegerToFloat", [u8(2, 3, 8), u8(8, 5), real(0.1), np.abs(f32(5)), zero(7), u8(5)])
    same("DynamicQuantizeMatMul", [f32(3, 8), i8(8, 5), real(0.2), np.array(3, np.int8), f32(5)])


@pytest.mark.parametrize("turned", [0, 1])
def test_q_gemm(turned: int) -> None:
    b, c = i8(5, 8) if turned else i8(8, 5), ints(np.int32, -99, 99, 5)
    head = [u8(3, 8), real(0.1), zero(7), b]
    same("QGemm", [*head, real(0.2), np.array(0, np.int8), c], transB=turned, alpha=0.5)
    same("QGemm", [*head, np.abs(f32(5)) / 100, np.zeros(5, np.int8), c, real(0.3), zero(100)], transB=turned)


@pytest.mark.parametrize("last", [0, 1])
def test_quantised_pools(last: int) -> None:
    args = [u8(1, 6, 7, 4), real(0.1), zero(7), real(0.12), zero(9)]
    window = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2]}
    for op, attrs in (("QLinearAveragePool", window), ("QLinearGlobalAveragePool", {})):
        got, = run(op, args, domain=MS, channels_last=last, **attrs)
        want, = expect(op, args, domain=MS, channels_last=last, **attrs)
        assert np.abs(got.astype(int) - want).max() <= 1  # onnxruntime averages before it scales: ties fall either way
    same("NhwcMaxPool", [u8(1, 6, 7, 4)], **window)


@pytest.mark.parametrize("opset", [12, 13])
def test_quantised_softmax(opset: int) -> None:
    args = [u8(2, 3, 9), real(0.1), zero(7), real(1 / 256), zero(0)]
    got, = run("QLinearSoftmax", args, domain=MS, axis=1, opset=opset)
    x = (args[0].astype(np.float64) - 7) * 0.1
    e = np.exp(x - x.max())
    p = e / e.sum((1, 2) if opset == 12 else 1, keepdims=True)
    np.testing.assert_array_equal(got, np.clip(np.rint(p * 256), 0, 255).astype(np.uint8))


def test_quantised_where() -> None:
    args = [f32(3, 4) > 0, u8(3, 4), real(0.1), zero(7), u8(1, 4), real(0.2), zero(5), real(0.15), zero(3)]
    z = np.where(args[0], (args[1] - 7.0) * 0.1, (args[4] - 5.0) * 0.2) / 0.15
    got, = run("QLinearWhere", args, domain=MS)
    assert np.abs(got - np.clip(np.rint(z) + 3, 0, 255)).max() <= 1


@pytest.mark.parametrize("direction, count", [("forward", 1), ("bidirectional", 2)])
def test_dynamic_lstm(direction: str, count: int) -> None:
    x, b, scale = f32(5, 2, 3), f32(count, 32), np.full(count, 0.01, np.float32)
    w, r, z = i8(count, 3, 16), i8(count, 4, 16), np.zeros(count, np.int8)
    got = run("DynamicQuantizeLSTM", [x, w, r, b, None, None, None, None, scale, z, scale, z], n=3, domain=MS,
              hidden_size=4, direction=direction)
    wide = [np.transpose(v * np.float32(0.01), (0, 2, 1)).astype(np.float32) for v in (w, r)]
    close(got, expect("LSTM", [x, *wide, b], n=3, hidden_size=4, direction=direction), 1e-5)


@pytest.mark.parametrize("name", ["relu", "gelu", "silu", "identity"])
@pytest.mark.parametrize("normal", [0, 1])
def test_experts(name: str, normal: int) -> None:
    same("MoE", [f32(7, 6), f32(7, 4), f32(4, 5, 6), f32(4, 5), f32(4, 6, 5), f32(4, 6)], tol=1e-4, k=2,
         activation_type=name, normalize_routing_weights=normal)
