# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Text of a Graph: one line a node, ``%relu_3: f32[1,64,56,56] = Relu(%conv_3)  # /layer1/0/relu``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from aotgen.ir.graph import Constant, Graph, Node

SHOWN = 8  # elements of a constant or an attribute that are written out


def print_graph(graph: Graph, indent: str = "") -> str:
    """The graph, its bodies indented under their nodes. Deterministic: the same graph gives the same text."""
    inner = indent + "  "
    lines = [f"{indent}graph {graph.name or 'body'}({', '.join(map(repr, graph.inputs))}) {{"]
    lines += [f"{inner}%{v.name}: {v.type} = {_contents(c)}" for v, c in graph.constants.items()]
    for node in graph.nodes:
        lines.append(inner + print_node(node))
        for key, body in node.bodies.items():
            lines.append(f"{inner}  .{key} =")
            lines.append(print_graph(body, inner + "  "))
    lines += [f"{inner}return {', '.join('%' + v.name for v in graph.outputs)}", indent + "}"]
    return "\n".join(lines)


def print_node(node: Node) -> str:
    """One node without its bodies."""
    outs = ", ".join("_" if v is None else repr(v) for v in node.outputs)
    ins = ", ".join("_" if v is None else f"%{v.name}" for v in node.inputs)
    op = f"{node.domain}.{node.op}" if node.domain else node.op
    tail = f"  # {node.origin}" if node.origin else ""
    return f"{outs} = {op}({ins}){_attributes(node.attrs)}{tail}"


def _attributes(attrs: Mapping[str, Any]) -> str:
    if not attrs:
        return ""
    return " {" + ", ".join(f"{k}={_value(attrs[k])}" for k in sorted(attrs)) + "}"


def _value(value: Any) -> str:
    if isinstance(value, np.ndarray):
        shown = ", ".join(map(str, value.ravel()[:SHOWN].tolist()))
        return f"{value.dtype}{list(value.shape)}({shown}{', ...' if value.size > SHOWN else ''})"
    if isinstance(value, (list, tuple)) and len(value) > SHOWN:
        return f"[{', '.join(map(repr, value[:SHOWN]))}, ... {len(value)}]"
    return repr(value)


def _contents(c: Constant) -> str:
    if c.dims is not None:
        return f"dims({', '.join(map(str, c.dims))})"
    if c.size > SHOWN:
        return "constant"
    return f"constant({', '.join(map(str, np.asarray(c.load()).ravel().tolist()))})"


