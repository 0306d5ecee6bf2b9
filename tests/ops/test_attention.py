# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Attention and rotary embedding against onnx.reference; com.microsoft forms against onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graphs import check, close, expect, f32, run

B, H, SQ, SK, D, DV = 2, 4, 3, 5, 6, 4
MS = "com.microsoft"


def qkv(few: int = H, flat: bool = False, dv: int = D) -> list[Any]:
    if flat:
        return [f32(B, SQ, H * D), f32(B, SK, few * D), f32(B, SK, few * dv)]
    return [f32(B, H, SQ, D), f32(B, few, SK, D), f32(B, few, SK, dv)]


def both(args: list[Any], n: int = 1, names: Any = (), **attrs: Any) -> None:
    check("Attention", args, n=n, names=names, by="ref", opset=25, tol=5e-6, **attrs)


@pytest.mark.parametrize("few", [1, 2, 4])
@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("attrs", [{}, {"is_causal": 1}, {"scale": 0.3}, {"softcap": 1.5}])
def test_forms(few: int, flat: bool, attrs: dict[str, Any]) -> None:
    heads = {"q_num_heads": H, "kv_num_heads": few} if flat else {}
    both(qkv(few, flat, DV), **heads, **attrs)


@pytest.mark.parametrize("shape", [(SQ, SK), (1, SK), (H, SQ, SK), (1, 1, SQ, SK), (B, H, SQ, SK), (B, 1, 1, SK), (SQ, SK - 2)])
@pytest.mark.parametrize("kind", ["bool", "float"])
@pytest.mark.parametrize("causal", [0, 1])
def test_masks(shape: tuple[int, ...], kind: str, causal: int) -> None:
    mask = f32(*shape)
    args = [*qkv(), mask > -0.3 if kind == "bool" else mask]
    if causal and shape[-2] == 1:
        # The reference applies is_causal to a single row here; as a window it does what the standard says.
        close(run("Attention", args, is_causal=1), expect("Attention", args, by="ref", opset=25, right_window_size=0), 5e-6)
    else:
        both(args, is_causal=causal)


def test_fully_masked_row_is_zero() -> None:
    mask = np.ones((SQ, SK), bool)
    mask[1] = False
    got, = run("Attention", [*qkv(), mask])
    np.testing.assert_array_equal(got[:, :, 1], 0)
    both([*qkv(), mask])


@pytest.mark.parametrize("window", [{"left_window_size": 1}, {"left_window_size": 2, "right_window_size": 1},
                                    {"right_window_size": 0}, {"left_window_size": 0, "is_causal": 1}])
def test_windows(window: dict[str, int]) -> None:
    both(qkv(), **window)


@pytest.mark.parametrize("causal", [0, 1])
@pytest.mark.parametrize("few", [2, 4])
def test_past(causal: int, few: int) -> None:
    past = [f32(B, few, 4, D), f32(B, few, 4, D)]
    both([*qkv(few), None, *past], n=3, is_causal=causal)


@pytest.mark.parametrize("causal", [0, 1])
def test_valid_lengths(causal: int) -> None:
    both([*qkv(), None, None, None, np.array([3, 5], np.int64)], is_causal=causal)
    both([*qkv(), f32(SQ, SK), None, None, np.array([2, 4], np.int64)], is_causal=causal)


@pytest.mark.parametrize("mode", [0, 1, 2, 3])
@pytest.mark.parametrize("attrs", [{}, {"softcap": 2.0}, {"is_causal": 1}])
def test_score_output(mode: int, attrs: dict[str, Any]) -> None:
    args, names = [*qkv(), f32(SQ, SK)], ["y", "", "", "scores"]
    if mode == 0 and attrs:
        # Mode 0 is the raw product whatever follows (the reference shows the capped one).
        _, got = run("Attention", args, n=4, names=names, **attrs)
        _, want = expect("Attention", args, by="ref", opset=25, n=4, names=names)
        close([got], [want], 5e-6)
    else:
        both(args, n=4, names=names, qk_matmul_output_mode=mode, **attrs)


def test_half() -> None:
    args = [a.astype(np.float16) for a in [*qkv(), f32(SQ, SK)]]
    want = expect("Attention", [a.astype(np.float32) for a in args], by="ref", opset=25)
    close(run("Attention", args), want, 3e-3)
    close(run("Attention", args, softmax_precision=1), want, 3e-3)


@pytest.mark.parametrize("interleaved", [0, 1])
@pytest.mark.parametrize("size", [0, 4])
@pytest.mark.parametrize("positions", [False, True])
@pytest.mark.parametrize("flat", [False, True])
def test_rotary(interleaved: int, size: int, positions: bool, flat: bool) -> None:
    x = f32(B, SQ, H * D) if flat else f32(B, H, SQ, D)
    half = (size or D) // 2
    caches = [f32(10, half), f32(10, half)] if positions else [f32(B, SQ, half), f32(B, SQ, half)]
    ids = [np.array([[1, 2, 3], [7, 0, 9]], np.int64)] if positions else []
    heads = {"num_heads": H} if flat else {}
    check("RotaryEmbedding", [x, *caches, *ids], by="ref", opset=23, interleaved=interleaved, rotary_embedding_dim=size, **heads)


@pytest.mark.parametrize("mask", [None, "keys", "added"])
@pytest.mark.parametrize("bias", [False, True])
def test_multi_head(mask: str | None, bias: bool) -> None:
    args: list[Any] = [f32(B, SQ, H * D), f32(B, SK, H * D), f32(B, SK, H * D), f32(3 * H * D) if bias else None]
    args += {None: [], "keys": [np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], np.int32)], "added": [None, f32(B, H, SQ, SK)]}[mask]
    while args[-1] is None:
        args.pop()
    check("MultiHeadAttention", args, domain=MS, num_heads=H, tol=5e-6)


@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("causal", [0, 1])
def test_packed(mask: bool, causal: int) -> None:
    args = [f32(B, SK, 8), f32(8, 3 * H * D), f32(3 * H * D)]
    if mask:
        args.append(np.array([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]], np.int32))
    check("Attention", args, domain=MS, num_heads=H, unidirectional=causal, tol=5e-6)


@pytest.mark.parametrize("segments", [False, True])
def test_embedding(segments: bool) -> None:
    ids = np.array([[1, 2, 3], [7, 0, 6]], np.int32)
    seg = [(ids % 2).astype(np.int32), f32(2, 8)] if segments else [None, None]
    check("EmbedLayerNormalization", [ids, seg[0], f32(8, 8), f32(5, 8), seg[1], f32(8), f32(8)], domain=MS,
          names=["y", "count"], tol=5e-6)
