# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Figures out of samples: medians, because timing noise is one-sided; ratios within a round, because machines drift."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds of one inference: the ``median`` over rounds of the rounds' medians, and the ``low``est and ``high``est of
    them; ``runs``: inferences timed in all."""

    median: float
    low: float
    high: float
    runs: int

    @property
    def spread(self) -> float:
        """Width of the rounds' medians as a share of the median."""
        return (self.high - self.low) / self.median if self.median > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Ratio:
    """Ours over theirs, paired by round: below 1 we are faster."""

    median: float
    low: float
    high: float


def timing(rounds: Sequence[Sequence[float]]) -> Timing:
    """``rounds``: the samples of each round, none empty."""
    medians = [median(r) for r in rounds]
    return Timing(median(medians), min(medians), max(medians), sum(map(len, rounds)))


def ratio(ours: Sequence[Sequence[float]], theirs: Sequence[Sequence[float]]) -> Ratio:
    """Round k of ``ours`` over round k of ``theirs``. Raises ValueError when they are not pairs."""
    pairs = [median(a) / median(b) for a, b in zip(ours, theirs, strict=True)]
    return Ratio(median(pairs), min(pairs), max(pairs))
