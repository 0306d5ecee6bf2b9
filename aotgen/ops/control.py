# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Type rules of the regions: If, Loop and Scan. What they run is lowered by ``lower/regions.py``."""

from __future__ import annotations

from collections.abc import Sequence

from aotgen.core.errors import ModelError, UnsupportedError
from aotgen.ir import index
from aotgen.ir.graph import AnyType, Graph, Node, TensorType, Value
from aotgen.ir.index import Dim
from aotgen.ops.builder import Builder, require, type_rule


@type_rule("If")
def if_types(builder: Builder, node: Node) -> Sequence[AnyType]:
    """Both branches must yield the same types."""
    then, other = node.bodies["then_branch"], node.bodies["else_branch"]
    require(len(then.outputs) == len(other.outputs), "the branches of an If yield different numbers of values", node)
    out = []
    for a, b in zip(then.outputs, other.outputs, strict=True):
        if isinstance(a.type, TensorType) and isinstance(b.type, TensorType):
            require(a.dtype is b.dtype, f"the branches of an If yield {a.type} and {b.type}", node)
        if a.type != b.type:
            raise UnsupportedError(f"the branches of an If yield different shapes, {a.type} and {b.type}", node=node.where())
        out.append(a.type)
    return out


def _carried(node: Node, initial: Sequence[Value | None], inputs: Sequence[Value], outputs: Sequence[Value],
             ) -> list[AnyType]:
    """Types of carried values: the same before, inside and after a trip."""
    out: list[AnyType] = []
    for first, inside, after in zip(initial, inputs, outputs, strict=True):
        if first is None:
            raise ModelError(f"carried value '{inside.name}' has no initial value", node=node.where())
        if isinstance(first.type, TensorType) and isinstance(after.type, TensorType):
            require(first.dtype is after.dtype, f"carried value '{inside.name}' changes from {first.type} to {after.type}", node)
        if not first.type == inside.type == after.type:
            raise UnsupportedError(f"carried value '{inside.name}' changes shape from {first.type} to {after.type}",
                                   node=node.where())
        out.append(first.type)
    return out


def _stacked(v: Value, trips: Dim, axis: int, node: Node) -> TensorType:
    """The type of a value collected over ``trips`` along ``axis``."""
    rank = len(v.shape) + 1
    require(-rank <= axis < rank, f"scan axis {axis} is out of range for {v.type}", node)
    axis += rank if axis < 0 else 0
    return TensorType(v.dtype, (*v.shape[:axis], trips, *v.shape[axis:]))


def _runs_through(builder: Builder, node: Node) -> bool:
    """Does the Loop make all its ``M`` trips: is its condition absent or true before and after every trip?"""
    body = node.bodies["body"]
    start = node.inputs[1] if len(node.inputs) > 1 else None
    return _is_true(builder, start) and _stays_true(body)


def _is_true(builder: Builder, v: Value | None) -> bool:
    if v is None:
        return True
    c = builder.known(v)
    return c is not None and c.dims is None and bool(c.load().ravel()[0])


def _stays_true(body: Graph) -> bool:
    cond = body.outputs[0]
    made_by = body.producers()
    while cond in made_by and made_by[cond].op in ("Identity", "Cast"):
        source = made_by[cond].inputs[0]
        assert source is not None
        cond = source
    c = body.constants.get(cond)
    return cond is body.inputs[1] or (c is not None and bool(c.load().ravel()[0]))


def trip_count(builder: Builder, node: Node) -> Dim:
    """How often a Loop runs: known, or a fresh open dim bounded by ``M``."""
    limit = builder.known(node.inputs[0]) if node.inputs else None
    most: Dim | None = None
    if limit is not None:
        most = limit.dims[0] if limit.dims is not None else int(limit.load().ravel()[0])
        most = max(most, 0) if isinstance(most, int) else most
    if most is not None and _runs_through(builder, node):
        return most
    stem = next((v.name for v in node.outputs if v is not None), "loop")
    return index.dim(builder.unique(f"trips_{stem}"), 0, most if isinstance(most, int) else None)


@type_rule("Loop")
def loop_types(builder: Builder, node: Node) -> Sequence[AnyType]:
    """Carried values keep their types; scan outputs gain a leading axis, the number of trips."""
    body = node.bodies["body"]
    initial = node.inputs[2:]
    count = len(initial)
    require(len(body.inputs) == 2 + count and len(body.outputs) >= 1 + count,
            f"a Loop body of {len(body.inputs)} inputs and {len(body.outputs)} outputs for {count} carried values", node)
    out = _carried(node, initial, body.inputs[2:], body.outputs[1:1 + count])
    scanned = body.outputs[1 + count:]
    if scanned:
        trips = trip_count(builder, node)
        out += [_stacked(v, trips, 0, node) for v in scanned]
    return out


@type_rule("Scan")
def scan_types(builder: Builder, node: Node) -> Sequence[AnyType]:
    """States keep their types; every scan output gains the scanned extent at its axis."""
    body = node.bodies["body"]
    scanned_count = int(node.attrs["num_scan_inputs"])
    count = len(node.inputs) - scanned_count
    require(scanned_count > 0 and count >= 0 and len(body.inputs) == len(node.inputs),
            f"a Scan body of {len(body.inputs)} inputs for {len(node.inputs)} values", node)
    require(len(body.outputs) >= count, "a Scan body yields fewer values than it has states", node)
    out = _carried(node, node.inputs[:count], body.inputs[:count], body.outputs[:count])
    axes = node.attrs.get("scan_input_axes", [0] * scanned_count)
    first = node.inputs[count]
    require(first is not None, "a scan input is missing", node)
    assert first is not None
    trips = first.shape[int(axes[0])]
    kept = body.outputs[count:]
    out_axes = node.attrs.get("scan_output_axes", [0] * len(kept))
    return [*out, *(_stacked(v, trips, int(a), node) for v, a in zip(kept, out_axes, strict=True))]
