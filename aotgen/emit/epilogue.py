# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Epilogue to a functor: what a template kernel does with its accumulator, generic in the vector type V.

The vector runs along the last axis. What the offset of an access does along it decides the access: coefficient
1 is a vector load or store, 0 a broadcast, anything else a strided one. An expression that cannot be written
so (integers, conversions, an index loaded per lane) is printed for one lane and looped over the lanes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from aotgen.core.errors import InternalError
from aotgen.emit import nests
from aotgen.emit.names import NameTable
from aotgen.emit.scalar import LONGEST, ScalarPrinter, Scope, count_uses
from aotgen.emit.text import Text
from aotgen.ir import expr, index
from aotgen.ir.define import Def
from aotgen.ir.expr import E
from aotgen.ir.index import Atom, Ix
from aotgen.ir.program import BLOCK, Epilogue, LoopNest, Stage, Stmt, Tensor
from aotgen.targets.base import CHOICE, Code, Dialect

# Operations on f32 that the kernel headers have for V.
LANEWISE = frozenset(
    """neg abs exp expm1 log log1p sqrt rsqrt sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh erf
sigmoid floor ceil trunc rint add sub mul div pow min max isnan eq lt le""".split()
)
MASKS = frozenset(("and", "or", "not"))


@dataclass(frozen=True, slots=True)
class PrintedFunctor:
    """One functor. ``text(name)`` is the struct, ``key`` equal for equal code. ``params``: its members in order of
    initialisation after ``d`` (which is there when ``dims`` is not empty): (operand, C type, is it only read); each is
    the operand's buffer plus ``Tensor.base`` elements."""

    key: str
    params: tuple[tuple[Tensor, str, bool], ...]
    dims: tuple[Atom, ...]
    includes: tuple[str, ...]
    lanewise: bool
    body: Text

    def text(self, name: str) -> Text:
        out = Text()
        out.block(f"struct {name}", "};").add(self.body)
        return out


def print_epilogue(epilogue: Epilogue, dialect: Dialect) -> PrintedFunctor:
    """The functor of ``epilogue``. Raises InternalError for a store that does not move with the lane."""
    lane = epilogue.axes[-1]
    lanewise = all(_statement_is_lanewise(epilogue, s, lane) for s in epilogue.stmts)
    printer = _EpiloguePrinter(epilogue, dialect, lanewise)
    return printer.run()


def is_padded(epilogue: Epilogue) -> bool:
    """May the functor run on the pad lanes of the last block: is every element it touches there part of its tensor, and
    nobody else's?"""
    lane = epilogue.axes[-1]
    touched = [(s.target, s.index) for s in epilogue.stmts]
    touched += [ld.attr for s in epilogue.stmts for ld in expr.loads_of(s.value) if ld.attr[0] is not epilogue.acc]
    return all(_pad_is_safe(epilogue.tensors[d], idx, lane) for d, idx in touched)


def _pad_is_safe(t: Tensor, idx: Sequence[Ix], lane: Atom) -> bool:
    moving = [k for k, i in enumerate(idx) if lane in i.vars()]
    if not moving:
        return True
    whole = isinstance(n := t.shape[moving[0]], int) and n % BLOCK == 0
    blocked = t.layout.block_axis == moving[0] and t.layout.block == BLOCK and idx[moving[0]].coefficient(lane) == 1
    return len(moving) == 1 and (whole or blocked)


def _stride(t: Tensor, idx: Sequence[Ix], lane: Atom) -> Ix | None:
    """Elements from one lane to the next; None when that is not the same everywhere."""
    offset = t.layout.offset(idx)
    k = offset.coefficient(lane)
    fixed = k is not None and not any(a.kind == "ind" and lane in index.var(a).vars() for a in offset.walk())
    return k if fixed else None


def _statement_is_lanewise(epilogue: Epilogue, s: Stmt, lane: Atom) -> bool:
    stride = _stride(epilogue.tensors[s.target], s.index, lane)
    if s.red is not None or s.target.dtype.name != "f32" or stride is None or not stride.terms:
        return False
    return _is_lanewise(epilogue, s.value, lane, {})


def _is_lanewise(epilogue: Epilogue, e: E, lane: Atom, memo: dict[E, bool]) -> bool:
    """Can ``e`` be written for V: a uniform scalar, or f32 (or a mask) made of lane-wise operations?"""
    if e not in memo:
        memo[e] = _uniform(epilogue, e) or _node_is_lanewise(epilogue, e, lane, memo)
    return memo[e]


def _node_is_lanewise(epilogue: Epilogue, e: E, lane: Atom, memo: dict[E, bool]) -> bool:
    if e.op == "load":
        d, idx = e.attr
        if d is epilogue.acc:
            return e.dtype == "f32"
        return d.dtype.name == "f32" and _stride(epilogue.tensors[d], idx, lane) is not None
    arms = all(_is_lanewise(epilogue, a, lane, memo) for a in e.args)
    if e.op in ("select", "guard"):
        return arms and e.dtype == "f32" and (e.op == "select" or _uniform(epilogue, e.args[0]))
    if e.op in MASKS:
        return arms and not any(_uniform(epilogue, a) for a in e.args)
    return arms and e.op in LANEWISE and e.args[0].dtype == "f32"


def _uniform(epilogue: Epilogue, e: E) -> bool:
    """Is ``e`` the same in every lane?"""
    return epilogue.axes[-1] not in e.vars() and not any(ld.attr[0] is epilogue.acc for ld in expr.loads_of(e))


class _EpiloguePrinter(ScalarPrinter):
    def __init__(self, epilogue: Epilogue, dialect: Dialect, lanewise: bool) -> None:
        self.epilogue, self.lanewise, self.lane = epilogue, lanewise, epilogue.axes[-1]
        nest = LoopNest("", (), (Stage((), epilogue.stmts),), epilogue.tensors)
        table = NameTable(("d", "acc", "lanes", "first", "one"))
        super().__init__(dialect, table, self._element, nests.index_type(nest))
        self.pointers = nests.parameters(nest, table)
        self.body = Text()
        self.used: set[Atom] = set()
        self.written = frozenset(s.target for s in epilogue.stmts)
        self.uses = count_uses(s.value for s in epilogue.stmts)

    def run(self) -> PrintedFunctor:
        body = Text()
        scope = Scope(body, known=self.epilogue.axes)
        for n, a in enumerate(self.epilogue.axes):
            self.lazy[a] = self._axis(a, "l" if a is self.lane else f"a{n}", scope)
        for s in self.epilogue.stmts:
            (self._store_lanes if self.lanewise else self._store_one)(s, scope)
        self._members()
        names = [self._axis_name(n) for n in range(len(self.epilogue.axes))]
        params = ", ".join(
            f"int {n}" if a in self.used else "int" for n, a in zip(names, self.epilogue.axes, strict=True)
        )
        if self.lanewise:
            self.body.line("template <class V>")
            self.body.block(f"AOT_INLINE void operator()(V acc, {params}) const").add(body)
        else:
            self._per_lane(names, params, body)
        key = self.body.render(comments=False)
        pointers = tuple((p.tensor, p.ctype, not p.stored) for p in self.pointers.distinct)
        return PrintedFunctor(
            key,
            pointers,
            tuple(sorted(self.dims, key=lambda a: a.name)),
            self.dialect.headers(key),
            self.lanewise,
            self.body,
        )

    def _axis_name(self, n: int) -> str:
        return "l" if n == len(self.epilogue.axes) - 1 else f"a{n}"

    def _axis(self, a: Atom, name: str, scope: Scope) -> Callable[[], str]:
        """An axis is a parameter; with 64-bit offsets a wider copy of it."""

        def define() -> str:
            self.used.add(a)
            if self.index_type == "int":
                return name
            scope.text.line(f"const {self.index_type} {name}_wide = {name};")
            return f"{name}_wide"

        return define

    def _members(self) -> None:
        if self.dims:
            self.body.line("Dims d;")
        for p in self.pointers.distinct:
            self.body.comment(p.what)
            self.body.line(f"{'' if p.stored else 'const '}{p.ctype}* {p.name};")
        self.body.line(f"static constexpr bool kPadded = {'true' if is_padded(self.epilogue) else 'false'};")

    def _per_lane(self, names: Sequence[str], params: str, body: Text) -> None:
        """One lane's text, and the loop over the lanes of V."""
        heads = ", ".join(f"int {n}" for n in names[:-1])
        self.body.line("template <class V>")
        whole = self.body.block(f"AOT_INLINE void operator()(V acc, {heads + ', ' if heads else ''}int first) const")
        whole.line("float lanes[lanes_of<V>];").line("store(lanes, acc);")
        whole.raw("#pragma omp simd")
        given = ", ".join(["lanes[k]", *names[:-1], "first + k"])
        whole.block("for (int k = 0; k < lanes_of<V>; ++k)").line(f"one({given});")
        acc = (
            "acc"
            if any(ld.attr[0] is self.epilogue.acc for s in self.epilogue.stmts for ld in expr.loads_of(s.value))
            else ""
        )
        self.body.block(f"AOT_INLINE void one(float {acc}, {params}) const".replace("float ,", "float,")).add(body)

    # -- one lane
    def _element(self, load: E, scope: Scope) -> Code:
        d, idx = load.attr
        if d is self.epilogue.acc:
            return Code("acc")
        return self.dialect.load(d.dtype, f"{self.pointers[d].name}[{self._offset(d, idx, scope)}]")

    def _offset(self, d: Def, idx: Sequence[Ix], scope: Scope) -> str:
        return self.index(self.pointers[d].offset(d, idx), scope).text

    def locate_is_name(self, e: E) -> bool:
        return e.attr[0] is self.epilogue.acc

    def _store_one(self, s: Stmt, scope: Scope) -> None:
        dtype, e = s.target.dtype, s.value
        if e.op == "cast" and e.attr == dtype.name and dtype.compute != dtype.name:
            stored = self.dialect.store_cast(dtype, e.args[0].dtype, self.value(e.args[0], scope))
        else:
            stored = self.dialect.store(dtype, self.named(e, scope) if self._reread(s) else self.value(e, scope))
        self.forget(s.target, scope)
        scope.text.line(f"{self.pointers[s.target].name}[{self._offset(s.target, s.index, scope)}] = {stored};")

    def _reread(self, s: Stmt) -> bool:
        return bool(self.uses.get(expr.load(s.target, s.index)))

    # -- all lanes
    def _store_lanes(self, s: Stmt, scope: Scope) -> None:
        t = self.epilogue.tensors[s.target]
        stride = _stride(t, s.index, self.lane)
        if stride is None or not stride.terms:
            raise InternalError(f"{s.target} is not stored lane by lane")
        value = self.lanes(s.value, scope)
        if self._reread(s):
            value = Code(self._name_lanes(s.value, scope, value))
            scope.names[expr.load(s.target, s.index)] = value.text
        place = f"{self.pointers[s.target].name} + {self._offset(s.target, s.index, scope)}"
        if stride == 1:
            scope.text.line(f"store({place}, {value.text});")
        else:
            scope.text.line(f"store_strided({place}, {self.index(stride, scope).text}, {value.text});")

    def lanes(self, e: E, scope: Scope) -> Code:
        """``e`` as a V (or a mask)."""
        if _uniform(self.epilogue, e):
            return Code(f"splat<V>({self.value(e, scope).text})")
        if e in scope.names:
            return Code(scope.names[e])
        code = self._lane_code(e, scope)
        shared = self.uses.get(e, 1) > 1 and code.text != "acc"
        return Code(self._name_lanes(e, scope, code)) if shared or len(code.text) > LONGEST else code

    def _name_lanes(self, e: E, scope: Scope, code: Code) -> str:
        name = scope.names.get(e)
        if name is None:
            name = scope.names[e] = self.names.numbered("v")
            scope.text.line(f"const {'auto' if e.dtype == 'bool' else 'V'} {name} = {code.text};")
        return name

    def _lane_code(self, e: E, scope: Scope) -> Code:
        if e.op == "load":
            return self._load_lanes(e, scope)
        if e.op in ("select", "guard"):
            return self._choose(e, scope)
        if e.op in ("min", "max") and (bound := _number(e)) is not None:
            x = e.args[1 - bound]
            name = "at_least" if e.op == "max" else "at_most"
            return Code(f"{name}({self.lanes(x, scope).text}, {self.lanes(e.args[bound], scope).text})")
        args = [self.lanes(a, scope) for a in e.args]
        if e.op == "isnan":
            name = self._name_lanes(e.args[0], scope, args[0]) if not args[0].text.isidentifier() else args[0].text
            args = [Code(name)]
        return self.dialect.op(e.op, e.args[0].dtype, args)

    def _load_lanes(self, e: E, scope: Scope) -> Code:
        d, idx = e.attr
        if d is self.epilogue.acc:
            return Code("acc")
        stride = _stride(self.epilogue.tensors[d], idx, self.lane)
        assert stride is not None
        p = self.pointers[d].name
        offset = self._offset(d, idx, scope)
        if not stride.terms:  # the index names the lane, the layout ignores it
            return Code(f"splat<V>({p}[{offset}])")
        if stride == 1:
            return Code(f"load<V>({p} + {offset})")
        return Code(f"load_strided<V>({p} + {offset}, {self.index(stride, scope).text})")

    def _choose(self, e: E, scope: Scope) -> Code:
        c, a, b = e.args
        if not _uniform(self.epilogue, c):
            return Code(f"choose({', '.join(self.lanes(x, scope).text for x in (c, a, b))})")
        if e.op == "select":
            a_code, b_code = self.lanes(a, scope), self.lanes(b, scope)
        else:
            scratch = [Scope(Text(), scope, barrier=True) for _ in range(2)]
            a_code, b_code = (self.lanes(x, s) for x, s in zip((a, b), scratch, strict=True))
            if not all(s.text.empty for s in scratch):
                return self._branch(e, scope, scratch, (a_code, b_code))
        cond = self.value(c, scope)
        return Code(f"{cond.at(CHOICE + 1)} ? {a_code.at(CHOICE + 1)} : {b_code.at(CHOICE + 1)}", CHOICE)

    def _branch(self, e: E, scope: Scope, arms: Sequence[Scope], codes: Sequence[Code]) -> Code:
        """A guard whose arms define values: an if statement."""
        name = scope.names[e] = self.names.numbered("v")
        scope.text.line(f"V {name}{{}};")
        cond = self.value(e.args[0], scope).text
        scope.text.block(f"if ({cond})").add(arms[0].text).line(f"{name} = {codes[0].text};")
        scope.text.clause("else").add(arms[1].text).line(f"{name} = {codes[1].text};")
        return Code(name)


def _number(e: E) -> int | None:
    """Which argument of a minimum or maximum is a constant that is a number."""
    return next((k for k, a in enumerate(e.args) if a.op == "const" and not math.isnan(a.attr)), None)
