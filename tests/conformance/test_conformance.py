# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The official cases of onnx, batch-compiled in three builds: each ends as the ledger says. A sample that case names decide
in ``make test``, all of them in ``make test-full``."""

from __future__ import annotations

import subprocess
import sys
import unittest
from pathlib import Path

import onnx
import pytest
from onnx.backend.test.runner import Runner

from aotgen.plan import alone, barriers
from tests.conformance import cases, ledger, report, run, sanitize

ROOT = Path(__file__).resolve().parents[2]
PARTS = {"static": 8, "dynamic": 24, "constants": 24}  # one case in so many, in every run
SANITIZED = 8  # one case in so many, by the static build

pytestmark = pytest.mark.skipif(onnx.__version__ != ledger.version(), reason="the ledger is of another release of onnx")


def check(mode: str, part: int, folder: Path, sanitizer: str = "") -> None:
    names = [n for n in cases.names(mode) if cases.sampled(n, part)]
    # In a process of its own: its workers fork, and OpenMP does not survive a fork of a process that has used it.
    done = folder / "outcomes.json"
    command = [sys.executable, "-m", "tests.conformance.run", "--mode", mode, "--part", str(part), "--out", str(done)]
    command += ["--sanitize", sanitizer] if sanitizer else []
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    outcomes = {o.case: o for o in run.stored(done)}
    assert sorted(outcomes) == sorted(names)
    assert any(o.how == run.PASS for o in outcomes.values())
    lines = [line for line in ledger.differences(mode, outcomes) if not sanitizer or " fails: " in line]
    assert not lines, "\n".join(lines)


@pytest.mark.parametrize("mode", cases.MODES)
def test_a_sample_ends_as_the_ledger_says(mode: str, tmp_path: Path) -> None:
    check(mode, PARTS[mode], tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("mode", cases.MODES)
def test_every_case_ends_as_the_ledger_says(mode: str, tmp_path: Path) -> None:
    check(mode, 1, tmp_path)


@pytest.mark.full
@pytest.mark.parametrize("sanitizer", sanitize.SANITIZERS)
def test_a_sample_is_clean(sanitizer: str, tmp_path: Path) -> None:
    """No race of three threads, no access outside a buffer, no undefined arithmetic."""
    check("static", SANITIZED, tmp_path, sanitizer)


@pytest.mark.full
def test_a_missing_barrier_is_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the test above relies on: plans without barriers."""
    monkeypatch.setattr(barriers, "plan_barriers", lambda *_, **__: barriers.Sharing({}, {}))
    monkeypatch.setattr(alone, "choose", lambda *_: frozenset())
    names = ["test_attention_4d", "test_relu"]
    outcomes = {o.case: o for o in run.run_batch(names, "static", "thread")}
    assert outcomes["test_relu"].how == run.PASS
    assert outcomes["test_attention_4d"].how == run.CRASH
    assert "data race" in outcomes["test_attention_4d"].why


def test_a_report_is_a_line(tmp_path: Path) -> None:
    log = tmp_path / "said"
    log.write_text("==1==x\nWARNING: ThreadSanitizer: data race (pid=1)\n  Write of size 4 at 0x1 by thread T1:\n"
                   "    #0 relu_1 src/m.cpp:3 (m.so+0x1)\n  Previous read of size 4 at 0x1 by main thread:\n"
                   "    #0 add_1 src/m.cpp:9 (m.so+0x1)\n", "utf-8")
    assert sanitize.report(log) == "WARNING: ThreadSanitizer: data race (pid=1) relu_1 / add_1"
    log.write_text("", "utf-8")
    assert sanitize.report(log) == ""


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


@pytest.mark.full
def test_the_official_runner_runs_a_whole_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from aotgen import backend

    monkeypatch.setenv("ONNX_MODELS", str(tmp_path))  # where it puts its data
    runner = Runner(backend.AotgenBackend, __name__)
    runner.include("^test_squeezenet_cpu$")
    result = unittest.TestResult()
    runner.test_suite.run(result)
    assert result.wasSuccessful(), result.failures + result.errors
    assert result.testsRun - len(result.skipped) == 1
