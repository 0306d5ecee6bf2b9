# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What the inputs of a body are: the types a Loop, Scan or If gives the subgraphs it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from onnx import GraphProto

from aotgen.core import dtypes
from aotgen.core.errors import ModelError
from aotgen.frontend.attributes import type_of
from aotgen.frontend.opset import Draft, tensor_type
from aotgen.ir.graph import AnyType, Constant, Graph, Node, TensorType, Value
from aotgen.ops.builder import Builder
from aotgen.ops.control import widened

HANDED_ON = frozenset({"Identity", "Cast", "Reshape", "Squeeze", "Unsqueeze"})  # what may stand between a comparison and its If
BodyTypes = Callable[[str, GraphProto], Sequence[AnyType]]


def body_types(draft: Draft) -> BodyTypes:
    """A function of (attribute name, subgraph) giving the types of the subgraph's inputs."""
    if draft.domain == "" and draft.op == "Loop":
        return lambda _, graph: _loop(draft)
    if draft.domain == "" and draft.op == "Scan":
        return lambda _, graph: _scan(draft)
    return lambda _, graph: [type_of(i.type) for i in graph.input]


def widened_types(draft: Draft, builder: Builder, types: Sequence[AnyType], body: Graph) -> list[AnyType]:
    """The types of a body's inputs with carried extents that a trip changes made dims."""
    spans = {"Loop": (2, len(draft.inputs) - 2, 1), "Scan": (0, len(draft.inputs) - int(draft.attrs.get("num_scan_inputs", 0)), 0)}
    first, count, skip = spans.get(draft.op, (0, 0, 0)) if draft.domain == "" else (0, 0, 0)
    carried = widened(builder, types[first:first + count], body.outputs[skip:skip + count])
    return [*types[:first], *carried, *types[first + count:]]


def equality_that_decides_ranks(builder: Builder, draft: Draft, bodies: Mapping[str, Graph]) -> tuple[Value, Value] | None:
    """The two extents whose equality an If asks for where its branches yield values of different ranks: exporters squeeze
    an axis if its extent is 1. A value has one rank, so the library is made for dims where they are equal."""
    if draft.op != "If" or draft.domain or set(bodies) != {"then_branch", "else_branch"}:
        return None
    pairs = zip(bodies["then_branch"].outputs, bodies["else_branch"].outputs, strict=False)
    if all(not isinstance(v.type, TensorType) or len(v.shape) == len(w.shape) for v, w in pairs):
        return None
    node = _producer(builder, draft.input(0))
    while node is not None and node.op in HANDED_ON and node.inputs[0] is not None:
        node = _producer(builder, node.inputs[0])
    if node is None or node.op != "Equal":
        return None
    a, b = node.inputs
    known = [builder.known(v) for v in (a, b)]
    return (a, b) if a is not None and b is not None and all(c is not None and c.size == 1 for c in known) else None


def _producer(builder: Builder | None, v: Value) -> Node | None:
    while builder is not None:
        for node in reversed(builder.nodes):
            if v in node.outputs:
                return node
        builder = builder.parent
    return None


def void_body(parent: Builder, name: str, like: Graph) -> Graph:
    """A body without inputs whose outputs have the types of those of ``like`` and hold NaN, or 0 where there is none."""
    b = Builder(name, parent)
    outputs = []
    for v in like.outputs:
        extents = b.constant(Constant.of_dims(tuple(v.shape), (len(v.shape),), dtypes.i64), "extents")
        outputs.append(b.op("Expand", [b.scalar(float("nan") if v.dtype.is_float else 0, v.dtype), extents]))
    return b.graph(outputs)


def _loop(draft: Draft) -> list[AnyType]:
    """Trip number, condition, then the carried values as they enter the first trip."""
    carried = [v for v in draft.inputs[2:] if v is not None]
    if len(carried) != len(draft.inputs[2:]):
        raise ModelError("a carried value has no initial value", node=draft.where())
    return [TensorType(dtypes.i64, ()), TensorType(dtypes.boolean, ()), *(v.type for v in carried)]


def _scan(draft: Draft) -> list[AnyType]:
    """States as they are, then one slice of each scanned input."""
    count = int(draft.attrs["num_scan_inputs"])
    states, scanned = draft.inputs[:len(draft.inputs) - count], draft.inputs[len(draft.inputs) - count:]
    axes = draft.attrs.get("scan_input_axes") or [0] * count
    types: list[AnyType] = [v.type for v in states if v is not None]
    for v, axis in zip(scanned, axes, strict=True):
        if v is None:
            raise ModelError("a scanned input is missing", node=draft.where())
        t = tensor_type(v, draft.where())
        axis = int(axis) % len(t.shape) if t.shape else 0
        if not t.shape:
            raise ModelError(f"scanned input {v.name} is a scalar", node=draft.where())
        types.append(TensorType(t.dtype, t.shape[:axis] + t.shape[axis + 1:]))
    return types
