# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""`aotgen bench` over several models, as a Markdown table.

    python benchmarks/run.py [--threads 1,2] [--rounds 5] [--seconds 0.5] [MODEL.onnx ...]

Without paths: the models in models/. Open dims take the values in OPEN. Nothing else should run meanwhile.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OPEN = {"digits_lstm": ["--dim", "n=1"], "tiny_transformer": ["--dim", "seq=32"]}
HEAD = "| model | threads | ours, us | lowest to highest round | onnxruntime, us | ours / onnxruntime | start-up, ms |"


def measure(model: Path, args: argparse.Namespace) -> list[str]:
    """Table rows of one model, or one row that says why there are none."""
    command = [sys.executable, "-m", "aotgen.cli", "bench", str(model), "--json", "--quiet", "--threads", args.threads,
               "--rounds", str(args.rounds), "--seconds", str(args.seconds), *OPEN.get(model.stem, [])]
    path = os.pathsep.join(p for p in (str(ROOT), os.environ.get("PYTHONPATH", "")) if p)
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": path})
    if done.returncode != 0:
        why = next(iter(done.stderr.strip().splitlines()), f"exit {done.returncode}")
        return [f"| {model.stem} | - | {why} | | | | |"]
    found = json.loads(done.stdout)
    return [row(model.stem, r, found["startup_seconds"]) for r in found["rows"]]


def row(name: str, r: dict, startup: float) -> str:  # type: ignore[type-arg]
    ours, theirs, ratio = r["ours"], r["theirs"], r["ratio"]
    peer = f"{1e6 * theirs['median']:.1f}" if theirs else "-"
    paired = f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})" if ratio else "-"
    return (f"| {name} | {r['threads']} | {1e6 * ours['median']:.1f} | {1e6 * ours['low']:.1f} to {1e6 * ours['high']:.1f} | {peer} | {paired} | "
            f"{1e3 * startup:.1f} |")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.5)
    args = parser.parse_args()
    models = args.models or sorted((ROOT / "models").glob("*.onnx"))
    print(HEAD)
    print("|---|---|---|---|---|---|---|", flush=True)
    failed = 0
    for model in models:
        rows = measure(model, args)
        failed += rows[0].startswith(f"| {model.stem} | - |")
        print("\n".join(rows), flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
