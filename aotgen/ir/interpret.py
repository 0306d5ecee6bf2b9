# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The NumPy interpreter of Defs: what a lowering means, independent of fusion, loops and every target.

It is also a verifier: a load that is out of bounds where it is evaluated (outside its guard's chosen side) is an
InternalError, so an operator that only works by reading stray memory cannot pass a test.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aotgen.core import dtypes
from aotgen.core.dtypes import DType
from aotgen.core.errors import InternalError
from aotgen.ir import define, index
from aotgen.ir.atoms import OPERATIONS
from aotgen.ir.define import Call, Def
from aotgen.ir.expr import E
from aotgen.ir.index import Atom, Ix
from aotgen.ir.scalar import OPS, reread

Array = NDArray[Any]
LibraryFn = Callable[[Call, Sequence[Array]], Sequence[Array]]

LIBRARY: dict[str, LibraryFn] = {}  # library function name -> its reference
CHUNK = 1 << 23  # points of an iteration space evaluated at once; larger spaces are cut along an axis


def library(name: str) -> Callable[[LibraryFn], LibraryFn]:
    """Register ``f(call, args) -> results`` as the reference of a library function."""

    def add(f: LibraryFn) -> LibraryFn:
        LIBRARY[name] = f
        return f

    return add


def evaluate(
    defs: Sequence[Def], feeds: Mapping[Def, Array], wide: bool = False, dims: Mapping[str, int] | None = None
) -> dict[Def, Array]:
    """Contents of ``defs`` given those of ``feeds`` (any Defs; every source that is needed must be among them).

    Arithmetic runs in compute types and each Def is rounded to its storage type; ``wide`` keeps every float as float64
    except where an explicit cast rounds. Open dims take their extents from the shapes of ``feeds`` and from ``dims``.
    Raises InternalError for a missing feed, a shape that disagrees, an out-of-bounds load or an unknown call.
    """
    run = _Run(wide, dict(dims or {}))
    for d, a in feeds.items():
        run.put(d, np.asarray(a))
    needed = set(defs)
    order = define.topological(list(defs))
    for d in reversed(order):
        if d in needed and d not in feeds:
            needed.update(d.reads())
    for d in order:
        if d in needed and d not in run.arrays:
            run.define(d)
    return {d: run.arrays[d] for d in defs}


def cast_array(a: Array, to: DType, wide: bool = False) -> Array:
    """``a`` converted as a ``cast`` node converts it (see ``expr.cast_value``), as an array of the compute type."""
    target = _compute_dtype(to, wide)
    with np.errstate(all="ignore"):
        if to.is_bool:
            return np.not_equal(a, 0)
        if to.kind == "c":
            return a.astype(target)
        if to.is_float:
            return a.astype(target) if wide and to.bits >= 32 else a.astype(to.numpy).astype(target)
        if a.dtype.kind == "f":
            a = _saturate(a, to)
        return a.astype(to.numpy).astype(target) if to.bits >= 8 else _wrap(a, to).astype(target)


def bitcast_array(a: Array, types: str) -> Array:
    """``a`` as a ``bitcast`` node reads it; ``types``: the node's attribute."""
    source, to = (dtypes.of(name) for name in types.split(":"))
    return reread(a.astype(source.numpy), source, to)


def _saturate(a: Array, to: DType) -> Array:
    """Floats truncated into the 32 or 64 bit integer range that ``to`` converts through (below 0 always the signed one);
    NaN becomes 0."""
    t = np.trunc(np.where(np.isnan(a), 0, a).astype(np.float64))
    bits = 64 if to.bits > 32 else 32
    signed = _clamped(t, np.dtype(f"int{bits}"))
    if to.kind == "i" or to.bits < 32:
        return signed
    return np.where(t < 0, signed.astype(f"uint{bits}"), _clamped(np.maximum(t, 0), np.dtype(f"uint{bits}")))


def _clamped(t: Array, via: np.dtype[Any]) -> Array:
    """Whole floats as ``via``, saturated."""
    info = np.iinfo(via)
    low, high = t <= float(info.min), t >= float(info.max)
    mid = np.where(low | high, 0, t).astype(via)
    return np.where(low, via.type(info.min), np.where(high, via.type(info.max), mid))


def _wrap(a: Array, to: DType) -> Array:
    """Integers wrapped to a sub-byte type."""
    raw = a.astype(np.int64) & ((1 << to.bits) - 1)
    return np.where(raw >> (to.bits - 1) == 1, raw - (1 << to.bits), raw) if to.kind == "i" else raw


def _compute_dtype(t: DType, wide: bool) -> np.dtype[Any]:
    return np.dtype(np.float64) if wide and t.is_float else dtypes.compute_of(t).numpy


def _identity(kind: str, t: np.dtype[Any]) -> Any:
    if kind in ("max", "min"):
        if t.kind == "f":
            return -math.inf if kind == "max" else math.inf
        return np.iinfo(t).min if kind == "max" else np.iinfo(t).max
    return {"sum": 0, "prod": 1, "and": True, "or": False}[kind]


_REDUCE: dict[str, Any] = {
    "sum": np.add,
    "prod": np.multiply,
    "max": np.maximum,
    "min": np.minimum,
    "and": np.logical_and,
    "or": np.logical_or,
}
_FOLD: dict[str, Any] = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}


class _Run:
    """One evaluation: contents of Defs so far, and extents of open dims."""

    def __init__(self, wide: bool, dims: dict[str, int]) -> None:
        self.wide, self.dims = wide, dims
        self.arrays: dict[Def, Array] = {}
        self.bound: set[str] = set()

    # -- contents
    def put(self, d: Def, a: Array) -> None:
        """Record contents, converted to storage; open dims that are bare names are bound to the extents found."""
        if a.ndim != d.rank:
            raise InternalError(f"{d!r} given an array of shape {a.shape}")
        for n, extent in zip(a.shape, d.shape, strict=True):
            atoms = list(index.ix(extent).atoms())
            if len(atoms) == 1 and atoms[0].kind == "dim" and index.ix(extent) == index.var(atoms[0]):
                self._bind(atoms[0].name, n)
        if a.shape != (want := self.shape(d.shape)):
            raise InternalError(f"{d!r} has extents {want} but its contents have shape {a.shape}")
        wide_float = self.wide and d.dtype.is_float
        with np.errstate(all="ignore"):
            self.arrays[d] = a.astype(np.float64 if wide_float else d.dtype.numpy)

    def _bind(self, name: str, n: int) -> None:
        """Contents found in this run outrank extents that were passed in (those of an earlier trip of a loop, say)."""
        if name not in self.bound:
            self.bound.add(name)
            self.dims[name] = n

    def shape(self, extents: Sequence[index.Dim]) -> tuple[int, ...]:
        return tuple(self.extent(e) for e in extents)

    def extent(self, e: Ix | int) -> int:
        e = index.ix(e)
        env = {}
        for a in e.walk():
            if a.kind == "dim":
                if a.name not in self.dims:
                    raise InternalError(f"the extent of dim {a.name} is not known; pass dims=")
                env[a] = self.dims[a.name]
        return int(e.evaluate(env))

    # -- one Def
    def define(self, d: Def) -> None:
        if d.call is not None:
            self._call(d.call)
        elif d.expr is None:
            raise InternalError(f"source {d!r} has no contents")
        elif d.red == "scatter":
            self._scatter(d)
        else:
            self._expression(d)

    def _call(self, c: Call) -> None:
        if c.kind != "library" or c.name not in LIBRARY:
            raise InternalError(f"no reference for call {c.kind}:{c.name}")
        for d, a in zip(c.results, LIBRARY[c.name](c, [self.arrays[x] for x in c.args]), strict=True):
            self.put(d, np.asarray(a))

    def _expression(self, d: Def) -> None:
        shape = self.shape(d.shape)
        inner = d.rvars if d.red not in (None, "scan") else ()
        over = self.shape([r.ext for r in inner])  # type: ignore[misc]
        out = np.empty(shape, _compute_dtype(d.dtype, self.wide))
        cuts = [k for k, a in enumerate(d.axes) if d.red != "scan" or a not in d.rvars]
        cut = max(cuts, key=lambda k: shape[k], default=None)
        points = math.prod(shape) * math.prod(over)
        pieces = min(shape[cut], -(-points // CHUNK)) if cut is not None else 1
        for n in range(max(pieces, 1)):
            spans = [(0, s) for s in shape]
            if cut is not None and pieces > 1:
                spans[cut] = (n * shape[cut] // pieces, (n + 1) * shape[cut] // pieces)
            frame = _Frame(self, [*d.axes, *inner], [*spans, *((0, s) for s in over)])
            out[tuple(slice(*s) for s in spans)] = self._reduced(d, frame)
        self.put(d, out)

    def _reduced(self, d: Def, frame: _Frame) -> Array:
        """The expression over one frame, with the Def's reduction or scan applied."""
        assert d.expr is not None
        a = frame.full(d.expr)
        if d.red is None:
            return a
        if d.red == "scan":
            return _FOLD[d.fold].accumulate(a, axis=d.axes.index(d.rvars[0]), dtype=a.dtype)  # type: ignore[no-any-return]
        keep = len(d.axes)
        if d.red.startswith("arg"):
            flat = a.reshape(*a.shape[:keep], math.prod(a.shape[keep:]))
            best = np.argmax if "max" in d.red else np.argmin
            if flat.shape[-1] == 0:
                return np.zeros(flat.shape[:-1], np.int64)  # what a loop that never ran leaves; nobody reads it
            last = d.red.endswith("last")
            return np.asarray(flat.shape[-1] - 1 - best(flat[..., ::-1], -1) if last else best(flat, -1))
        kind = _REDUCE[d.red]
        extra = {} if d.red in ("and", "or") else {"dtype": a.dtype}
        return kind.reduce(a, axis=tuple(range(keep, a.ndim)), initial=_identity(d.red, a.dtype), **extra)  # type: ignore

    def _scatter(self, d: Def) -> None:
        assert d.into is not None
        assert d.expr is not None
        frame = _Frame(self, d.axes, [(0, n) for n in self.shape([a.ext for a in d.axes])])  # type: ignore[misc]
        out = self.arrays[d.into].astype(_compute_dtype(d.dtype, self.wide))
        at = tuple(np.broadcast_to(frame.index(i, None), frame.shape).ravel() for i in d.at)
        for i, n in zip(at, out.shape, strict=True):
            if i.size and not (i.min() >= 0 and i.max() < n):
                raise InternalError(f"{d!r} stores out of bounds")
        values = frame.full(d.expr).ravel()
        if not d.at:
            out = out.reshape(1)
            at = (np.zeros(values.shape, np.int64),)
        if d.fold == "set":
            for *point, v in zip(*at, values, strict=True):
                out[tuple(point)] = v
        else:
            _FOLD[d.fold].at(out, at, values)
        self.put(d, out.reshape(self.shape(d.shape)))


class _Frame:
    """Expressions over one iteration space: each variable an array along its own axis, everything broadcast lazily.

    A ``mask`` (or None: everywhere) says at which points a node is evaluated; loads elsewhere may be out of bounds.
    """

    def __init__(self, run: _Run, atoms: Sequence[Atom], spans: Sequence[tuple[int, int]]) -> None:
        self.run = run
        self.shape = tuple(hi - lo for lo, hi in spans)
        rank = len(spans)
        self.env = {
            a: (np.arange(lo, hi) + run.extent(a.lo or 0)).reshape([-1 if j == k else 1 for j in range(rank)])
            for k, (a, (lo, hi)) in enumerate(zip(atoms, spans, strict=True))
        }
        self.memo: dict[tuple[E, int], Array] = {}
        self.masks: list[Array] = []  # kept alive: the memo is keyed by their identity

    def full(self, e: E) -> Array:
        """``e`` at every point of the space."""
        return np.broadcast_to(self.value(e, None), self.shape)

    def value(self, e: E, mask: Array | None) -> Array:
        key = (e, id(mask))
        done = self.memo.get(key)
        if done is None:
            with np.errstate(all="ignore"):
                done = self.memo[key] = self._value(e, mask)
        return done

    def _value(self, e: E, mask: Array | None) -> Array:
        t = _compute_dtype(e.type, self.run.wide)
        if e.op == "const":
            return np.asarray(e.attr, t)
        if e.op == "load":
            return self._load(e.attr[0], e.attr[1], mask).astype(t)
        if e.op == "ix":
            return np.asarray(self.index(e.attr, mask)).astype(t)
        if e.op == "ge0":
            return np.asarray(self.index(e.attr, mask)) >= 0
        if e.op == "guard":
            return self._guard(e, mask)
        args = [self.value(a, mask) for a in e.args]
        if e.op == "select":
            return np.where(*args)
        if e.op == "cast":
            return cast_array(args[0], dtypes.of(e.attr), self.run.wide)
        if e.op == "bitcast":
            return bitcast_array(args[0], e.attr).astype(t)
        return np.asarray(OPS[e.op].numpy(*args))

    def _guard(self, e: E, mask: Array | None) -> Array:
        c = self.value(e.args[0], mask)
        sides = []
        for arm, chosen in ((e.args[1], c), (e.args[2], ~c)):
            on = chosen if mask is None else mask & chosen
            self.masks.append(on)
            sides.append(self.value(arm, None if on.all() else on))
        return np.where(c, *sides)

    def _load(self, d: Def, idx: Sequence[Ix], mask: Array | None) -> Array:
        a = self.run.arrays[d]
        at = [np.asarray(self.index(i, mask)) for i in idx]
        if 0 in self.shape or a.size == 0 or any(i.min() < 0 or i.max() >= n for i, n in zip(at, a.shape, strict=True)):
            return self._clamped(d, idx, at, mask)
        view = _strided(a, at, len(self.shape))
        return np.asarray(a[tuple(at)]) if view is None else view

    def _clamped(self, d: Def, idx: Sequence[Ix], at: Sequence[Array], mask: Array | None) -> Array:
        """A load some of whose indices are out of bounds; an InternalError if one of those is evaluated."""
        a = self.run.arrays[d]
        inside = np.asarray(True)
        for i, n in zip(at, a.shape, strict=True):
            inside = inside & (i >= 0) & (i < n)
        bad = ~inside if mask is None else ~inside & mask
        if bad.any() and 0 not in self.shape:
            raise InternalError(f"out-of-bounds load of {d!r} at {list(idx)}")
        if a.size == 0:
            return np.zeros(np.broadcast_shapes(*(i.shape for i in at)), a.dtype)
        return np.asarray(a[tuple(np.clip(i, 0, n - 1) for i, n in zip(at, a.shape, strict=True))])

    def index(self, i: Ix, mask: Array | None) -> Any:
        """An index polynomial at every point; loaded indices are clamped into their range."""
        total: Any = np.int64(0)
        for monomial, c in i.terms.items():
            term: Any = np.int64(c)
            for a in monomial:
                term = term * self._atom(a, mask)
            total = total + term
        return total

    def _atom(self, a: Atom, mask: Array | None) -> Any:
        if a.kind == "var":
            return self.env[a]
        if a.kind == "dim":
            return np.int64(self.run.extent(index.var(a)))
        if a.kind == "ind":
            v = self.value(a.payload, mask).astype(np.int64)
            assert a.lo is not None
            assert a.ext is not None
            lo, ext = self.index(a.lo, mask), self.index(a.ext, mask)
            return np.maximum(np.minimum(v, lo + ext - 1), lo)
        x, y = (self.index(part, mask) for part in a.parts())
        if a.kind in ("div", "mod"):
            y = np.where(y == 0, 1, y)  # an empty axis: nothing is evaluated there
        return OPERATIONS[a.kind](x, y)


def _strided(a: Array, at: Sequence[Array], rank: int) -> Array | None:
    """``a[at]`` as a view, where each index walks one axis of the space of ``rank`` axes in equal steps; else None."""
    along: list[int] = []
    cuts: list[slice] = []
    for i in at:
        walked = [k for k, n in enumerate(i.shape) if n > 1]
        flat = i.ravel()
        step = int(flat[1] - flat[0]) if flat.size > 1 else 1
        if len(walked) > 1 or step == 0 or (flat.size > 2 and (np.diff(flat) != step).any()):
            return None
        end = int(flat[-1]) + (1 if step > 0 else -1)
        cuts.append(slice(int(flat[0]), end if end >= 0 else None, step))
        along.append(walked[0] if walked else -1)
    moving = [k for k in along if k >= 0]
    if len(set(moving)) != len(moving):
        return None
    part: Array = a[tuple(cuts)] if cuts else a
    fixed = [n for n, k in enumerate(along) if k < 0]
    part = part.squeeze(tuple(fixed)).transpose(np.argsort(moving, kind="stable"))
    shape = [1] * rank
    for k, n in zip(sorted(moving), part.shape, strict=True):
        shape[k] = n
    return part.reshape(shape) if shape else part
