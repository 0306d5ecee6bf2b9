# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""f(x) of 16-bit floats = round(f(float32(x))): arithmetic nodes, and runs of them, compute and keep float32 between.

The standard gives such a node a 16-bit result, and rounds after every one. Computing in float32 from where 16-bit
values come in to where they go out rounds less, needs no conversions on the way, and is what the float32 kernels take. A
rounding the model asks for stays: a Cast is never looked through, what compares, picks or rounds (ArgMax, Less, Floor)
reads the rounded value, and so does everything outside the table.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from aotgen.core import dtypes
from aotgen.ir.graph import Graph, Node, TensorType, Value
from aotgen.ops.builder import COMPOSITE
from aotgen.ops.continuity import ARITHMETIC, MOVEMENT
from aotgen.passes.rewrite import Rewrite, transform

name = "widen_halves"
HALVES = (dtypes.f16, dtypes.bf16)


def run(graph: Graph) -> Graph:
    return transform(graph, _Widening().visit)


class _Widening:
    """``twins``: by graph being rewritten, the float32 value behind a 16-bit one."""

    def __init__(self) -> None:
        self.twins: dict[Rewrite, dict[Value, Value]] = {}

    def visit(self, rw: Rewrite, node: Node) -> bool:
        halves = [v for v in node.inputs if v is not None and _is_half(v)]
        if not halves or not any(map(_is_half, node.outputs)) or not self._joins(rw, node, halves):
            return False
        inputs = [self._twin(rw, v) if v is not None and _is_half(v) else v for v in node.inputs]
        if COMPOSITE in node.bodies:
            wide = rw.builder.node(node.op, [None if v is None else rw.value(v) for v in inputs], node.attrs, domain=node.domain,
                                   origin=node.origin, names=[v.name if v else "" for v in node.outputs])  # fmt: skip
        else:
            wide = tuple(_widened(rw, v) if v is not None and _is_half(v) else v for v in node.outputs)
            rw.emit(node, inputs, outputs=wide)
        for old, new in zip(node.outputs, wide, strict=True):
            if old is not None and new is not None and old is not new:
                rw.builder.nodes.append(Node("Cast", (new,), (old,), {"to": old.dtype.onnx}, origin=node.origin))
                self._known(rw)[old] = new
        return True

    def _joins(self, rw: Rewrite, node: Node, halves: list[Value]) -> bool:
        if COMPOSITE in node.bodies:
            return node.domain != "aotgen"
        if node.bodies:
            return False
        if node.op in MOVEMENT:
            wide = [self._found(rw, v) is not None for v in halves]
            return any(wide) and all(w or rw.known(v) is not None for w, v in zip(wide, halves, strict=True))
        return node.op in ARITHMETIC

    def _known(self, rw: Rewrite) -> dict[Value, Value]:
        return self.twins.setdefault(rw, {})

    def _found(self, rw: Rewrite, v: Value) -> Value | None:
        v = rw.value(v)
        return next((self._known(s)[v] for s in _scopes(rw) if v in self._known(s)), None)

    def _twin(self, rw: Rewrite, v: Value) -> Value:
        found = self._found(rw, v)
        if found is None:
            v = rw.value(v)
            found = self._known(rw)[v] = rw.builder.op("Cast", [v], to=dtypes.f32.onnx)
        return found


def _scopes(rw: Rewrite | None) -> Iterator[Rewrite]:
    """A graph being rewritten and those around it."""
    while rw is not None:
        yield rw
        rw = rw.parent


def _is_half(v: Value | None) -> bool:
    return v is not None and isinstance(v.type, TensorType) and v.dtype in HALVES


def _widened(rw: Rewrite, v: Value) -> Value:
    return replace(v, name=rw.builder.unique(v.name), type=TensorType(dtypes.f32, v.shape))
