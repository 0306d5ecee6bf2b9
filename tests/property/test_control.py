# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""If, Loop, Scan."""

from __future__ import annotations

from pathlib import Path

from tests.property.check import amounts, check
from tests.property.differences import ORT, Difference, always

TABLE = (
    Difference("*", always, ORT, "bodies hold operators of every family, and each is judged in its own"),
)


@amounts
def test_control(amount: str, tmp_path: Path) -> None:
    check("control", TABLE, amount, tmp_path)
