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

from tests import ledgers
from tests.conformance.cases import MODES
from tests.conformance.run import Outcome, stored

PATH = Path(__file__).with_name("ledger.json")


def known(mode: str) -> dict[str, str]:
    """Cases that are known to fail in ``mode``, and why."""
    return {case: why for why, some in _stored()["failures"].get(mode, {}).items() for case in some}


def version() -> str:
    """The release of onnx whose cases it is about."""
    return str(_stored()["onnx"])


def _stored() -> dict[str, Any]:
    if not PATH.exists():
        return {"onnx": onnx.__version__, "failures": {}}
    return json.loads(PATH.read_text("utf-8"))


def differences(mode: str, outcomes: Mapping[str, Outcome]) -> list[str]:
    """A line for every case of ``outcomes`` that does not end as the ledger says."""
    return ledgers.differences(known(mode), outcomes)


def update(mode: str, outcomes: Mapping[str, Outcome], grow: bool) -> int:
    """Rewrite the ledger of ``mode``; returns how many cases are in it."""
    table = ledgers.updated(known(mode), outcomes, grow)
    stored = _stored()
    failures = {**stored["failures"], mode: table}
    whole = {"onnx": onnx.__version__, "failures": {m: failures[m] for m in MODES if m in failures}}
    PATH.write_text(json.dumps(whole, indent=1) + "\n", "utf-8")
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
