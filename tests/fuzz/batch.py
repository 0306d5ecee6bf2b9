# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Some cases through the compiler at once, each run isolated from the others."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aotgen.core.options import CompileOptions
from aotgen.many import compile_many
from tests import isolated
from tests.conformance.run import told
from tests.fuzz import case as cases
from tests.fuzz import judge
from tests.fuzz.case import Case
from tests.fuzz.judge import CRASH, LOWERING, SKIPPED, Outcome

GROUP = 32
# Sums run in lanes from -O1 on, as in every build: without optimisation they are one running sum, which is less exact.
FLAGS = ("-O1",)
Found = tuple[Outcome, Case | None]  # no case where growing it crashed


@dataclass
class Report:
    """What became of a batch: every outcome, those cases that show a bug, and statistics of how they were made."""

    outcomes: list[Outcome] = field(default_factory=list)
    bugs: list[Found] = field(default_factory=list)
    rows: Counter[str] = field(default_factory=Counter)
    skipped: Counter[str] = field(default_factory=Counter)
    nodes: int = 0

    def add(self, outcome: Outcome, case: Case | None) -> None:
        self.outcomes.append(outcome)
        if outcome.how in judge.BUGS:
            self.bugs.append((outcome, case))

    def merge(self, other: Report) -> None:
        for mine, theirs in ((self.outcomes, other.outcomes), (self.bugs, other.bugs)):
            mine += theirs  # type: ignore[operator]
        self.rows += other.rows
        self.skipped += other.skipped
        self.nodes += other.nodes


def run_cases(some: Sequence[Case]) -> list[Outcome]:
    """Compile ``some`` cases, all static or all with open dims, and run them; an outcome each, in order."""
    if not some:
        return []
    with tempfile.TemporaryDirectory(prefix="aotgen-fuzz-") as scratch:
        options = CompileOptions(dynamic=some[0].dynamic)
        many = compile_many({c.name: c.model for c in some}, Path(scratch), options, group=GROUP, jobs=1, flags=FLAGS)
        ended = {name: Outcome(name, *told(error)) for name, error in many.failed.items()}
        built = [c for c in some if c.name in many.made]
        expected = dict(zip((c.name for c in built), isolated.each(built, judge.by_ort)))
        for c in list(built):  # onnxruntime crashes too: that is not ours
            said = expected[c.name]
            if not isinstance(said, list):
                built.remove(c)
                ended[c.name] = Outcome(c.name, SKIPPED, f"onnxruntime: {said.why}" if isinstance(said, isolated.Died) else said)
        ran = isolated.each(built, lambda c: judge.judged(c, many.made[c.name].load, expected[c.name]))
        ended |= {c.name: Outcome(c.name, CRASH, t.why) if isinstance(t, isolated.Died) else t for c, t in zip(built, ran)}
        return [ended[c.name] for c in some]


def again(some: Sequence[Case]) -> list[Outcome]:
    """How cases end: compiled and run, or, where only the interpreter was in doubt, interpreted."""
    out = [judge.interpreted(c) for c in some if not c.truth]
    for dynamic in (False, True):
        out += run_cases([c for c in some if c.truth and c.dynamic == dynamic])
    return out


def run_seeds(seeds: Sequence[int], nodes: tuple[int, int], sizes: tuple[dict[str, int], ...]) -> Report:
    """Grow the graphs of ``seeds``, then compile and run them."""
    report, some = Report(), []
    for seed in seeds:
        made = cases.grown(seed, nodes, sizes)
        report.rows += made.rows
        report.skipped += made.skipped
        for n, wrong in enumerate(made.wrongs):
            name = f"seed{seed}w{n}"
            report.add(Outcome(name, LOWERING, str(wrong)), Case(name, wrong.model, wrong.feeds, []))
        if made.case is not None:
            some.append(made.case)
            report.nodes += len(made.case.model.graph.node)
    for case, outcome in zip(some, run_cases(some)):
        report.add(outcome, case)
    return report
