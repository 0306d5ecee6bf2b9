# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""com.microsoft attention by heads: packed operands, caches of a fixed size, beams."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graphs import check, close, f32, run

MS = "com.microsoft"
B, H, D, ROOM = 4, 2, 8, 6
WIDE = H * D


def length(n: int) -> Any:
    return np.array([n], np.int32)


def caches() -> list[Any]:
    return [f32(B, H, ROOM, D), f32(B, H, ROOM, D)]


BEAMS = np.random.default_rng(1).integers(0, 2, (B // 2, 2, ROOM)).astype(np.int32)


@pytest.mark.parametrize("used", [0, 3, ROOM - 1])
def test_a_cache_of_fixed_size(used: int) -> None:
    args = [*(f32(B, 1, WIDE) for _ in range(3)), f32(3 * WIDE), None, None, *caches(), length(used)]
    check("MultiHeadAttention", args, n=3, domain=MS, num_heads=H, unidirectional=1, tol=5e-6)


@pytest.mark.parametrize("used", [0, 3])
def test_the_beams_that_past_positions_come_from(used: int) -> None:
    q, k, v = (f32(B, 1, WIDE) for _ in range(3))
    past_k, past_v = caches()
    rows = np.repeat(np.arange(B // 2) * 2, 2)[:, None] + BEAMS.reshape(B, ROOM)
    want = np.zeros((B, 1, WIDE), np.float32)
    for b in range(B):
        keys, values = (np.stack([*(past[rows[b, t], :, t] for t in range(used)), new[b].reshape(H, D)], 1)
                        for past, new in ((past_k, k), (past_v, v)))
        scores = np.einsum("hd,htd->ht", q[b].reshape(H, D), keys) / np.sqrt(D)
        p = np.exp(scores - scores.max(-1, keepdims=True))
        want[b, 0] = np.einsum("ht,htd->hd", p / p.sum(-1, keepdims=True), values).ravel()
    args = [q, k, v, None, None, past_k, past_v, length(used), length(2), BEAMS]
    got = run("DecoderMaskedMultiHeadAttention", args, n=3, domain=MS, num_heads=H, past_present_share_buffer=1)
    close(got[:1], [want], 5e-6)
    np.testing.assert_array_equal(got[1][:, :, used], k.reshape(B, H, D))


def test_scores_and_keys_by_heads() -> None:
    args = [f32(1, 3, WIDE), f32(1, H, 5, D), f32(1, H, 5, D)]
    close(run("MultiHeadAttention", args, names=["y", "", "", "qk"], domain=MS, num_heads=H)[1:],
          [np.einsum("shd,htd->hst", args[0].reshape(3, H, D), args[1][0])[None] / np.sqrt(D)], 5e-6)


def test_packed_operands() -> None:
    q, k, v = f32(2, 3, WIDE), f32(2, 3, WIDE), f32(2, 3, WIDE)
    want = run("MultiHeadAttention", [q, k, v], domain=MS, num_heads=H)
    split = [t.reshape(2, 3, H, D) for t in (q, k, v)]
    close(run("MultiHeadAttention", [np.stack(split, 3)], domain=MS, num_heads=H), want, 1e-6)
    close(run("MultiHeadAttention", [q, np.stack(split[1:], 3)], domain=MS, num_heads=H), want, 1e-6)
