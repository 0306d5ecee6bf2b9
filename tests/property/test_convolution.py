# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Convolutions of one to three axes."""

from __future__ import annotations

from pathlib import Path

from tests.property.check import amounts, check
from tests.property.differences import ORT, Difference, always

TABLE = (
    Difference("ConvTranspose", always, ORT, "the evaluator needs a second an image"),
    Difference("QLinearConv", always, ORT, "the evaluator wraps products of bytes"),
)


@amounts
def test_convolution(amount: str, tmp_path: Path) -> None:
    check("convolution", TABLE, amount, tmp_path)
