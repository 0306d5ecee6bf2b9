# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``--check-each``: interpret the Graph on seeded inputs before and after every pass; the first that changes numbers is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aotgen.core.errors import InternalError
from aotgen.ir.graph import Graph, TensorType
from aotgen.ops.interp import run_graph

TOLERANCE = 1e-6  # of an output's largest magnitude: both runs are float64, only the order of rounding differs
# A 16-bit output may be rounded in one run and not in the other: half a unit, and as much again of what was rounded before.
NARROW = {"f16": 2.0**-10, "bf16": 2.0**-7}
OPEN_DIM = 3


def checker(echo: Callable[[str], None], seed: int = 0) -> Callable[[str, Graph, Graph], None]:
    """A callback for ``passes.manager.Hooks.check_each``. Raises InternalError naming the pass and the output."""
    last: dict[Graph, dict[str, NDArray[Any]]] = {}

    def outputs(graph: Graph) -> dict[str, NDArray[Any]]:
        if graph not in last:
            made = run_graph(graph, feeds(graph, seed), wide=True)
            last.clear()
            last[graph] = made
        return last[graph]

    def check(name: str, before: Graph, after: Graph) -> None:
        old = outputs(before)
        new = outputs(after)
        for a, b in zip(before.outputs, after.outputs, strict=True):
            worst = _distance(old[a.name], new[b.name])
            if worst > NARROW.get(str(a.dtype), TOLERANCE):
                raise InternalError(f"pass '{name}' changes output '{a.name}' by {worst:.2g} of its largest magnitude")
        echo(f"check: {name} keeps every output")

    return check


def feeds(graph: Graph, seed: int) -> dict[str, NDArray[Any]]:
    """Seeded inputs: normal floats, small non-negative integers, the same as strings, coin-flip bools; open dims take
    ``OPEN_DIM``."""
    rng = np.random.default_rng(seed)
    out: dict[str, NDArray[Any]] = {}
    for v in graph.inputs:
        assert isinstance(v.type, TensorType)
        shape = [d if isinstance(d, int) else int(d.evaluate(_dims(d))) for d in v.shape]
        drawn = rng.standard_normal(shape) if v.dtype.is_float else rng.integers(0, 2, shape)
        words = np.asarray(drawn).astype(str) if v.dtype.kind == "s" else np.asarray(drawn)
        out[v.name] = words.astype(v.dtype.numpy)
    return out


def _dims(d: Any) -> dict[Any, int]:
    low = {a: a.lo.const() or 0 for a in d.walk() if a.kind == "dim"}
    return {a: max(OPEN_DIM, lo) if a.hi is None else min(max(OPEN_DIM, lo), a.hi) for a, lo in low.items()}


def _distance(a: NDArray[Any], b: NDArray[Any]) -> float:
    """Largest difference relative to the largest finite magnitude of ``a``; infinite where shapes or NaNs differ."""
    if a.shape != b.shape:
        return float("inf")
    if a.dtype.kind != "f":
        return 0.0 if np.array_equal(a, b) else float("inf")
    if not np.array_equal(np.isfinite(a), np.isfinite(b)):
        return float("inf")
    ok = np.isfinite(a)
    scale = float(np.max(np.abs(a[ok]), initial=0.0)) or 1.0
    return float(np.max(np.abs(a[ok].astype(np.float64) - b[ok]), initial=0.0)) / scale
