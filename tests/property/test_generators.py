# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Operators that make tensors out of little, windows and transforms."""

from __future__ import annotations

from pathlib import Path

from tests.property.check import amounts, check
from tests.property.differences import NEITHER, Difference, special

TABLE = (
    Difference("DFT STFT", special, NEITHER, "which results NaN reaches depends on the algorithm"),
)


@amounts
def test_generators(amount: str, tmp_path: Path) -> None:
    check("generators", TABLE, amount, tmp_path)
