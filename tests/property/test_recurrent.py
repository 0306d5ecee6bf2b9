# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""LSTM, GRU, RNN."""

from __future__ import annotations

from pathlib import Path

from tests.property.check import amounts, check

TABLE = ()  # onnxruntime and the evaluator agree


@amounts
def test_recurrent(amount: str, tmp_path: Path) -> None:
    check("recurrent", TABLE, amount, tmp_path)
