# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Def: a tensor as a scalar expression over named axes, with at most one reduction, at its root.

Views, broadcasting, softmax, pooling, convolution and quantisation are all made of Defs; so is the reference meaning of
every operator. ``compute`` and ``reduce_`` are how operators are written; ``Call`` is a Def's other form: a result of a
template kernel, library function or region that is not an expression.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from aotgen.core import dtypes
from aotgen.core.dtypes import DType
from aotgen.core.errors import InternalError
from aotgen.ir import expr, index
from aotgen.ir.bounds import bound
from aotgen.ir.expr import E
from aotgen.ir.index import Atom, Dim, Ix

REDUCTIONS = ("sum", "max", "min", "prod", "argmax", "argmin", "argmax_last", "argmin_last", "and", "or")
LONG_SUM = 1024  # terms of a float32 sum that may be added up in float32
LONG = "long"  # the fold of a float32 sum that may have more


@dataclass(eq=False, slots=True)
class Call:
    """Something that is not an expression and yields one or more Defs.

    ``kind``: ``library`` (an ordinary function of ``kernels/common/library.h``), ``region`` (If, Loop) or ``kernel`` (a
    template kernel chosen by a target rule). ``name``: which. ``args``: the Defs it reads. ``params``: compile-time facts
    (hashable). ``results``: filled by ``call``.
    """

    kind: str
    name: str
    args: tuple[Def, ...]
    params: dict[str, Any] = field(default_factory=dict)
    results: tuple[Def, ...] = ()


@dataclass(eq=False, slots=True)
class Def:
    """One tensor. Exactly one of ``expr`` (with ``axes``), ``call``, or neither (an input or a constant) is set.

    ``shape``: extents, one axis each. ``dtype``: storage type of an element. ``expr``: its value at ``axes``, of the
    compute type. ``red``/``rvars``: a reduction of ``expr`` over ``rvars`` (one of ``REDUCTIONS``; argmax yields i64).
    ``red = "scan"`` with ``scan_op`` keeps the running value along the single axis in ``rvars`` (which is also in ``axes``).
    ``red = "scatter"``: axes run over updates, ``at`` is the computed store index into ``into`` and ``scatter_op`` is
    ``set/add/mul/max/min``. ``origin``: the ONNX node it came from. ``after``: calls that make extents it mentions.
    """

    name: str
    shape: tuple[Dim, ...]
    dtype: DType
    axes: tuple[Atom, ...] = ()
    expr: E | None = None
    red: str | None = None
    rvars: tuple[Atom, ...] = ()
    fold: str = ""  # scan: add/mul/...; scatter: set/add/mul/max/min; sum: LONG or nothing
    at: tuple[Ix, ...] = ()
    into: Def | None = None
    call: Call | None = None
    result: int = 0
    origin: str = ""
    after: tuple[Def, ...] = ()

    def __getitem__(self, idx: Any) -> E:
        """The element at a logical index: ints, ``Ix`` or loop-variable atoms, one per axis."""
        idx = idx if isinstance(idx, tuple) else (idx,)
        if len(idx) != len(self.shape):
            raise InternalError(f"{self.name} has rank {len(self.shape)}, indexed with {len(idx)}")
        return expr.load(self, tuple(index.var(i) if isinstance(i, Atom) else index.ix(i) for i in idx))

    @property
    def rank(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> Dim:
        return index.prod_dims(self.shape)

    @property
    def is_source(self) -> bool:
        """An input or a constant: bytes that exist before the Program runs."""
        return self.expr is None and self.call is None

    @property
    def is_view(self) -> bool:
        """Pure movement: the expression is a single load and there is no reduction."""
        return self.expr is not None and self.expr.op == "load" and self.red is None

    def reads(self) -> list[Def]:
        """The Defs this one reads, in first-use order."""
        if self.call is not None:
            return list(dict.fromkeys((*self.call.args, *self.after)))
        out: dict[Def, None] = dict.fromkeys(self.after)
        if self.into is not None:
            out[self.into] = None
        exprs = [self.expr] if self.expr is not None else []
        for i in self.at:
            exprs.extend(a.payload for a in i.walk() if a.kind == "ind")
        for e in exprs:
            for ld in expr.loads_of(e):
                out[ld.attr[0]] = None
        return list(out)

    def __repr__(self) -> str:
        dims = ",".join(map(str, self.shape))
        head = f"{self.name}: {self.dtype}[{dims}]"
        if self.call is not None:
            return f"{head} = {self.call.kind}:{self.call.name}({', '.join(a.name for a in self.call.args)}).{self.result}"
        if self.expr is None:
            return head
        over = f" over {list(self.rvars)}" if self.rvars else ""
        return f"{head}{list(self.axes)} = {self.red + ' ' if self.red else ''}{self.expr}{over}"


def source(name: str, shape: Sequence[Dim], dtype: DType) -> Def:
    """An input or constant."""
    return Def(name, tuple(map(index.as_dim, shape)), dtype)


def axes_for(shape: Sequence[Dim], letter: str = "i") -> tuple[Atom, ...]:
    return tuple(index.fresh_var(index.ix(d), f"{letter}{n}") for n, d in enumerate(shape))


def _points(axes: Sequence[Atom]) -> list[Ix]:
    """Index values for axes; an axis of extent 1 is just 0."""
    return [index.ix(0) if a.ext == 1 and a.lo == 0 else index.var(a) for a in axes]


def compute(shape: Sequence[Dim], f: Callable[..., E], dtype: DType | None = None, name: str = "") -> Def:
    """The Def whose element at index ``i...`` is ``f(*i)`` (each an ``Ix``). ``dtype``: storage type, by default the
    expression's own."""
    shape = tuple(index.as_dim(d) for d in shape)
    axes = axes_for(shape)
    e = f(*_points(axes))
    dtype = dtype or e.type
    if e.dtype != dtypes.compute_of(dtype).name:
        raise InternalError(f"expression of {e.dtype} for a tensor of {dtype}")
    return Def(name, shape, dtype, axes, e)


def reduce_(
    kind: str,
    shape: Sequence[Dim],
    over: Sequence[Dim],
    f: Callable[[list[Ix], list[Ix]], E],
    dtype: DType | None = None,
    name: str = "",
) -> Def:
    """The Def whose element at ``o`` is the ``kind`` reduction over ``r`` of ``f(o, r)``.

    A float32 sum that may have more than ``LONG_SUM`` terms is ``LONG``: a target keeps it in float64, or at most
    ``LONG_SUM`` terms at a time in float32. A plain running sum of n terms may be off by n/2 rounding errors of its
    result, which a normalisation over an image multiplies further."""
    if kind not in REDUCTIONS:
        raise InternalError(f"unknown reduction {kind}")
    shape = tuple(index.as_dim(d) for d in shape)
    axes, rvars = axes_for(shape), axes_for(over, "r")
    e = f(_points(axes), _points(rvars))
    live = tuple(r for r in rvars if r.ext != 1)
    out = dtype or (dtypes.i64 if kind.startswith("arg") else e.type)
    fold = LONG if kind == "sum" and e.dtype == "f32" and _may_exceed(over, LONG_SUM) else ""
    return Def(name, shape, out, axes, e, red=kind, rvars=live if not kind.startswith("arg") else rvars, fold=fold)


def _may_exceed(extents: Sequence[Dim], limit: int) -> bool:
    """Can the product of ``extents`` be larger than ``limit``?"""
    most = bound(index.prod_dims(extents))
    return not isinstance(most, int) or most > limit


def scan(fold: str, shape: Sequence[Dim], axis: int, f: Callable[..., E], dtype: DType | None = None) -> Def:
    """Running ``fold`` (``add``, ``mul``, ``max``...) of ``f`` along ``axis``, kept at every step."""
    d = compute(shape, f, dtype)
    d.red, d.rvars, d.fold = "scan", (d.axes[axis],), fold
    return d


def scatter(
    fold: str, into: Def, updates: Sequence[Dim], at: Callable[..., Sequence[Ix]], f: Callable[..., E]
) -> Def:
    """A copy of ``into`` with ``f(*u)`` folded into element ``at(*u)`` for each point ``u`` of ``updates``, in order."""
    axes = axes_for(updates, "u")
    pts = _points(axes)
    return Def(
        "", into.shape, into.dtype, axes, f(*pts), red="scatter", fold=fold, at=tuple(at(*pts)), into=into
    )


def call(
    kind: str, name: str, args: Sequence[Def], results: Sequence[tuple[Sequence[Dim], DType]], **params: Any
) -> tuple[Def, ...]:
    """The result Defs of something that is not an expression."""
    c = Call(kind, name, tuple(args), params)
    c.results = tuple(
        Def("", tuple(map(index.as_dim, shape)), dtype, call=c, result=k)
        for k, (shape, dtype) in enumerate(results)
    )
    return c.results


def topological(outputs: Sequence[Def]) -> list[Def]:
    """Every Def that ``outputs`` depend on, producers first; each call's results stay together. Raises InternalError for one
    that depends on itself."""
    done: dict[Def, None] = {}
    begun: set[Def] = set()
    stack: list[tuple[Def, bool]] = [(d, False) for d in reversed(outputs)]
    while stack:
        d, ready = stack.pop()
        if d in done:
            continue
        if ready:
            for sibling in d.call.results if d.call else (d,):
                done.setdefault(sibling, None)
            continue
        if d in begun:
            raise InternalError(f"{d!r} depends on itself")
        begun.add(d)
        stack.append((d, True))
        stack.extend((r, False) for r in reversed(d.reads()) if r not in done)
    return list(done)
