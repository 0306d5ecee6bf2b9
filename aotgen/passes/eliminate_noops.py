# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Nodes that return an operand unchanged are removed: y = f(x) with f(x) = x, bit for bit.

x + 0 is not among them for floats (it turns -0 into 0); x - 0, x * 1, x / 1 and x + (-0) are.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from aotgen.ir.graph import Graph, Node, TensorType, Value
from aotgen.passes.rewrite import Rewrite, transform

name = "eliminate_noops"
Rule = Callable[[Rewrite, Node], bool]


def run(graph: Graph) -> Graph:
    return transform(graph, _visit)


def _visit(rw: Rewrite, node: Node) -> bool:
    out = node.outputs[0] if node.outputs else None
    if node.domain or node.bodies or out is None or any(v is not None for v in node.outputs[1:]):
        return False
    kept = _operand(rw, node)
    return kept is not None and repr(kept.type) == repr(out.type) and rw.replace(out, kept)


def _operand(rw: Rewrite, node: Node) -> Value | None:
    """The operand that ``node`` returns unchanged provided the types agree, or None."""
    if node.op == "Concat":
        full = [v for v in node.inputs if v is not None and v.shape[int(node.attrs["axis"])] != 0]
        return full[0] if len(full) == 1 else None
    if node.op in ("Add", "Sub", "Mul", "Div", "Pow"):
        return _neutral_operand(rw, node)
    rule = _RULES.get(node.op)
    return node.inputs[0] if rule is not None and rule(rw, node) else None


def _always(rw: Rewrite, node: Node) -> bool:
    """Unchanged whenever the type is: a Reshape to the same shape, a Cast to the same dtype."""
    return True


def _alone(rw: Rewrite, node: Node) -> bool:
    return len(node.inputs) == 1


def _unbounded(rw: Rewrite, node: Node) -> bool:
    return all(v is None for v in node.inputs[1:])


def _same_order(rw: Rewrite, node: Node) -> bool:
    perm = list(node.attrs.get("perm", []))
    return perm == sorted(perm) and (bool(perm) or len(_in(node).shape) <= 1)


def _forwards(rw: Rewrite, node: Node) -> bool:
    """A Slice that keeps every extent and steps forwards takes everything."""
    if len(node.inputs) < 5 or node.inputs[4] is None:
        return True
    steps = rw.small(node.inputs[4])
    return steps is not None and bool((steps > 0).all())


def _no_pads(rw: Rewrite, node: Node) -> bool:
    pads = rw.small(node.inputs[1])
    return pads is not None and not pads.any()


def _aligned(rw: Rewrite, node: Node) -> bool:
    """A Resize to the same extents samples each pixel at itself, unless a region of interest is cropped."""
    mode = node.attrs.get("coordinate_transformation_mode", "half_pixel")
    scales = rw.small(node.inputs[2]) if len(node.inputs) > 2 else None
    exact = scales is None or not scales.size or bool((scales == 1).all())
    return mode in ("half_pixel", "asymmetric", "align_corners") and exact and node.attrs.get("mode") in (None, "nearest", "linear")


_RULES: dict[str, Rule] = {
    **dict.fromkeys(("Identity", "Cast", "Reshape", "Flatten", "Squeeze", "Unsqueeze", "Expand", "Tile", "ReduceSum",
                     "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd"), _always),
    **dict.fromkeys(("Max", "Min", "Sum", "Mean"), _alone),
    "Clip": _unbounded, "Transpose": _same_order, "Slice": _forwards, "Pad": _no_pads, "Resize": _aligned}


def _in(node: Node) -> Value:
    v = node.inputs[0]
    assert v is not None
    return v


def _neutral_operand(rw: Rewrite, node: Node) -> Value | None:
    """x of ``x op c`` where c is the neutral element (of ``c op x`` too where the operator commutes)."""
    a, b = node.inputs
    assert a is not None
    assert b is not None
    for x, c in ((a, b), (b, a)) if node.op in ("Add", "Mul") else ((a, b),):
        contents = rw.small(c)
        if contents is None or not isinstance(x.type, TensorType) or not contents.size:
            continue
        want = 1 if node.op in ("Mul", "Div", "Pow") else 0
        if not (contents == want).all():
            continue
        signs = np.signbit(contents) if x.dtype.is_float and want == 0 else None
        if signs is None or (signs.all() if node.op == "Add" else not signs.any()):
            return x
    return None
