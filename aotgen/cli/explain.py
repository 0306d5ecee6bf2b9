# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Say which kernel every contraction became and why the others declined."""

from __future__ import annotations

import argparse
from pathlib import Path

from aotgen import driver
from aotgen.cli import arguments
from aotgen.cli.console import Console
from aotgen.core.errors import UsageError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_model(parser)
    parser.add_argument("node", nargs="?", metavar="NODE", help="only nodes whose name holds this text")
    arguments.add_target(parser)
    arguments.add_common(parser, json=True)


def run(args: argparse.Namespace, console: Console) -> int:
    hooks = driver.Hooks(stop_after="plan", progress=console.stage)
    with console.working("import"):
        result = driver.compile_model(args.model, Path("libmodel"), arguments.options(args), build=False, hooks=hooks)
    choices = [c for c in result.choices if args.node is None or args.node in c.node]
    if args.node is not None and not choices:
        names = ", ".join(c.node for c in result.choices[:8])
        raise UsageError(f"no node with a choice of kernels is called {args.node!r}", hint=f"such as {names}")
    planned = result.planned
    steps = [(type(s).__name__, s.name, s.origin) for s in planned.program.walk()] if planned else []
    if args.json:
        console.json({"choices": choices, "steps": [{"kind": k, "name": n, "origin": o} for k, n, o in steps]})
        return 0
    rows = [(c.node, c.chosen, f"{c.cost:.3g}" if c.cost else "", "; ".join(c.declined)) for c in choices]
    console.table(("node", "became", "cost", "declined because"), rows)
    if args.node is None:
        console.data("")
        console.table(("step", "function", "from"), steps)
    console.say(f"{len(choices)} choices, {len(steps)} steps")
    return 0
