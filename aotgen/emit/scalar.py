# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Scalar expressions to C++ text.

Every value is printed in the outermost scope that knows its variables: hoisting is by construction. A value used twice
gets a name, one used once is printed in place. The arms of a guard are scopes that no load leaves; both sides
of a select are values before the choice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from aotgen.core import dtypes
from aotgen.emit import names
from aotgen.emit.names import NameTable
from aotgen.emit.text import Text
from aotgen.ir import expr, index
from aotgen.ir.atoms import OVER_DIMS
from aotgen.ir.define import Def
from aotgen.ir.expr import E
from aotgen.ir.index import Atom, Ix, Monomial
from aotgen.targets.base import ADD, AND, CHOICE, EQUAL, LESS, MUL, PRIMARY, UNARY, Code, Dialect
from aotgen.targets.cfamily import COMPUTE_CTYPE, MENTIONS_TWICE

LONGEST = 88  # an expression whose text is longer gets a name


class Scope:
    """A place for definitions: ``text`` receives them, ``known`` are the variables that have values there (those of the
    enclosing scopes included). ``barrier``: control reaches it conditionally, so loads stay inside."""

    def __init__(
        self, text: Text, parent: Scope | None = None, known: Iterable[Atom] = (), barrier: bool = False
    ) -> None:
        self.text, self.parent, self.barrier = text, parent, barrier
        self.known: frozenset[Atom] = frozenset(known) | (parent.known if parent else frozenset())
        self.names: dict[E | Atom, str] = {}


class ScalarPrinter:
    """Prints expressions of one kernel.

    ``locate(load, scope)`` spells an element; ``written``: Defs the kernel stores, whose loads never leave the stage
    scope (``stage``), nor the innermost scope while they are among ``fresh``. ``uses``: how often each node is
    used in the statements being printed. ``index_type``: C type of loop variables and offsets. ``variables``:
    C names of loop variables; ``lazy``: definitions of variables that are written when first needed.
    """

    def __init__(self, dialect: Dialect, table: NameTable, locate: Callable[[E, Scope], Code], index_type: str) -> None:
        self.dialect, self.names, self.locate, self.index_type = dialect, table, locate, index_type
        self.variables: dict[Atom, str] = {}
        self.lazy: dict[Atom, Callable[[], str]] = {}
        self.uses: Mapping[E, int] = {}
        self.written: frozenset[Def] = frozenset()
        self.fresh: set[Def] = set()
        self.stage: Scope | None = None
        self.dims: set[Atom] = set()
        self.dim_type = "int"  # that ``dim`` spells
        self._loads: dict[E, frozenset[Def]] = {}

    # -- values
    def value(self, e: E, scope: Scope) -> Code:
        """``e`` as text valid at the end of ``scope.text``."""
        if e.op == "const":
            return self.dialect.literal(e.attr, e.dtype)
        found = self._find(e, self.loads(e), scope)
        if found is not None:
            return Code(found)
        if not self._worth_a_name(e):
            return self.build(e, scope)
        home = self._home(e.vars(), self.loads(e), scope)
        if home is not scope or self.uses.get(e, 1) > 1:
            return Code(self.define(e, home))
        code = self.build(e, scope)
        return Code(self._name(e, scope, code)) if len(code.text) > LONGEST else code

    def named(self, e: E, scope: Scope) -> Code:
        """``e`` as a name or a literal."""
        code = self.value(e, scope)
        return code if code.text.isidentifier() or e.op == "const" else Code(self._name(e, scope, code))

    def define(self, e: E, scope: Scope) -> str:
        """Give ``e`` a name in ``scope``."""
        code = self.build(e, scope)
        return code.text if code.text.isidentifier() else self._name(e, scope, code)

    def _name(self, e: E, scope: Scope, code: Code) -> str:
        name = scope.names.get(e)
        if name is None:
            name = self.names.numbered("v")
            scope.text.line(f"const {COMPUTE_CTYPE[e.dtype]} {name} = {code.text};")
            scope.names[e] = name
        return name

    def build(self, e: E, scope: Scope) -> Code:
        """The text of one node, its arguments printed by ``value``."""
        if e.op == "load":
            return self.locate(e, scope)
        if e.op == "ix":
            return self._index_value(e, scope)
        if e.op == "ge0":
            return self.compare(e.attr, scope)
        if e.op == "guard":
            return self._guard(e, scope)
        if e.op == "select":
            return self._select(e, scope)
        if e.op == "cast" and e.args[0].op == "ix" and e.dtype in ("f32", "f64") and e.attr == e.dtype:
            return self.dialect.convert_index(COMPUTE_CTYPE[e.dtype], self.index(e.args[0].attr, scope))
        if e.op == "cast":
            return self.dialect.cast(dtypes.of(e.attr), e.args[0].dtype, self.value(e.args[0], scope))
        if e.op == "bitcast":
            source, to = map(dtypes.of, e.attr.split(":"))
            return self.dialect.bitcast(source, to, self.value(e.args[0], scope))
        if e.op == "and" and self._index_only(e):
            left, right = (self.value(a, scope) for a in e.args)
            return Code(f"{left.at(AND)} && {right.at(AND)}", AND)
        get = self.named if e.op in MENTIONS_TWICE else self.value
        return self.dialect.op(e.op, e.args[0].dtype, [get(a, scope) for a in e.args])

    def _index_value(self, e: E, scope: Scope) -> Code:
        code = self.index(e.attr, scope)
        want = COMPUTE_CTYPE[e.dtype]
        return code if want == self.index_type else self.dialect.convert_index(want, code)

    def _select(self, e: E, scope: Scope) -> Code:
        """Both sides first: an arm that loads becomes a value before the choice."""
        c, *arms = e.args
        cond = self.value(c, scope)
        a, b = (self.named(x, scope) if self.loads(x) else self.value(x, scope) for x in arms)
        return Code(f"{cond.at(CHOICE + 1)} ? {a.at(CHOICE + 1)} : {b.at(CHOICE + 1)}", CHOICE)

    def _guard(self, e: E, scope: Scope) -> Code:
        """A conditional; an if statement when an arm needs definitions of its own."""
        c, *arms = e.args
        cond = self.value(c, scope)
        scratch = [Scope(Text(), scope, barrier=True) for _ in arms]
        texts = [self.value(x, s) for x, s in zip(arms, scratch, strict=True)]
        if all(s.text.empty for s in scratch):
            a, b = texts
            return Code(f"{cond.at(CHOICE + 1)} ? {a.at(CHOICE + 1)} : {b.at(CHOICE + 1)}", CHOICE)
        name = scope.names[e] = self.names.numbered("v")
        scope.text.line(f"{COMPUTE_CTYPE[e.dtype]} {name};")
        for header, s, code in zip((f"if ({cond.text})", "else"), scratch, texts, strict=True):
            arm = scope.text.block(header) if header != "else" else scope.text.clause(header)
            arm.add(s.text).line(f"{name} = {code.text};")
        return Code(name)

    # -- where a value lives
    def loads(self, e: E) -> frozenset[Def]:
        """The Defs that ``e`` loads from."""
        out = self._loads.get(e)
        if out is None:
            out = self._loads[e] = frozenset(ld.attr[0] for ld in expr.loads_of(e))
        return out

    def _index_only(self, e: E) -> bool:
        """A condition on loop variables: cheap, no name."""
        return e.op == "ge0" or (e.op in ("and", "or", "not") and all(map(self._index_only, e.args)))

    def _worth_a_name(self, e: E) -> bool:
        if e.op == "load":
            return not self.locate_is_name(e)
        return e.op != "ix" and not self._index_only(e)

    def locate_is_name(self, e: E) -> bool:
        """Whether the element is a plain variable already; kernels with scalar temps override this."""
        return False

    def _find(self, key: E | Atom, loads: frozenset[Def], scope: Scope) -> str | None:
        local = loads & self.written
        s: Scope | None = scope
        while s is not None:
            if key in s.names:
                return s.names[key]
            if local and s is self.stage:
                return None
            s = s.parent
        return None

    def _home(self, needs: frozenset[Atom], loads: frozenset[Def], scope: Scope) -> Scope:
        """The outermost scope where a value of these variables and loads may be defined."""
        if loads & self.fresh:
            return scope
        local = loads & self.written
        while scope.parent is not None and needs <= scope.parent.known:
            if (scope.barrier and loads) or (local and scope is self.stage):
                break
            scope = scope.parent
        return scope

    def forget(self, d: Def, scope: Scope) -> None:
        """``d`` is being stored: values that loaded it are stale in ``scope``."""
        for key in [k for k in scope.names if isinstance(k, E) and d in self.loads(k)]:
            del scope.names[key]

    # -- index arithmetic
    def index(self, i: Ix | int, scope: Scope) -> Code:
        """A polynomial: larger strides first, a positive term in front."""
        terms = index.ix(i).sorted_terms()
        positive = [t for t in terms if t[1] > 0 and t[0]]
        if not positive:  # 5 - 2 * i
            terms.sort(key=lambda t: t[1] < 0)
        else:
            terms = positive + [t for t in terms if t not in positive]
        if not terms:
            return Code("0")
        out = ""
        for m, c in terms:
            body = self._term(m, abs(c), scope)
            if not out:
                out = f"-{body.at(UNARY)}" if c < 0 else body.text
            else:
                out += f" {'-' if c < 0 else '+'} {body.at(ADD + 1)}"
        if len(terms) > 1:
            return Code(out, ADD)
        return Code(out, UNARY) if terms[0][1] < 0 else body

    def _term(self, m: Monomial, c: int, scope: Scope) -> Code:
        factors = [self.atom(a, scope) for a in m]
        if self.index_type != self.dim_type and m and all(a.kind == "dim" for a in m):
            factors[0] = f"{self.index_type}{{{factors[0]}}}"
        if c != 1 or not m:
            factors.append(str(c))
        return Code(" * ".join(factors), PRIMARY if len(factors) == 1 else MUL)

    def atom(self, a: Atom, scope: Scope) -> str:
        """One factor as a primary expression."""
        if a.kind == "var":
            if a not in self.variables:
                self.variables[a] = self.lazy[a]()
            return self.variables[a]
        if a.kind == "dim":
            self.dims.add(a)
            return self.dim(a)
        loads = (
            self.loads(a.payload)
            if a.kind == "ind"
            else frozenset(d for x in index.var(a).walk() if x.kind == "ind" for d in self.loads(x.payload))
        )
        found = self._find(a, loads, scope)
        if found is not None:
            return found
        home = self._home(index.var(a).vars(), loads, scope)
        print_ = self._indirect if a.kind == "ind" else self._side if a.kind in OVER_DIMS else self._division
        code = print_(a, home)
        name = home.names[a] = self.names.numbered("k")
        home.text.line(f"const {self.index_type} {name} = {code.text};")
        return name

    def dim(self, a: Atom) -> str:
        """A dim that the run knows."""
        return f"d.{names.member(a.name)}"

    def _division(self, a: Atom, scope: Scope) -> Code:
        assert a.a is not None and a.b is not None
        top, bottom = self.index(a.a, scope), self.index(a.b, scope)
        if not index.nonneg(a.b - 1, where=a.a):  # nothing is computed from a quotient by 0, but it may be computed
            bottom = Code(f"vmax({bottom.text}, {self.index_type}{{1}})")
        if index.nonneg(a.a):
            return Code(f"{top.at(MUL)} {'/' if a.kind == 'div' else '%'} {bottom.at(MUL + 1)}", MUL)
        rest = f"imod<{self.index_type}>({top.text}, {bottom.text})"
        return Code(f"({top.text} - {rest}) / {bottom.at(MUL + 1)}" if a.kind == "div" else rest, MUL)

    def _side(self, a: Atom, scope: Scope) -> Code:
        """A minimum, or a broadcast extent."""
        x, y = (
            f"{self.index_type}{{{self.index(part, scope).text}}}" if part.const() is not None else self.index(part, scope).at(EQUAL + 1)
            for part in a.parts()
        )
        return Code(f"vmin({x}, {y})") if a.kind == "min" else Code(f"{x} == 1 ? {y} : {x}", CHOICE)

    def _indirect(self, a: Atom, scope: Scope) -> Code:
        """A loaded index, clamped into its axis in its own type before it becomes an offset."""
        assert a.lo is not None and a.ext is not None
        payload: E = a.payload
        code = self.value(payload, scope)
        lo, hi = self.index(a.lo, scope), self.index(a.lo + a.ext - 1, scope)
        wide = COMPUTE_CTYPE[payload.dtype]
        if payload.dtype == "i32" and self.index_type == "int":
            return self.dialect.call("clampi<int>", [code.text, lo.text, hi.text])
        wide = "int64_t" if payload.dtype != "i32" or self.index_type != "int" else wide
        clamped = self.dialect.call(f"clampi<{wide}>", [code.text, lo.text, hi.text])
        return clamped if self.index_type == wide else self.dialect.convert_index(self.index_type, clamped)

    def compare(self, i: Ix, scope: Scope) -> Code:
        """``i >= 0`` with negative terms moved to the other side; ``v < n`` rather than ``n - 1 >= v``."""
        positive = Ix({m: c for m, c in i.terms.items() if c > 0 and m})
        negative = Ix({m: -c for m, c in i.terms.items() if c < 0 and m})
        k = i.terms.get((), 0)
        if not positive.terms:
            return Code(f"{self.index(negative, scope).at(ADD)} <= {k}", LESS)
        if not negative.terms:
            return Code(f"{self.index(positive, scope).at(ADD)} >= {-k}", LESS)
        if k < 0 and all(a.kind == "dim" for a in positive.atoms()):
            return Code(f"{self.index(negative - k - 1, scope).at(ADD)} < {self.index(positive, scope).at(ADD)}", LESS)
        left = positive + max(k, 0)
        return Code(f"{self.index(left, scope).at(ADD)} >= {self.index(negative - min(k, 0), scope).at(ADD)}", LESS)


def count_uses(roots: Iterable[E]) -> dict[E, int]:
    """How many places use each node below ``roots`` (a root counts once per occurrence)."""
    uses: dict[E, int] = {}
    stack = list(roots)
    while stack:
        e = stack.pop()
        uses[e] = uses.get(e, 0) + 1
        if uses[e] == 1:
            stack.extend(e.args)
            stack.extend(a.payload for i in e.indices() for a in i.walk() if a.kind == "ind")
    return uses
