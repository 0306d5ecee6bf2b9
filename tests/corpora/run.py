# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compile the models of a corpus in batches, run each with one and three threads on a poisoned workspace, say how each ended.

    python -m tests.corpora.run --corpus ort_models [--mode fixed] [--match REGEX] [--jobs 2] [--out FILE] [--again FILE]
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from aotgen.core.options import CompileOptions
from aotgen.many import compile_many
from aotgen.toolchain import Library
from aotgen.toolchain.loader import BAD_DIMS, RunError
from tests import isolated
from tests.conformance.run import (
    BATCH,
    CRASH,
    ERROR,
    MISMATCH,
    PASS,
    THREADS,
    Outcome,
    contents,
    grouped,
    poisoned_run,
    stored,
    told,
)
from tests.corpora import cases, judge
from tests.corpora.cases import CORPORA, MODES, Case

SIZES = 4  # at most so many for one artefact
PATIENCE = 600  # seconds for one model at all its sizes, onnxruntime included
HALVES = {onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16}


def run_cases(corpus: str, names: Sequence[str], mode: str, jobs: int = 1) -> dict[str, Outcome]:
    """Run the named cases of ``corpus`` in ``mode``, ``jobs`` compilers at a time."""
    out: dict[str, Outcome] = {}
    for at in range(0, len(names), BATCH):
        out |= {o.case: o for o in run_batch(names[at : at + BATCH], corpus, mode, jobs)}
        print(f"{len(out)}/{len(names)} {dict(Counter(o.how for o in out.values()))}", file=sys.stderr, flush=True)
    return out


def run_batch(names: Sequence[str], corpus: str, mode: str, jobs: int) -> list[Outcome]:
    """Compile and run some cases, each in a child process."""
    table, options, out = cases.everything(corpus), {}, []
    for name in names:
        try:
            options[name] = cases.options_of(table[name], mode)
        except Exception as error:  # whatever went wrong is the outcome
            out.append(Outcome(name, *told(error)))
    with tempfile.TemporaryDirectory(prefix="aotgen-corpora-") as scratch:
        many = compile_many({n: table[n].path for n in options}, Path(scratch), options, group=BATCH, jobs=jobs)
        out += [Outcome(name, *told(error)) for name, error in many.failed.items()]
        made = [name for name in names if name in many.made]
        answers = isolated.each(made, lambda n: run_case(table[n], options[n], many.made[n].load), PATIENCE)
        for name, answer in zip(made, answers):
            out.append(Outcome(name, CRASH, answer.why) if isinstance(answer, isolated.Died) else answer)
    return out


def run_case(case: Case, options: CompileOptions, load: Callable[[], Library]) -> Outcome:
    """Run a compiled case on everything there is for it, with each number of threads, and compare."""
    share = judge.LOOSER.get(case.name, judge.HALF if has_halves(case) else judge.FLOAT)
    tried = 0
    try:
        library = load()
        for feeds, accepted in cases.runs_of(case, options):
            try:
                results = [poisoned_run(library, dict(feeds), threads) for threads in THREADS]
            except RunError as error:
                if options.dynamic and error.status == BAD_DIMS:
                    continue  # it says at which sizes it does not run
                raise
            if any(contents(results[0][n]) != contents(results[1][n]) for n in results[0]):
                return Outcome(case.name, MISMATCH, "differs between 1 and 3 threads")
            whys = [judge.disagreement(results[0], wanted, share) for wanted in accepted]
            if all(whys) and not _as_good(case, options, feeds, results[0], accepted[0]):
                return Outcome(case.name, MISMATCH, whys[0])
            tried += 1
            if tried == SIZES:
                break
    except Exception as error:  # whatever went wrong is the outcome
        return Outcome(case.name, ERROR, f"run: {type(error).__name__}: {' '.join(str(error).split())}"[:300])
    return Outcome(case.name, PASS) if tried else Outcome(case.name, ERROR, "run: no sizes fit")


def _as_good(case: Case, options: CompileOptions, feeds: Any, got: Any, theirs: Any) -> bool:
    """Is what we ``got`` as close to a float64 run as ``theirs``, shapes and other outputs being alike?"""
    shapes = [{k: np.shape(v) for k, v in values.items()} for values in (got, theirs)]
    truth = cases.truth(case, options, feeds) if shapes[0] == shapes[1] else None
    return truth is not None and judge.no_further(got, theirs, truth)


def has_halves(case: Case) -> bool:
    """Does the model hold or compute half-precision tensors anywhere?"""
    model = onnx.load(case.path, load_external_data=False)
    infos = [*model.graph.input, *model.graph.output, *model.graph.value_info]
    kinds = {t.data_type for t in model.graph.initializer} | {i.type.tensor_type.elem_type for i in infos}
    casts = {a.i for n in model.graph.node for a in n.attribute if n.op_type == "Cast" and a.name == "to"}
    return bool((kinds | casts) & HALVES)


def show(title: str, outcomes: Mapping[str, Outcome], out: Path | None) -> None:
    """Print failures by reason and the tally; write all outcomes to ``out``."""
    for count, reason, some in grouped(dict(outcomes)):
        print(f"{count:5}  {reason}\n         {' '.join(some[:4])}")
    print(f"{title}: {len(outcomes)} cases, {dict(Counter(o.how for o in outcomes.values()))}")
    if out is not None:
        out.write_text(json.dumps([asdict(o) for o in outcomes.values()], indent=0), "utf-8")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", choices=CORPORA, required=True)
    parser.add_argument("--mode", choices=MODES, default="fixed")
    parser.add_argument("--match", default="", help="only cases whose name this finds")
    parser.add_argument("--jobs", type=int, default=2, help="compilers at a time")
    parser.add_argument("--out", type=Path, help="where the outcomes go, as JSON")
    parser.add_argument("--again", type=Path, help="earlier outcomes: only what failed in them is run again")
    args = parser.parse_args()
    names = [n for n in cases.named(args.corpus, args.mode) if re.search(args.match, n)]
    before = {o.case: o for o in stored(args.again)} if args.again else {}
    names = [n for n in names if n not in before or before[n].how != PASS]
    outcomes = {**before, **run_cases(args.corpus, names, args.mode, args.jobs)}
    show(f"{args.corpus} {args.mode}", outcomes, args.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
