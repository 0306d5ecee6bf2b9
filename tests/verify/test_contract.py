# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The contract's arithmetic, and what compare() makes of it."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from aotgen.verify.contract import References, compare, limit, relative_error


@pytest.mark.parametrize(
    ("ort", "default", "strict"),
    [
        (0.0, 1e-6, 1e-6),
        (1e-7, 1.6e-6, 1e-6),
        (1e-6, 1.6e-5, 2e-6),
        (1e-5, 1e-4, 2e-5),  # 16 times would be 1.6e-4: capped
        (1e-4, 2e-4, 2e-4),  # twice onnxruntime's error is above the cap
        (1e-2, 2e-2, 2e-2),
        (None, 1e-4, 1e-4),
        (float("inf"), 1e-4, 1e-4),
    ],
)
def test_limit(ort: float | None, default: float, strict: float) -> None:
    assert limit(ort) == pytest.approx(default)
    assert limit(ort, "strict") == pytest.approx(strict)


def test_narrow_types_add_their_own_roundings() -> None:
    assert limit(1e-7, dtype=np.float16) == pytest.approx(4 * 2**-11)
    assert limit(1e-7, "strict", ml_dtypes.bfloat16) == pytest.approx(4 * 2**-8)
    assert limit(None, dtype=np.float16) == pytest.approx(4 * 2**-11)
    assert limit(0.1, dtype=np.float16) == pytest.approx(0.2)
    assert limit(0.0, dtype=np.float64) == 1e-6


def test_error_is_relative_to_the_largest_magnitude() -> None:
    truth = np.array([1e-9, -200.0, 3.0])
    assert relative_error(np.array([0.0, -200.0, 3.2], np.float32), truth) == pytest.approx(1e-3, rel=1e-5)
    assert relative_error(np.float32([0.0, 0.5]), np.zeros(2)) == 0.5, "an all-zero truth is compared absolutely"
    assert relative_error(np.zeros((0, 3), np.float32), np.zeros((0, 3))) == 0.0
    assert relative_error(np.zeros(3, np.float32), np.zeros((3, 1))) == np.inf


def test_error_of_nan_and_infinity() -> None:
    nan, inf = np.nan, np.inf
    assert relative_error(np.float32([1, nan, inf]), np.array([1, nan, inf])) == 0.0
    assert relative_error(np.float32([1, nan]), np.array([1, 2.0])) == inf
    assert relative_error(np.float32([1, 2]), np.array([1, nan])) == inf
    assert relative_error(np.float32([1, inf]), np.array([1, -inf])) == inf
    assert relative_error(np.float32([1, inf]), np.array([1, 1e300])) == 0.0, "beyond float32 the truth is infinite"


def test_ort_error_widens_the_limit() -> None:
    truth = {"y": np.array([1.0, 0.5])}
    actual = np.float32([1 + 1e-5, 0.5])
    good, bad = np.float32([1 + 1e-6, 0.5]), np.float32([1, 0.5])
    assert compare("y", actual, References(truth, {"y": good})).ok
    finding = compare("y", actual, References(truth, {"y": bad}))
    assert not finding.ok
    assert "at [0]" in finding.why
    assert not compare("y", actual, References(truth, {"y": good}), "strict").ok


def test_without_truth_onnxruntime_decides_at_one_in_ten_thousand() -> None:
    peer = {"y": np.float32([1.0])}
    assert compare("y", np.float32([1 + 9e-5]), References(None, peer)).ok
    assert not compare("y", np.float32([1 + 2e-4]), References(None, peer)).ok
    assert not compare("y", np.float32([1]), References(None, None)).ok


def test_integers_are_exact_elementwise_against_either() -> None:
    found = References({"i": np.array([1, 2, 3])}, {"i": np.array([1, 5, 3])})
    assert compare("i", np.array([1, 5, 3]), found).ok
    assert compare("i", np.array([1, 2, 3]), found).ok
    finding = compare("i", np.array([1, 4, 3]), found)
    assert not finding.ok
    assert finding.why == "at [1]: 4 instead of 2"
    assert not compare("i", np.array([[1, 2, 3]]), found).ok


def test_rounding_graphs_may_agree_with_any_reference() -> None:
    found = References({"y": np.array([1.0])}, {"y": np.float32([1.07])}, {"y": np.float32([1.0])})
    away = References({"y": np.array([1.0])}, {"y": np.float32([1.0])}, {"y": np.float32([1.07])})
    assert compare("y", np.float32([1.07]), found, discontinuous=True).ok
    assert compare("y", np.float32([1.07]), away, discontinuous=True).ok
    assert not compare("y", np.float32([1.07]), away).ok
    assert not compare("y", np.float32([1.03]), away, discontinuous=True).ok


def test_small_floats_and_all_nan() -> None:
    half = np.array([1, 2]).astype(ml_dtypes.bfloat16)
    assert compare("y", half, References({"y": np.array([1.0, 2.0])}, None)).ok
    nan = np.full(3, np.nan, np.float32)
    assert "NaN" in compare("y", nan, References({"y": nan.astype(float)}, None)).why
