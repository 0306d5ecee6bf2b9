# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Gathers and scatters."""

from __future__ import annotations

from pathlib import Path

from tests.property.check import amounts, check

TABLE = ()  # onnxruntime and the evaluator agree


@amounts
def test_indexing(amount: str, tmp_path: Path) -> None:
    check("indexing", TABLE, amount, tmp_path)
