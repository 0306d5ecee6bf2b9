# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""CumSum."""

from __future__ import annotations

import numpy as np

from tests.fuzz.generator import Gen
from tests.fuzz.rows import row


@row("CumSum", __name__)
def cum_sum(g: Gen) -> None:
    x = g.any(("float32", "float64", "int32", "int64"), (1, 4))
    axis = g.weight(np.array(g.signed(g.int(0, x.rank - 1), x.rank), np.int64))
    g.node("CumSum", [x, axis], exclusive=g.int(0, 1), reverse=g.int(0, 1))
