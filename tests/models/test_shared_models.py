# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Real models of the shared folder as users compile them: for the sizes of their stored inputs, and once for all sizes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from aotgen import driver
from aotgen.core.options import CompileOptions
from aotgen.toolchain import Library
from tests.conformance.run import PASS
from tests.corpora import cases, ledger, run
from tests.corpora.cases import SETS, Case

QUICK = {"tfl_helloworld", "tinytaxinet", "acasxu_1_1", "mnist_cntk"}
FOUND = cases.everything("models")
pytestmark = pytest.mark.skipif(not FOUND, reason="../shared/models is not here")


def params(mode: str) -> list[Any]:
    """The models of ``mode`` that are not known to fail, those of every run marked by name."""
    known = ledger.known("models", mode)
    return [pytest.param(n, marks=() if n in QUICK and mode == "fixed" else pytest.mark.full)
            for n in cases.named("models", mode) if n not in known]


def judge(case: Case, options: CompileOptions, folder: Path) -> None:
    """Compile with the flags of a user, run at every size ``options`` allow, compare."""
    def load() -> Library:
        driver.compile_model(case.path, folder, options)
        return Library(folder)

    outcome = run.run_case(case, options, load)
    shutil.rmtree(folder, ignore_errors=True)
    assert outcome.how == PASS, outcome.why


def test_all_are_here() -> None:
    assert len(FOUND) == 49
    assert set(FOUND) >= QUICK


@pytest.mark.parametrize("name", params("fixed"))
def test_outputs_at_stored_sizes(name: str, tmp_path: Path) -> None:
    case = FOUND[name]
    for set_ in SETS:
        given = case.stored("inputs", set_)
        if given is not None:
            options = CompileOptions(input_shapes=tuple(sorted((k, v.shape) for k, v in given.items())))
            judge(case, options, tmp_path / f"lib{name}{set_}")


@pytest.mark.parametrize("name", params("open"))
def test_one_artefact_runs_every_size(name: str, tmp_path: Path) -> None:
    judge(FOUND[name], CompileOptions(dynamic=True), tmp_path / f"lib{name}")
