# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Slice, Split, Concat."""

from __future__ import annotations

from pathlib import Path

from tests.property.check import amounts, check

TABLE = ()  # onnxruntime and the evaluator agree


@amounts
def test_slicing(amount: str, tmp_path: Path) -> None:
    check("slicing", TABLE, amount, tmp_path)
