# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""NumPy broadcasting over extents that may be open, and small shapes of expression every family uses."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aotgen.core.dtypes import DType
from aotgen.core.errors import ModelError
from aotgen.ir import choice, expr, facts, index
from aotgen.ir.bounds import bound
from aotgen.ir.define import Def, compute
from aotgen.ir.expr import E
from aotgen.ir.index import Dim, Ix, as_dim
from aotgen.ops.registry import Ctx


def broadcast(*shapes: Sequence[Dim]) -> tuple[Dim, ...]:
    """The common shape: right-aligned, an extent of 1 gives way, also one that is 1 only in some runs. Extents that agree only
    for some values of open dims are assumed to. Raises ModelError when they cannot."""
    rank = max((len(s) for s in shapes), default=0)
    out: list[Dim] = []
    for k in range(rank):
        extent: Dim = 1
        for s in shapes:
            j = k - rank + len(s)
            extent = _agree(extent, s[j], shapes) if j >= 0 else extent
        out.append(extent)
    return tuple(out)


def _agree(a: Dim, b: Dim, shapes: Sequence[Sequence[Dim]]) -> Dim:
    if a == b or b == 1:
        return a
    if a == 1:
        return b
    if never_equal(a, b):
        shown = " and ".join(str(list(s)) for s in shapes)
        raise ModelError(f"shapes {shown} cannot be broadcast: {a} against {b}")
    plain, other = sorted((a, b), key=lambda d: len(list(index.ix(d).walk())))
    if choice.has_minimum(other):  # extents made of minima stay as they are: of such a pair the plainer one is taken
        if not _gives_way(other, plain):
            facts.assume_equal(other, plain)
        elif choice.minimum(1, index.ix(plain)) != index.ix(other):  # which is 1 unless both are 0
            facts.assume_equal(other, 1, unless=[plain])
        return plain
    facts.assume_broadcast(a, b)
    return as_dim(choice.broadcast(a, b))


def _gives_way(a: Dim, b: Dim) -> bool:
    """Is ``a`` provably less than ``b``, or never more than 1, so that it must be 1 where it is broadcast to elements?"""
    most = bound(a)
    return most is not None and (index.nonneg(index.ix(b) - most - 1) or index.nonneg(1 - index.ix(most)))


def never_equal(a: Dim, b: Dim) -> bool:
    """Are two extents provably different (and neither able to be 1)?"""
    x, y = index.ix(a), index.ix(b)
    return (index.nonneg(x - y - 1) and index.nonneg(y - 2)) or (index.nonneg(y - x - 1) and index.nonneg(x - 2))


def read(x: Def, idx: Sequence[Ix]) -> E:
    """The element of ``x`` broadcast to the space of ``idx``."""
    tail = idx[len(idx) - x.rank :]
    return x[tuple(along(d, i) for d, i in zip(x.shape, tail, strict=True))]


def along(extent: Dim, i: Ix) -> Ix:
    """Where an axis of ``extent`` is read for index ``i`` of a broadcast one: at ``i``, but at 0 where its extent is 1."""
    if extent == 1:
        return index.ix(0)
    if choice.has_minimum(extent):  # broadcast only if it is too short for anything else: see ``_agree``
        a = index.single_atom(i)
        return index.ix(0) if a is not None and a.ext is not None and _gives_way(extent, as_dim(a.ext)) else i
    open_end = not isinstance(extent, int) and not index.nonneg(extent - 2) and not index.nonneg(extent - 1 - i)
    return i * choice.many(extent) if open_end else i


def elementwise(ctx: Ctx, f: Callable[..., E], xs: Sequence[Def], dtype: DType | None = None) -> Def:
    """``f`` of the broadcast elements of the node's inputs ``xs``, stored as ``dtype`` (by default the first input's).
    One-element operands that are known become constants of the expression."""
    known = [known_scalar(ctx, k, x) for k, x in enumerate(xs)]

    def at(*i: Ix) -> E:
        return f(*(read(x, i) if e is None else e for x, e in zip(xs, known, strict=True)))

    return compute(broadcast(*(x.shape for x in xs)), at, dtype or xs[0].dtype)


def replaced(point: Sequence[Ix], axis: int, *by: Ix) -> tuple[Ix, ...]:
    """``point`` with its coordinate along ``axis`` replaced by any number of others."""
    return (*point[:axis], *by, *point[axis + 1 :])


def flat_element(x: Def) -> E:
    """The only element of a scalar or one-element tensor."""
    return x[(0,) * x.rank]


def unread(x: Def, shape: Sequence[Dim]) -> Def:
    """A tensor without elements, of the type of ``x``: its expression is never evaluated."""
    return compute(shape, lambda *_: x[(0,) * x.rank], x.dtype)


def known_scalar(ctx: Ctx, k: int, operand: Def) -> E | None:
    """Operand ``k`` as a constant, if it has one element and that is known."""
    known = ctx.const(k) if operand.size == 1 and operand.dtype.kind in "fiubsc" else None
    return None if known is None else expr.const(known.reshape(-1)[0], operand.dtype.compute)


def known_or_loaded(ctx: Ctx, k: int, operand: Def | None) -> E | None:
    """Scalar operand ``k`` as a constant when its value is known, else as a load; None when absent."""
    if operand is None:
        return None
    known = known_scalar(ctx, k, operand)
    return flat_element(operand) if known is None else known
