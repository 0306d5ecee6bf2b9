# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Attention, as one operator and as exporters spell it."""

from __future__ import annotations

import numpy as np

from tests.fuzz.generator import Gen
from tests.fuzz.rows import row
from tests.fuzz.rows.convolution import sized
from tests.fuzz.values import Var


@row("attention spelled out", __name__)
def spelled(g: Gen) -> None:
    """Softmax(q k^T / sqrt(d) + mask) v over heads."""
    sizes = [g.sizes(1)[0], *sized(g, [g.int(1, 3), g.int(1, 9), g.of((4, 8, 16))])]
    q = g.any(("float32",), shape=sizes)
    k, v = (g.any(("float32",), shape=q.sizes) for _ in range(2))
    [kt] = g.node("Transpose", [k], exact=True, perm=[0, 1, 3, 2])
    [s] = g.node("MatMul", [q, kt])
    d = np.array(1 / np.sqrt(q.least(3)), np.float32)
    [s] = g.node("Mul", [s, g.weight(d)]) if g.chance(0.5) else g.node("Div", [s, g.weight(1 / d)])
    if g.chance(0.5):
        [s] = g.node("Add", [s, g.any(("float32",), shape=sized(g, [1, 1, q.least(2), q.least(2)]))])
    [p] = g.node("Softmax", [s], axis=-1)
    [y] = g.node("MatMul", [p, v])
    if g.chance(0.5):
        g.node("Transpose", [y], exact=True, perm=[0, 2, 1, 3])


@row("Attention", __name__)
def attention(g: Gen) -> None:
    heads, kv = g.of(((1, 1), (2, 2), (4, 2), (3, 1)))
    batch, queries, keys, d = g.sizes(1)[0], g.int(1, 6), g.int(1, 6), g.of((2, 4, 8))
    q = g.any(("float32",), shape=[batch, *sized(g, [heads, queries, d])])
    k, v = (g.any(("float32",), shape=[batch, *sized(g, [kv, keys, d])]) for _ in range(2))
    mask: list[Var] = [g.any(("float32",), shape=sized(g, [queries, keys]))] if g.chance(0.4) else []
    g.node("Attention", [q, k, v, *mask], is_causal=g.int(0, 1) if not mask else 0, **({"softcap": 5.0} if g.chance(0.3) else {}))


@row("RotaryEmbedding", __name__)
def rotary(g: Gen) -> None:
    batch, heads, tokens, d = g.sizes(1)[0], g.int(1, 3), g.int(1, 6), g.of((4, 8, 16))
    x = g.any(("float32",), shape=[batch, *sized(g, [heads, tokens, d])])
    cos, sin = (g.any(("float32",), shape=sized(g, [10, d // 2]), low=-1, high=1, weight=0.8) for _ in range(2))
    at = g.any(("int64",), shape=[batch, *sized(g, [tokens])], low=0, high=9)
    g.node("RotaryEmbedding", [x, cos, sin, at], interleaved=g.int(0, 1))
