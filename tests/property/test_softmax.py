# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Softmax and its kin."""

from __future__ import annotations

from pathlib import Path

from tests.property.check import amounts, check
from tests.property.differences import NEITHER, Difference, has_nan

TABLE = (
    Difference("Hardmax", has_nan, NEITHER, "whether NaN is the greatest is not said"),
)


@amounts
def test_softmax(amount: str, tmp_path: Path) -> None:
    check("softmax", TABLE, amount, tmp_path)
