# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Attention."""

from __future__ import annotations

from pathlib import Path

from tests.property.check import amounts, check
from tests.property.differences import NEITHER, Difference, special

TABLE = (
    Difference("Attention Softmax MatMul", special, NEITHER, "whether a weight of 0 keeps NaN is not said"),
)


@amounts
def test_attention(amount: str, tmp_path: Path) -> None:
    check("attention", TABLE, amount, tmp_path)
