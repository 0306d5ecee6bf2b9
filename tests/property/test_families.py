# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Every family of operators, each row of it on operands that hypothesis draws: few in ``make test``, many in ``make test-full``."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz import rows
from tests.property import differences
from tests.property.check import check

FAMILIES = rows.families()


@pytest.mark.parametrize("family", FAMILIES)
def test_some(family: str, tmp_path: Path) -> None:
    check(family, 4, 1, tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("family", FAMILIES)
def test_many(family: str, tmp_path: Path) -> None:
    check(family, 60, 8, tmp_path)


def test_differences_are_of_families() -> None:
    assert set(differences.TABLES) <= set(FAMILIES)
