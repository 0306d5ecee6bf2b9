# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Normalisations."""

from __future__ import annotations

from pathlib import Path

from tests.property.check import amounts, check
from tests.property.differences import NEITHER, ORT, Difference, always, special

TABLE = (
    Difference("LRN", special, NEITHER, "onnxruntime keeps a running sum, which NaN never leaves"),
    Difference("LRN", always, ORT, "the evaluator leaves out channels at the borders"),
    Difference("LpNormalization", always, ORT, "the evaluator divides by a sum of signed values"),
)


@amounts
def test_normalization(amount: str, tmp_path: Path) -> None:
    check("normalization", TABLE, amount, tmp_path)
