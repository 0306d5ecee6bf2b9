# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""If, Loop, Scan, with bodies of every other row."""

from __future__ import annotations

import numpy as np

from tests.fuzz import rows
from tests.fuzz.generator import Gen
from tests.fuzz.rows import row
from tests.fuzz.values import FLOATS, Var, widened

BODY = (1, 5)  # nodes of a body
STATES = (*FLOATS[:1], "float64", "int64", "int32")


def depth(g: Gen) -> int:
    return 0 if g.outer is None else 1 + depth(g.outer)


def grow(inner: Gen) -> None:
    """Some nodes, some of them reading what enters the body."""
    wanted = inner.int(*BODY)
    for _ in range(3 * wanted):
        if len(inner.nodes) >= wanted:
            break
        inner.attempt(rows.pick(inner.rnd).make)


def entering(g: Gen, v: Var, exact: bool = False) -> Var:
    """What a body sees of ``v`` on its first trip."""
    return Var(g.name("b"), v.plain, v.wide, exact=exact or not v.is_float, varies=True)


def own(inner: Gen) -> list[Var]:
    made = {o for n in inner.nodes for o in n.output}
    return [v for v in inner.values if v.name in made]


def made_like(inner: Gen, v: Var) -> Var:
    """A value of the body with the type and shape of ``v``, the newest there is, held near 1 so that no trip explodes it."""
    fits = [w for w in own(inner) if w.dtype == v.dtype and w.sizes == v.sizes]
    source = fits[-1] if fits else v
    if v.is_float and v.dtype != "float64":
        return inner.node(inner.of(("Tanh", "Softsign", "Sin")), [source])[0]
    return inner.node("Clip", [source, *(inner.weight(np.array(b, v.dtype)) for b in (-3, 3))], exact=True)[0]


@row("If", __name__)
def if_(g: Gen) -> None:
    g.need(depth(g) < 2, "deep enough")
    cond = g.any(("bool",), (0, 0))
    n = g.int(1, 2)
    anchors = [g.any(STATES, (0, 3)) for _ in range(n)]
    graphs, captured = [], []
    for _ in range(2):
        inner = g.inside([])
        grow(inner)
        outs = [inner.node("Identity", [made_like(inner, v)], exact=True)[0] for v in anchors]
        graph, read = inner.body([], outs)
        graphs.append(graph)
        captured += read
    g.node("If", [cond], n=n, captured=list(dict.fromkeys(captured)), then_branch=graphs[0], else_branch=graphs[1])


@row("Loop", __name__)
def loop(g: Gen) -> None:
    g.need(depth(g) < 2, "deep enough")
    states = [g.any(STATES, (0, 3), low=-50, high=50) for _ in range(g.int(1, 2))]
    runs = g.settings.runs
    trips = g.any(("int64",), (0, 0), low=0, high=4) if g.chance(0.6) else g.weight(np.array(g.int(0, 4), np.int64))
    go = g.weight(np.array(True)) if g.chance(0.7) else g.any(("bool",), (0, 0))
    zero, yes = np.zeros((), np.int64), np.ones((), bool)
    trip, cond = (Var(g.name("b"), (a,) * runs, widened([a] * runs), varies=True) for a in (zero, yes))
    carried = [entering(g, v) for v in states]
    inner = g.inside([trip, cond, *carried])
    grow(inner)
    if g.chance(0.3):
        [again] = inner.node("Less", [trip, inner.weight(np.array(g.int(0, 3), np.int64))])
    else:
        [again] = inner.node("Identity", [cond], exact=True)
    after = [made_like(inner, v) for v in carried]
    there = [v for v in own(inner) if v.static and v.dtype in STATES]
    stacked = [inner.node("Identity", [g.of(there)], exact=True)[0]] if there and g.chance(0.6) else []
    graph, captured = inner.body([trip, cond, *carried], [again, *after, *stacked])
    g.need(not stacked or all(int(a) > 0 for a in trips.plain) or g.chance(0.2), "no trip")
    outs = g.node("Loop", [trips, go, *states], n=len(after) + len(stacked), captured=captured, body=graph)
    g.need(not stacked or g.settings.hostile or trips.weight or not outs[-1].fixed(0), "a number of trips that only looks fixed")


@row("Scan", __name__)
def scan(g: Gen) -> None:
    g.need(depth(g) < 2, "deep enough")
    states = [g.any(STATES, (0, 2), low=-50, high=50) for _ in range(g.int(0, 2))]
    first = g.any(STATES, (1, 3))
    g.need(first.least(0) > 0, "no trip")
    scanned = [first, *(g.any(STATES, shape=[first.sizes[0], *g.sizes(g.int(0, 1))]) for _ in range(g.int(0, 1)))]
    back = [g.int(0, 1) for _ in scanned]
    seen = [Var(g.name("b"), tuple(a[-1 if b else 0] for a in v.plain), tuple(a[-1 if b else 0] for a in v.wide),
                v.exact, varies=True) for v, b in zip(scanned, back)]
    carried = [entering(g, v) for v in states]
    inner = g.inside([*carried, *seen])
    grow(inner)
    after = [made_like(inner, v) for v in carried]
    outs = [made_like(inner, v) for v in seen]
    graph, captured = inner.body([*carried, *seen], [*after, *outs])
    out_axes = [g.int(0, v.rank) for v in outs] if g.chance(0.3) else [0] * len(outs)
    g.node("Scan", [*states, *scanned], n=len(after) + len(outs), captured=captured, body=graph, num_scan_inputs=len(scanned),
           scan_input_directions=back, scan_output_axes=out_axes, scan_output_directions=[g.int(0, 1) for _ in outs])
