# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Verify a built library: run it at one and at several threads and hold every output to the numeric contract."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from aotgen import frontend
from aotgen.core.errors import AotgenError
from aotgen.core.options import CompileOptions
from aotgen.ir.graph import Graph, TensorType
from aotgen.toolchain.loader import Library
from aotgen.verify import inputs, ort, reference
from aotgen.verify.contract import Finding, References, compare

Array = NDArray[Any]
ModelLike = str | Path | onnx.ModelProto

# Operators that turn a difference of one rounding into a step: two right answers may differ by more than any tolerance.
ROUNDING = frozenset({
    "QuantizeLinear", "DynamicQuantizeLinear", "QLinearConv", "QLinearMatMul", "ConvInteger", "MatMulInteger", "Round",
    "Floor", "Ceil", "ArgMax", "ArgMin", "TopK", "Sign", "Hardmax", "NonMaxSuppression", "QLinearAdd", "QGemm",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Case:
    """One run: values of open dims, thread count, what each output gave, and whether the outputs are the very bits of the
    first thread count."""

    dims: Mapping[str, int]
    threads: int
    findings: tuple[Finding, ...]
    same_bits: bool = True

    @property
    def ok(self) -> bool:
        return all(f.ok for f in self.findings)


@dataclass(frozen=True, slots=True)
class Report:
    """All runs, and ``remarks`` on what could not be compared. ``culprit``: the first diverging tensor and its node, where
    a failure was traced."""

    cases: tuple[Case, ...]
    remarks: tuple[str, ...] = ()
    culprit: str = ""
    feeds: Mapping[str, Array] = field(default_factory=dict, repr=False)

    @property
    def ok(self) -> bool:
        return all(c.ok for c in self.cases)

    @property
    def worst(self) -> Finding | None:
        """The failing output that is furthest out, else the one closest to its limit."""
        rows = [f for c in self.cases for f in c.findings]
        return max(rows, key=lambda f: (not f.ok, f.error / max(f.limit, 1e-30)), default=None)


def verify(model: ModelLike, library: Library, options: CompileOptions, *, seed: int = 0,
           feeds: Path | None = None, at: Sequence[Mapping[str, int]] = (), threads: Sequence[int] = (),
           use_ort: bool = True, progress: Callable[[str], None] = lambda _: None) -> Report:
    """Hold ``library``, built from ``model`` with ``options``, to the contract.

    ``feeds``: an .npz of inputs (default: seeded ones), ``at``: settings of open dims, ``threads``: thread counts (default
    1 and all cores, at least 2). Raises AotgenError for inputs that do not fit; a mismatch is in the Report.
    """
    graph = frontend.load_graph(model, options)
    counts = tuple(threads) or thread_counts()
    settings = [({}, inputs.read_npz(feeds, graph))] if feeds else [
        (dims, inputs.seeded(graph, seed, dims)) for dims in inputs.sizes(graph, at)]
    cases: list[Case] = []
    remarks: list[str] = []
    failed: Mapping[str, Array] = {}
    for dims, arrays in settings:
        dims = inputs.dims_from(graph, arrays) if feeds else dims
        progress("float64 run")
        found = references(graph, model, arrays, dims, use_ort, remarks)
        progress("runs of the library")
        new = _cases(graph, library, arrays, dims, counts, found, options.numerics)
        failed = failed or ({} if all(c.ok for c in new) else arrays)
        cases += new
    return Report(tuple(cases), tuple(dict.fromkeys(remarks)), feeds=failed)


def thread_counts() -> tuple[int, int]:
    """One, and as many as there are cores (at least 2: an extra thread on one core still shows races)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return 1, max(2, cores)


def discontinuous(graph: Graph) -> bool:
    """Does any node of ``graph`` round?"""
    return any(n.op in ROUNDING or any(discontinuous(b) for b in n.bodies.values()) for n in graph.nodes)


def references(graph: Graph, model: ModelLike, feeds: Mapping[str, Array], dims: Mapping[str, int], use_ort: bool,
               remarks: list[str]) -> References:
    """What ``feeds`` should give. What could not be had is said in ``remarks``."""
    truth = reference.truth(graph, model, feeds, dims)
    if truth.outputs is None:
        remarks.append(f"{truth.why}: compared with onnxruntime at 1e-4")
    if not use_ort:
        return References(truth.outputs, None)
    ort.require()
    try:
        best = ort.run(model, feeds)
        plain = ort.run(model, feeds, optimise=False) if discontinuous(graph) else None
    except Exception as e:  # onnxruntime's exceptions share no base of their own
        remarks.append(f"onnxruntime does not run this model ({_first_line(e)}): compared with the float64 run at 1e-4")
        return References(truth.outputs, None)
    return References(truth.outputs, best, plain)


def _first_line(e: Exception) -> str:
    return next(iter(str(e).strip().splitlines()), type(e).__name__)[:160]


def _cases(graph: Graph, library: Library, feeds: Mapping[str, Array], dims: Mapping[str, int], counts: Sequence[int],
           found: References, numerics: str) -> list[Case]:
    rounds = discontinuous(graph)
    first: dict[str, Array] | None = None
    out = []
    for n in counts:
        outputs = library.run(feeds, dims=dims, threads=n)
        findings = tuple(_finding(v.name, outputs, found, numerics, rounds) for v in graph.outputs
                         if isinstance(v.type, TensorType))
        same = first is None or all(_same(first[k], a) for k, a in outputs.items())
        first = first or {k: a.copy() for k, a in outputs.items()}
        out.append(Case(dict(dims), n, findings, same))
    return out


def _finding(name: str, outputs: Mapping[str, Array], found: References, numerics: str, rounds: bool) -> Finding:
    if name not in outputs:
        raise AotgenError(f"the library has no output '{name}'; was it built from this model?")
    return compare(name, outputs[name], found, numerics, rounds)


def _same(a: Array, b: Array) -> bool:
    if a.shape != b.shape or a.dtype.kind == "O":
        return a.shape == b.shape and bool(np.all(a == b))
    return a.tobytes() == b.tobytes()
