# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Reshape, Transpose, Pad and their kin."""

from __future__ import annotations

from pathlib import Path

from tests.property.check import amounts, check

TABLE = ()  # onnxruntime and the evaluator agree


@amounts
def test_movement(amount: str, tmp_path: Path) -> None:
    check("movement", TABLE, amount, tmp_path)
