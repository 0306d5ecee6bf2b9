# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Softmax, LogSoftmax, Hardmax."""

from __future__ import annotations

from tests.fuzz.generator import Gen
from tests.fuzz.rows import add
from tests.fuzz.values import FLOATS

for _name in ("Softmax", "LogSoftmax", "Hardmax"):

    def _softmax(g: Gen, op: str = _name) -> None:
        x = g.any(FLOATS, (1, 4))
        axis = g.int(0, x.rank - 1)
        if op == "Hardmax":
            g.ranked(x, axis)
        g.node(op, [x], axis=g.signed(axis, x.rank), exact=op == "Hardmax")

    add(_name, __name__, _softmax)
