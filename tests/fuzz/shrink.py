# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Make a failing case small: fewer outputs, one run, fewer nodes (delta debugging: what a dropped node made becomes an input
with the contents it had), smaller extents."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper

from aotgen import frontend
from aotgen.core.options import CompileOptions
from aotgen.ops.interp import run_graph
from aotgen.verify import ort
from tests.fuzz import reference
from tests.fuzz.case import Arrays, Case
from tests.fuzz.generator import reads

Fails = Callable[[Case], bool]


@dataclass
class Budget:
    """Trials of one shrinking: each compiles. Ends after ``seconds``."""

    fails: Fails
    seconds: float

    def __post_init__(self) -> None:
        self.end = time.monotonic() + self.seconds

    def better(self, candidates: Iterator[Case], best: Case) -> Case:
        """``best``, or the first candidate that fails as well."""
        for candidate in candidates:
            if time.monotonic() > self.end:
                break
            if self.fails(candidate):
                return candidate
        return best


def shrunk(case: Case, fails: Fails, seconds: float = 120) -> Case:
    """A case that fails too and is as small as ``seconds`` of trials make it."""
    budget = Budget(fails, seconds)
    case = budget.better(_single_runs(case), case)
    case = budget.better(_single_outputs(case), case)
    chunk = max(len(case.model.graph.node) // 2, 1)
    while chunk >= 1 and time.monotonic() < budget.end:
        smaller = budget.better(_without_nodes(case, chunk), case)
        if smaller is case:
            chunk //= 2
        case = smaller
    while time.monotonic() < budget.end:
        smaller = budget.better(_smaller_extents(case), case)
        if smaller is case:
            break
        case = smaller
    return case


def _single_runs(case: Case) -> Iterator[Case]:
    if len(case.feeds) > 1:
        yield from (replace(case, feeds=[f], truth=case.truth[k:k + 1]) for k, f in enumerate(case.feeds))


def _single_outputs(case: Case) -> Iterator[Case]:
    if len(case.model.graph.output) > 1:
        yield from _valid(rebuilt(case, case.model.graph.node, [o.name], {}) for o in case.model.graph.output)


def _without_nodes(case: Case, chunk: int) -> Iterator[Case]:
    """Every run of ``chunk`` nodes left out, last ones first."""
    nodes = list(case.model.graph.node)
    held = _everything(case)
    outs = [o.name for o in case.model.graph.output]
    for at in range(len(nodes) - chunk, -1, -chunk):
        kept = nodes[:at] + nodes[at + chunk:]
        made = {o for n in kept for o in n.output}
        wanted = [o for o in outs if o in made] or [o for n in kept[-1:] for o in n.output if o]
        if kept:
            yield from _valid([rebuilt(case, kept, wanted, held)])


def _everything(case: Case) -> dict[str, list[np.ndarray]]:
    """Contents of every value of the outer graph by name, in each run."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    names = [o for n in model.graph.node for o in n.output if o]
    del model.graph.output[:]
    model.graph.output.extend(onnx.ValueInfoProto(name=n) for n in names)
    runs = [ort.run(model, f, optimise=False) for f in case.feeds]
    return {n: [r[n] for r in runs] for n in names}


def _valid(candidates: object) -> Iterator[Case]:
    for candidate in candidates:  # type: ignore[attr-defined]
        if candidate is not None:
            yield candidate


def rebuilt(case: Case, nodes: Sequence[onnx.NodeProto], outs: Sequence[str], held: dict[str, list[np.ndarray]]) -> Case | None:
    """The part of ``case`` that ``outs`` need of ``nodes``; what else they read becomes inputs with the contents ``held``.
    None where that is no valid model with fixed extents."""
    needed, kept = set(outs), []
    for node in reversed(nodes):
        if needed & set(node.output):
            kept.insert(0, node)
            needed |= set(reads(node))
    made = {o for n in kept for o in n.output}
    ports = {i.name: i for i in case.model.graph.input}
    weights = [w for w in case.model.graph.initializer if w.name in needed]
    free = [n for n in sorted(needed) if n not in made and n not in {w.name for w in weights}]
    feeds: list[Arrays] = [{n: f[n] if n in f else held[n][k] for n in free} for k, f in enumerate(case.feeds)]
    if any(len({f[n].shape for f in feeds}) > 1 and n not in ports for n in free):
        return None
    inputs = [ports[n] if n in ports else reference.port(n, feeds[0][n]) for n in free]
    return _checked(case, reference.model_of(kept, inputs, weights, list(outs), case.model.opset_import[0].version), feeds)


def _checked(case: Case, model: onnx.ModelProto, feeds: Sequence[Arrays]) -> Case | None:
    """A case of ``model`` with a truth of its own; None where onnxruntime or the interpreter does not run it."""
    try:
        graph = frontend.load_graph(model, CompileOptions(dynamic=case.dynamic))
        with np.errstate(all="ignore"):
            truth = [run_graph(graph, f, wide=True) for f in feeds]
        for f in feeds:
            ort.run(model, f, optimise=False)
    except Exception:  # whoever refuses it: it is no candidate
        return None
    return replace(case, model=model, feeds=list(feeds), truth=truth if case.truth else [])


def _smaller_extents(case: Case) -> Iterator[Case]:
    """One extent less wherever it occurs in inputs and initializers, or the halves of the large ones."""
    if case.dynamic:
        return
    sizes = sorted({d for a in case.feeds[0].values() for d in a.shape if d > 1}, reverse=True)
    for old in sizes:
        for new in dict.fromkeys((1, 2, old // 2, old - 1)):
            if 0 < new < old:
                yield from _valid([_with_extent(case, old, new)])


def _with_extent(case: Case, old: int, new: int) -> Case | None:
    def cut(a: np.ndarray) -> np.ndarray:
        return np.ascontiguousarray(a[tuple(slice(0, new) if d == old else slice(None) for d in a.shape)]).reshape(
            [new if d == old else d for d in a.shape])

    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    feeds = [{n: cut(a) for n, a in f.items()} for f in case.feeds]
    weights: list[TensorProto] = [numpy_helper.from_array(cut(numpy_helper.to_array(w)), w.name) for w in model.graph.initializer]
    ports = [reference.port(i.name, feeds[0][i.name]) for i in model.graph.input]
    del model.graph.initializer[:], model.graph.input[:]
    model.graph.initializer.extend(weights)
    model.graph.input.extend(ports)
    return _checked(case, model, feeds)
