# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Graphs that onnxruntime rejects or cannot run, at the command line: each compiles or is refused in so many words.

    python -m tests.corpora.robustness [--match REGEX] [--out FILE]

A refusal is exit code 1 (the model) or 2 (usage: open dims without a flag), one error on stderr, and nothing left behind;
no run takes longer than ``PATIENCE`` or opens a file that is neither the model's, Python's, nor its own output.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from aotgen.core.options import CompileOptions
from aotgen.many import compile_many
from tests.conformance.run import CRASH, ERROR, PASS, Outcome, told
from tests.corpora.cases import SHARED
from tests.corpora.run import show

FOLDER = SHARED / "ort_models" / "robustness"
ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 30  # seconds

# The command line under an audit hook: what it opens goes to the file argv[1], one path a line.
WATCHED = """
import os, sys
log, opened = sys.argv[1], []
sys.addaudithook(lambda event, args: opened.append(args[0]) if event == "open" else None)
from aotgen.cli.main import main
code = main(sys.argv[2:])
paths = [os.path.abspath(os.fsdecode(p)) for p in opened if isinstance(p, (str, bytes, os.PathLike))]
with open(log, "w") as f:
    f.write("\\n".join(paths))
sys.exit(code)
"""


def everything() -> list[Path]:
    return sorted(FOLDER.rglob("*.onnx"))


def name_of(path: Path) -> str:
    return str(path.relative_to(FOLDER).with_suffix(""))


def run_all(paths: list[Path]) -> dict[str, Outcome]:
    """Put each to the command line; what it accepts is also built."""
    out, accepted = {}, {}
    for path in paths:
        outcome, compiled = at_the_command_line(path)
        out[outcome.case] = outcome
        if compiled:
            accepted[outcome.case] = path
    return {**out, **_built(accepted)}


def at_the_command_line(path: Path) -> tuple[Outcome, bool]:
    """How a compile without a build ended, and whether the model was accepted."""
    name, before = name_of(path), _files(path.parent)
    with tempfile.TemporaryDirectory(prefix="aotgen-corpora-") as scratch:
        log, work = Path(scratch) / "opened", Path(scratch) / "work"
        work.mkdir()
        command = [sys.executable, "-c", WATCHED, str(log), str(path), "-o", str(work / "libm"), "--no-build"]
        try:
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE)
        except subprocess.TimeoutExpired:
            return Outcome(name, CRASH, f"no answer in {PATIENCE} s"), False
        why = _refusal(done.returncode, done.stderr, work) if done.returncode else ""
        foreign = _foreign(log.read_text().splitlines(), path.parent, Path(scratch)) if log.exists() else []
    if foreign:
        why = f"opens {foreign[0]}"
    if _files(path.parent) != before:
        why = "writes beside the model"
    return Outcome(name, CRASH if why else PASS, why), not why and done.returncode == 0


def _files(folder: Path) -> Mapping[Path, int]:
    return {p: p.stat().st_mtime_ns for p in folder.iterdir()}


def _refusal(code: int, talk: str, work: Path) -> str:
    """What is wrong with a refusal; empty when nothing is."""
    if code not in (1, 2):
        return f"exit code {code}: {(talk.strip().splitlines() or [''])[-1]}"[:300]
    if talk.count("error: ") != 1 or "Traceback" in talk:
        return f"not one clear message: {talk.strip()[-200:]}"
    return "leaves files behind" if any(work.iterdir()) else ""


def _foreign(opened: list[str], *roots: Path) -> list[str]:
    """The opened paths that lie outside the model's folder, the output, Python and this project."""
    homes = [Path(p).resolve() for p in (sys.prefix, sys.base_prefix, ROOT, "/proc", "/sys", "/dev", *sys.path)]
    homes = [h for h in homes if h != Path(h.anchor)] + [r.resolve() for r in roots]  # a path entry may be the root itself
    return [p for p in opened if not any(Path(p).resolve().is_relative_to(h) for h in homes)]


def _built(accepted: Mapping[str, Path]) -> dict[str, Outcome]:
    with tempfile.TemporaryDirectory(prefix="aotgen-corpora-") as scratch:
        many = compile_many(accepted, Path(scratch), CompileOptions())
    return {n: Outcome(n, ERROR, told(e)[1]) if (e := many.failed.get(n)) else Outcome(n, PASS) for n in accepted}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--match", default="", help="only cases whose name this finds")
    parser.add_argument("--out", type=Path, help="where the outcomes go, as JSON")
    args = parser.parse_args()
    show("robustness", run_all([p for p in everything() if re.search(args.match, name_of(p))]), args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
