# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What a process pays before its first result: a small C program (``runner.c``) loads the library and runs it."""

from __future__ import annotations

import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aotgen.core import dtypes
from aotgen.core.errors import AotgenError, ToolchainError
from aotgen.toolchain import find_compiler
from aotgen.toolchain.compiler import read_manifest

Array = NDArray[Any]
RUNS = 20  # inferences of each process: the first, and enough others for a median
TRIES = 5  # processes; start-up is taken from the median one


@dataclass(frozen=True, slots=True)
class Startup:
    """Seconds: ``first`` from process start to first result, ``steady`` the median of later runs."""

    first: float
    steady: float

    @property
    def cost(self) -> float:
        """What starting adds to the first result."""
        return self.first - self.steady


def build_runner(to: Path) -> Path:
    """Compile the runner. Raises ToolchainError."""
    source = Path(__file__).with_name("runner.c")
    command = [*find_compiler().cc, "-O2", "-std=c99", str(source), "-o", str(to), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ToolchainError(f"the benchmark's own runner does not compile: {done.stderr.strip()}")
    return to


def startup(folder: Path, feeds: Mapping[str, Array], *, threads: int = 1,
            dims: Mapping[str, int] | None = None) -> Startup:
    """Measure the library in ``folder`` on ``feeds``. Raises ToolchainError when the runner cannot be built, AotgenError
    when it fails."""
    with tempfile.TemporaryDirectory(prefix="aotgen-startup-") as scratch:
        runner = build_runner(Path(scratch) / "runner")
        command = [str(runner), *_arguments(folder.resolve(), feeds, threads, dims or {}, Path(scratch))]
        seen = [_once(command) for _ in range(TRIES)]
    return Startup(median(s.first for s in seen), median(s.steady for s in seen))


def _arguments(folder: Path, feeds: Mapping[str, Array], threads: int, dims: Mapping[str, int],
               scratch: Path) -> list[str]:
    manifest = read_manifest(folder)
    files = []
    for k, port in enumerate(manifest["inputs"]):
        array = np.ascontiguousarray(feeds[port["name"]], dtypes.of(port["dtype"]).numpy)
        files.append(scratch / f"{k}.bin")
        array.tofile(files[-1])
    weights = manifest["weights"]
    given = ",".join(str(dims[d["name"]]) for d in manifest["dims"])
    name = manifest["name"]
    return [str(folder / "lib" / f"lib{name}.so"), name, str(threads), str(RUNS),
            str(folder / weights["file"]) if weights["mode"] == "file" else "-", given or "-",
            str(len(manifest["outputs"])), *map(str, files)]


def _once(command: list[str]) -> Startup:
    begin = time.clock_gettime_ns(time.CLOCK_MONOTONIC)
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AotgenError(f"the benchmark's runner failed: {done.stderr.strip() or done.returncode}")
    ended, *later = (int(line) for line in done.stdout.split())
    return Startup((ended - begin) / 1e9, median(later) / 1e9)
