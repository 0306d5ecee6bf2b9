# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Ours beside onnxruntime: one pinned process a measurement, the two taking turns, round after round."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import aotgen
from aotgen.bench.ort_native import find_library
from aotgen.bench.statistics import Ratio, Timing, ratio, timing
from aotgen.core import dtypes
from aotgen.core.errors import AotgenError
from aotgen.toolchain.compiler import read_manifest

Array = NDArray[Any]
OURS, PEER = "ours", "onnxruntime"


@dataclass(frozen=True, slots=True)
class Row:
    """One thread count. ``theirs`` and ``ratio`` are None where onnxruntime was left out or does not run the model."""

    threads: int
    ours: Timing
    theirs: Timing | None
    ratio: Ratio | None


class PeerError(AotgenError):
    """The other side failed; ours can still be measured."""


def bench(folder: Path, model: Path | None, feeds: Mapping[str, Array], *, threads: Sequence[int], rounds: int = 5,
          seconds: float = 0.5, dims: Mapping[str, int] | None = None,
          progress: Callable[[str], None] = lambda _: None) -> list[Row]:
    """Time the library in ``folder``, and ``model`` in onnxruntime (None: ours alone), on ``feeds``, for ``seconds`` a
    round. Raises AotgenError when a measuring process fails."""
    with tempfile.TemporaryDirectory(prefix="aotgen-bench-") as scratch:
        stored = Path(scratch) / "inputs.npz"
        np.savez(stored, **{k: a.astype(str) if a.dtype == object else a for k, a in feeds.items()})  # type: ignore[arg-type]
        manifest = read_manifest(folder)
        outputs = [port["name"] for port in manifest["outputs"]]
        strings = any(port["dtype"] == dtypes.string.name for port in (*manifest["inputs"], *manifest["outputs"]))
        types = {k: dtypes.of(a.dtype).name for k, a in feeds.items()}
        common = {"inputs": str(stored), "types": types, "dims": dict(dims or {}), "seconds": seconds}
        rows = []
        for n in threads:
            jobs = {OURS: {**common, "kind": OURS, "path": str(folder.resolve()), "threads": n, "cpus": cpus(n)}}
            if model is not None:
                jobs[PEER] = {**jobs[OURS], "kind": PEER, "path": str(model.resolve()), "outputs": outputs,
                              "library": "" if strings else str(find_library() or "")}
            rows.append(_row(n, jobs, rounds, Path(scratch), progress))
        return rows


def _row(threads: int, jobs: Mapping[str, dict[str, Any]], rounds: int, scratch: Path,
         progress: Callable[[str], None]) -> Row:
    samples: dict[str, list[list[float]]] = {kind: [] for kind in jobs}
    for k in range(rounds):
        order = list(jobs) if k % 2 == 0 else list(jobs)[::-1]  # neither side always runs on the warmer machine
        for kind in order:
            progress(f"{kind}, {threads} threads, round {k + 1} of {rounds}")
            samples[kind].append(run_worker(jobs[kind], scratch))
    theirs = samples.get(PEER)
    return Row(threads, timing(samples[OURS]), timing(theirs) if theirs else None,
               ratio(samples[OURS], theirs) if theirs else None)


def cpus(n: int) -> list[int]:
    """``n`` processors of those this process may use; [] where processes cannot be pinned."""
    return sorted(os.sched_getaffinity(0))[:n] if hasattr(os, "sched_getaffinity") else []


def run_worker(job: Mapping[str, Any], scratch: Path) -> list[float]:
    """Seconds of each inference of one measurement. Raises AotgenError with the worker's last words."""
    described = scratch / "job.json"
    described.write_text(json.dumps(job), "utf-8")
    root = str(Path(aotgen.__file__).resolve().parent.parent)
    path = os.pathsep.join(p for p in (root, os.environ.get("PYTHONPATH", "")) if p)
    done = subprocess.run([sys.executable, "-m", "aotgen.bench.worker", str(described)], capture_output=True, text=True,
                          check=False, env={**os.environ, "PYTHONPATH": path})
    if done.returncode != 0:
        words = next(iter(done.stderr.strip().splitlines()[-1:]), f"exit status {done.returncode}")
        kind = PeerError if job["kind"] == PEER else AotgenError
        raise kind(f"measuring {job['kind']} failed: {words}")
    samples: list[float] = json.loads(done.stdout)
    return samples
