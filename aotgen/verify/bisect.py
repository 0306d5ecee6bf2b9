# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Where does a wrong result begin? Compile the model with intermediate tensors as outputs and close in on the first one
that leaves the contract.

Each round makes a few evenly spaced tensors outputs and keeps everything between the last good and the first bad one, so
most of what was fused stays fused. When showing the tensors makes the error vanish, the search goes on with one tensor an
output at a time.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from aotgen import driver, frontend
from aotgen.core.errors import AotgenError
from aotgen.core.options import CompileOptions
from aotgen.ops.interp import run_graph
from aotgen.toolchain.loader import Library
from aotgen.verify import ort
from aotgen.verify.contract import References, compare

Array = NDArray[Any]
PROBES = 6  # tensors shown in one round
SIZE_LIMIT = 1 << 31  # bytes: what one protobuf message may hold


@dataclass(frozen=True, slots=True)
class Probe:
    """A tensor of the ONNX graph and the node that makes it."""

    tensor: str
    node: str


@dataclass(frozen=True, slots=True)
class Culprit:
    """``first``: the first tensor that diverges and its node, ``error`` its relative error, ``last_good``: the nearest one
    before it that does not diverge (None: the inputs). ``alone``: it diverges only while no other tensor is an output."""

    first: Probe
    last_good: Probe | None
    error: float
    alone: bool = False

    def __str__(self) -> str:
        found = f"first diverging tensor: '{self.first.tensor}' (relative error {self.error:.2e}), made by {self.first.node}"
        fused = "; it is right when more tensors are outputs: look at what it is fused with or how it is laid out"
        return found + (fused if self.alone else "")


def load_whole(model: str | Path | onnx.ModelProto) -> onnx.ModelProto:
    """The model as one message, external data included. Raises AotgenError when it is too large for that."""
    if isinstance(model, onnx.ModelProto):
        return model
    if sum(p.stat().st_size for p in Path(model).parent.iterdir() if p.is_file()) > SIZE_LIMIT:
        raise AotgenError("the model is too large to search for the first diverging tensor")
    return onnx.load(str(model))


def candidates(model: onnx.ModelProto, output: str) -> list[Probe]:
    """The tensors of the top-level graph that ``output`` depends on, in topological order, ``output`` last."""
    nodes = list(model.graph.node)
    maker = {o: k for k, n in enumerate(nodes) for o in n.output if o}
    needed: set[int] = set()
    todo = [output]
    while todo:
        k = maker.get(todo.pop())
        if k is None or k in needed:
            continue
        needed.add(k)
        todo += _reads(nodes[k])
    order = _topological(nodes, sorted(needed), maker)
    out = [Probe(o, f"{nodes[k].op_type} {nodes[k].name or nodes[k].output[0]}")
           for k in order for o in nodes[k].output if o and nodes[k].op_type != "Constant"]
    return [p for p in out if p.tensor != output] + [p for p in out if p.tensor == output]


def _reads(node: onnx.NodeProto) -> list[str]:
    out = [i for i in node.input if i]
    for a in node.attribute:
        for g in (a.g, *a.graphs):
            out += [i for n in g.node for i in _reads(n)] + [o.name for o in g.output]
    return out


def _topological(nodes: Sequence[onnx.NodeProto], wanted: Sequence[int], maker: Mapping[str, int]) -> list[int]:
    done: dict[int, None] = {}
    for root in wanted:
        stack = [(root, False)]
        while stack:
            k, ready = stack.pop()
            if ready:
                done[k] = None
            elif k not in done:
                stack.append((k, True))
                stack += [(maker[i], False) for i in _reads(nodes[k]) if i in maker and maker[i] not in done]
    return list(done)


def showing(model: onnx.ModelProto, tensors: Sequence[str]) -> onnx.ModelProto:
    """``model`` whose outputs are ``tensors``, and only those."""
    out = onnx.ModelProto()
    out.CopyFrom(model)
    types = {v.name: v for v in (*model.graph.output, *model.graph.value_info)}
    del out.graph.output[:]
    for name in tensors:
        out.graph.output.append(types.get(name, onnx.ValueInfoProto(name=name)))
    return out


Judge = Callable[[Sequence[str]], dict[str, float]]  # tensors -> relative error of those that diverge


def bisect(model: str | Path | onnx.ModelProto, output: str, feeds: Mapping[str, Array], options: CompileOptions,
           *, threads: int = 1, progress: Callable[[str], None] = lambda _: None) -> Culprit | None:
    """The first tensor on the way to ``output`` that leaves the contract on ``feeds``; None when even ``output`` alone
    is right. Raises AotgenError when the model cannot be cut up."""
    whole = load_whole(model)
    return search(candidates(whole, output), _judge(whole, feeds, options, threads), progress)


def search(probes: Sequence[Probe], judge: Judge, progress: Callable[[str], None] = lambda _: None) -> Culprit | None:
    """Close in on the first of ``probes`` that ``judge`` finds diverging; the last one is known to diverge at first."""
    if not probes:
        return None
    low, high, error = -1, len(probes) - 1, float("nan")  # probes[low] is good, probes[high] is bad
    while True:
        inner = sorted({low + 1 + (high - low - 1) * k // PROBES for k in range(PROBES)} - {high}) if high - low > 1 else []
        progress(f"{high - low} tensors left")
        bad = judge([probes[k].tensor for k in (*inner, high)])
        first = next((k for k in (*inner, high) if probes[k].tensor in bad), None)
        if first is None:
            return _search_alone(probes, low, high, judge, progress)
        error = bad[probes[first].tensor]
        low = max((k for k in inner if k < first), default=low)
        high = first
        if high - low <= 1:
            return Culprit(probes[high], probes[low] if low >= 0 else None, error)


def _search_alone(probes: Sequence[Probe], low: int, high: int, judge: Judge,
                  progress: Callable[[str], None]) -> Culprit | None:
    """The same by halves, with one tensor an output at a time: for faults that looking at more of them cures."""
    error = judge([probes[high].tensor]).get(probes[high].tensor)
    if error is None:
        return None
    while high - low > 1:
        progress(f"{high - low} tensors left, one by one")
        middle = (low + high) // 2
        found = judge([probes[middle].tensor]).get(probes[middle].tensor)
        if found is None:
            low = middle
        else:
            high, error = middle, found
    return Culprit(probes[high], probes[low] if low >= 0 else None, error, alone=True)


def _judge(model: onnx.ModelProto, feeds: Mapping[str, Array], options: CompileOptions, threads: int) -> Judge:
    options = replace(options, name="probe")

    def judge(tensors: Sequence[str]) -> dict[str, float]:
        variant = showing(model, tensors)
        with tempfile.TemporaryDirectory(prefix="aotgen-bisect-") as folder:
            made = driver.compile_model(variant, Path(folder) / "probe", options)
            assert made.folder is not None
            actual = Library(made.folder).run(feeds, threads=threads)
        graph = frontend.load_graph(variant, options)
        with np.errstate(all="ignore"):
            truth = run_graph(graph, feeds, wide=True)
        found = References(truth, _peer(variant, feeds))
        findings = [compare(t, actual[t], found, options.numerics) for t in tensors if t in actual]
        return {f.name: f.error for f in findings if not f.ok}

    return judge


def _peer(model: onnx.ModelProto, feeds: Mapping[str, Array]) -> dict[str, Array] | None:
    try:
        return ort.run(model, feeds)
    except Exception:  # without onnxruntime the contract falls back to one tolerance
        return None
