# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``inspect``: what a model is and everything that stands in the way of compiling it, at once."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import onnx
from onnx import GraphProto

from aotgen.core import dtypes
from aotgen.core.errors import AotgenError
from aotgen.core.options import CompileOptions
from aotgen.frontend.dims import named_dims
from aotgen.frontend.import_ import import_model, true_inputs
from aotgen.frontend.load import Source, read
from aotgen.ir import define, expr, index
from aotgen.ir.define import Def
from aotgen.ir.graph import Graph, Node, Value
from aotgen.ir.index import Dim
from aotgen.ops import registry
from aotgen.ops.registry import Ctx

SIZES = (1, 16, 512)  # tried for all open dims at once, to tell what is unsupported from what is only unsupported while open


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output: ``shape`` as text, one entry an axis (a number, or the name of an open dim)."""

    name: str
    dtype: str
    shape: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}: {self.dtype}[{','.join(self.shape)}]"


@dataclass(frozen=True, slots=True)
class Report:
    """``operators``: how often each occurs in the file, bodies and local functions included. ``parameters``: elements of
    all stored tensors. ``macs``: multiply-accumulates of one inference, a polynomial of the open dims as text when there
    are any, None when part of the model could not be read. ``open_dims``: dim name -> where it occurs; each needs --dim.
    ``problems``: every construct that does not compile;
    ``problems_if_open``: those that vanish when the open dims are fixed."""

    name: str
    opsets: tuple[tuple[str, int], ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    operators: tuple[tuple[str, int], ...]
    parameters: int
    parameter_bytes: int
    macs: int | str | None
    open_dims: tuple[tuple[str, tuple[str, ...]], ...]
    problems: tuple[AotgenError, ...]
    problems_if_open: tuple[AotgenError, ...] = ()


def inspect(model: str | Path | onnx.ModelProto, options: CompileOptions | None = None) -> Report:
    """Read ``model`` with every dim that has no value left open, and report. Raises ModelError only when the file itself
    cannot be read."""
    source = read(model)
    options = replace(options or CompileOptions(), dynamic=True)
    graph, problems = _attempt(source, options)
    still_open = _open_dims(source, options)
    lasting = _lasting(source, options, problems, [name for name, _ in still_open])
    proto = source.model.graph
    inputs = tuple(map(_port, graph.inputs)) if graph else tuple(map(_declared, true_inputs(proto)))
    done = {v.name: v for v in graph.outputs} if graph else {}
    outputs = tuple(_port(done[o.name]) if o.name in done else _declared(o) for o in proto.output)
    elements, nbytes = _stored(source)
    return Report(
        proto.name, tuple(sorted(source.opsets().items())), inputs, outputs,
        tuple(sorted(Counter(_operators(source.model)).items(), key=lambda row: (-row[1], row[0]))), elements, nbytes,
        None if graph is None or problems else _number(macs(graph)), still_open, tuple(lasting), tuple(p for p in problems if p not in lasting))


def _attempt(source: Source, options: CompileOptions) -> tuple[Graph | None, list[AotgenError]]:
    """The Graph as far as it can be read, and everything that is wrong."""
    problems: list[AotgenError] = []
    try:
        return import_model(source, options, problems), problems
    except AotgenError as e:
        return None, [*problems, e]


def _lasting(source: Source, options: CompileOptions, problems: list[AotgenError], dims: list[str]) -> list[AotgenError]:
    """Those of ``problems`` that no size tried for the open dims cures."""
    lasting = problems
    for size in SIZES if dims else ():
        if not lasting:
            break
        fixed = replace(options, dims=(*options.dims, *((name, size) for name in dims)))
        failing = {p.node for p in _attempt(source, fixed)[1]}
        if failing <= {p.node for p in problems}:  # else this size makes no sense for the model
            lasting = [p for p in lasting if p.node in failing]
    return lasting


def _port(v: Value) -> Port:
    shape = getattr(v.type, "shape", ())
    return Port(v.name, str(getattr(v.type, "dtype", v.type)), tuple(map(str, shape)))


def _declared(info: onnx.ValueInfoProto) -> Port:
    dtype = dtypes.BY_ONNX.get(info.type.tensor_type.elem_type)
    return Port(info.name, str(dtype or "?"), tuple(map(str, named_dims(info) or ())))


def _operators(model: onnx.ModelProto) -> Iterator[str]:
    for graph in (model.graph, *model.functions):
        yield from _operators_of(graph)


def _operators_of(graph: GraphProto | onnx.FunctionProto) -> Iterator[str]:
    for node in graph.node:
        yield f"{node.domain}.{node.op_type}" if node.domain not in ("", "ai.onnx") else node.op_type
        for a in node.attribute:
            for body in (a.g, *a.graphs) if a.HasField("g") else a.graphs:
                yield from _operators_of(body)


def _stored(source: Source) -> tuple[int, int]:
    """Elements and bytes of the initialisers and Constant tensors of the main graph."""
    tensors = [*source.model.graph.initializer, *(a.t for n in source.model.graph.node if n.op_type == "Constant"
                                                  for a in n.attribute if a.HasField("t"))]
    counts = [(math.prod(t.dims), dtypes.BY_ONNX.get(t.data_type)) for t in tensors]
    return sum(n for n, _ in counts), sum((n * d.bits + 7) // 8 for n, d in counts if d is not None)


def _open_dims(source: Source, options: CompileOptions) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Dims that neither the model nor ``options`` fix, with the input axes they are."""
    fixed = {*dict(options.dims), *dict(options.open_dims)}
    found: dict[str, list[str]] = {}
    for info in true_inputs(source.model.graph):
        if info.name in dict(options.input_shapes):
            continue
        for axis, d in enumerate(named_dims(info) or ()):
            if isinstance(d, str) and d not in fixed:
                found.setdefault(d, []).append(f"{info.name} axis {axis}")
    return tuple((name, tuple(places)) for name, places in found.items())


# -- arithmetic


def _number(d: Dim) -> int | str:
    return d if isinstance(d, int) else str(d)


def macs(graph: Graph) -> Dim:
    """Multiply-accumulates of one run: the iteration points of every sum of products. The dearer branch of an If counts;
    a Scan counts once per trip, a Loop once per trip when their number is known (else once)."""
    total: Dim = 0
    for node in graph.nodes:
        total = index.as_dim(index.ix(total) + _macs_of(node, graph))
    return total


def _macs_of(node: Node, graph: Graph) -> Dim:
    if node.bodies:
        inner = [macs(b) for b in node.bodies.values()]
        largest = max(inner, key=lambda d: d if isinstance(d, int) else 1 << 62)
        return index.as_dim(index.ix(largest) * _trips(node, graph))
    row = registry.find(node.op, node.domain)
    if row is None or row.lower is None:
        return 0
    known = {v: graph.constants[v] for v in node.inputs if v is not None and v in graph.constants}
    ins = [None if v is None else define.source(v.name, v.shape, v.dtype) for v in node.inputs]
    outs = [d for d in registry.lower_node(Ctx(node, known), ins) if d is not None]
    return index.as_dim(sum((index.ix(_points(d)) for d in define.topological(outs) if _is_contraction(d)), index.ix(0)))


def _trips(node: Node, graph: Graph) -> Dim:
    if node.op == "Scan":
        scanned = node.inputs[-1]
        axes = node.attrs.get("scan_input_axes")
        return scanned.shape[int(axes[-1]) if axes else 0] if scanned is not None else 1
    if node.op == "Loop" and node.inputs[0] is not None and (c := graph.constants.get(node.inputs[0])) is not None:
        return c.dims[0] if c.dims is not None else max(0, min(int(c.load().ravel()[0]), 1 << 40))
    return 1


def _is_contraction(d: Def) -> bool:
    """A sum over products of two loads: matrix products and convolutions in any spelling."""
    if d.red != "sum" or d.expr is None or not d.rvars:
        return False
    stack = [d.expr]
    while stack:
        e = stack.pop()
        if e.op == "mul":
            sides = [{ld.attr[0] for ld in expr.loads_of(a)} for a in e.args]
            return bool(sides[0]) and bool(sides[1])
        if e.op in ("guard", "select", "cast", "sub", "add"):
            stack.extend(e.args)
    return False


def _points(d: Def) -> Dim:
    return index.prod_dims([*d.shape, *(index.as_dim(r.ext) for r in d.rvars if r.ext is not None)])
