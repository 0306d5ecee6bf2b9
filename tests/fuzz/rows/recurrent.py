# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""LSTM, GRU, RNN."""

from __future__ import annotations

from typing import Any

from tests.fuzz.generator import Gen
from tests.fuzz.rows import add
from tests.fuzz.rows.convolution import sized
from tests.fuzz.values import Var

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
STATES = {"LSTM": 2, "GRU": 1, "RNN": 1}


def cell(g: Gen, op: str) -> None:
    x = g.any(("float32",), (3, 3), low=-8, high=8, where=lambda v: v.fixed(2) and all(v.least(k) > 0 for k in range(3)))
    g.need(x.fixed(2) and all(x.least(k) > 0 for k in range(3)), "nothing to feed")
    direction = g.of(("forward", "reverse", "bidirectional"))
    d, h, gates, batch = 1 + (direction == "bidirectional"), g.of((1, 3, 4, 8, 16, 17)), GATES[op], x.sizes[1]
    weights = [g.any(("float32",), shape=sized(g, [d, gates * h, k]), low=-0.6, high=0.6, weight=0.9) for k in (x.least(2), h)]
    bias = g.any(("float32",), shape=sized(g, [d, 2 * gates * h]), low=-1, high=1, weight=0.9) if g.chance(0.7) else None
    lengths = g.any(("int32",), shape=[batch], low=1, high=x.least(0)) if g.chance(0.4) else None
    starts: list[Var | None] = [g.any(("float32",), shape=[*sized(g, [d]), batch, *sized(g, [h])], low=-1, high=1) if g.chance(0.5)
                                else None for _ in range(STATES[op])]
    peepholes = [g.any(("float32",), shape=sized(g, [d, 3 * h]), low=-0.5, high=0.5, weight=0.9)] if op == "LSTM" and g.chance(0.3) else []
    attrs: dict[str, Any] = {"hidden_size": h, "direction": direction}
    if op == "GRU":
        attrs["linear_before_reset"] = g.int(0, 1)
    if g.chance(0.3):
        attrs["clip"] = 3.0
    g.node(op, [x, *weights, bias, lengths, *starts, *peepholes], n=g.int(1, 1 + STATES[op]), **attrs)


for _name in GATES:
    add(_name, __name__, lambda g, op=_name: cell(g, op))  # type: ignore[misc]
