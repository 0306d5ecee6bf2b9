# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Every family of operators, each row of it on random operands: a few in ``make test``, in ``make test-full`` many that
hypothesis draws, and makes small where they fail."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import differences, rows
from tests.property.check import check, drawn, seeded

FAMILIES = rows.families()


@pytest.mark.parametrize("family", FAMILIES)
def test_some(family: str, tmp_path: Path) -> None:
    check(family, seeded, 12, 2, tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("family", FAMILIES)
def test_many(family: str, tmp_path: Path) -> None:
    check(family, drawn, 60, 8, tmp_path)


def test_differences_are_of_families() -> None:
    assert set(differences.TABLES) <= set(FAMILIES)
