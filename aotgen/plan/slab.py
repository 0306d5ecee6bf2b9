# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The slab test: which bytes of which buffer one part of a step touches.

A step cut into ``parts`` equal runs of its outer iterations is asked, access by access, for the byte offset as a function of the
part's number p: if that simplifies to ``stride * p + rest`` with ``low <= rest < high`` provable, part p touches only bytes
``[stride * p + low, stride * p + high)``. Threads take neighbouring parts in order, so two steps cut into the same
number of parts need no barrier between them where no window of one part of the first meets another part's of the second.

What cannot be proved is the whole buffer, by any thread. Step kinds without a row in ``CUTS`` cannot be cut at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from aotgen.ir import index
from aotgen.ir.expr import E, loads_of
from aotgen.ir.index import Atom, Dim, Ix, ix
from aotgen.ir.program import BLOCK, Buffer, Copy, Fill, KernelCall, Layout, LoopNest, Stage, Step, Stmt, Tensor
from aotgen.plan import halo

INSIDE, BORDER = "inside", "border"


@dataclass(frozen=True, slots=True)
class Window:
    """Part p of a step touches bytes ``[stride * p + low, stride * p + high)`` of ``tensor``'s buffer. ``role``: ``inside``
    when they all are logical elements of ``tensor`` (or pad lanes beside them), ``border`` when all are its halo."""

    tensor: Tensor
    writes: bool
    stride: Ix
    low: Ix
    high: Ix
    role: str = ""

    @property
    def buffer(self) -> Buffer:
        return self.tensor.buffer


@dataclass(frozen=True, slots=True)
class _Access:
    """A load or store: at a logical index (``at``), else at an element offset in the buffer, else (both None) anywhere."""

    tensor: Tensor
    writes: bool
    at: tuple[Ix, ...] | None = None
    offset: Ix | None = None
    role: str = ""


def cuts(step: Step) -> list[Dim]:
    """The numbers of parts a step offers, finest first: prefixes of its outer loops. Any divisor of one may do too."""
    extents = _extents(step)
    found: dict[Dim, None] = {}
    for n in range(len(extents), 0, -1):
        found[index.prod_dims(extents[:n])] = None
    return [n for n in found if n != 1]


@dataclass(slots=True, eq=False)
class Cut:
    """A step cut into ``parts``: ``part`` stands for a part's number, ``at`` is the outer index in terms of it and of the
    iterations inside the part."""

    step: Step
    parts: Dim
    part: Atom
    at: tuple[Ix, ...]
    known: dict[Buffer, list[Window]] = field(default_factory=dict)

    def windows(self, buffer: Buffer) -> list[Window]:
        """What a part touches of ``buffer``."""
        if buffer not in self.known:
            accesses = CUTS[type(self.step)].accesses(self.step, self.at, buffer)
            self.known[buffer] = [_window(a, self.part, self.parts) for a in accesses]
        return self.known[buffer]


def cut(step: Step, parts: Dim) -> Cut | None:
    """``step`` in ``parts`` equal parts; None where it cannot be cut so."""
    extents = _extents(step)
    if type(step) not in CUTS or (not extents and parts != 1):
        return None
    made = _decode(extents, parts)
    return None if made is None else Cut(step, parts, *made)


def apart(a: Window, b: Window, distance: Ix | int, parts: Dim) -> bool:
    """Is what part p touches by ``a`` provably free of what any other part touches by ``b``? ``distance``: bytes from the
    start of ``a``'s buffer to that of ``b``'s; ``parts``: 1 asks that they share no byte at all."""
    if a.buffer is b.buffer and {a.role, b.role} == {INSIDE, BORDER} and _same_place(a.tensor, b.tensor):
        return True
    if not (a.writes or b.writes):
        return True
    low, high = b.low + distance, b.high + distance
    last = ix(parts) - 1
    if index.nonneg(low - a.high - last * a.stride) or index.nonneg(a.low - high - last * b.stride):
        return True
    return (parts != 1 and a.stride == b.stride and index.nonneg(a.stride - (a.high - low))
            and index.nonneg(a.stride - (high - a.low)))


def _same_place(a: Tensor, b: Tensor) -> bool:
    return a.base == b.base and a.layout == b.layout


# ---------------------------------------------------------------------------------------------------- one access


def _window(a: _Access, part: Atom, parts: Dim) -> Window:
    """The bytes of one access; the whole buffer where nothing better is provable."""
    size = a.tensor.dtype.bytes
    offset, role = a.offset, a.role
    if a.at is not None:
        at, role = _within(a.tensor.layout, a.at, part)
        offset = a.tensor.offset(at)
    anywhere = Window(a.tensor, a.writes, ix(0), ix(0), ix(a.tensor.buffer.size) * size, role)
    if offset is None:
        return anywhere
    stride = offset.coefficient(part)
    if stride is None or stride.vars() or not index.nonneg(stride) or any(x.kind == "ind" for x in stride.walk()):
        return anywhere
    low, high = index.extremes(offset - stride * index.var(part))
    if low is None or high is None or low.vars() or high.vars():
        return anywhere
    if parts == 1:
        stride = ix(0)
    return Window(a.tensor, a.writes, stride * size, low * size, (high + 1) * size, role)


def _within(layout: Layout, at: Sequence[Ix], part: Atom) -> tuple[tuple[Ix, ...], str]:
    """A logical index with what lies behind guards cut to what exists on its axis: halo, pad lanes of the last block."""
    role, out = INSIDE, []
    border = layout.halo or ((0, 0),) * len(layout.shape)
    for axis, (i, extent, (before, after)) in enumerate(zip(at, layout.shape, border, strict=True)):
        end = ix(extent)
        if axis == layout.block_axis:
            end = (end + (layout.block - 1)) // layout.block * layout.block
        if not (index.nonneg(i) and index.nonneg(end - 1 - i)):
            role = role if before == after == 0 else ""
            if part not in i.vars():
                i = index.var(index.fresh_var(end + before + after, lo=-before))
        out.append(i)
    return tuple(out), role


# ---------------------------------------------------------------------------------------------------- cutting


def _decode(extents: Sequence[Dim], parts: Dim) -> tuple[Atom, tuple[Ix, ...]] | None:
    """Every outer index in terms of the part's number and the iteration inside the part; None where ``parts`` does not
    divide the iterations, or leaves a part without any."""
    if parts == 1:  # every iteration by itself: nothing to decode
        return index.fresh_var(1, "p"), tuple(index.var(index.fresh_var(d)) for d in extents)
    total = index.prod_dims(extents)
    if parts == 0 or (isinstance(total, int) and isinstance(parts, int) and total % parts):
        return None
    quotient, rest = ix(total) // parts, ix(total) % parts
    if rest != 0 or not index.nonneg(quotient - 1):
        return None
    part, inner = index.fresh_var(parts, "p"), index.fresh_var(quotient, "r")
    flat = index.var(part) * quotient + (0 if quotient == 1 else index.var(inner))
    at: list[Ix] = []
    for n, extent in reversed(list(enumerate(extents))):
        at.append(flat if n == 0 else flat % extent)
        flat = flat // extent
    return part, tuple(reversed(at))


def _extents(step: Step) -> Sequence[Dim]:
    row = CUTS.get(type(step))
    return row.extents(step) if row is not None else ()


# -- loop nests


def _outer(nest: LoopNest) -> list[Dim]:
    return [index.as_dim(v.ext) for v in nest.outer if v.ext is not None]


def _nest_accesses(nest: LoopNest, at: Sequence[Ix], buffer: Buffer) -> Iterator[_Access]:
    env: dict[Atom, Ix] = {v: i + (v.lo or 0) for v, i in zip(nest.outer, at, strict=True)}
    mine = {d for d, t in nest.tensors.items() if t.buffer is buffer}
    for stage in nest.stages:
        for s in stage.stmts:
            if s.target in mine:
                yield _Access(nest.tensors[s.target], True, _replaced(s.index, env))
        for d, idx in dict.fromkeys(ld.attr for e in _roots(stage) for ld in loads_of(e)):
            if d in mine:
                yield _Access(nest.tensors[d], False, _replaced(idx, env))


def _roots(stage: Stage) -> list[E]:
    """Everything a stage evaluates."""
    polys = [i for b in stage.bounds for i in (*b.lows, *b.highs)]
    polys += [i for s in stage.stmts for i in (*s.index, *([s.position] if s.position is not None else []))]
    out = [s.value for s in stage.stmts] + ([stage.cond] if stage.cond is not None else [])
    return out + [a.payload for i in polys for a in i.walk() if a.kind == "ind"]


def _replaced(idx: Sequence[Ix], env: Mapping[Atom, Ix]) -> tuple[Ix, ...]:
    """``idx`` at given outer variables; a loaded index may be anything in its range."""
    loaded = {a for i in idx for a in i.walk() if a.kind == "ind"}
    free = {a: index.var(index.fresh_var(a.ext or 1, lo=a.lo or 0)) for a in sorted(loaded)}
    return tuple(i.subst({**env, **free}) for i in idx)


# -- template kernels


def _points(call: KernelCall) -> list[Dim]:
    return [] if call.parts is None else [index.as_dim(a.ext) for a in call.parts.axes if a.ext is not None]


def _kernel_accesses(call: KernelCall, at: Sequence[Ix], buffer: Buffer) -> Iterator[_Access]:
    parts, epilogue = call.parts, call.epilogue
    env = {} if parts is None else dict(zip(parts.axes, at, strict=True))
    operands = [None] * len(call.operands) if parts is None else parts.operands
    for t, idx in zip(call.operands, operands, strict=True):
        if t.buffer is buffer:  # counted from a corner of the halo: an index is not the tensor's own
            yield _Access(t, False, offset=None if idx is None else t.offset(_replaced(idx, env)))
    for s in epilogue.stmts:
        for d, idx, writes in ((s.target, s.index, True), *((*ld.attr, False) for ld in _loads(s))):
            to = epilogue.tensors.get(d)
            if to is not None and to.buffer is buffer:
                yield _Access(to, writes, None if parts is None else _replaced(idx, {**env, **_column(call, to)}))


def _loads(s: Stmt) -> list[E]:
    out = dict.fromkeys(loads_of(s.value))
    out.update((ld, None) for i in s.index for a in i.walk() if a.kind == "ind" for ld in loads_of(a.payload))
    return list(out)


def _column(call: KernelCall, t: Tensor) -> dict[Atom, Ix]:
    """Block and lane of a functor as digits of a column that exists, or in a blocked tensor may be a pad lane."""
    parts = call.parts
    if parts is None or parts.block in parts.axes:
        return {}
    extent = ix(parts.columns)
    if t.layout.block_axis >= 0:
        extent = (extent + (BLOCK - 1)) // BLOCK * BLOCK
    column = index.var(index.fresh_var(extent))
    return {parts.block: column // BLOCK, call.epilogue.axes[-1]: column % BLOCK}


# -- halos and copies


def _storage_rows(fill: Fill) -> list[Dim]:
    desc = dict(halo.rows(fill).desc)
    extents = [index.as_dim(ix(desc[f"n{k}"]) + desc[f"b{k}"] + desc[f"a{k}"]) for k in range(halo.AXES - 1)]
    return [] if halo.rows(fill).outer else extents


def _fill_accesses(fill: Fill, at: Sequence[Ix], buffer: Buffer) -> Iterator[_Access]:
    """Rows of storage, whole; what is written of them is the halo."""
    t, (desc, outer) = fill.tensor, (dict(halo.rows(fill).desc), halo.rows(fill).outer)
    if outer:
        yield _Access(t, True, role=BORDER)
        return
    offset = index.var(index.fresh_var(desc["L"]))
    last = ix(desc["n3"]) + desc["b3"] + desc["a3"]
    for k, i in enumerate((*at, index.var(index.fresh_var(last)))):
        offset = offset + (i - desc[f"b{k}"]) * desc[f"s{k}"]
    yield _Access(t, True, offset=offset + t.layout.base + t.base, role=BORDER)


def _copy_accesses(copy: Copy, at: Sequence[Ix], buffer: Buffer) -> Iterator[_Access]:
    for t, writes in ((copy.dst, True), (copy.src, False)):
        if t.buffer is buffer:
            yield _Access(t, writes, offset=at[0] + t.base)


@dataclass(frozen=True, slots=True)
class _Row:
    """How a step kind is cut: the extents of its outer loops, and its accesses to a buffer at an outer index."""

    extents: Callable[[Any], Sequence[Dim]]
    accesses: Callable[[Any, Sequence[Ix], Buffer], Iterator[_Access]]


CUTS: Mapping[type, _Row] = {
    LoopNest: _Row(_outer, _nest_accesses),
    KernelCall: _Row(_points, _kernel_accesses),
    Fill: _Row(_storage_rows, _fill_accesses),
    Copy: _Row(lambda copy: [copy.dst.layout.size], _copy_accesses),
}
