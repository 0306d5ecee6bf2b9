# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compile a model into a library (the verb may be left out)."""

from __future__ import annotations

import argparse
import shlex
import time
from pathlib import Path

from aotgen import driver
from aotgen.cli import arguments
from aotgen.cli.console import Console, amount, duration
from aotgen.cli.verify import judge
from aotgen.core.errors import UsageError
from aotgen.core.options import CompileOptions
from aotgen.ir.program import KernelCall, LibraryCall, LoopNest


def _add_output(parser: argparse.ArgumentParser) -> None:
    """The group Output."""
    group = parser.add_argument_group("Output")
    group.add_argument("-o", "--output", type=Path, metavar="DIR",
                       help="the folder to write; replaced as a whole when aotgen made it, refused when it holds anything "
                            "else (default: lib followed by the model file's name)")
    group.add_argument("--name", help="prefix of every exported symbol (default: the folder's name without a leading lib)")
    group.add_argument("--weights", choices=("auto", "linked", "array", "file"), default="auto",
                       help="linked: an assembler .incbin; array: a C array; file: mapped at run time; auto (default) goes "
                            "by size")
    group.add_argument("--no-build", action="store_true", help="write the sources, do not call the compiler")
    group.add_argument("--keep-build", action="store_true", help="keep object files beside the library")
    group.add_argument("--verify", action="store_true",
                       help="run the built library against onnxruntime and a float64 run; exit 3 on a mismatch")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """All flags of the verb."""
    arguments.add_model(parser)
    arguments.add_target(parser)
    _add_output(parser)
    arguments.add_debug(parser)
    arguments.add_common(parser)


def run(args: argparse.Namespace, console: Console) -> int:
    out = args.output or Path(f"lib{arguments.model_name(Path(Path(args.model).stem))}")
    options = arguments.options(args, out)
    if args.verify and args.no_build:
        raise UsageError("--verify runs the library, --no-build does not build one")
    if args.verify and args.stop_after:
        raise UsageError("--verify needs the whole pipeline, --stop-after cuts it short")
    start = time.perf_counter()
    with console.working("import"):
        result = driver.compile_model(args.model, out, options, build=not args.no_build, keep_build=args.keep_build,
                                      hooks=arguments.hooks(args, console))
    if result.folder is None:
        console.say(f"stopped after {args.stop_after}; nothing was written")
        return 0
    console.table(("", ""), summary(result, options, time.perf_counter() - start), talk=True)
    code = 0
    if args.verify:
        with console.working("verify"):
            code = judge(args.model, result.folder, options, console)
    _farewell(args, result.folder, options, console)
    return code


def summary(result: driver.Result, options: CompileOptions, seconds: float) -> list[tuple[str, str]]:
    """What was made, in a few rows."""
    rows: list[tuple[str, str]] = []
    if result.planned is not None:
        steps = list(result.planned.program.walk())
        kinds = {"kernel calls": KernelCall, "loop nests": LoopNest, "library calls": LibraryCall}
        counts = ((what, sum(isinstance(s, kind) for s in steps)) for what, kind in kinds.items())
        parts = ", ".join(f"{n} {what}" for what, n in counts if n)
        memory = result.planned.memory
        over = f", {100 * (memory.size / memory.bound - 1):.1f} % above the bound" if memory.bound else ""
        largest = "" if not memory.is_open else " at the largest dims" if memory.exact else " at dims of 128"
        rows += [("steps", f"{len(steps)} ({parts})" if parts else str(len(steps))),
                 ("workspace", f"{amount(memory.size)}{largest}{over}"),
                 ("weights", amount(result.planned.weights.size))]
    built = [p for p in (result.folder / "lib").glob("*.so")] if result.folder else []
    if built:
        rows.append(("library", amount(built[0].stat().st_size)))
    stages = ", ".join(f"{k} {duration(v)}" for k, v in result.seconds.items())
    rows.append(("time", f"{duration(seconds)} ({stages})"))
    return rows


def _farewell(args: argparse.Namespace, folder: Path, options: CompileOptions, console: Console) -> None:
    """The last line: what was written, and what to do next."""
    what = "sources" if args.no_build else "library"
    if args.no_build:
        after = f"build it: cmake -B build -S {shlex.quote(str(folder))} && cmake --build build"
    elif not args.verify:
        flags = [w for d in args.dim for w in ("--dim", d)] + [w for s in args.input_shape for w in ("--input-shape", s)]
        flags += ["--dynamic"] if args.dynamic else []
        after = "check it: " + shlex.join(["aotgen", "verify", str(args.model), "--lib", str(folder), *flags])
    else:
        after = f"use it: include {folder}/include/{options.name}.h, link {folder}/lib/lib{options.name}.a"
    console.say(f"wrote {folder} ({what} {options.name}); {after}")
