# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Type rules of the regions: If, Loop and Scan. What they run is lowered by ``lower/regions.py``."""

from __future__ import annotations

from collections.abc import Sequence, Set

from aotgen.core.errors import ModelError, UnsupportedError
from aotgen.ir import index
from aotgen.ir.bounds import bound
from aotgen.ir.graph import AnyType, Graph, Node, TensorType, Value
from aotgen.ir.index import Atom, Dim
from aotgen.ops import loose
from aotgen.ops.builder import Builder, require, type_rule
from aotgen.ops.registry import DIMS
from aotgen.ops.sequences import joined


@type_rule("If")
def if_types(builder: Builder, node: Node) -> Sequence[AnyType]:
    """Where the branches yield different extents, the extent of the result is a dim that the branch taken makes."""
    then, other = node.bodies["then_branch"], node.bodies["else_branch"]
    require(len(then.outputs) == len(other.outputs), "the branches of an If yield different numbers of values", node)
    inner = {*inner_dims(builder, then), *inner_dims(builder, other)}
    made: list[Atom] = []
    out = [_joined(builder, node, a, b, inner, made) for a, b in zip(then.outputs, other.outputs, strict=True)]
    node.attrs[DIMS] = tuple(made)  # type: ignore[index]
    return out


def _joined(builder: Builder, node: Node, a: Value, b: Value, inner: Set[Atom], made: list[Atom]) -> AnyType:
    """The type of a value that is ``a`` or ``b``. ``inner``: dims that only the branches know; ``made`` gains new ones."""
    if not isinstance(a.type, TensorType) or not isinstance(b.type, TensorType):
        return joined(a.type, b.type)
    require(a.dtype is b.dtype, f"the branches of an If yield {a.type} and {b.type}", node)
    if len(a.shape) != len(b.shape) or loose.is_loose(a.type) or loose.is_loose(b.type):
        return loose.either([a.type, b.type], node.where())
    shape: list[Dim] = []
    for m, n in zip(a.shape, b.shape, strict=True):
        if m != n or any(a in inner for a in index.dims_of(m)):
            most = _larger(bound(m, inner), bound(n, inner))
            shape.append(index.dim(builder.unique(f"{a.name}_{len(shape)}"), 0, most))
            made += index.dims_of(shape[-1])
        else:
            shape.append(m)
    return TensorType(a.dtype, tuple(shape))


def _larger(a: Dim | None, b: Dim | None) -> Dim | None:
    """Something at least as large as two extents, neither negative."""
    if a is None or b is None:
        return None
    if isinstance(a, int) and isinstance(b, int):
        return max(a, b)
    return a if index.nonneg(index.ix(a) - b) else b if index.nonneg(index.ix(b) - a) else index.as_dim(index.ix(a) + b)


def inner_dims(builder: Builder, body: Graph) -> set[Atom]:
    """Dims that are made inside ``body``: its values mention them, what it is given and what it captures do not, nor (it may
    hold arithmetic on extents as constants) anything around it."""
    outer = {a for v in (*body.inputs, *body.captured()) for a in v.dims()}
    around: Builder | None = builder
    while around is not None:
        outer.update(a for v in around.inputs for a in v.dims())
        outer.update(_dims_of(around.nodes))
        around = around.parent
    return _dims_of(body.nodes) - outer


def _dims_of(nodes: Sequence[Node]) -> set[Atom]:
    """The dims that ``nodes`` make, and those in the shapes of their results."""
    found: set[Atom] = set()
    for node in nodes:
        found.update(node.attrs.get(DIMS, ()))
        found.update(a for v in node.outputs if v is not None for a in v.dims())
    return found


def widened(builder: Builder, types: Sequence[AnyType], after: Sequence[Value]) -> list[AnyType]:
    """``types`` of carried values as they enter a trip, with a dim that each trip makes anew wherever the trip ends
    with another extent (``after``). The same list where nothing changes."""
    out: list[AnyType] = []
    for t, v in zip(types, after, strict=True):
        if isinstance(t, TensorType) and isinstance(v.type, TensorType) and len(t.shape) == len(v.shape):
            shape = [d if d == n or is_carried(d) else index.dim(builder.unique(f"{CARRIED}{v.name}_{k}"), 0, None)
                     for k, (d, n) in enumerate(zip(t.shape, v.shape, strict=True))]
            out.append(TensorType(t.dtype, tuple(map(index.as_dim, shape))))
        else:
            out.append(t if isinstance(t, TensorType) else joined(t, v.type))
    return list(types) if out == list(types) else out


CARRIED = "carried "  # how the name of a dim begins that each trip of a loop makes anew


def is_carried(extent: Dim) -> bool:
    """Is ``extent`` a dim that each trip of a loop makes anew?"""
    atoms = index.dims_of(extent)
    return len(atoms) == 1 and index.ix(extent) == index.var(atoms[0]) and atoms[0].name.startswith(CARRIED)


def _carried(node: Node, initial: Sequence[Value | None], inputs: Sequence[Value], outputs: Sequence[Value], made: list[Atom],
             ) -> list[AnyType]:
    """Types of carried values: those of the body's inputs. ``made`` gains the dims that trips make."""
    out: list[AnyType] = []
    for first, inside, after in zip(initial, inputs, outputs, strict=True):
        if first is None:
            raise ModelError(f"carried value '{inside.name}' has no initial value", node=node.where())
        if isinstance(first.type, TensorType) and isinstance(after.type, TensorType):
            require(first.dtype is after.dtype, f"carried value '{inside.name}' changes from {first.type} to {after.type}", node)
        if not isinstance(inside.type, TensorType):
            require(joined(inside.type, after.type) == inside.type,
                    f"carried value '{inside.name}' changes from {inside.type} to {after.type}", node)
        elif len(inside.shape) != len(after.shape) or inside.type.loose != after.tensor.loose:
            raise UnsupportedError(f"carried value '{inside.name}' changes rank from {first.type} to {after.type}",
                                   node=node.where())
        elif any(d != n and not is_carried(d) for d, n in zip(inside.shape, after.shape, strict=True)):
            raise UnsupportedError(f"carried value '{inside.name}' changes shape from {inside.type} to {after.type}",
                                   node=node.where())
        else:
            made += [a for d in inside.shape if is_carried(d) for a in index.dims_of(d)]
        out.append(inside.type)
    return out


def _stacked(v: Value, trips: Dim, axis: int, node: Node) -> TensorType:
    """The type of a value collected over ``trips`` along ``axis``."""
    rank = len(v.shape) + 1
    if loose.is_loose(v.type):
        raise UnsupportedError(f"the branch that an If takes decides the rank of '{v.name}', of which every trip makes one", node=node.where())
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
    return index.dim(builder.unique(f"trips_{stem}"), 0, most)


@type_rule("Loop")
def loop_types(builder: Builder, node: Node) -> Sequence[AnyType]:
    """Carried values keep their types; scan outputs gain a leading axis, the number of trips."""
    body = node.bodies["body"]
    initial = node.inputs[2:]
    count = len(initial)
    require(len(body.inputs) == 2 + count and len(body.outputs) >= 1 + count,
            f"a Loop body of {len(body.inputs)} inputs and {len(body.outputs)} outputs for {count} carried values", node)
    made: list[Atom] = []
    out = _carried(node, initial, body.inputs[2:], body.outputs[1:1 + count], made)
    scanned = body.outputs[1 + count:]
    if scanned:
        trips = trip_count(builder, node)
        out += [_stacked(v, trips, 0, node) for v in scanned]
        made += [a for a in index.dims_of(trips) if builder.known(node.inputs[0]) is None or not _runs_through(builder, node)]
        made += _of_slices(builder, body, scanned)
    node.attrs[DIMS] = tuple(dict.fromkeys(made))  # type: ignore[index]
    return out


def _of_slices(builder: Builder, body: Graph, slices: Sequence[Value]) -> list[Atom]:
    """Dims of scan outputs that a trip makes: the same in every trip."""
    inner = inner_dims(builder, body)
    return [a for v in slices for a in v.dims() if a in inner]


@type_rule("Scan")
def scan_types(builder: Builder, node: Node) -> Sequence[AnyType]:
    """States keep their types (extents may change); every scan output gains the scanned extent at its axis."""
    body = node.bodies["body"]
    scanned_count = int(node.attrs["num_scan_inputs"])
    count = len(node.inputs) - scanned_count
    require(scanned_count > 0 and count >= 0 and len(body.inputs) == len(node.inputs),
            f"a Scan body of {len(body.inputs)} inputs for {len(node.inputs)} values", node)
    require(len(body.outputs) >= count, "a Scan body yields fewer values than it has states", node)
    made: list[Atom] = []
    out = _carried(node, node.inputs[:count], body.inputs[:count], body.outputs[:count], made)
    axes = node.attrs.get("scan_input_axes", [0] * scanned_count)
    first = node.inputs[count]
    require(first is not None, "a scan input is missing", node)
    assert first is not None
    trips = first.shape[int(axes[0])]
    kept = body.outputs[count:]
    out_axes = node.attrs.get("scan_output_axes", [0] * len(kept))
    node.attrs[DIMS] = tuple(dict.fromkeys([*made, *_of_slices(builder, body, kept)]))  # type: ignore[index]
    return [*out, *(_stacked(v, trips, int(a), node) for v, a in zip(kept, out_axes, strict=True))]
