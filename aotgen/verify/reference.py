# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The float64 truth: the imported Graph, before any pass, interpreted in NumPy; remembered on disk.

The key is everything that decides the numbers: the model's bytes, its external data, the inputs, and the text of the
interpreter itself, so that a repaired operator never meets its old answer.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

import aotgen
from aotgen.core.errors import UnsupportedError
from aotgen.frontend.report import macs
from aotgen.ir.graph import Graph
from aotgen.ops.interp import run_graph
from aotgen.toolchain import cache
from aotgen.verify.inputs import most

Array = NDArray[Any]
MAC_LIMIT = 200_000_000_000  # multiply-adds: some minutes of NumPy in float64
SOURCES = ("core", "ir", "ops", "frontend")


@dataclass(frozen=True, slots=True)
class Truth:
    """``outputs`` by name in float64, or None and the reason ``why`` there are none."""

    outputs: dict[str, Array] | None
    why: str = ""
    cached: bool = False


def truth(graph: Graph, model: str | Path | onnx.ModelProto, feeds: Mapping[str, Array],
          dims: Mapping[str, int]) -> Truth:
    """Run ``graph`` on ``feeds`` in float64, or fetch what an earlier run gave. Never raises for a model that is too
    large or holds an operator the interpreter lacks: the reason is in the result."""
    work = most(macs(graph), dims)
    if work > MAC_LIMIT:
        return Truth(None, f"{work / 1e9:.0f} G multiply-adds are too many for a float64 run")
    place = _place(model, feeds)
    stored = _fetch(place)
    if stored is not None:
        return Truth(stored, cached=True)
    try:
        with np.errstate(all="ignore"):
            outputs = run_graph(graph, feeds, wide=True)
    except MemoryError:
        return Truth(None, "a float64 run needs more memory than there is")
    except UnsupportedError as e:
        return Truth(None, f"no float64 run: {e.reason}")
    _keep(place, outputs)
    return Truth(outputs)


# ------------------------------------------------------------------------------------------------- memory on disk


def _place(model: str | Path | onnx.ModelProto, feeds: Mapping[str, Array]) -> Path | None:
    base = cache.folder()
    if base is None:
        return None
    digest = hashlib.sha256(_interpreter().encode())
    for block in _model_bytes(model):
        digest.update(block)
    for name in sorted(feeds):
        a = np.ascontiguousarray(feeds[name])
        digest.update(f"{name} {a.dtype} {a.shape}\0".encode())
        digest.update(repr(a.tolist()).encode() if a.dtype == object else a.view(np.uint8).data if a.size else b"")
    key = digest.hexdigest()
    return base / "truth" / key[:2] / f"{key}.npz"


def _model_bytes(model: str | Path | onnx.ModelProto) -> Iterable[bytes]:
    if isinstance(model, onnx.ModelProto):
        yield model.SerializeToString(deterministic=True)
        return
    path = Path(model)
    yield path.read_bytes()
    for extra in sorted(path.parent.glob("*")):  # external data: told apart by size and time, it may be huge
        if extra.is_file() and extra.suffix not in (".npz", ".json", ".onnx"):
            stat = extra.stat()
            yield f"{extra.name} {stat.st_size} {stat.st_mtime_ns}\0".encode()


@lru_cache(maxsize=1)
def _interpreter() -> str:
    """A fingerprint of the text that computes the truth."""
    digest = hashlib.sha256(np.__version__.encode())
    root = Path(aotgen.__file__).resolve().parent
    for part in SOURCES:
        for path in sorted((root / part).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _fetch(place: Path | None) -> dict[str, Array] | None:
    if place is None:
        return None
    try:
        with np.load(place, allow_pickle=False) as stored:
            return {k.removeprefix("o:"): stored[k] for k in stored.files}
    except (OSError, ValueError, EOFError, KeyError):
        return None


def _keep(place: Path | None, outputs: Mapping[str, Array]) -> None:
    """Remember ``outputs``; whole or not at all. Small floats that NumPy does not know are not remembered."""
    if place is None or any(a.dtype.kind in "OV" for a in outputs.values()):
        return
    made = None
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        handle, made = tempfile.mkstemp(dir=place.parent, suffix=".npz")
        with os.fdopen(handle, "wb") as f:
            np.savez(f, **{f"o:{k}": a for k, a in outputs.items()})  # type: ignore[arg-type]
        os.replace(made, place)
    except OSError:
        if made is not None and os.path.exists(made):
            os.unlink(made)
