# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A graph that grows: what rows ask for operands, and where the nodes they make are tried out."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, TypeVar

import ml_dtypes
import numpy as np
import onnx
from onnx import helper, numpy_helper

from aotgen.core.errors import UnsupportedError
from aotgen.verify.contract import relative_error
from tests.fuzz import reference
from tests.fuzz.reference import Refused, Results
from tests.fuzz.values import ANY, FLOATS, ROUNDING, Array, Sizes, Var, contents, widened

T = TypeVar("T")
LARGEST = 20_000  # elements of a result
FRESH = 2_000  # elements of an input
HUGE = {"float32": 1e4, "float64": 1e4, "float16": 2e3}  # a float beyond this is not built upon
TINY = 1e-5  # nor a tensor that is all but zero: its relative error says nothing
# Chained float errors up to these are built upon (relative to the largest magnitude): what amplifies more proves nothing.
CHAINED = {"float32": 2e-5, "float64": 1e-11, "float16": 6e-3}
# A reference that is further off on one node, both fed the same, is a finding: some hundred roundings.
LOCAL = {name: 512 * unit for name, unit in ROUNDING.items()}
COARSE = {"LRN": 8}  # times LOCAL: the powers of onnxruntime are off by up to 2e-4
CANCELLED = 8  # roundings of the largest operand that a result may be off by, however small it is itself
MARGIN = {"float32": 1e-3, "float64": 1e-6, "float16": 3e-2}  # of the scale: how far from a jump is far enough
COMMON = (1, 2, 3, 4, 5, 6, 7, 8)
EDGES = (9, 15, 16, 17, 31, 32, 33)


class Skip(Exception):
    """This row does not apply now; ``str`` says why."""


class Wrong(Exception):
    """A node on which the interpreter does not say what onnxruntime says. ``model`` and ``feeds`` show it."""

    def __init__(self, why: str, model: onnx.ModelProto, feeds: list[dict[str, Array]]) -> None:
        super().__init__(why)
        self.model, self.feeds = model, feeds


@dataclass
class Settings:
    """``sizes``: of every run, the open dims by name (one empty dict a run: all is static). ``hostile``: empty dims, NaN,
    infinities and extremes, and nothing is dropped for its contents. ``ask``: who says what a node computes."""

    sizes: tuple[dict[str, int], ...] = ({}, {})
    hostile: bool = False
    opset: int = reference.OPSET
    ask: Callable[[onnx.NodeProto, list[Var], int], Results] = reference.by_ort

    @property
    def runs(self) -> int:
        return len(self.sizes)

    def symbols(self) -> dict[Sizes, str]:
        """Name of an open dim by its extents."""
        return {tuple(s[name] for s in self.sizes): name for name in self.sizes[0]}


@dataclass
class Gen:
    """``values``: what there is to build upon. ``outer``: the graph around, for the body of a region."""

    rnd: Random
    settings: Settings = field(default_factory=Settings)
    outer: Gen | None = None
    values: list[Var] = field(default_factory=list)
    inputs: list[Var] = field(default_factory=list)
    weights: list[Var] = field(default_factory=list)
    nodes: list[onnx.NodeProto] = field(default_factory=list)
    used: set[str] = field(default_factory=set)
    skipped: Counter[str] = field(default_factory=Counter)
    names: Counter[str] = field(default_factory=Counter)
    wrongs: list[Wrong] = field(default_factory=list)

    # -- choices
    def int(self, low: int, high: int) -> int:
        return self.rnd.randint(low, high)

    def of(self, some: Sequence[T]) -> T:
        return self.rnd.choice(some)

    def chance(self, p: float) -> bool:
        return self.rnd.random() < p

    def type(self, types: Sequence[str]) -> str:
        """One of ``types``, half the time the first."""
        return types[0] if self.chance(0.5) else self.of(types)

    def some(self, n: int, least: int = 0) -> list[int]:
        """Some of ``range(n)``, ordered, at least ``least``."""
        return sorted(self.rnd.sample(range(n), self.int(min(least, n), n)))

    def signed(self, axis: int, rank: int) -> int:
        """An axis as a model may write it."""
        return axis - rank if self.chance(0.3) else axis

    def need(self, condition: object, why: str) -> None:
        if not condition:
            raise Skip(why)

    # -- extents
    def extent(self) -> int:
        if self.settings.hostile and self.chance(0.06):
            return 0
        return self.of(EDGES) if self.chance(0.12) else self.of(COMMON)

    def sizes(self, rank: int) -> list[Sizes]:
        """Extents of a new value of ``rank`` axes, some of them open, at most FRESH elements."""
        runs, symbols = self.settings.runs, list(self.settings.symbols())
        out: list[Sizes] = []
        for _ in range(rank):
            s = self.of(symbols) if symbols and self.chance(0.4) else (self.extent(),) * runs
            room = max((int(np.prod([max(o[k], 1) for o in out])) * s[k] for k in range(runs)), default=0)
            out.append(s if room <= FRESH else (1,) * runs)
        return out

    # -- operands
    def any(self, types: Sequence[str] = ANY, rank: tuple[int, int] = (0, 4), *, low: float | None = None,
            high: float | None = None, where: Callable[[Var], object] | None = None, exact: bool = False,
            shape: Sequence[Sizes] | None = None, weight: float = 0.0) -> Var:
        """A value of one of ``types`` that satisfies all of this: one that is there, else a new one (an initializer with
        probability ``weight``). ``where`` only chooses among those there: it must hold for any new one of this shape."""
        fits = [v for v in self.values if v.dtype in types and rank[0] <= v.rank <= rank[1] and v.within(low, high)
                and (not exact or v.exact) and (where is None or where(v)) and (shape is None or list(v.sizes) == list(shape))]
        if fits and self.chance(0.85):
            unused = [v for v in fits if v.name not in self.used]
            return self.of(unused if unused and self.chance(0.6) else fits)
        wanted = self.sizes(self.int(*rank)) if shape is None else list(shape)
        return self.fresh(self.type(types), wanted, low, high, weight=weight)

    def like(self, v: Var, types: Sequence[str] | None = None, **more: Any) -> Var:
        """A value of the shape of ``v``, by default of its type."""
        return self.any(types or (v.dtype,), (v.rank, v.rank), shape=v.sizes, **more)

    def broadcast(self, v: Var, types: Sequence[str] | None = None, low: float | None = None, high: float | None = None,
                  within: bool = False) -> Var:
        """A value that broadcasts with ``v``; ``within``: to the very shape of ``v``."""

        def fits(o: Var) -> bool:
            if within and o.rank > v.rank:
                return False
            pairs = list(zip(reversed(o.sizes), reversed(v.sizes)))
            one = (1,) * self.settings.runs
            return all(a in (b, one) or (b == one and not within) for a, b in pairs)

        runs = self.settings.runs
        shape = [s if self.chance(0.7) else (1,) * runs for s in v.sizes]
        shape = shape[self.int(0, len(shape)):] if self.chance(0.3) else shape
        if not within and len(shape) == v.rank and v.rank < 4 and self.chance(0.1):
            shape = [(self.of((2, 3)),) * runs, *shape]
        there = [o for o in self.values if o.dtype in (types or (v.dtype,)) and o.within(low, high) and fits(o)]
        if there and self.chance(0.7):
            return self.of(there)
        return self.fresh(self.type(types or (v.dtype,)), shape, low, high, weight=0.4)

    def fresh(self, dtype: str, sizes: Sequence[Sizes], low: float | None = None, high: float | None = None,
              weight: float = 0.0) -> Var:
        """A new input of the graph, or an initializer."""
        shapes = [tuple(s[k] for s in sizes) for k in range(self.settings.runs)]
        symbols = self.settings.symbols()
        open_ = any(len(set(s)) > 1 for s in sizes)
        self.need(all(len(set(s)) == 1 or s in symbols for s in sizes), "an extent that data decides")
        if not open_ and self.chance(weight):
            return self.weight(self.contents(dtype, shapes[0], low, high))
        return self.given([self.contents(dtype, s, low, high) for s in shapes])

    def contents(self, dtype: str, shape: tuple[int, ...], low: float | None, high: float | None) -> Array:
        return contents(self.rnd, dtype, shape, low, high, self.settings.hostile)

    def given(self, arrays: Sequence[Array]) -> Var:
        """A new input of the whole graph with these contents in each run."""
        root = self
        while root.outer is not None:
            root = root.outer
        v = Var(self.name("x"), tuple(arrays), widened(arrays))
        root.inputs.append(v)
        root.values.append(v)
        if root is not self:
            self.values.append(v)
        return v

    def weight(self, array: Array) -> Var:
        """An initializer of this graph. It is not reused."""
        array = np.asarray(array)
        v = Var(self.name("w"), (array,) * self.settings.runs, widened([array] * self.settings.runs), weight=True)
        self.weights.append(v)
        return v

    def ints(self, *values: int) -> Var:
        """A vector of int64 known at compile time."""
        return self.weight(np.array(values, np.int64))

    def name(self, prefix: str) -> str:
        root = self
        while root.outer is not None:
            root = root.outer
        root.names[prefix] += 1
        return f"{prefix}{root.names[prefix]}"

    # -- far enough from where an operator jumps
    def apart(self, v: Var, distance: Callable[[Array], Array], why: str) -> None:
        """``distance`` of every element from the next jump must exceed what rounding could bridge."""
        if v.exact or self.settings.hostile:
            return
        margin = MARGIN[v.dtype] * max(v.scale, 1e-3)
        self.need(all(float(np.min(distance(a), initial=np.inf)) > margin for a in v.wide), why)

    def differ(self, a: Var, b: Var) -> None:
        """No element of ``a`` may nearly equal its partner in ``b``."""
        if (a.exact and b.exact) or self.settings.hostile:
            return
        margin = MARGIN[a.dtype] * max(a.scale, b.scale, 1e-3)
        gaps = [np.abs(x - y) for x, y in zip(a.wide, b.wide)]
        self.need(all(float(np.min(g, initial=np.inf)) > margin for g in gaps), "nearly equal")

    def ranked(self, v: Var, axis: int | None) -> None:
        """Along ``axis`` (None: all over) no two elements may nearly tie."""
        if v.exact or self.settings.hostile:
            return
        margin = MARGIN[v.dtype] * max(v.scale, 1e-3)
        for a in v.wide:
            gaps = np.diff(np.sort(a.ravel() if axis is None else a, axis if axis is not None else -1),
                           axis=axis if axis is not None else -1)
            self.need(float(np.min(gaps, initial=np.inf)) > margin, "nearly tied")

    # -- nodes
    def node(self, op: str, inputs: Sequence[Var | None], n: int = 1, *, exact: bool = False, domain: str = "",
             captured: Sequence[Var] = (), **attrs: Any) -> list[Var]:
        """Append a node with ``n`` results, evaluated. ``exact``: its results are, where its operands are. ``captured``:
        what its bodies read. Raises Skip where it is not worth keeping, Wrong where the interpreter disagrees."""
        names = ["" if v is None else v.name for v in inputs]
        proto = helper.make_node(op, names, [self.name("v") for _ in range(n)], domain=domain, **attrs)
        operands = list(dict.fromkeys([*(v for v in inputs if v is not None), *captured]))
        plain = self._plain(proto, operands)
        self._modest(plain, [a[0].dtype.name for a in plain])
        wide = self._wide(proto, operands)
        self._modest(wide, [a[0].dtype.name for a in plain])
        outs = [self._kept(name, p, w, exact and all(v.exact for v in operands), any(v.varies for v in operands)) for name, p, w in
                zip(proto.output, self._every(plain), self._every(wide), strict=True)]
        self._agreed(proto, operands, outs)
        self.nodes.append(proto)
        self.values += outs
        self.used.update(v.name for v in operands)
        return outs

    def _every(self, results: Results) -> Results:
        return [r if len(r) == self.settings.runs else r * self.settings.runs for r in results]

    def _plain(self, proto: onnx.NodeProto, operands: list[Var]) -> Results:
        try:
            return self.settings.ask(proto, operands, self.settings.opset)
        except Refused as e:
            raise Skip(f"no reference for {proto.op_type}: {_brief(e)}") from None

    def _wide(self, proto: onnx.NodeProto, operands: list[Var]) -> Results:
        try:
            return reference.by_us(proto, operands, self.settings.opset)
        except UnsupportedError as e:
            raise Skip(f"we refuse {proto.op_type}: {_brief(e)}") from None
        except Exception as e:
            raise self.wrong(f"{proto.op_type}: {type(e).__name__}: {_brief(e)}", proto, operands) from e

    def _modest(self, results: Results, types: list[str]) -> None:
        for row, dtype in zip(results, types, strict=True):
            for a in row:
                self.need(a.size <= LARGEST, "a large result")
                if dtype not in ROUNDING:
                    continue
                most = float(np.abs(a[np.isfinite(a)]).max(initial=0))
                self.need(most == 0 or most > TINY, "all but zero")
                if not self.settings.hostile:
                    self.need(np.isfinite(a).all(), "not finite")
                    self.need(most < HUGE[dtype], "a huge result")

    def _kept(self, name: str, plain: tuple[Array, ...], wide: tuple[Array, ...], exact: bool, varies: bool) -> Var:
        return Var(name, plain, wide, exact or plain[0].dtype.name not in ROUNDING, varies=varies)

    def _agreed(self, proto: onnx.NodeProto, operands: list[Var], outs: list[Var]) -> None:
        """Drop a node behind which the two runs drift apart; report one on which they disagree when given the same."""
        if all(near(p, w, LOCAL if self.settings.hostile else CHAINED) for v in outs for p, w in zip(v.plain, v.wide)):
            return
        again = self._every(reference.by_us(proto, operands, self.settings.opset, given="plain"))
        for v, results in zip(outs, again, strict=True):
            for p, w in zip(v.plain, results):
                local = {name: COARSE.get(proto.op_type, 1) * limit for name, limit in LOCAL.items()}
                if not near(p, w, local) and not cancelled(p, w, operands):
                    why = f"shapes {p.shape} and {w.shape}" if p.shape != w.shape else f"error {relative_error(p, w):.2g}"
                    raise self.wrong(f"{proto.op_type}: interpreter and onnxruntime differ, {p.dtype} {why}", proto, operands)
        raise Skip("ill-conditioned")

    def wrong(self, why: str, proto: onnx.NodeProto, operands: list[Var]) -> Wrong:
        feeds = [{v.name: v.plain[k] for v in operands if not v.weight} for k in range(self.settings.runs)]
        return Wrong(why, reference.alone(proto, operands, 0 if not self.settings.symbols() else None, self.settings.opset), feeds)

    def attempt(self, make: Callable[[Gen], None]) -> bool:
        """Let a row do its work; nothing of it remains where it raises Skip or Wrong (which is kept in ``wrongs``)."""
        before = [(g, *map(len, (g.values, g.inputs, g.weights, g.nodes))) for g in self._chain()]
        used = set(self.used)
        try:
            make(self)
            return True
        except (Skip, Wrong) as e:
            if isinstance(e, Wrong):
                self.wrongs.append(e)
            else:
                self.skipped[str(e)] += 1
            for g, *lengths in before:
                for held, n in zip((g.values, g.inputs, g.weights, g.nodes), lengths):
                    del held[n:]  # type: ignore[attr-defined]
            self.used = used
            return False

    def _chain(self) -> list[Gen]:
        return [self, *(self.outer._chain() if self.outer is not None else ())]

    # -- regions
    def inside(self, entering: Sequence[Var]) -> Gen:
        """The generator of a body whose inputs are ``entering``; it sees every value of this graph."""
        return Gen(self.rnd, self.settings, self, [*self.values, *entering], skipped=self.skipped, wrongs=self.wrongs)

    def body(self, entering: Sequence[Var], outputs: Sequence[Var]) -> tuple[onnx.GraphProto, list[Var]]:
        """This generator's nodes as the graph of a region, and the outer values it reads."""
        own = {v.name for v in (*entering, *self.weights)} | {o for n in self.nodes for o in n.output}
        by_name = {v.name: v for g in self._chain() for v in (*g.values, *g.weights)}
        read = [name for n in self.nodes for name in reads(n)] + [v.name for v in outputs]
        captured = [by_name[name] for name in dict.fromkeys(read) if name not in own]
        ins, outs = ([_declared(v) for v in vs] for vs in (entering, outputs))
        weights = [numpy_helper.from_array(v.plain[0], v.name) for v in self.weights]
        return helper.make_graph(self.nodes, self.name("body"), ins, outs, weights), captured


def _declared(v: Var) -> onnx.ValueInfoProto:
    """The declaration of a body's input or output: extents that change from run to run are left out."""
    return reference.port(v.name, v.plain[0], [s[0] if v.fixed(k) else None for k, s in enumerate(v.sizes)])


def reads(node: onnx.NodeProto) -> list[str]:
    """What a node reads by name, also inside its bodies."""
    out = [i for i in node.input if i]
    for a in node.attribute:
        if a.type == onnx.AttributeProto.GRAPH:
            own = {i.name for i in a.g.input} | {i.name for i in a.g.initializer} | {o for n in a.g.node for o in n.output}
            inner = [r for n in a.g.node for r in reads(n)] + [o.name for o in a.g.output]
            out += [r for r in inner if r not in own]
    return out


def near(plain: Array, wide: Array, limits: dict[str, float]) -> bool:
    """Are a result and its float64 twin equal (within the limit of the type, for floats)?"""
    if plain.dtype.name not in ROUNDING:
        return plain.shape == wide.shape and bool(np.array_equal(plain, wide))
    least = float(ml_dtypes.finfo(plain.dtype).smallest_normal)  # a relative error below this says nothing
    if plain.shape == wide.shape and max(np.abs(plain).max(initial=0), np.abs(wide).max(initial=0)) <= least:
        return True
    return relative_error(plain, wide) <= limits[plain.dtype.name]


def cancelled(plain: Array, wide: Array, operands: Sequence[Var]) -> bool:
    """May the two differ because what is left of the operands is far smaller than they are?"""
    if plain.shape != wide.shape or plain.dtype.name not in ROUNDING:
        return False
    finite = [np.abs(a[np.isfinite(a)]).max(initial=0) for v in operands if v.is_float for a in v.plain]
    apart = np.abs(plain.astype(np.float64) - wide).max(initial=0)
    return bool(apart <= CANCELLED * ROUNDING[plain.dtype.name] * max(finite, default=0))


def _brief(e: Exception) -> str:
    lines = str(e).strip().splitlines() or [type(e).__name__]
    return lines[0][:120]


__all__ = ["FLOATS", "Gen", "Settings", "Skip", "Wrong"]
