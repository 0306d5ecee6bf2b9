# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Quantisation."""

from __future__ import annotations

from pathlib import Path

from tests.property.check import amounts, check
from tests.property.differences import NEITHER, Difference, special

TABLE = (
    Difference("QuantizeLinear DynamicQuantizeLinear", special, NEITHER, "NaN is no integer"),
)


@amounts
def test_quantize(amount: str, tmp_path: Path) -> None:
    check("quantize", TABLE, amount, tmp_path)
