# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""List the operators that compile."""

from __future__ import annotations

import argparse

import onnx

from aotgen import ops
from aotgen.cli import arguments
from aotgen.cli.console import Console
from aotgen.ops import registry


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name", nargs="?", metavar="NAME", help="only operators whose name holds this text")
    arguments.add_common(parser, json=True)


def table() -> list[dict[str, str]]:
    """One row an operator: ``domain``, ``name`` and ``how`` it gets its meaning: a lowering (expressions), an expansion
    into simpler operators, the standard's own function body, or a region."""
    assert ops.__name__  # importing the package registers every family
    rows = {key: "region" if row.name in REGIONS else "lowering" if row.lower else "expansion"
            for key, row in registry.TABLE.items()}
    for schema in onnx.defs.get_all_schemas():
        key = ("" if schema.domain == "ai.onnx" else schema.domain, schema.name)
        if schema.has_function and not schema.deprecated and schema.domain in ("", "ai.onnx"):
            rows.setdefault(key, "function body")
    return [{"domain": domain or "ai.onnx", "name": name, "how": how} for (domain, name), how in sorted(rows.items())]


REGIONS = frozenset({"If", "Loop", "Scan"})


def run(args: argparse.Namespace, console: Console) -> int:
    rows = [r for r in table() if args.name is None or args.name.lower() in r["name"].lower()]
    if args.json:
        console.json(rows)
    else:
        console.table(("domain", "operator", "how"), [tuple(r.values()) for r in rows])
        console.say(f"{len(rows)} operators")
    return 0
