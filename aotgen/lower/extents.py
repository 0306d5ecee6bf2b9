# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Extents that a step makes (how many elements are not zero): who makes which, and who must wait for it.

Such an extent is a ``dim`` in shapes and expressions like any other. A Def that mentions one need not read anything of the
call that makes it (a tensor of that many zeros does not), so the dependence is written down in ``Def.after``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from aotgen.ir import expr, index
from aotgen.ir.define import Def, topological
from aotgen.ir.expr import E
from aotgen.ir.facts import Condition
from aotgen.ir.graph import Node, TensorType
from aotgen.ir.index import Atom, Dim, Ix
from aotgen.ops.registry import DIMS


def adopt(outs: Sequence[Def | None], node: Node, made: dict[Atom, Def]) -> None:
    """Note what the library call behind ``outs`` makes. A pass may have renamed its operands, which name the dims: its
    results keep the extents that the rest of the Graph was typed with."""
    call = next((d.call for d in outs if d is not None and d.call is not None), None)
    if call is None or call.kind == "kernel":
        return
    for a in node.attrs.get(DIMS, ()):
        made.setdefault(a, call.results[0])  # a body may count again what was counted before it: equal operands, equal extents
    if call.kind == "region":
        return
    given = {a for d in call.args for n in d.shape for a in index.dims_of(n)}
    names: dict[Atom, Ix] = {}
    for d, v in zip(call.results, node.outputs, strict=False):
        if v is None or not isinstance(v.type, TensorType):
            continue
        for own, typed in zip(d.shape, v.shape, strict=True):
            a, b = _bare(own), _bare(typed)
            if a is not None and b is not None and a not in given:
                names[a] = index.var(b)
    for d in call.results:
        d.shape = tuple(index.as_dim(index.ix(n).subst(names)) for n in d.shape)
        for n in d.shape:
            if (dim := _bare(n)) is not None and dim not in given:
                made.setdefault(dim, d)


def _bare(extent: Dim) -> Atom | None:
    """The dim when ``extent`` is just one."""
    atoms = index.dims_of(extent)
    return atoms[0] if len(atoms) == 1 and index.ix(extent) == index.var(atoms[0]) else None


def order(outputs: Sequence[Def], made: Mapping[Atom, Def]) -> None:
    """Let every Def behind ``outputs`` come after the calls that make the extents it mentions."""
    known: set[Def] = set()
    while made:
        new = [d for d in topological(outputs) if d not in known]
        if not new:
            return
        for d in new:
            makers = dict.fromkeys(made[a] for a in sorted(_mentioned(d)) if a in made)
            others = [m for m in makers if m is not d and (m.call is None or m.call is not d.call)]
            d.after = tuple(dict.fromkeys((*d.after, *others)))
        known.update(new)


def asked_for(conditions: Iterable[Condition], made: Mapping[Atom, Def]) -> list[Def]:
    """What makes the extents that ``conditions`` are about: it is needed for their checks, even where simplifying leaves
    nothing else that mentions them."""
    return list(dict.fromkeys(made[a] for c in conditions for a in sorted(c.dims()) if a in made))


def _mentioned(d: Def) -> set[Atom]:
    """The dims in shape, loops, indices and values of ``d``."""
    found = {a for n in d.shape for a in index.dims_of(n)}
    found.update(a for v in d.rvars for a in index.dims_of(v.ext if v.ext is not None else 1))
    exprs = [] if d.expr is None else [d.expr]
    found.update(_in_indices(d.at))
    if d.call is not None:
        found.update(a for r in d.call.args for n in r.shape for a in index.dims_of(n))
        if "epilogue" in d.call.params:
            exprs.extend(s.value for s in d.call.params["epilogue"].stmts)
        if "node" in d.call.params:
            found.update(a for body in d.call.params["node"].bodies.values() for a in body.mentioned())
    for e in exprs:
        found.update(_in_expr(e))
    return found


def _in_expr(e: E) -> Iterator[Atom]:
    for node in expr.nodes_of(e):
        yield from _in_indices(node.indices())


def _in_indices(at: Sequence[Ix]) -> Iterator[Atom]:
    for i in at:
        for a in i.walk():
            if a.kind == "dim":
                yield a
            elif a.kind == "ind":
                yield from index.dims_of(a.ext if a.ext is not None else 1)
                yield from _in_expr(a.payload)
