# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""TopK, NonZero, Unique, Compress, NonMaxSuppression."""

from __future__ import annotations

from pathlib import Path

from tests.property.check import amounts, check
from tests.property.differences import NEITHER, ORT, Difference, has_nan, unsorted

TABLE = (
    Difference("TopK Unique", has_nan, NEITHER, "whether NaN is the greatest, or equals itself, is not said"),
    Difference("Unique", unsorted, ORT, "the evaluator sorts along an axis all the same"),
)


@amounts
def test_selection(amount: str, tmp_path: Path) -> None:
    check("selection", TABLE, amount, tmp_path)
