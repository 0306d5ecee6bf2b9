# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Statistics of the benchmark, and its sampling loop."""

from __future__ import annotations

import pytest

from aotgen.bench import statistics, worker


def test_timing_is_the_median_of_medians() -> None:
    t = statistics.timing([[3.0, 1.0, 2.0], [5.0, 5.0], [1.0, 2.0, 900.0]])
    assert (t.median, t.low, t.high, t.runs) == (2.0, 2.0, 5.0, 8)
    assert t.spread == 1.5


def test_ratios_are_paired_by_round() -> None:
    ours, theirs = [[1.0], [2.0], [4.0]], [[2.0], [4.0], [2.0]]  # the machine drifts; round three is an accident
    r = statistics.ratio(ours, theirs)
    assert (r.median, r.low, r.high) == (0.5, 0.5, 2.0)
    with pytest.raises(ValueError, match="zip"):
        statistics.ratio(ours, theirs[:2])


def test_sampling_takes_enough_but_not_more() -> None:
    asked: list[int] = []

    def sample(runs: int) -> list[float]:
        asked.append(runs)
        return [0.5] * runs  # claims half a second each

    assert len(worker.measure(sample, 0.001)) == worker.LEAST
    assert max(asked) == 1, "slow models are sampled one by one"
    fast = worker.measure(lambda runs: [1e-7] * runs, 0.01)
    assert worker.LEAST <= len(fast) <= worker.MOST + 1000
