# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""LoopNest to one C++ function.

The function's text is made of positions only: pointers, loop variables and temporaries are named by role and order of
first use, ONNX names stand in comments. Two layers that do the same therefore print the same, and
``PrintedKernel.key`` says so.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from aotgen.core.errors import UnsupportedError
from aotgen.emit import dims, lanes, names, nests
from aotgen.emit.folds import Acc, kind_of, takes_over
from aotgen.emit.names import NameTable
from aotgen.emit.printed import PrintedKernel
from aotgen.emit.scalar import ScalarPrinter, Scope, count_uses
from aotgen.emit.text import Text
from aotgen.ir import expr, index
from aotgen.ir.define import LONG, Def
from aotgen.ir.expr import E
from aotgen.ir.index import Atom, Dim, Ix
from aotgen.ir.program import LoopNest, Stage, Stmt
from aotgen.targets.base import ADD, MUL, UNARY, Code, Dialect, Fold, Nest, Schedule
from aotgen.targets.cfamily import COMPUTE_CTYPE


def print_nest(nest: LoopNest, dialect: Dialect, quantum: Dim = 1) -> PrintedKernel:
    """``nest`` as a function in ``dialect``, by the first of its schedules that accepts; its outer iterations are shared in
    runs of whole multiples of ``quantum``. Raises UnsupportedError when none does and for an element type the dialect
    cannot hold."""
    reasons = []
    for schedule in dialect.schedules:
        chosen = nests.flatten(nest) if schedule.flattens else nest
        facts = nests.describe(chosen)
        reason = schedule.declines(facts)
        if not reason:
            return _NestPrinter(chosen, dialect, schedule, facts, quantum).run()
        reasons.append(f"{schedule.name}: {reason}")
    raise UnsupportedError(
        f"no {dialect.name} schedule takes this: {'; '.join(reasons)}",
        node=nest.origin or nest.name,
        hint="give open dims an upper bound (--dim NAME=1..512)",
    )


class _NestPrinter(ScalarPrinter):
    def __init__(self, nest: LoopNest, dialect: Dialect, schedule: Schedule, facts: Nest, quantum: Dim) -> None:
        self.nest, self.schedule, self.facts, self.quantum = nest, schedule, facts, quantum
        table = NameTable(("d", "mine", "end", "at", "scratch", "tid", "nt"))
        super().__init__(dialect, table, self._element, nests.index_type(nest))
        self.pointers = nests.parameters(nest, table)
        self.body = Text()
        self.temps: dict[Def, str] = {}
        self.late: set[Def] = nests.defined_at_store(nest)
        self.lane: Atom | None = None
        self.scratch: Ix = index.ix(0)
        self.vector_loops = 0
        self.scatters = 0
        self.copies: dict[Atom, str] = {}
        self.dim_type = self.index_type

    # -- the function
    def run(self) -> PrintedKernel:
        self.known, function = self.body.part(), Scope(self.body.part())
        total = index.prod_dims([a.ext for a in self.nest.outer if a.ext is not None])
        spelled = self.index(total, function).text
        single = self.nest.outer[0] if len(self.nest.outer) == 1 and self.nest.outer[0].lo == 0 else None
        flat = self.names.fresh("i" if single else "o")
        serial = not self.nest.outer
        whole = self.index(self.quantum, function).text if self.quantum != 1 else ""
        self._temps(self.body, function)
        radices = self._radices(function)
        strip = self.nest.strip
        inner = self.schedule.outer(self.body, flat, spelled, self.index_type, serial, whole, radices, strip.block if strip else 1)
        known = self.nest.outer
        if strip:
            self.variables[strip.end] = "end"
            known = (*known, strip.end)
        outer = Scope(inner.part(), function, known)
        self._outer_variables(outer, "" if radices else flat, single)
        self._stages(inner, outer)
        return self._finish(dims.spell(total), not serial)

    def _stages(self, text: Text, outer: Scope) -> None:
        """What is done in each outer iteration."""
        self._scalar_temps(text)
        before: Scope = outer
        stored: set[Def] = set()
        for number, stage in enumerate(self.nest.stages, 1):
            self.written = frozenset(stored)
            before = self._stage(stage, number, text, before)
            stored |= {s.target for s in stage.stmts}

    def dim(self, a: Atom) -> str:
        """A copy: a store could reach the original."""
        if a not in self.copies:
            self.copies[a] = self.names.fresh(names.member(a.name))
            self.known.line(f"const {self.index_type} {self.copies[a]} = {super().dim(a)};")
        return self.copies[a]

    def _finish(self, total: str, uses_thread: bool) -> PrintedKernel:
        head: list[str] = [self.dialect.dims_parameter] if self.dims else []
        notes = Text()
        for p in self.pointers.distinct:
            const = "" if p.stored else "const "
            restrict = "" if p.shared else f" {self.dialect.restrict}"
            head.append(f"{const}{p.ctype}*{restrict} {p.name}")
            notes.comment(f"{p.name}: {p.what}")
        if self.scratch.terms:
            head.append("void* scratch")
        body = Text()
        body.add(notes).add(self.body)
        key = "\n".join((self.schedule.name, *head, body.render(comments=False)))
        params = tuple((p.tensor, p.ctype, not p.stored) for p in self.pointers.distinct)
        return PrintedKernel(
            key,
            params,
            tuple(sorted(self.dims, key=lambda a: a.name)),
            index.as_dim(self.scratch),
            self.dialect.headers(key),
            self.vector_loops,
            self.schedule,
            tuple(head),
            body,
            self.facts,
            total,
            uses_thread,
        )

    def _radices(self, scope: Scope) -> list[str]:
        """The extents of all outer loops but the slowest, where counting beats dividing: by what only the run knows."""
        extents = [v.ext for v in self.nest.outer[1:] if v.ext is not None]
        counted = self.schedule.counts and any(e.const() is None for e in extents)
        return [self.index(e, scope).text for e in extents] if counted else []

    def _outer_variables(self, scope: Scope, flat: str, single: Atom | None) -> None:
        """Outer variables are quotients and remainders of the flat index (digits of the counter where there is none),
        defined when first used."""
        if single is not None:
            self.variables[single] = flat
            return
        below: Ix = index.ix(1)
        for n, v in reversed(list(enumerate(self.nest.outer))):
            assert v.ext is not None
            self.lazy[v] = self._decode(v, scope, flat, below, n)
            below = below * (v.ext if v.ext != 0 else 1)  # an empty loop: never divided

    def _decode(self, v: Atom, scope: Scope, flat: str, below: Ix, n: int) -> Callable[[], str]:
        def define() -> str:
            name = self.names.numbered("i")
            text = f"at[{n}]"
            if flat:
                text = flat if below == 1 else f"{flat} / {self.index(below, scope).at(MUL + 1)}"
                text = text if n == 0 else f"{text} % {self.index(v.ext if v.ext and v.ext != 0 else 1, scope).at(MUL + 1)}"
            lo = "" if v.lo == 0 else f" + {self.index(v.lo or 0, scope).at(ADD + 1)}"
            scope.text.line(f"const {self.index_type} {name} = {text}{lo};")
            return name

        return define

    # -- storage
    def _temps(self, text: Text, scope: Scope) -> None:
        """Row temps: on the stack up to the schedule's limit, the largest ones beyond it in scratch memory."""
        arrays = [t for t in self.nest.temps if t.shape]
        spill = nests.spilled(arrays, self.schedule.local_bytes)
        mine = text.part()
        for t in arrays:
            name = self.temps[t] = self.names.numbered("t")
            text.comment(f"{name}: {t.name or 'row'}")
            if t in spill:
                ctype = self.dialect.ctype(t.dtype)
                at = self.index(self.scratch, scope).at(ADD + 1)
                self.scratch = self.scratch + (index.ix(t.size) * t.dtype.bytes + 63) // 64 * 64
                cast = "static_cast" if at == "0" else "reinterpret_cast"
                where = "scratch" if at == "0" else f"static_cast<unsigned char*>(scratch) + {at}"
                text.line(f"{ctype}* {self.dialect.restrict} {name} = {cast}<{ctype}*>({where});")
            else:
                self.schedule.row_array(text, self.dialect.ctype(t.dtype), name, str(nests.upper(t.size)))
        if self.scratch.terms:
            mine.line(
                "scratch = static_cast<unsigned char*>(scratch) + static_cast<ptrdiff_t>(tid) * "
                f"{self.index(self.scratch, scope).at(UNARY)};"
            )

    def _scalar_temps(self, text: Text) -> None:
        for t in self.nest.temps:
            if not t.shape:
                self.temps[t] = self.names.numbered("t")
                if t not in self.late:
                    start = "{}" if t.dtype.kind == "s" else "0"
                    text.line(f"{self.dialect.ctype(t.dtype)} {self.temps[t]} = {start};")

    def _element(self, load: E, scope: Scope) -> Code:
        d, idx = load.attr
        return self.dialect.load(d.dtype, self._place(d, idx, scope))

    def _place(self, d: Def, idx: Sequence[Ix], scope: Scope) -> str:
        """The element of ``d`` at a logical index, as an lvalue."""
        if d in self.pointers:
            p = self.pointers[d]
            return f"{p.name}[{self.index(p.offset(d, idx), scope).text}]"
        name = self.temps[d]
        if not d.shape:
            return name
        at = nests.temp_offset(d, idx)
        lane = self.lane is not None and at == index.var(self.lane)
        return self.schedule.row_element(name, self.index(at, scope).text, lane)

    def locate_is_name(self, e: E) -> bool:
        d = e.attr[0]
        return d in self.temps and not d.shape and self.dialect.load(d.dtype, "x").text == "x"

    # -- stages
    def _stage(self, stage: Stage, number: int, text: Text, before: Scope) -> Scope:
        text.comment(nests.title(stage, number))
        straight = not stage.loops and stage.cond is None
        self.stage = scope = Scope(text if straight else text.part(), before)
        self.fresh, self.lane = set(), stage.lane
        self.uses = count_uses(nests.roots(stage))
        self.fresh = {s.target for s in stage.stmts}
        conds = nests.conjuncts(stage.cond)
        text, place = self._conditions(conds, text, scope)
        for v in stage.inner:
            if v is not stage.lane:
                text, place = self._loop(stage, v, "j", text, place)
                text, place = self._conditions(conds, text, place)
        accs = self._accumulators(stage, text, place)
        inner_text, inner_scope = text, place
        for v in stage.folds:
            if v is not stage.lane:
                inner_text, inner_scope = self._loop(stage, v, "r", inner_text, inner_scope)
        self._innermost(stage, accs, inner_text, inner_scope)
        for acc in accs:
            if acc.stmt.red != "scan":
                self._deliver(stage, acc, text, place)
        return scope

    def _conditions(self, conds: list[E], text: Text, scope: Scope) -> tuple[Text, Scope]:
        """An ``if`` around what follows for each condition whose variables are now known."""
        known = [c for c in conds if c.vars() <= scope.known]
        conds[:] = [c for c in conds if c not in known]
        if not known:
            return text, scope
        test = self.value(expr.all_(known), scope).text
        body = text.block(f"if ({test})")
        return body, Scope(body.part(), scope, barrier=True)

    def _loop(self, stage: Stage, v: Atom, letter: str, text: Text, scope: Scope) -> tuple[Text, Scope]:
        name, lo, hi = self._range(stage, v, letter, scope)
        body = text.block(f"for ({self.index_type} {name} = {lo}; {name} < {hi}; ++{name})")
        return body, Scope(body.part(), scope, (v,))

    def _range(self, stage: Stage, v: Atom, letter: str, scope: Scope) -> tuple[str, str, str]:
        """Name, first and end of a loop; bounds that clip it become maxima and minima."""
        assert v.lo is not None and v.ext is not None
        b = stage.bound(v)
        lo = self._extreme("vmax", (v.lo, *b.lows), scope)
        hi = self._extreme("vmin", (v.lo + v.ext, *b.highs), scope)
        peers = [w for w in (stage.folds if letter == "r" else stage.inner) if w is not stage.lane]
        name = letter if letter == "l" or len(peers) == 1 else f"{letter}{peers.index(v)}"
        self.variables[v] = name
        return name, lo, hi

    def _extreme(self, op: str, ends: Iterable[Ix], scope: Scope) -> str:
        """The tightest of several bounds; those that another one implies are dropped."""
        sign = 1 if op == "vmax" else -1
        kept: list[Ix] = []
        for e in dict.fromkeys(ends):
            if not any(index.nonneg((k - e) * sign) for k in kept):
                kept = [k for k in kept if not index.nonneg((e - k) * sign)] + [e]
        out = self.index(kept[0], scope).text
        if len(kept) == 1:
            return out
        for k in kept[1:]:
            wide = "int64_t" if self.index_type == "int64_t" else "int32_t"
            out = f"{op}({', '.join(f'{wide}{{{t}}}' if t.isdigit() else t for t in (out, self.index(k, scope).text))})"
        name = self.names.numbered("k")
        scope.text.line(f"const {self.index_type} {name} = {out};")
        return name

    def _innermost(self, stage: Stage, accs: list[Acc], text: Text, scope: Scope) -> None:
        if stage.lane is None:
            self._statements(stage, accs, text, scope if scope.text is text else Scope(text, scope))
            return
        text, loop = lanes.runs(stage, accs, self.names, text, self._lanes(stage, accs, scope))
        bodies = lanes.bodies(stage, self.nest.is_dear, self.schedule, self.names, text, loop)
        self.vector_loops += loop.vector * len(bodies)
        for body in bodies:
            self._statements(stage, accs, body, Scope(body, scope, (stage.lane,)))
        for acc in accs:
            if acc.part and acc.fold.part is not None:
                text.line(f"{acc.name} = {acc.fold.step(acc.name, acc.fold.part.finish(acc.part))};")

    def _statements(self, stage: Stage, accs: list[Acc], text: Text, scope: Scope) -> None:
        by_stmt = {a.stmt: a for a in accs}
        for s in stage.stmts:
            acc = by_stmt.get(s)
            if acc is None:
                self._store(s, s.value, text, scope, stage)
            else:
                self._step(stage, acc, text, scope)

    def _lanes(self, stage: Stage, accs: list[Acc], scope: Scope) -> lanes.Lanes:
        assert stage.lane is not None
        name, lo, hi = self._range(stage, stage.lane, "l", scope)
        folds = lanes.merged(accs)
        vector = not any(a.stmt.red and a.stmt.red.startswith("arg") and not a.spread for a in accs)
        return lanes.Lanes(name, lo, hi, self.index_type, folds, vector and all(f.combine for f, _ in folds))

    def _lane_loop(self, stage: Stage, accs: list[Acc], text: Text, scope: Scope) -> Text:
        """A loop over the lanes that starts or stores spread accumulators."""
        o = self._lanes(stage, accs, scope)
        self.vector_loops += o.vector
        return self.schedule.lane_loop(text, o.name, o.lo, o.hi, o.ctype, o.folds, o.vector)  # type: ignore[no-any-return]

    # -- folds
    def _accumulators(self, stage: Stage, text: Text, scope: Scope) -> list[Acc]:
        spread = stage.lane is not None and stage.lane in stage.inner and bool(stage.folds)
        accs = []
        for s in stage.stmts:
            if s.red is None or s.red == "scatter":
                continue
            across = stage.lane in stage.folds and not s.red.startswith("arg")
            fold = self.dialect.fold(kind_of(s), s.value.dtype, across)
            direct = spread and self._ends_in_temp(s, fold)
            name = "" if direct else self.names.numbered("a")
            at = self.names.numbered("p") if s.red.startswith("arg") else ""
            parted = fold.part is not None and (s.fold == LONG or len(stage.folds) > 1)
            part = self.names.numbered("a") if parted else ""
            accs.append(Acc(s, fold, name, at, part, spread, direct))
        for acc in accs:
            self._start(stage, acc, text)
        if spread and accs:
            body = self._lane_loop(stage, accs, text, scope)
            place = Scope(body, scope, (stage.lane,) if stage.lane else ())
            for acc in accs:
                body.line(f"{self._slot(stage, acc, place)} = {acc.fold.init};")
                if acc.at:
                    body.line(f"{self._lane_of(stage, acc.at)} = -1;")
        return accs

    def _ends_in_temp(self, s: Stmt, fold: Fold) -> bool:
        """Can a spread accumulator live where its result goes?"""
        same = self.dialect.ctype(s.target.dtype) == fold.ctype and fold.finish("a").text == "a"
        return s.target in self.temps and s.red in ("sum", "prod", "max", "min") and same

    def _start(self, stage: Stage, acc: Acc, text: Text) -> None:
        if not acc.spread:
            text.line(f"{acc.fold.ctype} {acc.name} = {acc.fold.init};")
            if acc.at:
                text.line(f"{self.index_type} {acc.at} = -1;")
            return
        if acc.direct:
            return
        assert stage.lane is not None and stage.lane.ext is not None
        extent = str(nests.upper(index.as_dim(stage.lane.ext)))
        self.schedule.row_array(text, acc.fold.ctype, acc.name, extent)
        if acc.at:
            self.schedule.row_array(text, self.index_type, acc.at, extent)

    def _lane_of(self, stage: Stage, array: str) -> str:
        """The lane's element of an array over the lane."""
        assert stage.lane is not None and stage.lane.lo is not None
        at = index.var(stage.lane) - stage.lane.lo
        return self.schedule.row_element(array, self.index(at, Scope(Text())).text, True)

    def _slot(self, stage: Stage, acc: Acc, scope: Scope) -> str:
        """Where the accumulator is, as an lvalue."""
        if acc.direct:
            return self._place(acc.stmt.target, acc.stmt.index, scope)
        return self._lane_of(stage, acc.name) if acc.spread else acc.name

    def _step(self, stage: Stage, acc: Acc, text: Text, scope: Scope) -> None:
        """One value into its accumulator."""
        name = self._slot(stage, acc, scope)
        if acc.at:
            self._arg_step(stage, acc, name, text, scope)
            return
        value = self.value(acc.stmt.value, scope)
        if acc.part and acc.fold.part is not None:
            text.line(f"{acc.part} = {acc.fold.part.step(acc.part, value)};")
            return
        text.line(f"{name} = {acc.fold.step(name, value)};")
        if acc.stmt.red == "scan":
            self._put(acc.stmt, acc.fold.finish(name), text, scope)

    def _arg_step(self, stage: Stage, acc: Acc, best: str, text: Text, scope: Scope) -> None:
        """Better values take over; NaN beats every number; ties go to the smallest (or largest) position."""
        s, at = acc.stmt, self._lane_of(stage, acc.at) if acc.spread else acc.at
        assert s.red is not None and s.position is not None
        value, position = self.named(s.value, scope).text, self.index(s.position, scope).text
        ordered = nests.increasing(s.position, stage.loops, stage.folds)
        better = takes_over(s, value, best, position, at, ordered)
        test = self.names.numbered("q")
        text.line(f"const bool {test} = {better};")
        text.line(f"{best} = {test} ? {value} : {best};")
        text.line(f"{at} = {test} ? {position} : {at};")

    def _deliver(self, stage: Stage, acc: Acc, text: Text, scope: Scope) -> None:
        """The accumulator's result to its target."""
        if acc.direct:
            return
        if acc.spread:
            text = self._lane_loop(stage, [acc], text, scope)
            scope = Scope(text, scope, (stage.lane,) if stage.lane else ())
            name = self._lane_of(stage, acc.at or acc.name)
        else:
            name = acc.at or acc.name
            if stage.lane is not None:
                self.schedule.merge(text, acc.fold, acc.name)
            scope = Scope(text, scope)
        if acc.at:
            self._put(
                acc.stmt,
                self.dialect.convert_index(COMPUTE_CTYPE[acc.stmt.target.dtype.compute], Code(name)),
                text,
                scope,
            )
        else:
            self._put(acc.stmt, acc.fold.finish(name), text, scope)

    # -- stores
    def _store(self, s: Stmt, e: E, text: Text, scope: Scope, stage: Stage) -> None:
        if s.red == "scatter" and s.fold != "set":
            self._accumulate(s, text, scope)
            return
        dtype = s.target.dtype
        reread = expr.load(s.target, s.index)
        if self.uses.get(reread) and dtype.compute == dtype.name:  # a later statement reads it here: keep it in a name
            name = self.named(e, scope)
            self._put(s, name, text, scope)
            if name.text.isidentifier():
                scope.names[reread] = name.text
        elif e.op == "load" and e.attr[0].dtype is dtype and dtype.is_float and 8 <= dtype.bits < 32:
            self._write(s, self._place(*e.attr, scope), text, scope)  # moved, not converted there and back
        elif e.op == "cast" and e.attr == dtype.name and dtype.compute != dtype.name:
            self._write(s, self.dialect.store_cast(dtype, e.args[0].dtype, self.value(e.args[0], scope)), text, scope)
        else:
            self._put(s, self.value(e, scope), text, scope)

    def _put(self, s: Stmt, value: Code, text: Text, scope: Scope) -> None:
        self._write(s, self.dialect.store(s.target.dtype, value), text, scope)

    def _write(self, s: Stmt, stored: str, text: Text, scope: Scope) -> None:
        self.forget(s.target, scope)
        place = self._place(s.target, s.index, scope)
        if s.target in self.late:
            text.line(f"const {self.dialect.ctype(s.target.dtype)} {place} = {stored};")
        elif s.target in self.pointers and self.lane is None:
            self.schedule.single(text).line(f"{place} = {stored};")
        else:
            text.line(f"{place} = {stored};")

    def _accumulate(self, s: Stmt, text: Text, scope: Scope) -> None:
        """A scatter that folds into what is there."""
        op = {"add": "add", "mul": "mul", "max": "max", "min": "min"}[s.fold]
        value = self.named(s.value, scope)
        at = self.dialect.load(s.target.dtype, self._place(s.target, s.index, scope))
        self._put(s, self.dialect.op(op, s.value.dtype, [at, value]), text, scope)
