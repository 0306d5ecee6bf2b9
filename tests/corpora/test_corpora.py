# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The corpora of the shared folder, batch-compiled: each model ends as the ledger says, and enough of them pass."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests import ledgers
from tests.conformance.run import PASS, Outcome, stored
from tests.corpora import cases, judge, ledger, robustness

ROOT = Path(__file__).resolve().parents[2]
# The least share that passes, by corpus and mode.
SHARES = {
    ("models", "fixed"): 0.97, ("models", "open"): 0.9,
    ("ort_models", "fixed"): 0.95, ("ort_models", "open"): 0.9,
    ("op_models", "fixed"): 0.97, ("op_models", "open"): 0.97,
}  # fmt: skip


def swept(module: str, folder: Path, *args: str) -> dict[str, Outcome]:
    """The outcomes of a sweep in a process of its own: its workers fork, and OpenMP does not survive that once used."""
    done = folder / "outcomes.json"
    command = [sys.executable, "-m", f"tests.corpora.{module}", *args, "--out", str(done)]
    subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    return {o.case: o for o in stored(done)}


@pytest.mark.full
@pytest.mark.parametrize(("corpus", "mode"), SHARES, ids=map("-".join, SHARES))
def test_every_model_ends_as_the_ledger_says(corpus: str, mode: str, tmp_path: Path) -> None:
    names = cases.named(corpus, mode)
    if not names:
        pytest.skip(f"../shared/{corpus} is not here")
    outcomes = swept("run", tmp_path, "--corpus", corpus, "--mode", mode)
    assert sorted(outcomes) == sorted(names)
    lines = ledgers.differences(ledger.known(corpus, mode), outcomes)
    assert not lines, "\n".join(lines)


@pytest.mark.parametrize(("corpus", "mode"), SHARES, ids=map("-".join, SHARES))
def test_the_ledger_leaves_enough(corpus: str, mode: str) -> None:
    names, known = cases.named(corpus, mode), ledger.known(corpus, mode)
    if not names:
        pytest.skip(f"../shared/{corpus} is not here")
    assert set(known) <= set(names)
    assert 1 - len(known) / len(names) >= SHARES[corpus, mode]


@pytest.mark.full
def test_hostile_graphs_are_refused_or_compiled(tmp_path: Path) -> None:
    if not robustness.everything():
        pytest.skip("../shared/ort_models is not here")
    bad = {n: o.why for n, o in swept("robustness", tmp_path).items() if o.how != PASS}
    assert not bad


# -- the judge


def judged(got: object, want: object, share: float = 1e-4) -> str:
    return judge.disagreement({"y": got}, {"y": want}, share)


def test_the_judge_tells_agreement_from_disagreement() -> None:
    w = np.array([1.0, -2.0], np.float32)
    assert judged(w * np.float32(1.00005), w) == ""
    assert judged(w * np.float32(1.0005), w) != ""
    assert judged(w * np.float32(1.0005), w, 1e-3) == ""
    assert judged(w * np.float32(np.nan), w) != ""
    assert judged(w[:1], w) != ""
    assert judged(w.astype(np.float64), w) != ""
    assert judged(np.array([1]), np.array([2])) != ""
    assert judged(np.array(["a"], object), np.array(["a"], object)) == ""
    assert judged([w], [w]) == "" and judged([w], [w, w]) != ""
    assert judged([{"a": w[0]}], [{"a": 1.0}]) == "" and judged([{"b": w[0]}], [{"a": 1.0}]) != ""
    assert judge.disagreement({}, {"y": w}, 1.0) != ""


def test_the_judge_allows_one_step_where_halves_have_no_more_bits() -> None:
    step = float(np.finfo(np.float16).smallest_subnormal)
    w = np.array([3 * step], np.float16)
    assert judged(w + np.float16(step), w, 5e-3) == ""
    assert judged(w + np.float16(2 * step), w, 5e-3) != ""


def test_the_judge_lets_a_badly_conditioned_model_be_as_far_off_as_onnxruntime() -> None:
    truth = {"y": np.array([1.0, 2.0])}
    theirs, ours, worse = ({"y": np.array([1.0, 2.0 + e], np.float32)} for e in (1e-3, -1.5e-3, -3e-3))
    assert judge.no_further(ours, theirs, truth)
    assert not judge.no_further(worse, theirs, truth)
    assert not judge.no_further({"y": np.array([1])}, {"y": np.array([2])}, {"y": np.array([2])}), "integers are exact"


# -- the watch over hostile graphs


def test_the_watch_sees_what_is_wrong_with_a_refusal(tmp_path: Path) -> None:
    work = tmp_path / "work"
    work.mkdir()
    assert robustness._refusal(1, "error: no\n", work) == ""
    assert robustness._refusal(101, "error: no\n", work) != ""
    assert robustness._refusal(1, "Traceback\nerror: no\n", work) != ""
    assert robustness._refusal(1, "", work) != ""
    (work / "left").write_text("")
    assert robustness._refusal(1, "error: no\n", work) != ""
    assert robustness._foreign(["/etc/passwd", str(work / "x"), sys.executable], work) == ["/etc/passwd"]


def test_a_ledger_keeps_what_people_wrote_and_loses_what_passes() -> None:
    known = {"a": "the model is wrong", "b": "refused: no such operator", "c": "error: old"}
    outcomes = {n: Outcome(n, how, why) for n, how, why in (("a", "error", "x"), ("b", "refused", "op 7"), ("c", PASS, ""), ("d", "crash", "s"))}
    assert ledgers.updated(known, outcomes, grow=False) == {"the model is wrong": ["a"], "refused: op N": ["b"]}
    assert "crash: s" in ledgers.updated(known, outcomes, grow=True)
    assert len(ledgers.differences(known, outcomes)) == 2
