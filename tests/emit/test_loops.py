# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Loop nests printed for the CPU, compiled without a warning, against the interpreter of Defs."""

from __future__ import annotations

import ctypes

import pytest

from aotgen import targets
from tests.emit import cases, harness

CASES = cases.everything()


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return harness.build(CASES, targets.load("cpu").dialect, tmp_path_factory.mktemp("loops"))


@pytest.mark.parametrize("name", CASES)
def test_equals_the_interpreter(library: ctypes.CDLL, name: str) -> None:
    harness.check(library, name, CASES[name])
