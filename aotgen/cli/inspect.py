# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Show inputs, outputs, operators, size and work of a model, and all that stands in the way of compiling it."""

from __future__ import annotations

import argparse

from aotgen import frontend
from aotgen.cli import arguments
from aotgen.cli.console import Console, amount, count


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_model(parser)
    arguments.add_common(parser, json=True)


def run(args: argparse.Namespace, console: Console) -> int:
    """0 when the model compiles as it stands (open dims aside), 1 when something in it does not."""
    report = frontend.inspect(args.model, arguments.options(args))
    if args.json:
        console.json(report)
        return 1 if report.problems else 0
    opsets = ", ".join(f"{domain or 'ai.onnx'} {version}" for domain, version in report.opsets)
    macs = count(report.macs) if isinstance(report.macs, int) else report.macs
    rows = [("model", report.name or args.model), ("operator sets", opsets)]
    rows += [("input", str(p)) for p in report.inputs] + [("output", str(p)) for p in report.outputs]
    rows += [("parameters", f"{count(report.parameters)} ({amount(report.parameter_bytes)})")]
    rows += [("multiply-adds", str(macs))] if macs is not None else []
    rows += [("operators", ", ".join(f"{name} {n}" for name, n in report.operators))]
    rows += [("open dim", f"{name} ({', '.join(places)}): --dim {name}=N or --dim {name}=LO..HI")
             for name, places in report.open_dims]
    console.table(("", ""), rows)
    for problem in report.problems:
        console.data(f"unsupported  {problem.message()}")
    if report.problems:
        console.say(f"{len(report.problems)} problems; the model does not compile")
    else:
        console.say(f"nothing unsupported; next: aotgen {args.model} -o libmodel")
    return 1 if report.problems else 0
