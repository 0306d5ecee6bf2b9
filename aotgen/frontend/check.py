# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Is the model well formed? Names, order and cycles of a graph; arity and types of a node against its schema."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Any

import onnx
from onnx import GraphProto, NodeProto

from aotgen.core.dtypes import DType
from aotgen.core.errors import ModelError
from aotgen.frontend.opset import Draft, has_adapter, newest_schema, schema_of
from aotgen.ir.graph import AnyType, SequenceType, TensorType

_SPELLING = {
    "f32": "float",
    "f64": "double",
    "bf16": "bfloat16",
    "c64": "complex64",
    "c128": "complex128",
    "f4e2m1": "float4e2m1",
    "f8e8m0": "float8e8m0",
    "f6e2m3": "float6e2m3",
    "f6e3m2": "float6e3m2",
}


def where_of(node: NodeProto) -> str:
    """``Conv /layer1/conv`` for messages; an unnamed node is called after its first output."""
    label = node.name or next((f"(output {o})" for o in node.output if o), "")
    return f"{node.op_type} {label}".strip()


# -- graphs


def ordered(
    nodes: Sequence[NodeProto], known: Callable[[str], bool], outputs: Iterable[str], graph: str
) -> list[NodeProto]:
    """The nodes that ``outputs`` depend on, producers first, otherwise as written. ``known``: is a name defined outside
    the nodes (inputs, initialisers, enclosing graphs)?

    Raises ModelError for a name defined twice, a name nobody defines, and a cycle.
    """
    nodes = _without_restated(nodes)
    producer: dict[str, int] = {}
    for k, node in enumerate(nodes):
        for name in filter(None, node.output):
            if name in producer:
                raise ModelError(
                    f"'{name}' is already an output of {where_of(nodes[producer[name]])}", node=where_of(node)
                )
            producer[name] = k
    reads = [list(dict.fromkeys(names_read(node))) for node in nodes]
    for node, names in zip(nodes, reads, strict=True):
        for name in names:
            if name not in producer and not known(name):
                raise ModelError(f"input '{name}' is not defined anywhere", node=where_of(node))
    for name in outputs:
        if name not in producer and not known(name):
            raise ModelError(f"output '{name}' of graph '{graph}' is not computed by any node")
    needed = _needed(producer, reads, outputs)
    return [nodes[k] for k in _sorted(nodes, needed, producer, reads)]


def _without_restated(nodes: Sequence[NodeProto]) -> Sequence[NodeProto]:
    """Of Constant nodes that define the same name, the last stands, as in onnxruntime; exporters do write such models."""
    last = {n.output[0]: k for k, n in enumerate(nodes) if n.op_type == "Constant" and n.output}
    return [n for k, n in enumerate(nodes) if n.op_type != "Constant" or not n.output or last[n.output[0]] == k]


def names_read(node: NodeProto) -> Iterator[str]:
    """Every name a node reads, by its subgraphs from outside too."""
    yield from filter(None, node.input)
    for a in node.attribute:
        for g in (a.g, *a.graphs) if a.HasField("g") else a.graphs:
            yield from _free_names(g)


def _free_names(graph: GraphProto) -> Iterator[str]:
    own = {i.name for i in graph.input} | {t.name for t in graph.initializer}
    own |= {s.values.name for s in graph.sparse_initializer} | {o for n in graph.node for o in n.output}
    for n in graph.node:
        yield from (name for name in names_read(n) if name not in own)
    yield from (o.name for o in graph.output if o.name not in own)


def _needed(producer: dict[str, int], reads: Sequence[list[str]], outputs: Iterable[str]) -> set[int]:
    needed: set[int] = set()
    stack = [producer[o] for o in outputs if o in producer]
    while stack:
        k = stack.pop()
        if k not in needed:
            needed.add(k)
            stack.extend(producer[name] for name in reads[k] if name in producer)
    return needed


def _sorted(
    nodes: Sequence[NodeProto], needed: set[int], producer: dict[str, int], reads: Sequence[list[str]]
) -> list[int]:
    """Kahn's algorithm with the written order as priority."""
    waits: dict[int, set[int]] = {k: {producer[n] for n in reads[k] if n in producer} for k in needed}
    users: dict[int, list[int]] = {}
    for k, deps in waits.items():
        for d in deps:
            users.setdefault(d, []).append(k)
    ready = [k for k, deps in waits.items() if not deps]
    heapq.heapify(ready)
    out: list[int] = []
    while ready:
        k = heapq.heappop(ready)
        out.append(k)
        for u in users.get(k, ()):
            waits[u].discard(k)
            if not waits[u]:
                heapq.heappush(ready, u)
    if len(out) < len(needed):
        stuck = sorted(needed - set(out))
        names = ", ".join(where_of(nodes[k]) for k in stuck[:4])
        raise ModelError(f"the graph has a cycle through {names}", node=where_of(nodes[stuck[0]]))
    return out


# -- nodes


def check_proto(node: NodeProto, opsets: dict[str, int]) -> None:
    """Attributes and arity by onnx.checker, for operators whose schema the package holds. Raises ModelError."""
    domain = "" if node.domain == "ai.onnx" else node.domain
    schema = schema_of(node.op_type, domain, opsets[domain]) if domain in opsets else None
    if schema is None or (schema.deprecated and has_adapter(node.op_type, domain)):
        return
    if any(a.HasField("g") or a.graphs or a.ref_attr_name for a in node.attribute):
        return  # bodies are checked node by node, references when they are resolved
    if domain != node.domain:
        node, spelled = NodeProto(), node
        node.CopyFrom(spelled)
        node.domain = domain
    try:
        onnx.checker.check_node(node, _context(tuple(sorted(opsets.items()))))
    except onnx.checker.ValidationError as e:
        raise ModelError(str(e).strip().splitlines()[0], node=where_of(node)) from None


@lru_cache(maxsize=16)
def _context(opsets: tuple[tuple[str, int], ...]) -> Any:
    context = onnx.checker.C.CheckerContext()
    context.ir_version = onnx.IR_VERSION
    context.opset_imports = dict(opsets)
    return context


def type_name(t: AnyType | None) -> str:
    """The type as the standard spells it in type constraints, e.g. ``tensor(float)``, ``seq(tensor(int64))``."""
    if t is None:
        return "unknown"
    if isinstance(t, TensorType):
        return f"tensor({dtype_name(t.dtype)})"
    if isinstance(t, SequenceType):
        return f"seq(tensor({dtype_name(t.dtype)}))"
    inner = type_name(t.element)
    return f"optional({inner if t.holds_sequence else inner[4:-1]})"


@lru_cache(maxsize=64)
def dtype_name(d: DType) -> str:
    if d.name in _SPELLING:
        return _SPELLING[d.name]
    if d.name.startswith("f8"):
        return f"float8{d.name[2:]}"
    return d.name if d.kind in "bs" else f"{ {'f': 'float', 'i': 'int', 'u': 'uint'}[d.kind] }{d.name[1:]}"


Formal = tuple[
    str, str, frozenset[str], bool, bool, bool
]  # name, type variable, allowed, required, repeats, one type


@lru_cache(maxsize=2048)
def _formals(op: str, domain: str) -> tuple[Formal, ...] | None:
    schema = newest_schema(op, domain)
    if schema is None:
        return None
    option = onnx.defs.OpSchema.FormalParameterOption
    return tuple(
        (
            p.name,
            p.type_str,
            frozenset(p.types),
            p.option == option.Single,
            p.option == option.Variadic,
            p.is_homogeneous,
        )
        for p in schema.inputs
    )


@lru_cache(maxsize=2048)
def _required_attributes(op: str, domain: str) -> tuple[str, ...]:
    schema = newest_schema(op, domain)
    return () if schema is None else tuple(name for name, a in schema.attributes.items() if a.required)


def check_types(draft: Draft) -> None:
    """Arity, required attributes and types of an adapted node against the newest schema. Raises ModelError naming what
    disagrees."""
    for name in _required_attributes(draft.op, draft.domain):
        if name not in draft.attrs and name not in draft.graphs:
            raise ModelError(f"attribute '{name}' is missing", node=draft.where())
    formals = _formals(draft.op, draft.domain)
    if formals is None:
        return
    bound: dict[str, tuple[str, str]] = {}
    for k, value in enumerate(draft.inputs):
        if k >= len(formals) and not (formals and formals[-1][4]):
            raise ModelError(
                f"takes at most {len(formals)} inputs, got {len(draft.inputs)}", node=draft.where()
            )
        name, variable, allowed, required, _, one_type = formals[min(k, len(formals) - 1)]
        if value is None:
            if required:
                raise ModelError(f"input '{name}' is missing", node=draft.where())
            continue
        have = type_name(value.type)
        if "unknown" in have:
            continue
        if allowed and have not in allowed:
            raise ModelError(
                f"input '{name}' ({value.name}) is {have}, which {draft.op} does not take", node=draft.where()
            )
        first = bound.setdefault(variable, (name, have))
        if first[1] != have and one_type:
            raise ModelError(
                f"input '{name}' is {have} but input '{first[0]}' is {first[1]}; they must agree",
                node=draft.where(),
            )
    for name, _, _, required, _, _ in formals[len(draft.inputs) :]:
        if required:
            raise ModelError(f"input '{name}' is missing", node=draft.where())
