# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The adapter table: (domain, operator, version) -> function that brings an older node up to that version.

A node is adapted as it is read: inputs are typed Values already, outputs are still names. Adapters with a version above
the node's run in ascending order, so each states one change of the standard. Changes that only widen types need none.
The table is filled by ``adapters/*.py``, found, not listed.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
import onnx
from onnx import GraphProto

from aotgen.core.dtypes import DType
from aotgen.core.errors import ModelError, UnsupportedError
from aotgen.ir.graph import AnyType, Constant, TensorType, Value
from aotgen.ops.builder import Builder

Results = tuple[Value | None, ...]
EVERY = 10_000  # the version of adapters that apply to every node (spellings the standard allows but no operator file handles)


@dataclass
class Draft:
    """A node being read. Adapters change it in place.

    ``version``: the operator version it is written for. ``attrs``: tensors are ``Constant``. ``finish``: what to do with
    the results afterwards. ``results``: set when the adapter has built the whole meaning itself.
    """

    op: str
    domain: str
    version: int
    inputs: list[Value | None]
    outputs: list[str]
    attrs: dict[str, Any] = field(default_factory=dict)
    graphs: dict[str, GraphProto] = field(default_factory=dict)
    origin: str = ""
    finish: Callable[[Results], Results] | None = None
    results: Results | None = None

    def where(self) -> str:
        return f"{self.op} {self.origin}".strip()

    def given(self, i: int) -> bool:
        return i < len(self.inputs) and self.inputs[i] is not None

    def input(self, i: int) -> Value:
        """Input ``i``, which must be there."""
        v = self.inputs[i] if i < len(self.inputs) else None
        if v is None:
            raise ModelError(f"input {i} is missing", node=self.where())
        return v

    def rank(self, i: int) -> int:
        return len(self.input(i).shape)

    def set_input(self, i: int, v: Value | None) -> None:
        self.inputs += [None] * (i + 1 - len(self.inputs))
        self.inputs[i] = v

    def pop_ints(self, name: str, default: Sequence[int] | None = None) -> list[int] | None:
        value = self.attrs.pop(name, default)
        return None if value is None else [int(v) for v in value]

    def attr_to_input(self, b: Builder, name: str, i: int, dtype: DType) -> None:
        """Move attribute ``name``, if given, to input ``i`` as a constant of ``dtype``."""
        if name in self.attrs:
            self.set_input(i, b.constant(np.asarray(self.attrs.pop(name), dtype.numpy), name))

    def chain(self, f: Callable[[Value], Value]) -> None:
        """Apply ``f`` to the first result."""
        before = self.finish

        def finish(results: Results) -> Results:
            results = before(results) if before else results
            first = results[0]
            return results if first is None else (f(first), *results[1:])

        self.finish = finish

    def refuse(self, why: str, hint: str = "") -> UnsupportedError:
        return UnsupportedError(why, node=self.where(), hint=hint)


Adapter = Callable[[Draft, Builder], None]
Schema = Any  # onnx.defs.OpSchema, whose stubs leave out half of it
TABLE: dict[tuple[str, str], list[tuple[int, Adapter]]] = {}


def adapter(*names: str, to: int, domain: str = "") -> Callable[[Adapter], Adapter]:
    """Register ``f(draft, builder)``: brings an older node of any of ``names`` up to version ``to``."""

    def add(f: Adapter) -> Adapter:
        for name in names:
            rows = TABLE.setdefault((domain, name), [])
            rows.append((to, f))
            rows.sort(key=lambda row: row[0])
        return f

    return add


@lru_cache(maxsize=4096)
def schema_of(op: str, domain: str, opset: int) -> Schema | None:
    """The schema in force at ``opset``, or None for operators the onnx package does not know."""
    try:
        return onnx.defs.get_schema(op, opset, domain)
    except onnx.defs.SchemaError:
        return None


@lru_cache(maxsize=4096)
def newest_schema(op: str, domain: str) -> Schema | None:
    try:
        return onnx.defs.get_schema(op, domain)
    except onnx.defs.SchemaError:
        return None


def version_of(op: str, domain: str, opset: int) -> int:
    """The version of the operator that ``opset`` means; 1 for operators of foreign domains."""
    schema = schema_of(op, domain, opset)
    return schema.since_version if schema is not None else 1


def has_adapter(op: str, domain: str) -> bool:
    """Is there a row that gives an old or dropped operator its meaning?"""
    _load_families()
    return (domain, op) in TABLE


def adapt(draft: Draft, b: Builder) -> None:
    """Bring ``draft`` to the newest version of its operator (or to results built by an adapter)."""
    _load_families()
    if draft.version < 6 and draft.domain == "":
        draft.attrs.pop("consumed_inputs", None)  # opset 1 to 5: an in-place hint, never a meaning
    while draft.results is None:
        step = next(
            ((to, f) for to, f in TABLE.get((draft.domain, draft.op), ()) if to > draft.version), None
        )
        if step is None:
            return
        draft.version = step[0]
        step[1](draft, b)


@lru_cache(maxsize=1)
def _load_families() -> None:
    from aotgen.frontend import adapters

    for module in sorted(m.name for m in pkgutil.iter_modules(adapters.__path__)):
        importlib.import_module(f"{adapters.__name__}.{module}")


def tensor_type(v: Value, where: str) -> TensorType:
    """The type of a value that must be a tensor."""
    t: AnyType = v.type
    if not isinstance(t, TensorType):
        raise ModelError(f"{v.name} is {t}, not a tensor", node=where)
    return t


def small_constant(b: Builder, v: Value | None) -> np.ndarray[Any, Any] | None:
    """Numeric contents of ``v`` when known at compile time."""
    c: Constant | None = b.known(v)
    return None if c is None or c.dims is not None else c.load()
