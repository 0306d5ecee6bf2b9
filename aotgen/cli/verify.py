# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Hold a compiled library to the numeric contract, against a float64 run and onnxruntime."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from aotgen import driver
from aotgen.cli import arguments
from aotgen.cli.console import Console
from aotgen.core.errors import MismatchError, UsageError
from aotgen.core.options import CompileOptions
from aotgen.toolchain.loader import Library
from aotgen.verify import Report, verify
from aotgen.verify.bisect import bisect


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_model(parser)
    arguments.add_target(parser)
    group = parser.add_argument_group("Verify")
    group.add_argument("--lib", type=Path, metavar="DIR", help="an output folder to verify (default: compile anew)")
    group.add_argument("--inputs", type=Path, metavar="FILE.npz", help="inputs by name (default: seeded ones)")
    group.add_argument("--seed", type=int, default=0, help="seed of the inputs (default 0)")
    group.add_argument("--at", action="append", default=[], metavar="NAME=N,...",
                       help="values of open dims to verify at; repeatable (default: a small and a larger setting)")
    group.add_argument("--run-threads", metavar="1,2,...", default="",
                       help="thread counts to run at (default: 1 and all cores)")
    group.add_argument("--no-ort", action="store_true", help="do without onnxruntime: the float64 run alone, at 1e-4")
    group.add_argument("--no-bisect", action="store_true", help="on a mismatch, do not search for its first tensor")
    arguments.add_common(parser, json=True)


def run(args: argparse.Namespace, console: Console) -> int:
    with tempfile.TemporaryDirectory(prefix="aotgen-verify-") as scratch, console.working("import"):
        folder = args.lib or Path(scratch) / "libmodel"
        options = arguments.options(args, folder)
        if args.lib is None:
            driver.compile_model(args.model, folder, options, hooks=driver.Hooks(progress=console.stage))
        return judge(args.model, folder, options, console, json=args.json, feeds=args.inputs, seed=args.seed,
                     at=arguments.settings(args.at), threads=counts(args.run_threads), use_ort=not args.no_ort,
                     trace=not args.no_bisect)


def counts(text: str) -> tuple[int, ...]:
    """``1,2`` as thread counts. Raises UsageError."""
    parts = [p.strip() for p in text.split(",") if p.strip()]
    if not all(p.isdecimal() and int(p) > 0 for p in parts):
        raise UsageError(f"{text!r} is not a list of thread counts such as 1,2")
    return tuple(map(int, parts))


def judge(model: str, folder: Path, options: CompileOptions, console: Console, *, json: bool = False,
          feeds: Path | None = None, seed: int = 0, at: Sequence[Mapping[str, int]] = (), threads: Sequence[int] = (),
          use_ort: bool = True, trace: bool = True) -> int:
    """Verify the library in ``folder``, print the findings. Returns 0; raises MismatchError when an output is outside the
    contract."""
    report = verify(model, Library(folder), options, seed=seed, feeds=feeds, at=at, threads=threads, use_ort=use_ort,
                    progress=console.stage)
    if not report.ok and trace:
        report = replace(report, culprit=_trace(model, report, options, console))
    if json:
        console.json({"ok": report.ok, **_fields(report)})
    else:
        show(report, console)
    if not report.ok:
        raise _mismatch(report)
    console.say(_verdict(report))
    return 0


def _fields(report: Report) -> dict[str, object]:
    return {"cases": report.cases, "remarks": report.remarks, "culprit": report.culprit}


def show(report: Report, console: Console) -> None:
    """One row an output and run."""
    rows = []
    for case in report.cases:
        setting = " ".join(f"{k}={v}" for k, v in case.dims.items())
        for f in case.findings:
            shape = f"{f.dtype}[{','.join(map(str, f.shape))}]"
            theirs = "" if f.ort_error is None else f"{f.ort_error:.1e}"
            rows.append((f.name, shape, setting, case.threads, f"{f.error:.1e}", f"{f.limit:.1e}", theirs,
                         "ok" if f.ok else "WRONG"))
    if any(r[2] for r in rows):
        console.table(("output", "type", "dims", "threads", "error", "allowed", "onnxruntime's", ""), rows)
    else:
        console.table(("output", "type", "threads", "error", "allowed", "onnxruntime's", ""), [r[:2] + r[3:] for r in rows])
    for remark in report.remarks:
        console.say(f"note: {remark}")
    for note in dict.fromkeys(f"{f.name}: {f.why}" for c in report.cases for f in c.findings if f.ok and f.why):
        console.say(f"note: {note}")
    if any(not c.same_bits for c in report.cases):
        console.say("note: results differ in their last bits between thread counts")


def _verdict(report: Report) -> str:
    worst = report.worst
    at = f"; closest to its limit: {worst.name}, {worst.error:.1e} of {worst.limit:.1e}" if worst else ""
    return f"verified: {len(report.cases)} runs agree{at}"


def _mismatch(report: Report) -> MismatchError:
    worst = report.worst
    assert worst is not None
    reason = (f"relative error {worst.error:.2e} against {worst.against} where {worst.limit:.2e} is allowed"
              f"{': ' + worst.why if worst.why else ''}")
    if report.culprit:
        reason += f"\n  {report.culprit}"
    return MismatchError(reason, node=f"output '{worst.name}'")


def _trace(model: str, report: Report, options: CompileOptions, console: Console) -> str:
    """The first diverging tensor in words; "" when the search itself fails."""
    worst = report.worst
    case = next(c for c in report.cases if not c.ok)
    assert worst is not None
    console.say("searching for the first tensor that diverges")
    try:
        culprit = bisect(model, worst.name, report.feeds, options, threads=case.threads, progress=console.stage)
    except Exception as e:  # whatever the search runs into, the mismatch is the news
        return f"the first diverging tensor could not be found: {e}"
    return str(culprit) if culprit else "the output is right when compiled alone: the fault depends on the other outputs"
