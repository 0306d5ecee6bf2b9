# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Flags that several verbs share, and what they mean as CompileOptions and Hooks."""

from __future__ import annotations

import argparse
import re
from collections.abc import Mapping
from pathlib import Path

from aotgen import api, driver
from aotgen.cli.console import Console
from aotgen.core.errors import UsageError
from aotgen.core.options import CompileOptions, DimRange

MODEL_HELP = "an .onnx file; weights stored beside it as external data are found by themselves"


def add_model(parser: argparse.ArgumentParser) -> None:
    """The group Model."""
    group = parser.add_argument_group("Model")
    group.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    group.add_argument("--dim", action="append", default=[], metavar="NAME=N|LO..HI",
                       help="fix a named dim (seq=128) or leave it open within bounds (seq=1..512; seq=1.. has none); "
                            "repeatable")
    group.add_argument("--input-shape", action="append", default=[], metavar="INPUT=1,3,224,224",
                       help="the whole shape of one input; repeatable")
    group.add_argument("--dynamic", action="store_true", help="leave every dim open that no other flag gives a value")


def add_target(parser: argparse.ArgumentParser, threads: bool = True) -> None:
    """The group Target. ``threads``: with the flag --threads."""
    group = parser.add_argument_group("Target")
    group.add_argument("--target", default="cpu:native", metavar="FAMILY[:VARIANT]",
                       help="what to compile for: cpu:native (default), cpu:avx2+avx512 (chosen at run time), cuda; "
                            "`aotgen targets` lists them")
    if threads:
        group.add_argument("--threads", type=_natural, default=0, metavar="N",
                           help="the library's default thread count (default 0: all cores)")
    group.add_argument("--threading", choices=("openmp", "pool", "none"), default="openmp",
                       help="how the library runs threads (default openmp)")
    group.add_argument("--numerics", choices=("default", "strict"), default="default",
                       help="strict: no transformation that costs accuracy, such as Winograd")
    group.add_argument("--kernel-dir", action="append", default=[], metavar="DIR", type=Path,
                       help="a folder with kernel headers and rules of your own, asked before ours; repeatable")


def add_debug(parser: argparse.ArgumentParser) -> None:
    """The group Debug."""
    group = parser.add_argument_group("Debug")
    group.add_argument("--passes", metavar="A,B,...", help="run these passes instead of the default ones ('' for none)")
    group.add_argument("--print-ir-after", action="append", default=[], metavar="PASS",
                       help="print the Graph after a pass, or `all`; repeatable")
    group.add_argument("--dump-dir", type=Path, metavar="DIR", help="write every intermediate form there")
    group.add_argument("--timing", action="store_true", help="say how long each pass and stage took")
    group.add_argument("--stop-after", metavar="STAGE",
                       help=f"stop after a pass or a stage ({', '.join(driver.STAGES)})")
    group.add_argument("--check-each", action="store_true",
                       help="interpret seeded inputs after every pass and name the first that changes numbers (slow)")


def add_common(parser: argparse.ArgumentParser, json: bool = False) -> None:
    """-v, -q and, where there is data to print, --json."""
    if json:
        parser.add_argument("--json", action="store_true", help="print one JSON document instead of text")
    parser.add_argument("-v", "--verbose", action="store_true", help="say more on stderr; full tracebacks")
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing but errors")


def _natural(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a number of 0 or more")
    return int(text)


# ------------------------------------------------------------------------------------------------- meaning


def options(args: argparse.Namespace, out: Path | None = None) -> CompileOptions:
    """The CompileOptions of ``args``. ``out``: the output folder, which names the model when --name does not."""
    name = getattr(args, "name", None)
    if name is not None and not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII):
        raise UsageError(f"--name {name!r} cannot be the start of a C name", hint="letters, digits and _ only")
    passes = getattr(args, "passes", None)
    return api.make_options(
        out or Path("libmodel"),
        target=getattr(args, "target", "cpu:native"),
        dims=dims(args.dim),
        input_shapes=shapes(args.input_shape),
        dynamic=args.dynamic,
        threads=getattr(args, "threads", 0),
        threading=getattr(args, "threading", "openmp"),
        numerics=getattr(args, "numerics", "default"),
        name=name or model_name(out or Path("libmodel")),
        weights=getattr(args, "weights", "auto"),
        kernel_dirs=getattr(args, "kernel_dir", []),
        passes=None if passes is None else [p.strip() for p in passes.split(",") if p.strip()],
    )


def model_name(out: Path) -> str:
    """The folder's name without a leading ``lib`` if something remains, as a C name; else ``model``."""
    base = out.name or out.resolve().name
    stem = re.sub(r"\W", "_", base.removeprefix("lib"), flags=re.ASCII).strip("_")
    return (f"m{stem}" if stem[:1].isdigit() else stem) or "model"


def dims(given: list[str]) -> dict[str, int | DimRange]:
    """``["seq=128", "n=1..8"]`` as ``{"seq": 128, "n": (1, 8)}``. Raises UsageError."""
    out: dict[str, int | DimRange] = {}
    for text in given:
        name, _, value = text.rpartition("=")
        found = re.fullmatch(r"(\d+)(?:(\.\.)(\d*))?", value.strip())
        if not name or found is None:
            raise UsageError(f"--dim {text!r} is not NAME=N or NAME=LO..HI", hint="--dim batch=4 or --dim seq=1..512")
        if name in out:
            raise UsageError(f"--dim {name} is given twice")
        low, dots, high = int(found[1]), found[2], found[3]
        if dots and high and int(high) < low:
            raise UsageError(f"--dim {text!r}: the upper bound is below the lower one")
        out[name] = (low, int(high) if high else None) if dots else low
    return out


def shapes(given: list[str]) -> dict[str, list[int]]:
    """``["x=1,3,224,224"]`` as ``{"x": [1, 3, 224, 224]}``; ``x=`` is a scalar. Raises UsageError."""
    out: dict[str, list[int]] = {}
    for text in given:
        name, equals, value = text.rpartition("=")
        parts = [p.strip() for p in re.split(r"[,x]", value)] if value.strip() else []
        if not equals or not name or not all(p.isdecimal() for p in parts):
            raise UsageError(f"--input-shape {text!r} is not INPUT=1,3,224,224")
        if name in out:
            raise UsageError(f"--input-shape {name} is given twice")
        out[name] = [int(p) for p in parts]
    return out


def settings(given: list[str]) -> list[Mapping[str, int]]:
    """``["batch=1,seq=7", "batch=2,seq=9"]``: one setting of open dims each. Raises UsageError."""
    out: list[Mapping[str, int]] = []
    for text in given:
        pairs = [p.partition("=") for p in text.split(",")]
        if not all(name.strip() and value.strip().isdecimal() for name, _, value in pairs):
            raise UsageError(f"--at {text!r} is not NAME=N[,NAME=N...]")
        out.append({name.strip(): int(value) for name, _, value in pairs})
    return out


def hooks(args: argparse.Namespace, console: Console) -> driver.Hooks:
    """What the Debug flags ask to see. The text of an IR is data (stdout), timing is talk."""
    wants_ir = bool(args.print_ir_after)
    return driver.Hooks(
        print_ir_after=frozenset(args.print_ir_after),
        dump_dir=args.dump_dir,
        timing=args.timing,
        stop_after=args.stop_after,
        check_each=args.check_each,
        echo=console.data if wants_ir else console.say,
        progress=console.stage,
    )
