# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Conformance cases built with a sanitizer, run in an interpreter that has its runtime preloaded.

The compiler and the process that compares stay without it: only the child that loads the libraries is started so. A report ends
the child, and with that the case it was at.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from aotgen.core.errors import ToolchainError
from aotgen.toolchain.compiler import find_compiler


@dataclass(frozen=True, slots=True)
class Sanitizer:
    """``flags`` for the compiler, ``runtimes`` to preload, the ``environment`` they are told by."""

    flags: tuple[str, ...]
    runtimes: tuple[str, ...]
    environment: Mapping[str, str]


SANITIZERS: Mapping[str, Sanitizer] = {
    "thread": Sanitizer(
        ("-O1", "-g1", "-fsanitize=thread"),
        ("libtsan.so",),
        {"TSAN_OPTIONS": "halt_on_error=1 exitcode=66"},
    ),
    # Leaks are the interpreter's own.
    "memory": Sanitizer(
        ("-O1", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"),
        ("libasan.so", "libubsan.so"),
        {"ASAN_OPTIONS": "detect_leaks=0 exitcode=66", "UBSAN_OPTIONS": "print_stacktrace=1"},
    ),
}


def start(work: Sequence[Any], writer: int, name: str, log: Path) -> int:
    """A child that runs ``work`` (pickled) under the sanitizer ``name`` and tells outcomes to ``writer``; its process id.
    Raises ToolchainError where the compiler has no such runtime."""
    chosen = SANITIZERS[name]
    with tempfile.NamedTemporaryFile(dir=log.parent, suffix=".work", delete=False) as file:
        pickle.dump(list(work), file)
    preload = ":".join(_runtime(r) for r in chosen.runtimes)
    env = {**os.environ, **chosen.environment, "LD_PRELOAD": preload, "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "tests.conformance.sanitize", file.name, str(writer)]
    with log.open("w", encoding="utf-8") as told:
        return subprocess.Popen(command, env=env, pass_fds=[writer], stderr=told).pid


def report(log: Path) -> str:
    """What a sanitizer said, in a line: the kind of error and where."""
    lines = [line.strip() for line in log.read_text("utf-8", "replace").splitlines()]
    kind = next((line for line in lines if "Sanitizer:" in line or "runtime error:" in line), "")
    frames = [line.removeprefix("#0 ").split(" in ", 1)[-1] for line in lines if line.startswith("#0 ")]
    place = [frame.split(" ")[0] for frame in frames[:2]]
    return f"{kind} {' / '.join(place)}".strip()[:300]


def _runtime(library: str) -> str:
    found = subprocess.run([*find_compiler().cxx, f"-print-file-name={library}"], capture_output=True, text=True, check=True)
    path = found.stdout.strip()
    if not Path(path).is_absolute():
        raise ToolchainError(f"the compiler has no {library}", hint="GCC brings it; --compiler chooses one")
    return path


def main() -> None:
    from tests.conformance.run import run_case, tell

    with open(sys.argv[1], "rb") as file:
        work = pickle.load(file)
    tell(work, int(sys.argv[2]), partial(run_case, threads=(3,)))


if __name__ == "__main__":
    main()
