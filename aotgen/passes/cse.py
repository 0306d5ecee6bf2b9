# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Common subexpressions: f(x) computed twice is computed once; equal small constants are one constant.

A body may reuse what an enclosing graph has computed before it; random operators and regions are left alone.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from aotgen.ir.graph import Constant, Graph, Value, fingerprint
from aotgen.passes.evaluate import is_deterministic
from aotgen.passes.rewrite import Rewrite

name = "cse"
SMALL = 256  # elements: constants up to this size are compared by contents

Table = dict[Any, tuple[Value | None, ...]]


def run(graph: Graph) -> Graph:
    return _merge(graph, None, {})


def _merge(graph: Graph, parent: Rewrite | None, table: Table) -> Graph:
    rw = Rewrite(graph, parent)
    table = dict(table)
    for v, c in graph.constants.items():
        key = _contents(c)
        if key is not None and v not in rw.outputs:
            first, = table.setdefault(key, (v,))
            if first is not v and first is not None:
                rw.replaced[v] = first
    for node in graph.nodes:
        if node.bodies:
            rw.keep(replace(node, bodies={k: _merge(b, rw, table) for k, b in node.bodies.items()}))
            continue
        if not is_deterministic(node) or any(v in rw.outputs for v in node.outputs):
            rw.keep(node)
            continue
        key = (node.op, node.domain, tuple(None if v is None else rw.value(v) for v in node.inputs),
               _frozen(node.attrs), tuple(v is None for v in node.outputs))
        earlier = table.setdefault(key, node.outputs)
        if earlier is node.outputs:
            rw.keep(node)
        else:
            rw.replaced.update((v, e) for v, e in zip(node.outputs, earlier, strict=True) if v is not None and e is not None)
    return rw.finish()


def _contents(c: Constant) -> Any:
    if c.size > SMALL:
        return None
    if c.dims is not None:
        return ("dims", c.dtype, c.shape, c.dims)
    return ("constant", c.dtype, c.shape, fingerprint(c.load()))


def _frozen(value: Any) -> Any:
    """An attribute value as something hashable that keeps 0.0 and -0.0, 1 and True apart."""
    if isinstance(value, dict):
        return tuple(sorted((k, _frozen(v)) for k, v in value.items()))
    if isinstance(value, (list, tuple)):
        return tuple(map(_frozen, value))
    if isinstance(value, np.ndarray):
        return (value.dtype.str, value.shape, fingerprint(value))
    return (type(value).__name__, repr(value))


