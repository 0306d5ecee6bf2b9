# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Pools."""

from __future__ import annotations

from pathlib import Path

from tests.property.check import amounts, check
from tests.property.differences import NEITHER, ORT, Difference, always, special

TABLE = (
    Difference("*", special, NEITHER, "whether a maximum keeps NaN is not said"),
    Difference("*", always, ORT, "the evaluator fails on some windows, dilated or automatically padded"),
)


@amounts
def test_pooling(amount: str, tmp_path: Path) -> None:
    check("pooling", TABLE, amount, tmp_path)
