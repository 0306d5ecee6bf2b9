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
    return ledgers.differences(known(mode, path), outcomes)


def update(mode: str, outcomes: Mapping[str, Outcome], grow: bool, path: Path = PATH) -> int:
    """Rewrite the ledger of ``mode``; returns how many cases are in it."""
    table = ledgers.updated(known(mode, path), outcomes, grow)
    failures = {**_stored(path)["failures"], mode: table}
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
