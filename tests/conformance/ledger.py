# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The ledger of known failures: by mode, each reason with the cases it stands for. It may only shrink.

    python -m tests.conformance.ledger --mode static results.json [--grow]

takes what now passes out of it; ``--grow`` also puts what now fails in, which is for a new release of onnx or a new mode.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx

from tests.conformance.cases import MODES
from tests.conformance.run import MISMATCH, PASS, Outcome, reason_of, stored

PATH = Path(__file__).with_name("ledger.json")
TYPES = "types"  # the mode of matrix.py, whose ledger is a file of its own


def known(mode: str, path: Path = PATH) -> dict[str, str]:
    """Cases that are known to fail in ``mode``, and why."""
    return {case: why for why, some in _stored(path)["failures"].get(mode, {}).items() for case in some}


def version(path: Path = PATH) -> str:
    """The release of onnx whose cases it is about."""
    return str(_stored(path)["onnx"])


def _stored(path: Path) -> dict[str, Any]:
    if not path.exists():
        return {"onnx": onnx.__version__, "failures": {}}
    return json.loads(path.read_text("utf-8"))


def differences(mode: str, outcomes: Mapping[str, Outcome], path: Path = PATH) -> list[str]:
    """A line for every case of ``outcomes`` that does not end as the ledger says."""
    failures = known(mode, path)
    lines = []
    for name, o in sorted(outcomes.items()):
        if o.how == PASS and name in failures:
            lines.append(f"{name} passes: take it out of the ledger ({failures[name]})")
        elif o.how != PASS and name not in failures:
            lines.append(f"{name} fails: {o.how}: {o.why}")
    return lines


def update(mode: str, outcomes: Mapping[str, Outcome], grow: bool, path: Path = PATH) -> int:
    """Rewrite the ledger of ``mode``; returns how many cases are in it."""
    before = known(mode, path)
    table: dict[str, list[str]] = {}
    for name, why in before.items():
        if name not in outcomes:
            table.setdefault(why, []).append(name)
    for name, o in outcomes.items():
        if o.how != PASS and (grow or name in before):
            why = before.get(name, "") if o.how == MISMATCH else ""  # a reason written by hand stays
            table.setdefault(why or reason_of(o), []).append(name)
    stored = _stored(path)
    failures = {**stored["failures"], mode: {why: sorted(table[why]) for why in sorted(table)}}
    whole = {"onnx": onnx.__version__, "failures": {m: failures[m] for m in (*MODES, TYPES) if m in failures}}
    path.write_text(json.dumps(whole, indent=1) + "\n", "utf-8")
    return sum(map(len, table.values()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", choices=MODES, required=True)
    parser.add_argument("--grow", action="store_true")
    parser.add_argument("results", type=Path)
    args = parser.parse_args()
    outcomes = {o.case: o for o in stored(args.results)}
    print(f"{args.mode}: {update(args.mode, outcomes, args.grow)} known failures")
    return 0


if __name__ == "__main__":
    sys.exit(main())
