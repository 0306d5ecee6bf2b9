# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compile cases in batches, run each with one and three threads on a poisoned workspace, say how each ended.

    python -m tests.conformance.run [--mode static] [--part 8] [--match REGEX] [--jobs 2] [--out results.json] [--again results.json]
        [--sanitize thread]

A case that crashes or hangs takes only itself down: runs happen in a child process that is started again behind it.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import select
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from onnx.backend.test.runner import Runner

from aotgen.core.errors import ToolchainError, UnsupportedError
from aotgen.core.options import CompileOptions
from aotgen.ir.graph import fingerprint
from aotgen.many import Made, compile_many
from aotgen.toolchain import Library
from tests.conformance import cases, changed, sanitize
from tests.conformance.cases import MODES, Case

THREADS = (1, 3)
BATCH = 32
FLAGS = ("-O1",)
PATIENCE = 60  # seconds without a word from the child: it hangs
PASS, REFUSED, ERROR, COMPILER, MISMATCH, CRASH = "pass", "refused", "error", "compiler", "mismatch", "crash"


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a case ended. ``how``: pass, refused (an UnsupportedError), error (any other), compiler (the C++ compiler refused
    our code), mismatch, crash. ``why``: one line."""

    case: str
    how: str
    why: str = ""


def options_of(mode: str, sanitizer: str = "") -> CompileOptions:
    """How a case is compiled. Sanitizers know the threads of the pool, not those of OpenMP."""
    return CompileOptions(dynamic=mode == "dynamic", **({"threading": "pool"} if sanitizer else {}))


def run_cases(
    names: Sequence[str], mode: str, jobs: int = 1, sanitizer: str = "", to: Path | None = None
) -> dict[str, Outcome]:
    """Run the named cases in ``mode``, ``jobs`` batches at a time, under a sanitizer where one is named; ``to``: where
    outcomes are stored as they come."""
    cases.everything()  # before the workers are forked: they share it
    batches = [names[at : at + BATCH] for at in range(0, len(names), BATCH)]
    return each(partial(run_batch, mode=mode, sanitizer=sanitizer), batches, jobs, to)


def each(
    work: Callable[[Sequence[str]], list[Outcome]], batches: Sequence[Sequence[str]], jobs: int, to: Path | None = None
) -> dict[str, Outcome]:
    """What ``work`` says of every batch, ``jobs`` at a time."""
    out: dict[str, Outcome] = {}
    total = sum(map(len, batches))
    with ExitStack() as stack:
        if jobs == 1:
            done: Iterable[list[Outcome]] = map(work, batches)
        else:
            done = stack.enter_context(ProcessPoolExecutor(jobs, mp_context=get_context("fork"))).map(work, batches)
        for outcomes in done:
            out |= {o.case: o for o in outcomes}
            print(f"{len(out)}/{total} {dict(Counter(o.how for o in out.values()))}", file=sys.stderr, flush=True)
            if to is not None:  # so that what is known survives a run that does not end
                store(to, out.values())
    return out


def store(path: Path, outcomes: Iterable[Outcome]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(o) for o in outcomes], indent=0), "utf-8")


def run_batch(names: Sequence[str], mode: str, sanitizer: str = "") -> list[Outcome]:
    """Compile and run some cases."""
    return run_some([cases.everything()[name] for name in names], mode, sanitizer)


def run_some(chosen: Sequence[Case], mode: str, sanitizer: str = "") -> list[Outcome]:
    """Compile and run cases, those of onnx or others."""
    with tempfile.TemporaryDirectory(prefix="aotgen-conformance-") as scratch:
        models = {case.name: cases.built(case, mode) for case in chosen}
        flags = sanitize.SANITIZERS[sanitizer].flags if sanitizer else FLAGS
        many = compile_many(models, Path(scratch), options_of(mode, sanitizer), group=BATCH, flags=flags, jobs=1)
        out = [Outcome(name, *told(error)) for name, error in many.failed.items()]
        made = [(case, many.made[case.name]) for case in chosen if case.name in many.made]
        return [*out, *guarded(made, run_case, sanitizer, Path(scratch) / "said")]


def told(error: Exception) -> tuple[str, str]:
    how = {UnsupportedError: REFUSED, ToolchainError: COMPILER}.get(type(error), ERROR)
    lines = str(error).strip().splitlines() or [""]
    if how == COMPILER:
        lines = [line for line in lines if "error:" in line] or lines
    kind = "" if how == REFUSED else f"{type(error).__name__}: "
    return how, f"{kind}{lines[0]}"[:300]


def guarded(
    work: list[tuple[Any, Made]], run: Callable[[Any, Any], Outcome], sanitizer: str = "", log: Path = Path()
) -> Iterator[Outcome]:
    """Run ``work``, cases with what they compiled to, in children; each time one dies or falls silent, the case it was at
    has crashed."""
    while work:
        reader, writer = os.pipe()
        child = sanitize.start(work, writer, sanitizer, log) if sanitizer else os.fork()
        if child == 0:
            os.close(reader)
            tell(work, writer, run)
        os.close(writer)
        said = list(_lines(reader))
        os.close(reader)
        os.kill(child, 9)
        _, status = os.waitpid(child, 0)
        yield from said
        if len(said) < len(work):
            signal = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
            report = sanitize.report(log) if sanitizer else ""
            yield Outcome(work[len(said)][0].name, CRASH, report or (f"signal {signal}" if signal != 9 else "no answer"))
        work = work[len(said) + 1 :]


def tell(work: Sequence[tuple[Any, Made]], writer: int, run: Callable[[Any, Any], Outcome]) -> None:
    """The child: never returns."""
    try:
        for case, made in work:
            outcome = run(case, made.load)
            os.write(writer, json.dumps(asdict(outcome)).encode() + b"\n")
    finally:
        os._exit(0)


def _lines(reader: int) -> Iterator[Outcome]:
    pending = b""
    while select.select([reader], [], [], PATIENCE)[0]:
        block = os.read(reader, 1 << 16)
        if not block:
            return
        *whole, pending = (pending + block).split(b"\n")
        yield from (Outcome(**json.loads(line)) for line in whole)


def run_case(case: Case, load: Any, threads: Sequence[int] = THREADS) -> Outcome:
    """Run every data set of a compiled case with each number of threads and compare."""
    try:
        library: Library = load()
        wanted = [port["name"] for port in library.manifest["inputs"]]
        given = [i.name for i in cases.free_inputs(case.model)]
        embedded = bool(given) and not wanted
        other = None if embedded else changed.variant(case)
        for inputs, expected in [*case.data[: 1 if embedded else None], *([other] if other else [])]:
            feeds = {n: v for n, v in zip(given, inputs) if n in wanted}
            results = [poisoned_run(library, feeds, n) for n in threads]
            order = [o.name for o in case.model.graph.output]
            for name in order:
                if len({tuple(contents(r[name])) for r in results}) > 1:
                    return Outcome(case.name, MISMATCH, "differs between 1 and 3 threads")
            Runner.assert_similar_outputs(expected, [results[0][n] for n in order], case.rtol, case.atol)
    except AssertionError as error:
        return Outcome(case.name, MISMATCH, " ".join(str(error).split())[:300])
    except Exception as error:  # whatever went wrong is the outcome
        return Outcome(case.name, ERROR, f"run: {type(error).__name__}: {' '.join(str(error).split())}"[:300])
    return Outcome(case.name, PASS)


def contents(value: Any) -> list[Any]:
    """What is in a tensor, in every tensor of a sequence, in nothing."""
    return [fingerprint(np.asarray(a)) for a in ([] if value is None else value if isinstance(value, list) else [value])]


def poisoned_run(library: Library, feeds: dict[str, Any], threads: int) -> dict[str, Any]:
    """One inference on a workspace and outputs whose every byte is 0xFF."""
    prepared = library.prepare(feeds, threads=threads)
    library._workspace.fill(0xFF)
    for block in prepared.memory.values():
        block.fill(0xFF)
    prepared.run()
    return dict(prepared.outputs)


def grouped(outcomes: dict[str, Outcome]) -> list[tuple[int, str, list[str]]]:
    """Failures by reason, most frequent first."""
    table: dict[str, list[str]] = {}
    for o in outcomes.values():
        if o.how != PASS:
            table.setdefault(reason_of(o), []).append(o.case)
    return sorted(((len(v), k, v) for k, v in table.items()), key=lambda row: (-row[0], row[1]))


def reason_of(o: Outcome) -> str:
    """Why a case failed without what is particular to it: node names, numbers."""
    why = re.sub(r"^(\w+Error: )?\S+ \S+: ", r"\1", re.sub(r"/\S+/", "", o.why))
    return f"{o.how}: {re.sub(r'[0-9]+([.][0-9]+)?(e[-+][0-9]+)?', 'N', why)[:110]}"


def stored(path: Path) -> list[Outcome]:
    """What an earlier run wrote."""
    return [Outcome(**row) for row in json.loads(path.read_text("utf-8"))]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mode", choices=MODES, default="static")
    parser.add_argument("--part", type=int, default=1, help="one case in so many")
    parser.add_argument("--match", default="", help="only cases whose name this finds")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--out", type=Path, help="where the outcomes go, as JSON")
    parser.add_argument("--again", type=Path, help="earlier outcomes: only what failed in them is run again")
    parser.add_argument("--sanitize", choices=sorted(sanitize.SANITIZERS), default="", help="build and run with a sanitizer")
    args = parser.parse_args()
    names = [n for n in cases.names(args.mode) if cases.sampled(n, args.part) and re.search(args.match, n)]
    before = {o.case: o for o in stored(args.again)} if args.again else {}
    names = [n for n in names if n not in before or before[n].how != PASS]
    outcomes = {**before, **run_cases(names, args.mode, args.jobs, args.sanitize, args.out)}
    for count, reason, some in grouped(outcomes):
        print(f"{count:5}  {reason}\n         {' '.join(some[:4])}")
    print(f"{args.mode}: {len(outcomes)} cases, {dict(Counter(o.how for o in outcomes.values()))}")
    if args.out:
        store(args.out, outcomes.values())
    return 0


if __name__ == "__main__":
    sys.exit(main())
