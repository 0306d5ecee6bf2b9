# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""List the target families and their variants, and which of them this machine can run."""

from __future__ import annotations

import argparse
import platform

from aotgen import targets
from aotgen.cli import arguments
from aotgen.cli.console import Console
from aotgen.targets.cpu.isa import features


def add_arguments(parser: argparse.ArgumentParser) -> None:
    arguments.add_common(parser, json=True)


def table() -> list[dict[str, object]]:
    """One row a variant: ``target`` as --target takes it, ``runs_here``, and a ``note`` (what it needs, or why a plug-in
    did not load)."""
    has, machine = features(), platform.machine()
    arch = {"AMD64": "x86_64", "arm64": "aarch64"}.get(machine, machine)
    rows: list[dict[str, object]] = []
    for name in targets.available():
        try:
            family = targets.load(name)
        except Exception as e:  # a plug-in may fail in any way; the others are still worth listing
            rows.append({"target": name, "runs_here": False, "note": f"cannot be loaded: {e}"})
            continue
        if not family.isas:
            rows.append({"target": name, "runs_here": None, "note": "needs its own device"})
        for isa in family.isas:
            fits = isa.arch in ("any", arch) and has.issuperset(isa.needs)
            note = isa.arch if isa.arch == "any" else f"{isa.arch}, {isa.lanes} floats a vector"
            rows.append({"target": f"{name}:{isa.name}", "runs_here": fits, "note": note})
    return rows


def run(args: argparse.Namespace, console: Console) -> int:
    rows = table()
    if args.json:
        console.json(rows)
        return 0
    words = {True: "yes", False: "no", None: "?"}
    console.table(("target", "runs here", ""), [(r["target"], words[r["runs_here"]], r["note"]) for r in rows])  # type: ignore[index]
    console.say("cpu:native is the best that runs here; join variants with + to choose at run time")
    return 0
