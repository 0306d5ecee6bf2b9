# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The official cases of onnx, batch-compiled in three builds: each ends as the ledger says. Every run takes a sample that
case names decide; ``full`` takes all."""

from __future__ import annotations

import unittest

import onnx
import pytest
from onnx.backend.test.runner import Runner

from tests.conformance import cases, ledger, report, run

PARTS = {"static": 8, "dynamic": 24, "constants": 24}  # one case in so many, in every run

pytestmark = pytest.mark.skipif(onnx.__version__ != ledger.version(), reason="the ledger is of another release of onnx")


def check(mode: str, part: int) -> None:
    names = [n for n in cases.everything() if cases.sampled(n, part)]
    outcomes = run.run_cases(names, mode, 2)
    assert sorted(outcomes) == sorted(names)
    assert any(o.how == run.PASS for o in outcomes.values())
    lines = ledger.differences(mode, outcomes)
    assert not lines, "\n".join(lines)


@pytest.mark.parametrize("mode", cases.MODES)
def test_a_sample_ends_as_the_ledger_says(mode: str) -> None:
    check(mode, PARTS[mode])


@pytest.mark.full
@pytest.mark.parametrize("mode", cases.MODES)
def test_every_case_ends_as_the_ledger_says(mode: str) -> None:
    check(mode, 1)


def test_the_ledger_names_real_cases() -> None:
    for mode in cases.MODES:
        assert set(ledger.known(mode)) <= set(cases.everything())


def test_the_page_of_operators_is_current() -> None:
    assert report.PAGE.read_text("utf-8") == report.page(), "python -m tests.conformance.report"


def test_the_official_runner_drives_the_backend() -> None:
    from aotgen import backend

    runner = Runner(backend.AotgenBackend, __name__)
    runner.include("^test_(add|relu|matmul_2d|concat_1d_axis_0|gemm_all_attributes)_cpu$")
    result = unittest.TestResult()
    runner.test_suite.run(result)
    assert result.wasSuccessful(), result.failures + result.errors
    assert result.testsRun - len(result.skipped) == 5
