# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""AttributeProto -> Python values; a reference to an attribute of the enclosing function is resolved."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from onnx import AttributeProto, GraphProto, TypeProto

from aotgen.core import dtypes
from aotgen.core.errors import ModelError, UnsupportedError
from aotgen.frontend.tensors import constant_of, sparse_constant
from aotgen.ir.graph import AnyType, Constant, OptionalType, SequenceType, TensorType

A = AttributeProto


def attributes_of(
    protos: Iterable[AttributeProto], folder: Path | None, outer: Mapping[str, Any], where: str
) -> tuple[dict[str, Any], dict[str, GraphProto]]:
    """``(attrs, graphs)``. Strings are str (bytes when not UTF-8), tensors are ``Constant``. ``outer``: the attributes of
    the call being inlined; an attribute that refers to one that was not given is left out."""
    attrs: dict[str, Any] = {}
    graphs: dict[str, GraphProto] = {}
    for a in protos:
        if a.ref_attr_name:
            if a.ref_attr_name in outer:
                attrs[a.name] = outer[a.ref_attr_name]
        elif a.type == A.GRAPH:
            graphs[a.name] = a.g
        elif a.type == A.GRAPHS:
            graphs.update({f"{a.name}_{k}": g for k, g in enumerate(a.graphs)})
        else:
            attrs[a.name] = _value(a, folder, where)
    return attrs, graphs


def _text(raw: bytes) -> str | bytes:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return raw


def _value(a: AttributeProto, folder: Path | None, where: str) -> Any:
    at = f"{where} attribute '{a.name}'"
    simple = {
        A.FLOAT: lambda: a.f,
        A.INT: lambda: a.i,
        A.STRING: lambda: _text(a.s),
        A.FLOATS: lambda: list(a.floats),
        A.INTS: lambda: list(a.ints),
        A.STRINGS: lambda: [_text(s) for s in a.strings],
        A.TENSOR: lambda: constant_of(a.t, folder, at),
        A.SPARSE_TENSOR: lambda: sparse_constant(a.sparse_tensor, folder),
        A.TENSORS: lambda: [constant_of(t, folder, at) for t in a.tensors],
        A.TYPE_PROTO: lambda: type_of(a.tp),
    }
    if a.type in simple:
        read: Callable[[], Any] = simple[a.type]
        return read()
    guess = _untyped(a)
    if guess is None:
        raise ModelError(f"attribute '{a.name}' has no type", node=where)
    return guess


def _untyped(a: AttributeProto) -> Any:
    """The value of an attribute written before attributes had a type field (IR version 1)."""
    if a.HasField("f"):
        return a.f
    if a.HasField("i"):
        return a.i
    if a.HasField("s"):
        return _text(a.s)
    return list(a.floats) or list(a.ints) or [_text(s) for s in a.strings] or None


def type_of(proto: TypeProto) -> AnyType:
    """A TypeProto all of whose dims are numbers (attributes and element types; inputs go through ``dims``)."""
    kind = proto.WhichOneof("value")
    if kind == "tensor_type":
        t = proto.tensor_type
        return TensorType(dtype_of(t.elem_type), tuple(int(d.dim_value) for d in t.shape.dim))
    if kind == "sequence_type":
        return SequenceType(*_element(proto.sequence_type.elem_type))
    if kind == "optional_type":
        inner = proto.optional_type.elem_type
        if inner.HasField("sequence_type"):
            return OptionalType(SequenceType(*_element(inner.sequence_type.elem_type)), True)
        return OptionalType(SequenceType(*_element(inner)))
    raise UnsupportedError(f"values of {kind or 'unknown'} are not supported")


def _element(proto: TypeProto) -> tuple[dtypes.DType, tuple[int | None, ...] | None]:
    """Element type and shape of the tensors in a sequence or optional: what is not a number differs from one to the next."""
    if not proto.HasField("tensor_type"):
        raise UnsupportedError("sequences and optionals of anything but tensors are not supported")
    t = proto.tensor_type
    dims = tuple(int(d.dim_value) if d.HasField("dim_value") else None for d in t.shape.dim)
    return dtype_of(t.elem_type), dims if t.HasField("shape") else None


def dtype_of(elem_type: int) -> dtypes.DType:
    """The dtype row of an ONNX enum. Raises ModelError for 0 (undefined) and unknown numbers."""
    if elem_type not in dtypes.BY_ONNX:
        raise ModelError(f"element type {elem_type} is undefined or unknown")
    return dtypes.BY_ONNX[elem_type]


def plain(attrs: Mapping[str, Any]) -> dict[str, Any]:
    """Attributes as a Node carries them: tensors as arrays."""
    return {k: v.load() if isinstance(v, Constant) else v for k, v in attrs.items()}
