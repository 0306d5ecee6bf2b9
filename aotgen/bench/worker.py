# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""One measurement in a process of its own: ``python -m aotgen.bench.worker JOB.json`` prints samples as JSON.

The job: ``kind`` (``ours`` or ``onnxruntime``), ``path`` (library folder or model), ``inputs`` (.npz) and their ``types``,
``dims``, ``threads``, ``cpus`` (to be pinned to), ``seconds`` (to measure for), and for onnxruntime ``outputs`` (names) and
``library``. Pinning comes before anything that makes threads.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

WARM = 0.25  # share of the time that goes to warming up, uncounted
LEAST, MOST = 5, 50_000  # samples
TICK = 1e-7  # seconds: nothing we time is quicker
Sampler = Callable[[int], list[float]]  # number of runs -> seconds of each


def pin(cpus: list[int]) -> None:
    """Keep this process on ``cpus``, where the system lets us."""
    if hasattr(os, "sched_setaffinity") and cpus:
        os.sched_setaffinity(0, cpus)


def measure(sample: Sampler, seconds: float) -> list[float]:
    """Warm up, then sample for about ``seconds``, at least ``LEAST`` runs."""
    fastest, spent = TICK, 0.0
    while spent < WARM * seconds:
        new = sample(1) if spent == 0 else sample(max(1, min(100, int(0.01 / fastest))))
        fastest = max(TICK, min(new) if spent == 0 else min(fastest, *new))
        spent += max(TICK * len(new), sum(new))
    batch = max(1, min(1000, int(0.02 / fastest)))
    out: list[float] = []
    spent = 0.0
    while len(out) < LEAST or (spent < seconds and len(out) < MOST):
        out += (new := sample(batch))
        spent += sum(new)
    return out


def ours(job: dict[str, Any], feeds: dict[str, Any]) -> Sampler:
    from aotgen.toolchain.loader import Library

    prepared = Library(Path(job["path"])).prepare(feeds, dims=job["dims"], threads=job["threads"])
    return prepared.time


def onnxruntime(job: dict[str, Any], feeds: dict[str, Any]) -> Sampler:
    """onnxruntime by its C interface where its package has a library to load (``library``), else by Python. Either way its
    inputs and outputs are bound beforehand, so that a run copies nothing; strings and maps, which cannot be, are passed."""
    if job["library"]:
        from aotgen.bench.ort_native import Native

        return Native(Path(job["library"]), Path(job["path"]), feeds, job["outputs"], job["threads"]).time
    import onnxruntime as runtime

    from aotgen.verify import ort

    session = ort.session(job["path"], job["threads"])
    if any("string" in port.type or "map" in port.type for port in (*session.get_inputs(), *session.get_outputs())):
        return _timed(lambda: session.run(job["outputs"], feeds))
    binding = session.io_binding()
    for name, a in feeds.items():
        binding.bind_ortvalue_input(name, runtime.OrtValue.ortvalue_from_numpy(a))
    for name, value in zip(job["outputs"], session.run(job["outputs"], feeds), strict=True):
        binding.bind_ortvalue_output(name, runtime.OrtValue.ortvalue_from_numpy(value))
    options = runtime.RunOptions()
    return _timed(lambda: session.run_with_iobinding(binding, options))


def _timed(run: Callable[[], Any]) -> Sampler:
    def sample(runs: int) -> list[float]:
        out = []
        for _ in range(runs):
            start = time.perf_counter()
            run()
            out.append(time.perf_counter() - start)
        return out

    return sample


KINDS = {"ours": ours, "onnxruntime": onnxruntime}


def _typed(a: Any, name: str) -> Any:
    """``a`` as one of our dtypes: bfloat16 and its kin come out of an .npz as raw bytes."""
    from aotgen.core import dtypes

    return a.view(dtypes.of(name).numpy) if a.dtype.kind == "V" else a


def main(path: str) -> None:
    """Do the job in the file ``path``."""
    job = json.loads(Path(path).read_text("utf-8"))
    pin(job["cpus"])
    os.environ["OMP_NUM_THREADS"] = str(job["threads"])
    import numpy as np

    with np.load(job["inputs"], allow_pickle=False) as stored:
        feeds = {k: _typed(stored[k], job["types"][k]) for k in stored.files}
    samples = measure(KINDS[job["kind"]](job, feeds), job["seconds"])
    sys.stdout.write(json.dumps(samples))


if __name__ == "__main__":
    main(sys.argv[1])
