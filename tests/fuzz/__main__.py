# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compile random graphs and compare what they compute.

    python -m tests.fuzz [--minutes 10 | --graphs 5000] [--seed 0] [--jobs 2] [--nodes 5..40] [--mode static|open|both]
    python -m tests.fuzz --replay build/fuzz/seed17.onnx ...

Exit code 1 if anything was found. Every finding is shrunk and written to ``--out`` with the command that replays it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tests.fuzz import batch, case, judge, rows
from tests.fuzz.run import MODES, Plan, run

OUT = Path("build/fuzz")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=0, help="stop after so long (default: no limit)")
    parser.add_argument("--graphs", type=int, default=0, help="stop after so many graphs (default: no limit)")
    parser.add_argument("--seed", type=int, default=0, help="of the first graph; each has its own, one after the other")
    parser.add_argument("--jobs", type=int, default=2, help="worker processes")
    parser.add_argument("--nodes", default="5..40", help="nodes of a graph")
    parser.add_argument("--mode", choices=(*MODES, "both"), default="both", help="fixed sizes, or open dims run at several")
    parser.add_argument("--out", type=Path, default=OUT, help="where findings go")
    parser.add_argument("--shrink", type=float, default=120, help="seconds for making each kind of finding small")
    parser.add_argument("--replay", type=Path, nargs="+", help="findings to run again")
    args = parser.parse_args()
    rows.load()
    if args.replay is not None:
        return replay(args.replay)
    if not args.minutes and not args.graphs:
        parser.error("--minutes or --graphs says when to stop")
    low, _, high = args.nodes.partition("..")
    modes = tuple(MODES) if args.mode == "both" else (args.mode,)
    return run(Plan(args.seed, args.graphs, args.minutes * 60, args.jobs, (int(low), int(high or low)), modes, args.out, args.shrink))


def replay(paths: list[Path]) -> int:
    """Run stored findings again and say how each ends."""
    bugs = 0
    stored = [case.read(path) for path in paths]
    for outcome in batch.again(stored):
        print(f"{outcome.case}: {outcome.how} {outcome.why}")
        bugs += outcome.how in judge.BUGS
    return int(bugs > 0)


if __name__ == "__main__":
    sys.exit(main())
