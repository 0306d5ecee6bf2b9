# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Functions: model-local ones, and the bodies that schemas of the standard carry (context-dependent ones too).

Both are FunctionProtos; the importer reads one as a nested scope, each node at the function's own operator set. (The
package's inliner would serialise the whole model, which a model beyond 2 GB does not survive, and mixes operator sets.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import onnx
from onnx import FunctionProto, NodeProto, TypeProto, helper, numpy_helper

from aotgen.frontend.opset import Draft, newest_schema
from aotgen.ir.graph import AnyType, Constant, OptionalType, SequenceType, TensorType

MAX_DEPTH = 64  # nested calls: deeper means a function that calls itself
LocalKey = tuple[str, str, str]


def local_functions(model: onnx.ModelProto) -> dict[LocalKey, FunctionProto]:
    """Model-local functions by (domain, name, overload)."""
    return {(_domain(f.domain), f.name, f.overload): f for f in model.functions}


def local_key(node: NodeProto) -> LocalKey:
    return (_domain(node.domain), node.op_type, node.overload)


def _domain(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain


def schema_function(draft: Draft) -> FunctionProto | None:
    """The function body the standard gives ``draft`` (an adapted node), or None."""
    schema = newest_schema(draft.op, draft.domain)
    if schema is None:
        return None
    if schema.has_function:
        body_of: FunctionProto = schema.function_body
        return body_of
    if not schema.has_context_dependent_function:
        return None
    types = [b"" if v is None else type_proto(v.type).SerializeToString() for v in draft.inputs]
    body = schema.get_context_dependent_function(_proto_of(draft).SerializeToString(), types)
    if not body:
        return None
    function = FunctionProto()
    function.ParseFromString(body)
    return function


def call_attributes(
    function: FunctionProto,
    attrs: Mapping[str, Any],
    defaults: Mapping[str, Any],
) -> dict[str, Any]:
    """What attribute references inside ``function`` resolve to: the call's, else the declared defaults."""
    names = {*function.attribute, *defaults}
    return {**defaults, **{k: v for k, v in attrs.items() if k in names}}


def schema_defaults(op: str, domain: str) -> list[onnx.AttributeProto]:
    """Default attribute values of the newest schema."""
    schema = newest_schema(op, domain)
    if schema is None:
        return []
    return [a.default_value for a in schema.attributes.values() if a.default_value.type]


def type_proto(t: AnyType) -> TypeProto:
    """The type as a TypeProto; open dims are left without a value."""
    if isinstance(t, TensorType):
        return helper.make_tensor_type_proto(
            t.dtype.onnx, [d if isinstance(d, int) else str(d) for d in t.shape]
        )
    if isinstance(t, SequenceType):
        return helper.make_sequence_type_proto(helper.make_tensor_type_proto(t.dtype.onnx, t.shape))
    inner = type_proto(t.element)
    return helper.make_optional_type_proto(inner if t.holds_sequence else inner.sequence_type.elem_type)


def _proto_of(draft: Draft) -> NodeProto:
    """The adapted node as a NodeProto; operands are called in0, in1, ..."""
    names = [f"in{k}" if v is not None else "" for k, v in enumerate(draft.inputs)]
    node = helper.make_node(draft.op, names, draft.outputs, domain=draft.domain, name=draft.origin)
    for name, value in draft.attrs.items():
        if isinstance(value, Constant):
            value = numpy_helper.from_array(value.load())
        elif isinstance(value, (TensorType, SequenceType, OptionalType)):
            value = type_proto(value)
        node.attribute.append(helper.make_attribute(name, value))
    for name, graph in draft.graphs.items():
        node.attribute.append(helper.make_attribute(name, graph))
    return node
