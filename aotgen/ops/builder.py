# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Builder: the one way nodes are added to a Graph. It types every node, folds what is known, and expands operators that
are made of others. Used by the front end, the passes and operator expansions alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aotgen.core import dtypes
from aotgen.core.dtypes import DType
from aotgen.core.errors import AotgenError, ModelError, UnsupportedError
from aotgen.ir import define, expr, index
from aotgen.ir.define import Def
from aotgen.ir.graph import AnyType, Constant, Graph, Node, TensorType, Value
from aotgen.ir.index import Dim
from aotgen.ops import loose, registry
from aotgen.ops.registry import Ctx

COMPOSITE = "composite"  # key of the body of a node that is made of others but kept whole
KNOWN_LIMIT = 1024  # elements: integer tensors up to this size are tracked symbolically
TypeRule = Callable[["Builder", Node], Sequence[AnyType]]
TYPE_RULES: dict[registry.Key, TypeRule] = {}  # operators whose outputs are not Defs (regions, sequences)


def type_rule(*names: str, domain: str = "") -> Callable[[TypeRule], TypeRule]:
    """Register the type rule of an operator that has no lowering to Defs: ``f(builder, node) -> output types``."""

    def add(f: TypeRule) -> TypeRule:
        for name in names:
            TYPE_RULES[(domain, name)] = f
        return f

    return add


class Builder:
    """Collects nodes. ``parent``: the builder of the enclosing graph, for bodies."""

    def __init__(self, name: str = "", parent: Builder | None = None) -> None:
        self.name, self.parent = name, parent
        self.inputs: list[Value] = []
        self.nodes: list[Node] = []
        self.constants: dict[Value, Constant] = {}
        self._names: dict[str, int] = parent._names if parent else {}

    # -- values
    def unique(self, stem: str) -> str:
        """``stem``, or ``stem_1``... when it is taken."""
        n = self._names.get(stem)
        self._names[stem] = 0 if n is None else n + 1
        return stem if n is None else self.unique(f"{stem}_{n + 1}")

    def input(self, name: str, type_: AnyType) -> Value:
        v = Value(self.unique(name), type_)
        self.inputs.append(v)
        return v

    def constant(self, array: NDArray[Any] | Constant, name: str = "const") -> Value:
        c = array if isinstance(array, Constant) else Constant.of(np.asarray(array))
        v = Value(self.unique(name), TensorType(c.dtype, c.shape))
        self.constants[v] = c
        return v

    def scalar(self, value: float, dtype: DType) -> Value:
        return self.constant(np.asarray(value, dtype.numpy))

    def known(self, v: Value | None) -> Constant | None:
        """Compile-time contents of ``v``, here or in an enclosing graph."""
        if v is None:
            return None
        return self.constants.get(v) or (self.parent.known(v) if self.parent else None)

    # -- nodes
    def op(self, op: str, inputs: Sequence[Value | None], *, n: int = 1, **attrs: Any) -> Any:
        """Add a node; its output Value (``n`` = 1) or tuple of Values."""
        out = self.node(op, inputs, attrs, n=n)
        return out[0] if n == 1 else out

    def node(
        self,
        op: str,
        inputs: Sequence[Value | None],
        attrs: Mapping[str, Any],
        *,
        n: int = 1,
        domain: str = "",
        origin: str = "",
        names: Sequence[str] = (),
        bodies: Mapping[str, Graph] | None = None,
    ) -> tuple[Value | None, ...]:
        """Add one operator application and return its outputs. ``names``: wanted output names ('' : unused)."""
        wanted = list(names) or [f"{op.lower()}_{k}" for k in range(n)]
        draft = Node(
            op,
            tuple(inputs),
            tuple(Value(w, TensorType(dtypes.f32, ())) if w else None for w in wanted),
            dict(attrs),
            domain,
            origin,
            dict(bodies or {}),
        )
        try:
            draft = self._settled(draft)
            row = registry.find(draft.op, domain)
            elsewhere = [self._types(other) for other in loose.narrowed(draft)]
            if row is not None and row.expand is not None:
                return self._checked(self._expanded(row, draft), elsewhere, draft)
            types, known = self._infer(draft)
            types = [loose.either(of, draft.where()) for of in zip(types, *elsewhere, strict=False)]
        except AotgenError as e:
            raise e.at(draft.where()) from None
        outputs: list[Value | None] = []
        for w, t, k in zip(wanted, types, known, strict=False):
            v = Value(self.unique(w), t) if w else None
            outputs.append(v)
            if v is not None and k is not None:
                self.constants[v] = k
        computed = tuple(None if v in self.constants else v for v in outputs)
        if any(v is not None for v in computed):
            self.nodes.append(replace(draft, outputs=computed))
        return tuple(outputs)

    def _types(self, node: Node) -> list[AnyType]:
        """The types of the results of ``node``, which is not added."""
        names = ["" if v is None else v.name for v in node.outputs]
        found = Builder(node.op, self).node(node.op, node.inputs, dict(node.attrs), domain=node.domain, names=names, bodies=node.bodies)
        return [TensorType(dtypes.f32, ()) if v is None else v.type for v in found]

    def _checked(self, results: tuple[Value | None, ...], elsewhere: Sequence[Sequence[AnyType]], node: Node) -> tuple[Value | None, ...]:
        """``results``, which must know what they would be with operands of other ranks."""
        for v, *others in zip(results, *elsewhere, strict=False):
            if v is not None and others:
                require(loose.either([v.type, *others], node.where()) == v.type, "an operand whose rank an If decides", node)
        return results

    def _settled(self, node: Node) -> Node:
        """``node`` with operands that must be known made known."""
        settle = registry.SETTLE.get((node.domain, node.op))
        return node if settle is None else settle(self, node)

    def extents(self, values: Value, stem: str, low: int = 0, high: Sequence[Dim | None] = ()) -> Value:
        """The integers ``values`` (i64[n], computed from data) as a value whose contents are known: dims that the run makes,
        at least ``low`` and at most ``high`` each (None: any)."""
        (n,) = values.shape
        if not isinstance(n, int):
            raise UnsupportedError(f"how many extents {stem} holds must be a number, not {n}")
        dims = tuple(index.dim(self.unique(f"{stem}_{k}"), low, high[k] if high else None) for k in range(n))
        atoms = tuple(a for d in dims for a in index.dims_of(d))
        self.node("Extents", [values], {registry.DIMS: atoms}, domain=registry.INTERNAL, names=[f"{stem}_taken"])
        return self.constant(Constant.of_dims(dims, (n,), dtypes.i64), f"{stem}_known")

    def _expanded(self, row: registry.OpDef, node: Node) -> tuple[Value | None, ...]:
        assert row.expand is not None
        if row.whole:
            return self._composite(row.expand, node)
        out = row.expand(self.ctx(node), self, *node.inputs)
        return out if isinstance(out, tuple) else (out,)

    def _composite(self, expand: Callable[..., Any], node: Node) -> tuple[Value | None, ...]:
        """Add ``node`` whole, what it expands to as its body. Outputs nobody named are left out of both."""
        child = Builder(node.op, self)
        out = expand(child.ctx(node), child, *node.inputs)
        results = out if isinstance(out, tuple) else (out,)
        made = [(wanted, v) for wanted, v in zip(node.outputs, results, strict=False)]
        outputs = tuple(None if w is None or v is None else Value(self.unique(w.name), v.type) for w, v in made)
        body = child.graph([v for (_, v), o in zip(made, outputs, strict=True) if v is not None and o is not None])
        self.nodes.append(Node(node.op, node.inputs, outputs, node.attrs, node.domain, node.origin, {COMPOSITE: body}))
        return outputs

    def ctx(self, node: Node) -> Ctx:
        """The lowering context of ``node``: what is known of its operands."""
        known = {v: k for v in node.inputs if v is not None and (k := self.known(v)) is not None}
        return Ctx(node, known)

    def _infer(self, node: Node) -> tuple[Sequence[AnyType], Sequence[Constant | None]]:
        """Output types of ``node``, and contents of outputs that are known (small integer tensors)."""
        rule = TYPE_RULES.get((node.domain, node.op))
        if rule is not None:
            types = rule(self, node)
            return types, [None] * len(types)
        other = next((v for v in node.inputs if v is not None and not isinstance(v.type, TensorType)), None)
        if other is not None:
            raise UnsupportedError(f"{other.name} is a {other.type}: {node.op} of tensors only is compiled")
        ctx = self.ctx(node)
        ins = {v: define.source(v.name, v.shape, v.dtype) for v in node.inputs if v is not None}
        outs = registry.lower_node(ctx, [None if v is None else ins[v] for v in node.inputs])
        contents = {ins[v]: c for v, c in ctx.constants.items()}
        types = [TensorType(d.dtype, d.shape) if d is not None else TensorType(dtypes.f32, ()) for d in outs]
        return types, [None if d is None else self._fold(d, contents) for d in outs]

    def _fold(self, d: Def, contents: Mapping[Def, Constant]) -> Constant | None:
        """Contents of ``d`` when it is a small integer or bool tensor computed from known ones, else None."""
        size = d.size
        if (
            not all(isinstance(n, int) for n in d.shape)  # with an axis of 0 the size is known all the same
            or not isinstance(size, int)
            or size > KNOWN_LIMIT
            or d.expr is None
            or d.red not in (None, *_FOLDABLE)
        ):
            return None
        if not (d.dtype.is_integer or d.dtype.is_bool):
            return None
        terms = index.prod_dims(r.ext or 1 for r in d.rvars)
        if not isinstance(terms, int) or size * terms > 16 * KNOWN_LIMIT:
            return None  # a contraction of data, not shape arithmetic
        values = symbolic_values(d, contents)
        shape = tuple(n for n in d.shape if isinstance(n, int))
        return None if values is None else Constant.of_dims(tuple(values), shape, d.dtype)

    def graph(self, outputs: Sequence[Value]) -> Graph:
        """The finished Graph."""
        return Graph(self.name, tuple(self.inputs), tuple(outputs), tuple(self.nodes), dict(self.constants))


_FOLDABLE = {"sum": "add", "prod": "mul", "max": "max", "min": "min"}


def symbolic_values(d: Def, contents: Mapping[Def, Constant]) -> list[index.Dim] | None:
    """Every element of a small integer Def, row-major, with constants and open dims substituted; None when any element
    depends on data. This one function is shape propagation: Shape, Gather, Concat, Slice and arithmetic alike."""
    cache: dict[Def, list[Any]] = {}

    def element(src: Def, idx: tuple[index.Ix, ...]) -> expr.E | None:
        at = [i.const() for i in idx]
        if any(a is None for a in at):
            return None
        if src in contents:
            if src not in cache:
                c = contents[src]
                if not isinstance(c.size, int) or c.size > 4 * KNOWN_LIMIT:
                    return None
                cache[src] = list(c.dims) if c.dims is not None else c.load().ravel().tolist()
            if any(not 0 <= int(a) < n for a, n in zip(at, contents[src].shape, strict=True)):  # type: ignore[arg-type]
                return None  # the side of a guard that is not taken
            flat = 0
            for a, n in zip(at, contents[src].shape, strict=True):
                flat = flat * n + int(a)  # type: ignore[arg-type]
            value = cache[src][flat]
            kind = dtypes.compute_of(src.dtype).name
            return expr.ix_value(value, kind) if kind in ("i32", "i64") else expr.const(value, kind)
        if src.expr is None:
            return None
        return _element(src, idx, element)

    out: list[index.Dim] = []
    for point in np.ndindex(*map(int, d.shape)):  # type: ignore[arg-type]
        e = _element(d, tuple(map(index.ix, point)), element)
        if e is None or e.op not in ("const", "ix"):
            return None
        out.append(e.attr if e.op == "ix" else _stored(int(e.attr), d.dtype))
    return out


def _stored(value: int, dtype: DType) -> int:
    """``value`` as an integer element of ``dtype`` holds it: its low bits."""
    if not dtype.is_integer:
        return value
    low = value & ((1 << dtype.bits) - 1)
    return low - (1 << dtype.bits) if dtype.kind == "i" and low >> (dtype.bits - 1) else low


def _element(d: Def, at: tuple[index.Ix, ...], on_load: Any) -> expr.E | None:
    """``d`` at constant index ``at``, its loads resolved by ``on_load``; small reductions are unrolled."""
    assert d.expr is not None
    env = dict(zip(d.axes, at, strict=True))
    if d.red is None:
        return expr.rebuild(d.expr, env, on_load)
    if d.red not in _FOLDABLE:
        return None
    extents = [r.ext.const() if r.ext is not None else None for r in d.rvars]
    if any(n is None for n in extents) or int(np.prod(extents, dtype=np.int64)) > KNOWN_LIMIT:  # type: ignore[arg-type]
        return None
    total: expr.E | None = None
    for r in np.ndindex(*extents):  # type: ignore[arg-type]
        term = expr.rebuild(d.expr, {**env, **dict(zip(d.rvars, map(index.ix, r), strict=True))}, on_load)
        total = term if total is None else expr.fn(_FOLDABLE[d.red], total, term)
    return total if total is not None else expr.const(0 if d.red == "sum" else 1, d.expr.dtype)


def require(condition: bool, why: str, node: Node) -> None:
    """Raise ModelError naming ``node`` unless ``condition``."""
    if not condition:
        raise ModelError(why, node=node.where())
