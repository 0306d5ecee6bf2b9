# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Elements that exist only for some values of open dims: row 2 of ``n`` rows, row ``i < m`` of ``n``, any row where there
are none.

What an operator reads whatever its data are is known once it is lowered. The dims must be such that it exists, or nothing
must be read: that is noted (``ir.facts``), and a run for which it does not hold is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from aotgen.ir import expr, facts, index
from aotgen.ir.define import Def, topological
from aotgen.ir.index import Ix
from aotgen.ir.verify_def import unproved


def note(outputs: Sequence[Def]) -> None:
    """Note for every Def behind ``outputs`` what its reads need of the dims."""
    for d in topological(outputs):
        if d.expr is None:
            continue
        loops = [v.ext for v in (*d.axes, *d.rvars) if v.ext is not None]
        for needs in dict.fromkeys((*_static(d), *_loaded(d))):
            facts.assume_nonneg(needs, unless=loops)


def _static(d: Def) -> Iterator[Ix]:
    """What reads at indices that are not data need: that the last element exists which any loop comes to."""
    read = [*d.reads(), *([d.into] if d.into is not None else [])]
    if all(isinstance(n, int) for r in read for n in r.shape):
        return
    for u in unproved(d):
        worst = _worst(u.needs) if u.always else None
        if worst is not None:
            yield worst


def _worst(needs: Ix) -> Ix | None:
    """``needs`` with every variable at the end of its range that makes it smallest; None where it is not affine in one."""
    for v in sorted(needs.vars(), key=lambda v: -v.serial):
        k = needs.coefficient(v)
        if k is None or v.lo is None or v.ext is None or not (index.nonneg(k) or index.nonneg(-k)):
            return None
        needs = needs - k * index.var(v) + k * (v.lo if index.nonneg(k) else v.lo + v.ext - 1)
    return None if any(a.kind == "ind" for a in needs.walk()) else needs


def _loaded(d: Def) -> Iterator[Ix]:
    """What loaded indices need: an axis to be clamped into that is not empty."""
    assert d.expr is not None
    nodes = (*expr.nodes_of(d.expr), *expr.loads_of(d.expr))
    for i in (*(i for node in nodes for i in node.indices()), *d.at):
        for a in i.walk():
            if a.kind == "ind" and a.ext is not None and a.ext.const() is None:
                yield a.ext - 1
