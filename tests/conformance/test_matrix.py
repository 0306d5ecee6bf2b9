# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Every ai.onnx operator in every element type: each pair ends as ``matrix.json`` says. A sample that pair names decide,
and all of them in ``make test-full``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.conformance import cases, ledger, matrix, recipes, run

ROOT = Path(__file__).resolve().parents[2]
PART = 48  # one pair in so many, in every run

pytestmark = pytest.mark.skipif(onnx.__version__ != ledger.version(matrix.LEDGER), reason="it is of another release of onnx")


def check(part: int, folder: Path) -> None:
    # In a process of its own: its workers fork, and OpenMP does not survive a fork of a process that has used it.
    done = folder / "outcomes.json"
    command = [sys.executable, "-m", "tests.conformance.matrix", "--part", str(part), "--out", str(done)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    outcomes = {o.case: o for o in run.stored(done)}
    assert sorted(outcomes) == sorted(p.name for p in matrix.pairs() if cases.sampled(p.name, part))
    lines = ledger.differences(ledger.TYPES, outcomes, matrix.LEDGER)
    assert not lines, "\n".join(lines)


def test_a_sample_ends_as_the_ledger_says(tmp_path: Path) -> None:
    check(PART, tmp_path)


@pytest.mark.full
def test_every_pair_ends_as_the_ledger_says(tmp_path: Path) -> None:
    check(1, tmp_path)


def test_the_ledger_names_real_pairs() -> None:
    assert set(ledger.known(ledger.TYPES, matrix.LEDGER)) <= {p.name for p in matrix.pairs()}


def test_every_operator_of_the_newest_opset_has_pairs() -> None:
    newest = {s.name for s in onnx.defs.get_all_schemas() if s.domain == "" and not s.deprecated}
    assert newest <= {p.op for p in matrix.pairs()}


def test_every_row_is_of_an_operator_and_names_its_operands() -> None:
    for op in recipes.ROWS:
        formal = {i.name for i in matrix.schemas()[op].inputs}
        for row in recipes.rows_of(op):
            assert set(row.operands) <= formal, op


def test_every_pair_has_a_case() -> None:
    assert not [p.name for p in matrix.pairs() if not matrix.cases_of(p)]


def test_what_counts_as_a_difference() -> None:
    row, half = recipes.row(), np.float16
    one = np.array([1.0, np.nan, np.inf], half)
    assert not matrix.difference(one, one.copy(), row)
    assert not matrix.difference(np.array([1.0, 2.001], half), np.array([1.0, 2.0], half), row)
    assert matrix.difference(np.array([1.0, 2.1], half), np.array([1.0, 2.0], half), row)
    assert matrix.difference(np.array([np.inf], half), np.array([1.0], half), row)
    assert matrix.difference(np.array([1], np.int8), np.array([2], np.int8), row)
    assert matrix.difference(np.array([1], np.int8), np.array([1], np.int16), row)
    assert matrix.difference(np.array([[1.0]]), np.array([1.0]), row)
