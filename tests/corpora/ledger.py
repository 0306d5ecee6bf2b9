# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What is known to fail: by corpus and mode, each reason with the models it stands for. It may only shrink.

    python -m tests.corpora.ledger --corpus ort_models --mode fixed results.json [--grow]

takes what now passes out of it; ``--grow`` also puts what now fails in, which is for a new corpus or mode.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests import ledgers
from tests.conformance.run import Outcome, stored
from tests.corpora.cases import CORPORA, MODES

PATH = Path(__file__).with_name("ledger.json")


def known(corpus: str, mode: str) -> dict[str, str]:
    """Models of ``corpus`` that are known to fail in ``mode``, and why."""
    return {case: why for why, some in _stored().get(f"{corpus} {mode}", {}).items() for case in some}


def _stored() -> dict[str, Any]:
    return json.loads(PATH.read_text("utf-8")) if PATH.exists() else {}


def update(corpus: str, mode: str, outcomes: Mapping[str, Outcome], grow: bool) -> int:
    """Rewrite the ledger of ``corpus`` in ``mode``; returns how many models are in it."""
    table = ledgers.updated(known(corpus, mode), outcomes, grow)
    PATH.write_text(json.dumps({**_stored(), f"{corpus} {mode}": table}, indent=1, sort_keys=True) + "\n", "utf-8")
    return sum(map(len, table.values()))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", choices=CORPORA, required=True)
    parser.add_argument("--mode", choices=MODES, default="fixed")
    parser.add_argument("--grow", action="store_true")
    parser.add_argument("results", type=Path)
    args = parser.parse_args()
    outcomes = {o.case: o for o in stored(args.results)}
    print(f"{args.corpus} {args.mode}: {update(args.corpus, args.mode, outcomes, args.grow)} known failures")
    return 0


if __name__ == "__main__":
    sys.exit(main())
