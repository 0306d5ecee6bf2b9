# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Resize, and the operators that sample between pixels."""

from __future__ import annotations

from pathlib import Path

from tests.property.check import amounts, check
from tests.property.differences import NEITHER, ORT, Difference, always, special

TABLE = (
    Difference("Resize GridSample AffineGrid RoiAlign", special, NEITHER, "whether a weight of 0 keeps NaN is not said"),
    Difference("Resize GridSample", always, ORT, "the evaluator needs a second an image"),
)


@amounts
def test_resize(amount: str, tmp_path: Path) -> None:
    check("resize", TABLE, amount, tmp_path)
