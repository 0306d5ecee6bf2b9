# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""LSTM, GRU, RNN."""

from __future__ import annotations

from pathlib import Path

from tests.property.check import amounts, check
from tests.property.differences import ORT, Difference, always

TABLE = (
    Difference("*", always, ORT, "the evaluator knows neither lengths nor clipping nor initial states of every cell"),
)


@amounts
def test_recurrent(amount: str, tmp_path: Path) -> None:
    check("recurrent", TABLE, amount, tmp_path)
