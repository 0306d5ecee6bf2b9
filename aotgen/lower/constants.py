# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What depends on constants alone is computed at compile time.

Passes fold whole nodes; here it is the Defs that operators make of constants (a table, a rearranged weight, a scalar that a
library function reads from memory). Each becomes a lazy constant, so nothing is evaluated before weights are written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from aotgen.ir import expr, index
from aotgen.ir.define import Def, topological
from aotgen.lower.scope import CONSTANT
from aotgen.lower.state import State

SMALL = 4096  # elements: always worth storing; larger results only if they do not outgrow what they are made of


def fold(outputs: Sequence[Def], state: State) -> None:
    """Turn the Defs of constants that something else reads into constants, in place."""
    order = topological(outputs)
    fixed: set[Def] = set()
    for d in order:
        if d.is_source:
            if d.origin == CONSTANT:
                fixed.add(d)
        elif d.call is None and _is_static(d) and all(r in fixed for r in d.reads()):
            fixed.add(d)
    wanted = {r for d in order if d not in fixed for r in d.reads() if r in fixed and not r.is_source}
    called = {a for d in order if d.call is not None for a in d.call.args}
    for d in order:
        if d in wanted and _worth(d, d in called):
            _become_constant(d, state)


def _is_static(d: Def) -> bool:
    """Are shape and value free of open dims?"""
    if any(index.dims_of(n) for n in d.shape):
        return False
    assert d.expr is not None
    return not any(a.kind == "dim" for e in expr.nodes_of(d.expr) for i in e.indices() for a in i.walk())


def _worth(d: Def, read_by_call: bool) -> bool:
    """Would computing ``d`` in every run cost more than storing it?"""
    if d.expr is None or d.is_view:
        return False
    loads = expr.loads_of(d.expr)
    if not loads:
        return read_by_call
    size = int(index.ix(d.size).const() or 0)
    made_of = sum(int(index.ix(r.size).const() or 0) for r in d.reads())
    return size <= max(SMALL, made_of)


def _become_constant(d: Def, state: State) -> None:
    state.constants[d] = state.folded(replace(d))
    d.expr, d.axes, d.red, d.rvars, d.fold, d.at, d.into = None, (), None, (), "", (), None
    d.origin = CONSTANT
