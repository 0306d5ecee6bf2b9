# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""docs/operators.md from the ledger: every case of the onnx package passes but for those in it, and the tests hold that.

    python -m tests.conformance.report
"""

from __future__ import annotations

import sys
from collections import defaultdict
from pathlib import Path

from tests.conformance import ledger, matrix
from tests.conformance.cases import MODES, Case, everything, names

PAGE = Path(__file__).resolve().parents[2] / "docs" / "operators.md"
Cell = dict[str, list[int]]  # by dtype: cases passed, cases

_HEAD = """# Operators

Made by `python -m tests.conformance.report` from `tests/conformance/ledger.json`; do not edit.

What of the official test cases of onnx {version} compiles and gives the expected answer, in three builds: **static** (every
input dim known), **dynamic** (every dim of every input open, nothing declared of the outputs), **constants** (the inputs
are initializers). Each case runs with one and with three threads, which must agree to the bit. An element type is that of
the case's first input; `3/4` says that three of its four cases pass, a type alone that all do, `-` that none does.

| | static | dynamic | constants |
|---|---|---|---|
"""


def page() -> str:
    """The text of the page."""
    cases = list(everything().values())
    failing = {mode: ledger.known(mode) for mode in MODES}
    built = {mode: set(names(mode)) for mode in MODES}
    out = [_HEAD.format(version=ledger.version())]
    for kind in sorted({c.kind for c in cases}):
        some = [c for c in cases if c.kind == kind]
        out.append(_row(f"{kind} cases", [_count([c for c in some if c.name in built[m]], failing[m]) for m in MODES]))
    out.append(_row("**all**", [_count([c for c in cases if c.name in built[m]], failing[m]) for m in MODES]))
    out.append("\n## By operator\n\n| operator | static | dynamic | constants |\n|---|---|---|---|\n")
    table: dict[str, dict[str, Cell]] = defaultdict(lambda: {m: defaultdict(lambda: [0, 0]) for m in MODES})
    for case in cases:
        if case.operator:
            for mode in MODES:
                cell = table[case.operator][mode][case.dtype]
                cell[0] += case.name not in failing[mode]
                cell[1] += 1
    out += [_row(f"`{name}`", [_types(table[name][m]) for m in MODES]) for name in sorted(table)]
    out.append("\n## Why the others do not\n")
    for mode in MODES:
        out.append(f"\n### {mode}\n\n| cases | reason |\n|---|---|\n")
        reasons = defaultdict(int)
        for why in failing[mode].values():
            reasons[why] += 1
        rows = sorted(reasons.items(), key=lambda row: (-row[1], row[0]))
        out += [_row(str(count), [why.replace("|", "\\|").replace("<", "&lt;")]) for why, count in rows]
    out.append(_every_type())
    return "".join(out)


_TYPES = """
## Every element type

The official cases know few types. Each operator is also compiled with small cases of our own in every element type that the
newest schema allows each of its type parameters, and held against the evaluator of the onnx package (static; one and three
threads): {good} of {all} pairs of a parameter and a type pass.{rest}

| operator | element types, by parameter |
|---|---|
"""


def _every_type() -> str:
    """The types of each operator that pass, as the ledger of ``matrix`` says."""
    failing = ledger.known(ledger.TYPES, matrix.LEDGER)
    pairs = matrix.pairs()
    rest = "".join(f" Not {name}: {why}." for name, why in sorted(failing.items()))
    out = [_TYPES.format(good=len(pairs) - len(failing), all=len(pairs), rest=rest)]
    by: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for pair in pairs:
        if pair.name not in failing:
            by[pair.op][pair.param].append(pair.dtype)
    for op, params in by.items():
        cells = [f"{param}: {', '.join(types)}" for param, types in params.items() if param != "-"]
        out.append(_row(f"`{op}`", ["; ".join(cells) or "-"]))
    return "".join(out)


def _row(head: str, cells: list[str]) -> str:
    return f"| {head} | {' | '.join(cells)} |\n"


def _count(cases: list[Case], failing: dict[str, str]) -> str:
    if not cases:
        return "-"
    return f"{sum(c.name not in failing for c in cases)} of {len(cases)}"


def _types(cell: Cell) -> str:
    rows = [(f"{t}" if good == total else f"{t} {good}/{total}") for t, (good, total) in sorted(cell.items()) if good]
    return ", ".join(rows) or "-"


def main() -> int:
    PAGE.write_text(page(), "utf-8")
    print(f"wrote {PAGE.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
