# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``aotgen``: finds the verb, runs it, turns what went wrong into an exit code.

0 done, 1 model invalid or unsupported, 2 usage, 3 numeric mismatch, 4 the C++ or CUDA toolchain failed, 101 a bug of ours.
"""

from __future__ import annotations

import argparse
import importlib
import os
import platform
import shlex
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from aotgen._version import __version__
from aotgen.cli.console import Console
from aotgen.core.errors import AotgenError, InternalError

VERBS = {
    "compile": "compile a model into a library (the verb may be left out)",
    "inspect": "show inputs, outputs, operators and size of a model, and all in it that does not compile",
    "verify": "hold a compiled library to the numeric contract, against a float64 run and onnxruntime",
    "bench": "time a compiled library beside onnxruntime",
    "explain": "say which kernel every contraction became and why the others declined",
    "ops": "list the operators that compile",
    "targets": "list the targets and which of them this machine runs",
}
BUG = 101
INTERRUPTED = 130  # as a shell reports SIGINT

EPILOG = """exit codes:
  0 done   1 the model is invalid or unsupported   2 usage   3 numeric mismatch
  4 the C++ or CUDA toolchain failed   101 a bug in aotgen

environment:
  CXX, CC, NVCC      compilers       AOTGEN_CACHE_DIR   where objects and references are kept (empty: nowhere)
  NO_COLOR           no colours
"""


class Verb(Protocol):
    """A module of this package named after a verb."""

    def add_arguments(self, parser: argparse.ArgumentParser) -> None: ...
    def run(self, args: argparse.Namespace, console: Console) -> int: ...


def parser(only: str | None = None) -> argparse.ArgumentParser:
    """The command line. ``only``: a verb whose flags are wanted; those of the others, whose modules then need not be
    imported, are left out."""
    top = argparse.ArgumentParser(
        prog="aotgen", description="Compile trained ONNX models ahead of time into standalone C++ and CUDA libraries. "
        "`aotgen MODEL -o OUT` is short for `aotgen compile MODEL -o OUT`.",
        epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    top.add_argument("--version", action="version", version=f"aotgen {__version__}")
    verbs = top.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, purpose in VERBS.items():
        sub = verbs.add_parser(name, help=purpose, description=f"{purpose[0].upper()}{purpose[1:]}.", allow_abbrev=False)
        if only in (None, name):
            _verb(name).add_arguments(sub)
    return top


def _verb(name: str) -> Verb:
    module: Verb = importlib.import_module(f"aotgen.cli.{name}")
    return module


def with_verb(argv: Sequence[str]) -> list[str]:
    """``argv`` with the implied verb: whatever does not start with a verb or ask for help is a compile."""
    if not argv or argv[0] in VERBS or argv[0] in ("-h", "--help", "--version"):
        return list(argv) or ["--help"]
    return ["compile", *argv]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code. Usage errors that argparse finds leave through SystemExit(2)."""
    words = with_verb(sys.argv[1:] if argv is None else argv)
    console = Console()
    try:
        args = parser(words[0] if words[0] in VERBS else "").parse_args(words)
        console = Console(-1 if args.quiet else 1 if args.verbose else 0)
        with warnings.catch_warnings():
            warnings.showwarning = _note(console)
            code = _verb(args.verb).run(args, console)
        sys.stdout.flush()
        return code
    except InternalError as e:
        return _bug(e, words, console)
    except AotgenError as e:
        console.error(e.message())
        return e.exit_code
    except KeyboardInterrupt:
        console.error("interrupted")
        return INTERRUPTED
    except BrokenPipeError:  # the reader of stdout has enough; nothing more may be written there
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as e:
        return _bug(e, words, console)


def _note(console: Console) -> Callable[..., None]:
    """Shows warnings as notes, each once, without the place in our sources they come from."""
    said: set[str] = set()

    def show(message: Warning | str, category: type[Warning], *_: Any, **__: Any) -> None:
        text = str(message)
        level = 0 if issubclass(category, UserWarning) else 1  # the others are for developers
        if text not in said:
            said.add(text)
            console.say(f"note: {text}", level)

    return show


def _bug(e: Exception, words: Sequence[str], console: Console) -> int:
    """A short report of a bug of ours, with what to send."""
    last = traceback.extract_tb(e.__traceback__)[-1:]
    where = "".join(f" in {f.name} ({os.path.basename(f.filename)}:{f.lineno})" for f in last)
    console.error(f"this is a bug in aotgen, not in your model: {type(e).__name__}: {e}{where}")
    command = shlex.join(["aotgen", *words])
    lines = [f"  aotgen {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}",
             f"  {command}",
             "  Please report it with the lines above, the output of the same command with -v, and the model if you may "
             "share it (else the output of `aotgen inspect`)."]
    print("\n".join(lines), file=sys.stderr)
    if console.verbosity > 0:
        traceback.print_exception(e)
    return BUG


if __name__ == "__main__":
    sys.exit(main())
