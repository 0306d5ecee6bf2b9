# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Contents of nodes whose operands are constants: by NumPy for pure movement, by the interpreter of Defs for the rest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from aotgen.ir import define, interpret
from aotgen.ir.graph import Constant, Node, TensorType, Value
from aotgen.ops import registry
from aotgen.ops.registry import DIMS, Ctx

Array = NDArray[Any]


def _reshape(node: Node, x: Array) -> Array:
    out = node.outputs[0]
    assert out is not None
    shape = [int(d) for d in out.shape]  # type: ignore[arg-type]
    return x.reshape(shape)


def _transpose(node: Node, x: Array) -> Array:
    return np.transpose(x, node.attrs.get("perm"))


def _concat(node: Node, *xs: Array) -> Array:
    return np.concatenate(xs, int(node.attrs["axis"]))


# Movement the interpreter would do element by element; weights are large.
_MOVES: dict[str, Callable[..., Array]] = {
    "Identity": lambda node, x: x, "Transpose": _transpose, "Concat": _concat,
    **{op: lambda node, x, *_: _reshape(node, x) for op in ("Reshape", "Flatten", "Squeeze", "Unsqueeze")}}


def contents_of(nodes: Sequence[Node], outputs: Sequence[Value], constants: Mapping[Value, Constant], wide: bool = True
                ) -> list[Array]:
    """Contents of ``outputs`` of ``nodes`` (in order), whose other operands are in ``constants``.

    ``wide``: floats are float64 from the first node to the last and rounded once; else each node rounds.
    """
    arrays: dict[Value, Array] = {}

    def array(v: Value) -> Array:
        if v not in arrays:
            arrays[v] = constants[v].load()
        return arrays[v]

    for node in nodes:
        moved = _MOVES.get(node.op) if not node.domain else None
        if moved is not None and node.outputs[0] is not None:
            first = [array(v) for v in node.inputs[: None if node.op == "Concat" else 1] if v is not None]
            arrays[node.outputs[0]] = moved(node, *first)
            continue
        known = {v: constants[v] if v in constants else Constant.of(arrays[v]) if _plain(arrays[v], v) else None
                 for v in node.inputs if v is not None}
        ctx = Ctx(node, {v: c for v, c in known.items() if c is not None})
        ins = {v: define.source(v.name, v.shape, v.dtype) for v in known}
        defs = registry.lower_node(ctx, [None if v is None else ins[v] for v in node.inputs])
        wanted = [(v, d) for v, d in zip(node.outputs, defs, strict=False) if v is not None and d is not None]
        used = set(define.topological([d for _, d in wanted]))
        feeds = {d: array(v) for v, d in ins.items() if d in used}
        results = interpret.evaluate([d for _, d in wanted], feeds, wide)
        arrays.update((v, results[d]) for v, d in wanted)
    return [np.asarray(array(v)).astype(v.dtype.numpy, copy=False) for v in outputs]


def _plain(a: Array, v: Value) -> bool:
    """May ``a`` stand as a constant of the type of ``v``? (Not while it is wider than that.)"""
    return a.dtype == v.dtype.numpy


@lru_cache(maxsize=1024)
def _random(op: str, domain: str) -> bool:
    try:
        schema: Any = onnx.defs.get_schema(op, domain)
        return bool(schema.non_deterministic)
    except onnx.defs.SchemaError:
        return False


def is_deterministic(node: Node) -> bool:
    """Does the node give the same result every time?"""
    return not _random(node.op, node.domain) and not (node.op == "Dropout" and len(node.inputs) > 2)


def is_foldable(node: Node) -> bool:
    """May the node be computed at compile time once its operands are known?"""
    row = registry.find(node.op, node.domain)
    return (row is not None and row.lower is not None and not node.bodies and is_deterministic(node) and DIMS not in node.attrs
            and all(_fixed(v) for v in (*node.inputs, *node.outputs) if v is not None))


def _fixed(v: Value) -> bool:
    return isinstance(v.type, TensorType) and v.dtype.kind in "fiubsc" and all(isinstance(d, int) for d in v.shape)
