# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Which Defs are stored, and in which layout.

Kernel operands say what they need; what feeds them is laid out like that from the start (halo and channel blocks included),
or read as a strided view, and only where neither works is a copy made. Everything else follows its neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from aotgen.ir import define, expr, index
from aotgen.ir.define import Call, Def, topological
from aotgen.ir.index import Dim, Ix
from aotgen.ir.program import BLOCK, Epilogue, Layout, packed, row_major
from aotgen.lower.scope import CONSTANT
from aotgen.targets.anchors import Exact, Halo, KernelSpec, Spatial, Strided


@dataclass(frozen=True, slots=True)
class View:
    """A kernel operand read in place: one stride per logical axis of ``shape`` over the storage of ``base``."""

    base: Def
    shape: tuple[Dim, ...]
    strides: tuple[Dim, ...]
    offset: Dim


@dataclass(frozen=True, slots=True)
class Folded:
    """A kernel operand computed from constants alone, packed at compile time."""

    value: Def
    layout: Layout


Operand = Def | View | Folded


@dataclass(slots=True)
class Placement:
    """``layouts`` of every Def that is stored; ``operands`` of every kernel call, parallel to its spec's needs."""

    outputs: list[Def]
    fixed: dict[Def, Layout]  # bound by the caller: outputs, results of library calls and regions
    layouts: dict[Def, Layout] = field(default_factory=dict)
    operands: dict[Def, list[Operand]] = field(default_factory=dict)  # by the call's result
    users: dict[Def, list[Def]] = field(default_factory=dict)
    copies: dict[tuple[Def, bool], Def] = field(default_factory=dict)


def place(outputs: Sequence[Def]) -> Placement:
    """Decide storage for the scope whose output Defs are ``outputs`` (each distinct, none a source)."""
    order = topological(outputs)
    p = Placement(list(outputs), {o: row_major(o.shape) for o in outputs})
    for d in order:
        for r in d.reads():
            p.users.setdefault(r, []).append(d)
        if d.call is not None and d.call.kind != "kernel":
            p.fixed.setdefault(d, row_major(d.shape))
    calls = list(dict.fromkeys(d.call for d in order if d.call is not None))
    kernels = [c for c in calls if c.kind == "kernel"]
    _spatial_needs(p, kernels)
    for call in kernels:
        _exact_needs(p, call)
    for call in kernels:
        _result_layout(p, call.results[0])
    for call in calls:
        _stored_arguments(p, call)
    for call in kernels:
        _strided_needs(p, call)
    for call in kernels:
        _depend(p, call)
    p.layouts.update(p.fixed)
    return p


def _depend(p: Placement, call: Call) -> None:
    """Narrow the call's arguments to what it reads at run time: stored operands, bases of views, epilogue operands."""
    n = call.params["operands"]
    operands = _operands(p, call)
    stored = [o.base if isinstance(o, View) else o for o in operands if not isinstance(o, Folded)]
    call.args = tuple(dict.fromkeys((*stored, *call.args[n:])))


def constant_only(d: Def) -> bool:
    """Does ``d`` depend on constants alone, its shape included?"""
    return all(
        all(isinstance(n, int) for n in s.shape)
        and (s.origin == CONSTANT and not s.call if s.is_source else s.call is None) for s in topological([d])
    )


def follow(d: Def, layouts: Mapping[Def, Layout]) -> Layout:
    """The layout of a stored Def nobody asked anything of: blocked like what it reads, else row-major."""
    for r in d.reads():
        lay = layouts.get(r)
        if (
            lay is not None
            and lay.block_axis == 1
            and d.rank == r.rank
            and d.rank >= 3
            and _same_channel(d, r)
        ):
            return blocked(d.shape)
    return row_major(d.shape)


def blocked(shape: Sequence[Dim], halo: Halo = ()) -> Layout:
    """NC..16c."""
    return packed(shape, block_axis=1, halo=halo)


def _same_channel(d: Def, r: Def) -> bool:
    """Does ``d`` read ``r`` at its own channel?"""
    if d.expr is None or len(d.axes) < 2:
        return False
    channel = index.var(d.axes[1])
    return all(ld.attr[1][1] == channel for ld in expr.loads_of(d.expr) if ld.attr[0] is r)


def _is_stored_elsewhere(p: Placement, d: Def) -> bool:
    """Is the layout of ``d`` already someone else's business?"""
    return d.is_source or d in p.fixed


def _copy_of(p: Placement, d: Def, blocked_: bool) -> Def:
    """An identity copy of ``d``, to be stored differently; shared by its users."""
    key = (d, blocked_)
    if key not in p.copies:
        c = define.compute(d.shape, lambda *i: d[i], d.dtype, f"{d.name}_packed")
        c.origin = d.origin if d.origin != CONSTANT else ""
        p.copies[key] = c
    return p.copies[key]


def _needs(call: Call) -> list[tuple[int, Def, object]]:
    spec: KernelSpec = call.params["spec"]
    return [(n, d, need) for n, (d, need) in enumerate(zip(call.args, spec.needs, strict=False))]


def _operands(p: Placement, call: Call) -> list[Operand]:
    return p.operands.setdefault(call.results[0], list(call.args[:call.params["operands"]]))


def _replace_operand(p: Placement, call: Call, n: int, new: Def) -> None:
    _operands(p, call)[n] = new
    args = list(call.args)
    args[n] = new
    call.args = tuple(args)


def _spatial_needs(p: Placement, kernels: Sequence[Call]) -> None:
    """Activations of convolutions: one storage per Def with the largest halo any of its convolutions needs."""
    halos: dict[Def, Halo] = {}
    kinds: dict[Def, bool] = {}
    for call in kernels:
        for n, d, need in _needs(call):
            if not isinstance(need, Spatial):
                continue
            plain = not need.blocked and not any(b or a for b, a in need.halo)
            if plain and _is_stored_elsewhere(p, d):
                _replace_operand(p, call, n, d)
                continue
            where = d
            if _is_stored_elsewhere(p, d) or kinds.get(d, need.blocked) != need.blocked:
                where = _copy_of(p, d, need.blocked)
            kinds[where] = need.blocked
            halos[where] = _wider(halos.get(where), need.halo)
            _replace_operand(p, call, n, where)
    for d, halo in halos.items():
        p.layouts[d] = packed(d.shape, block_axis=1 if kinds[d] else -1, halo=halo)


def _wider(a: Halo | None, b: Halo) -> Halo:
    return b if a is None else tuple((max(x[0], y[0]), max(x[1], y[1])) for x, y in zip(a, b, strict=True))


def _exact_needs(p: Placement, call: Call) -> None:
    for n, d, need in _needs(call):
        if isinstance(need, Exact):
            _place_exactly(p, call, n, d, need.layout)


def _place_exactly(p: Placement, call: Call, n: int, d: Def, layout: Layout) -> None:
    if constant_only(d):
        _operands(p, call)[n] = Folded(d, layout)
        return
    alone = len(p.users.get(d, ())) == 1
    if _is_stored_elsewhere(p, d) or d in p.layouts or not alone:
        d = _copy_of(p, d, True)
    p.layouts[d] = layout
    _replace_operand(p, call, n, d)


def _result_layout(p: Placement, d: Def) -> None:
    """Convolutions write channel blocks unless told otherwise; everything else is row-major."""
    if d in p.layouts or d in p.fixed:
        return
    assert d.call is not None
    spec: KernelSpec = d.call.params["spec"]
    epilogue: Epilogue = d.call.params["epilogue"]
    at, channels = epilogue.stmts[0].index, d.shape[1] if d.rank >= 3 else 1
    along_channel = d.rank >= 3 and spec.lane_axis == 1 and at[1].coefficient(epilogue.axes[-1]) == 1
    wide = along_channel and (not isinstance(channels, int) or channels >= BLOCK // 2)
    p.layouts[d] = blocked(d.shape) if wide else row_major(d.shape)


def _stored_arguments(p: Placement, call: Call) -> None:
    """Arguments of library calls and regions, and what epilogues read, are stored."""
    if call.kind != "kernel":
        call.args = tuple(_plain(p, d) for d in call.args)
    first = call.params.get("operands", 0) if call.kind == "kernel" else 0
    for d in call.args[first:]:
        if d in p.layouts or d in p.fixed or d.is_source:
            continue
        like = p.layouts.get(call.results[0]) if call.kind == "kernel" else None
        same = like is not None and like.block_axis == 1 and len(like.shape) == d.rank and d.rank >= 3
        p.layouts[d] = (
            blocked(d.shape) if same and d.shape[1] == call.results[0].shape[1] else row_major(d.shape)
        )


def _plain(p: Placement, d: Def) -> Def:
    """``d``, or a copy of it where it is stored with blocks or a halo: library functions read dense rows, and
    so do a region's copies and the kernels of its bodies."""
    layout = p.layouts.get(d)
    if layout is None or layout.is_row_major:
        return d
    c = _copy_of(p, d, False)
    p.layouts[c] = row_major(c.shape)
    return c


def _strided_needs(p: Placement, call: Call) -> None:
    for n, d, need in _needs(call):
        if not isinstance(need, Strided):
            continue
        view = _as_view(p, d, need)
        if view is not None:
            _operands(p, call)[n] = view
        elif need.otherwise is not None:
            _place_exactly(p, call, n, d, need.otherwise)
        elif _is_stored_elsewhere(p, d) or d in p.layouts:
            c = _copy_of(p, d, False)
            p.layouts[c] = row_major(c.shape)
            _replace_operand(p, call, n, c)
        else:
            p.layouts[d] = row_major(d.shape)
            _replace_operand(p, call, n, d)


def _as_view(p: Placement, d: Def, need: Strided) -> View | None:
    """``d`` as strides over stored data, following pure views down; None when it is not (or not with ``unit`` stride)."""
    axes = define.axes_for(d.shape, "v")
    at: tuple[Ix, ...] = tuple(index.ix(0) if a.ext == 1 else index.var(a) for a in axes)
    base = d
    while base not in p.layouts and not _is_stored_elsewhere(p, base):
        if not base.is_view:
            break
        inner = expr.rebuild(base.expr, dict(zip(base.axes, at, strict=True)))  # type: ignore[arg-type]
        if inner.op != "load":
            return None
        if inner.attr[0].dtype is not d.dtype:
            break  # a widening cast is a load too, but kernels read what is stored
        base, at = inner.attr
    layout = p.layouts.get(base) or p.fixed.get(base) or (row_major(base.shape) if base.is_source else None)
    if layout is None:
        worth = base is d or len(p.users.get(base, ())) > 1 or base.red is not None
        layout = row_major(base.shape) if worth else None
    if layout is None:
        return None
    offset = layout.offset(at)
    strides: list[Dim] = []
    for a in axes:
        k = offset.coefficient(a)
        if k is None or k.vars():
            return None
        strides.append(index.as_dim(k))
        offset = offset - k * index.var(a)
    if offset.vars() or any(x.kind == "ind" for x in offset.walk()):
        return None
    if need.unit is not None and strides[need.unit] != 1 and d.shape[need.unit] != 1:
        return None
    if base not in p.layouts and not _is_stored_elsewhere(p, base):
        p.layouts[base] = layout
    return View(base, d.shape, tuple(strides), index.as_dim(offset))


def with_size(layout: Layout, strides: tuple[Dim, ...], shape: tuple[Dim, ...], base: Dim) -> Layout:
    """A strided layout over the same storage."""
    return replace(layout, shape=shape, strides=strides, base=base, block_axis=-1, block=1, halo=())
