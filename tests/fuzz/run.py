# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The loop: workers that grow, compile and compare batches of graphs; progress, findings, a summary."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from tests import isolated
from tests.conformance.run import CRASH, MISMATCH, REFUSED
from tests.fuzz import batch, case, rows, shrink
from tests.fuzz.batch import Found, Report
from tests.fuzz.judge import HANG, LOWERING, Outcome

Sizes = tuple[dict[str, int], ...]
# Of every run, the open dims: two sets of contents where all is fixed, else two dims at three settings.
MODES: dict[str, Sizes] = {"static": ({}, {}), "open": ({"n": 4, "s": 7}, {"n": 1, "s": 3}, {"n": 9, "s": 18})}
PATIENCE = 900.0  # seconds for a batch
ALONE = 300.0  # and for one graph


@dataclass(frozen=True)
class Plan:
    """What to run: the first ``seed``, how many ``graphs`` or ``seconds`` (0: no limit), where findings go (``out``), and
    for how long each new kind of them is made small (``shrink``)."""

    seed: int
    graphs: int
    seconds: float
    jobs: int
    nodes: tuple[int, int]
    modes: tuple[str, ...]
    out: Path
    shrink: float
    started: float = field(default_factory=time.monotonic)

    def more(self, number: int) -> bool:
        """Is there a batch of this number?"""
        enough = self.graphs and number * batch.GROUP >= self.graphs
        return not enough and not (self.seconds and time.monotonic() - self.started > self.seconds)

    def mode(self, seed: int) -> str:
        """The mode of the graph of ``seed``."""
        return self.modes[(seed - self.seed) // batch.GROUP % len(self.modes)]

    def batch(self, number: int) -> tuple[range, Sizes]:
        """Seeds and sizes of a batch."""
        first = self.seed + number * batch.GROUP
        last = self.seed + self.graphs if self.graphs else first + batch.GROUP
        return range(first, min(first + batch.GROUP, last)), MODES[self.mode(first)]


def run(plan: Plan) -> int:
    """Run ``plan``; 1 if anything was found."""
    total, kinds = Report(), Counter[str]()
    for report in _reports(plan):
        total.merge(report)
        for outcome, found in report.bugs:
            kinds[kind(outcome)] += 1
            if kinds[kind(outcome)] == 1:
                seed = outcome.case.removeprefix("seed")
                how = f"--replay {case.save(found, plan.out)}" if found else f"--graphs 1 --seed {seed} --mode {plan.mode(int(seed))}"
                print(f"{outcome.how}: {outcome.why}\n  python -m tests.fuzz {how}", flush=True)
        print(_line(plan, total), flush=True)
    _summary(plan, total, kinds)
    return int(bool(total.bugs))


def kind(outcome: Outcome) -> str:
    """A finding without what is particular to it: names of values, numbers."""
    why = re.sub(r"\b[bvwx][0-9]+\b", "X", re.sub(r"/\S+/", "", outcome.why))
    return f"{outcome.how}: {re.sub(r'[0-9]+([.][0-9]+)?(e[-+]?[0-9]+)?', 'N', why)[:100]}"


def _reports(plan: Plan) -> Iterator[Report]:
    """What the workers report, as it comes."""
    context = get_context("fork")
    queue: Any = context.SimpleQueue()
    workers = [context.Process(target=_worker, args=(plan, n, queue)) for n in range(plan.jobs)]
    for w in workers:
        w.start()
    done = 0
    while done < len(workers):
        report = queue.get()
        if report is None:
            done += 1
        else:
            yield report
    for w in workers:
        w.join()


def _worker(plan: Plan, number: int, queue: Any) -> None:
    seen: set[str] = set()
    try:
        while plan.more(number):
            report = _isolated(plan, number)
            report.bugs = [_small(plan, found, seen) for found in report.bugs]
            queue.put(report)
            number += plan.jobs
    finally:
        queue.put(None)


def _isolated(plan: Plan, number: int) -> Report:
    """A batch in a child; where it dies, each of its seeds alone."""
    seeds, sizes = plan.batch(number)

    def work(some: range) -> Report:
        return batch.run_seeds(some, plan.nodes, sizes)

    [told] = isolated.each([seeds], work, PATIENCE)
    if not isinstance(told, isolated.Died):
        return told
    total = Report()
    alone = [range(s, s + 1) for s in seeds]
    for one, told in zip(alone, isolated.each(alone, work, ALONE)):
        if isinstance(told, isolated.Died):
            total.add(Outcome(f"seed{one[0]}", HANG, f"growing or compiling it: {told.why}"), None)
        else:
            total.merge(told)
    return total


def _small(plan: Plan, found: Found, seen: set[str]) -> Found:
    """The finding, shrunk if it is the first of its kind."""
    outcome, big = found
    if big is None or kind(outcome) in seen or plan.shrink <= 0:
        return found
    seen.add(kind(outcome))

    def fails(candidate: case.Case) -> bool:
        [told] = isolated.each([[candidate]], batch.again, ALONE)
        if isinstance(told, isolated.Died) or told[0].how != outcome.how:
            return False
        return outcome.how in (MISMATCH, CRASH, LOWERING) or kind(told[0]) == kind(outcome)

    def work(of: case.Case) -> case.Case:
        return shrink.shrunk(of, fails, plan.shrink)

    [told] = isolated.each([big], work, plan.shrink + ALONE)
    small = big if isinstance(told, isolated.Died) else replace(told, name=big.name)
    return outcome, small


def _line(plan: Plan, total: Report) -> str:
    minutes = (time.monotonic() - plan.started) / 60
    ends = Counter(o.how for o in total.outcomes)
    return (f"{minutes:6.1f} min  {len(total.outcomes)} graphs ({len(total.outcomes) / max(minutes, 1e-9):.0f} a minute)  "
            + "  ".join(f"{n} {how}" for how, n in sorted(ends.items())))


def _summary(plan: Plan, total: Report, kinds: Mapping[str, int]) -> None:
    print(f"\n{_line(plan, total)}\n{total.nodes} nodes; rows that made none: "
          f"{', '.join(sorted(set(rows.TABLE) - set(+total.rows))) or 'none'}")
    refused = Counter(kind(o) for o in total.outcomes if o.how == REFUSED)
    refused.update({why: n for why, n in total.skipped.items() if why.startswith("we refuse")})
    for title, table in (("refused by aotgen", refused), ("found", kinds)):
        print(f"{title}: {sum(table.values())}")
        for why, n in Counter(table).most_common(40):
            print(f"{n:6}  {why}")
