# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Scalar expressions over loop variables: what one element of a tensor is.

Expressions are hash-consed (same parts: same object), so sharing is identity and a DAG stays small. ``mk`` is the only
constructor and holds every local rewrite; ``rebuild`` goes through it, so simplification is never a separate pass.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np

from aotgen.core import dtypes
from aotgen.core.errors import InternalError
from aotgen.ir import index
from aotgen.ir.index import Atom, Ix
from aotgen.ir.scalar import OPS, reread
from aotgen.ir.scalar import cast_value as cast_value


class Readable(Protocol):
    """What can be loaded from: ``define.Def``, of which this module knows no more."""

    name: str
    dtype: dtypes.DType

STRUCTURAL = ("const", "load", "ix", "ge0", "guard", "select", "cast", "bitcast")
_table: dict[Any, E] = {}


class E:
    """One node: ``op`` (a row of ``scalar.OPS`` or one of ``STRUCTURAL``), ``args``, compute ``dtype`` name, ``attr``.

    ``const``: attr is the Python scalar. ``load``: attr is ``(Def, index)``, index a tuple of ``Ix``; yields the compute
    type of the Def's storage. ``ix``: attr an ``Ix``, an integer value. ``ge0``: attr an ``Ix``, a bool.
    ``guard(c, a, b)`` evaluates only the chosen side (its arms may hold out-of-range loads and are never hoisted);
    ``select(c, a, b)`` evaluates both. ``cast``: attr is the *storage* type name whose range and rounding apply.
    ``bitcast``: attr names two storage types of one width, ``f32:i32``: the bits of the first read as the second.
    """

    __slots__ = ("op", "args", "dtype", "attr", "_vars", "_size")

    def __init__(self, op: str, args: tuple[E, ...], dtype: str, attr: Any) -> None:
        self.op, self.args, self.dtype, self.attr = op, args, dtype, attr
        self._vars: frozenset[Atom] | None = None
        self._size: int | None = None

    def vars(self) -> frozenset[Atom]:
        """Every loop variable this depends on, through indices too."""
        if self._vars is None:
            found: set[Atom] = set()
            for a in self.args:
                found |= a.vars()
            for i in self.indices():
                found |= i.vars()
            self._vars = frozenset(found)
        return self._vars

    def indices(self) -> tuple[Ix, ...]:
        """The index polynomials held directly by this node."""
        if self.op == "load":
            return self.attr[1]  # type: ignore[no-any-return]
        return (self.attr,) if self.op in ("ix", "ge0") else ()

    def subst(self, env: Mapping[Atom, Ix]) -> E:
        return self if not any(v in env for v in self.vars()) else rebuild(self, env)

    @property
    def type(self) -> dtypes.DType:
        return dtypes.of(self.dtype)

    # -- arithmetic (Python scalars take this node's type)
    def _lift(self, other: E | float | int) -> E:
        return other if isinstance(other, E) else const(other, self.dtype)

    def __add__(self, o: E | float) -> E:
        return fn("add", self, self._lift(o))

    def __radd__(self, o: float) -> E:
        return fn("add", self._lift(o), self)

    def __sub__(self, o: E | float) -> E:
        return fn("sub", self, self._lift(o))

    def __rsub__(self, o: float) -> E:
        return fn("sub", self._lift(o), self)

    def __mul__(self, o: E | float) -> E:
        return fn("mul", self, self._lift(o))

    def __rmul__(self, o: float) -> E:
        return fn("mul", self._lift(o), self)

    def __truediv__(self, o: E | float) -> E:
        return fn("div", self, self._lift(o))

    def __rtruediv__(self, o: float) -> E:
        return fn("div", self._lift(o), self)

    def __neg__(self) -> E:
        return fn("neg", self)

    def __lt__(self, o: E | float) -> E:
        return fn("lt", self, self._lift(o))

    def __le__(self, o: E | float) -> E:
        return fn("le", self, self._lift(o))

    def __gt__(self, o: E | float) -> E:
        return fn("lt", self._lift(o), self)

    def __ge__(self, o: E | float) -> E:
        return fn("le", self._lift(o), self)

    def eq(self, o: E | float) -> E:
        return fn("eq", self, self._lift(o))

    def __repr__(self) -> str:
        if self.op == "const":
            return f"{self.attr}"
        if self.op == "load":
            return f"{self.attr[0].name}[{', '.join(map(repr, self.attr[1]))}]"
        if self.op in ("ix", "ge0"):
            return f"({self.attr})" if self.op == "ix" else f"({self.attr} >= 0)"
        name = f"{self.op}<{self.attr}>" if self.attr is not None else self.op
        return f"{name}({', '.join(map(repr, self.args))})"


def reset() -> None:
    """Forget every hash-consed node (once per compile, with ``index.reset``)."""
    _table.clear()


def _key_of(attr: Any) -> Any:
    if isinstance(attr, complex):
        return struct.pack("<2d", attr.real, attr.imag)
    return struct.pack("<d", attr) if isinstance(attr, float) else attr


def _cons(op: str, args: tuple[E, ...], dtype: str, attr: Any = None) -> E:
    key = (op, args, dtype, _key_of(attr), type(attr))
    node = _table.get(key)
    if node is None:
        node = _table[key] = E(op, args, dtype, attr)
    return node


def const(value: Any, dtype: str) -> E:
    """A constant of compute type ``dtype``, rounded to it."""
    t = dtypes.of(dtype)
    if t.kind == "s":
        return _cons("const", (), dtype, str(value))
    if t.is_float:
        with np.errstate(over="ignore"):
            return _cons("const", (), dtype, float(t.numpy.type(value)))
    if t.kind == "c":
        return _cons("const", (), dtype, complex(t.numpy.type(value)))
    if t.is_bool:
        return _cons("const", (), dtype, bool(value))
    width = t.bits
    raw = int(value) & ((1 << width) - 1)
    signed = raw - (1 << width) if t.kind == "i" and raw >> (width - 1) else raw
    return _cons("const", (), dtype, signed)


TRUE_VALUE, FALSE_VALUE = True, False


def true() -> E:
    return const(True, "bool")


def false() -> E:
    return const(False, "bool")


def nothing(t: dtypes.DType) -> E:
    """What stands where a tensor of storage type ``t`` was given no value: 0, false, the empty string."""
    return const("" if t.kind == "s" else 0, t.compute)


def load(d: Readable, idx: tuple[Ix, ...]) -> E:
    """The element of ``d`` at a logical index."""
    return _cons("load", (), dtypes.compute_of(d.dtype).name, (d, idx))


def ix_value(i: Ix | int, dtype: str = "i64") -> E:
    """An index polynomial as an integer value."""
    i = index.ix(i)
    c = i.const()
    return const(c, dtype) if c is not None else _cons("ix", (), dtype, i)


def undivided(e: Ix) -> Ix:
    """Something simpler that is ``>= 0`` exactly where ``e`` is.

    Without the division when ``e`` is ``rest +- a // b``: ``a // b >= -rest`` iff ``a >= -rest * b``, and ``a // b <= rest``
    iff ``a < (rest + 1) * b``. And ``e >= 0`` iff ``e // c >= 0``, where that leaves no division: ``2*o - 1`` is ``o - 1``,
    ``16*r - 16 + l`` with ``0 <= l < 16`` is ``r - 1``.
    """
    divs = [a for a in e.atoms() if a.kind == "div"]
    if not divs:
        for c in sorted({abs(k) for m, k in e.terms.items() if m and abs(k) > 1}, reverse=True):
            q = e // c
            if not any(a.kind in ("div", "mod") for a in q.atoms() - e.atoms()):
                return undivided(q)
        return e
    if len(divs) != 1 or abs(e.terms.get((divs[0],), 0)) != 1 or sum(divs[0] in m for m in e.terms) != 1:
        return e
    d, sign = divs[0], e.terms[(divs[0],)]
    assert d.a is not None
    assert d.b is not None
    rest = e - sign * index.var(d)
    return undivided(d.a + rest * d.b if sign > 0 else (rest + 1) * d.b - 1 - d.a)


def ge0(i: Ix | int) -> E:
    """``i >= 0``, folded as soon as it is provable; a quotient alone is compared without dividing."""
    i = undivided(index.ix(i))
    if index.nonneg(i):
        return true()
    if index.nonneg(-i - 1):
        return false()
    return _cons("ge0", (), "bool", i)


def between(lo: Ix | int, i: Ix, hi: Ix | int) -> E:
    """``lo <= i < hi``."""
    return all_([ge0(i - lo), ge0(index.ix(hi) - 1 - i)])


def all_(conditions: list[E]) -> E:
    out = true()
    for c in conditions:
        out = fn("and", out, c)
    return out


def guard(c: E, a: E, b: E) -> E:
    """``a`` where ``c`` holds, else ``b``; only the chosen side is evaluated."""
    return _choose("guard", c, a, b)


def select(c: E, a: E, b: E) -> E:
    """``a`` where ``c`` holds, else ``b``; both sides are evaluated (no out-of-range loads in them)."""
    return _choose("select", c, a, b)


def _choose(op: str, c: E, a: E, b: E) -> E:
    if c.op == "const":
        return a if c.attr else b
    if a is b and op == "select":
        return a
    if a.dtype != b.dtype:
        raise InternalError(f"{op} of {a.dtype} and {b.dtype}")
    return _cons(op, (c, a, b), a.dtype)


def cast(a: E, to: dtypes.DType | str) -> E:
    """``a`` converted to storage type ``to`` (rounded, wrapped or saturated as ONNX says) as a compute value."""
    t = dtypes.of(to)
    target = dtypes.compute_of(t).name
    if a.dtype == target and t.name == target:
        return a
    if a.op == "const":
        return const(cast_value(a.attr, t), target)
    if a.op == "ix" and t.name in ("i32", "i64"):
        return ix_value(a.attr, t.name)
    return _cons("cast", (a,), target, t.name)


def bitcast(a: E, source: dtypes.DType, to: dtypes.DType) -> E:
    """The bits of ``a``, an element stored as ``source``, read as an element of type ``to`` of the same width."""
    if source.bits != to.bits or a.dtype != source.compute:
        raise InternalError(f"bits of {source} (held as {a.dtype}) read as {to}")
    if source is to:
        return a
    if a.op == "const":
        bits = np.asarray(a.attr).astype(source.numpy).reshape(1)
        return const(reread(bits, source, to)[0].item(), to.compute)
    return _cons("bitcast", (a,), to.compute, f"{source}:{to}")


def index_of(e: E, ext: Ix | int) -> Ix:
    """An integer expression as an index into an axis of extent ``ext``; clamped at run time when it is loaded data."""
    if e.op == "ix":
        return e.attr  # type: ignore[no-any-return]
    if e.op == "const":
        return index.ix(int(e.attr))
    return index.indirect(cast(e, "i32") if index.ix(ext).const() is not None else e, ext)


def wrap_negative(e: E, ext: Ix | int) -> Ix:
    """A loaded index that may count from the end, as an index into an axis of extent ``ext``."""
    if e.op in ("ix", "const"):
        i = index_of(e, ext)
        if index.nonneg(i):
            return i
        if index.nonneg(-i - 1):
            return i + ext
    e = cast(e, "i32") if index.ix(ext).const() is not None else cast(e, "i64")
    return index_of(select(e < 0, e + ix_value(ext, e.dtype), e), ext)


def fn(op: str, *args: E) -> E:
    """A scalar operation, folded and simplified where that never changes a value."""
    row = OPS[op]
    if len(args) != row.arity:
        raise InternalError(f"{op} takes {row.arity} arguments, got {len(args)}")
    if len({a.dtype for a in args}) > 1:
        raise InternalError(f"{op} of mixed types {[a.dtype for a in args]}")
    out = "bool" if row.result == "bool" else args[0].dtype
    if all(a.op == "const" for a in args):
        with np.errstate(all="ignore"):
            value = row.numpy(*(np.asarray(a.attr, a.type.numpy) for a in args))
        return const(np.asarray(value).item(), out)
    return _index_arith(op, args) or _simplify(op, args) or _cons(op, args, out)


_INDEX_RULES: Mapping[str, Callable[[Ix, Ix], Ix]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
}


def _as_index(e: E) -> Ix | None:
    if e.op == "ix":
        return e.attr  # type: ignore[no-any-return]
    return index.ix(e.attr) if e.op == "const" and e.dtype in ("i32", "i64") else None


def _index_arith(op: str, args: tuple[E, ...]) -> E | None:
    """Arithmetic and comparisons of index values stay index arithmetic."""
    if not any(a.op == "ix" for a in args):
        return None
    if op == "neg":
        return ix_value(-args[0].attr, args[0].dtype)
    if len(args) != 2:
        return None
    a, b = _as_index(args[0]), _as_index(args[1])
    if a is None or b is None:
        return None
    if op in _INDEX_RULES:
        return ix_value(_INDEX_RULES[op](a, b), args[0].dtype)
    if op in ("div", "mod", "fmod") and index.nonneg(a) and index.nonneg(b - 1):
        return ix_value(a // b if op == "div" else a % b, args[0].dtype)
    if op in ("min", "max"):
        small, large = (a, b) if index.nonneg(b - a) else (b, a) if index.nonneg(a - b) else (None, None)
        pick = small if op == "min" else large
        return None if pick is None else ix_value(pick, args[0].dtype)
    if op == "lt":
        return ge0(b - a - 1)
    if op == "le":
        return ge0(b - a)
    if op == "eq":
        if a == b:
            return true()
        return false() if index.nonneg(a - b - 1) or index.nonneg(b - a - 1) else None
    return None


def _simplify(op: str, args: tuple[E, ...]) -> E | None:
    """Identities that hold for every value, NaN, infinities and signed zeros included."""
    a = args[0]
    b = args[1] if len(args) > 1 else None
    if op in ("mul", "div") and b is not None and b.op == "const" and b.attr == 1:
        return a
    if op == "mul" and a.op == "const" and a.attr == 1:
        return b
    if op == "sub" and b is not None and b.op == "const" and b.attr == 0 and str(b.attr) != "-0.0":
        return a
    if op == "add" and b is not None and a.type.kind in "iub":
        for x, y in ((a, b), (b, a)):
            if y.op == "const" and y.attr == 0:
                return x
    if op in ("and", "or") and b is not None:
        for x, y in ((a, b), (b, a)):
            if y.op == "const":
                return x if bool(y.attr) == (op == "and") else y
        return a if a is b else None
    if op == "not" and a.op == "not":
        return a.args[0]
    return None


def mk(op: str, args: tuple[E, ...], dtype: str, attr: Any) -> E:
    """Rebuild any node from its parts through the simplifying constructors."""
    if op in OPS:
        return fn(op, *args)
    if op == "const":
        return const(attr, dtype)
    if op == "load":
        return load(attr[0], attr[1])
    if op == "ix":
        return ix_value(attr, dtype)
    if op == "ge0":
        return ge0(attr)
    if op == "cast":
        return cast(args[0], attr)
    if op == "bitcast":
        return bitcast(args[0], *map(dtypes.of, attr.split(":")))
    return _choose(op, *args)


def rebuild(
    e: E,
    env: Mapping[Atom, Ix],
    on_load: Callable[[Any, tuple[Ix, ...]], E | None] | None = None,
    memo: dict[E, E] | None = None,
) -> E:
    """``e`` with variables replaced by ``env`` and each load offered to ``on_load`` (None: keep it), simplified."""
    memo = {} if memo is None else memo
    done = memo.get(e)
    if done is not None:
        return done
    args = tuple(rebuild(a, env, on_load, memo) for a in e.args)
    attr = e.attr
    if e.op == "load":
        target, idx = attr
        idx = tuple(_rebuild_index(i, env, on_load, memo) for i in idx)
        replaced = on_load(target, idx) if on_load else None
        out = load(target, idx) if replaced is None else replaced
    else:
        if e.op in ("ix", "ge0"):
            attr = _rebuild_index(attr, env, on_load, memo)
        out = mk(e.op, args, e.dtype, attr)
    memo[e] = out
    return out


def _rebuild_index(i: Ix, env: Mapping[Atom, Ix], on_load: Any, memo: dict[E, E]) -> Ix:
    """An index rebuilt; loads inside indirect atoms go through ``on_load`` too. Their payloads share the memo: an index that
    was loaded at a loaded index, and so on, would else be rebuilt once for every way to it."""
    full: dict[Atom, Ix] = dict(env)
    for a in i.walk():
        if a.kind == "ind":
            assert a.ext is not None and a.lo is not None
            new = rebuild(a.payload, env, on_load, memo)
            if on_load is not None:
                ext = a.ext.subst(env)
                full[a] = index_of(new, ext) if new.op in ("ix", "const") else index.indirect(new, ext)
            elif new is not a.payload:
                full[a] = index.indirect(new, a.ext.subst(env), a.lo.const() or 0)
            else:
                full[a] = index.var(a)
    return i.subst(full)


def loads_of(e: E) -> list[E]:
    """Every distinct load in ``e``, those inside indices included, in first-visit order."""
    out: dict[E, None] = {}
    seen: set[E] = set()
    stack = [e]
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if node.op == "load":
            out[node] = None
        for i in node.indices():
            stack.extend(a.payload for a in i.walk() if a.kind == "ind")
        stack.extend(reversed(node.args))
    return list(out)


def nodes_of(e: E) -> list[E]:
    """Every distinct node of ``e`` (not into indices)."""
    seen: dict[E, None] = {}
    stack = [e]
    while stack:
        node = stack.pop()
        if node not in seen:
            seen[node] = None
            stack.extend(node.args)
    return list(seen)


def flops(e: E) -> int:
    """Cost of evaluating ``e`` once, shared parts counted once, in units of one add."""
    return sum(OPS[node.op].flops for node in nodes_of(e) if node.op in OPS)
