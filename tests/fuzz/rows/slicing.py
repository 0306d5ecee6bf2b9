# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Slice, Split, Concat."""

from __future__ import annotations

from tests.fuzz.generator import Gen
from tests.fuzz.rows import row
from tests.fuzz.values import ANY, FLOATS, Sizes, Var


@row("Slice", __name__)
def slice_(g: Gen) -> None:
    x = g.any(ANY, (1, 4))
    axes = g.some(x.rank, 1)
    g.rnd.shuffle(axes)
    starts, ends, steps = [], [], []
    for k in axes:
        n, step = x.least(k), g.of((1, 1, 1, 2, 3, -1, -2, -3))
        low, high = sorted((g.int(0, n), g.int(0, n)))
        if not g.settings.hostile and low == high:
            low, high = 0, n
        start, end = (low, high) if step > 0 else (high - 1, low - 1)
        if step > 0 and g.chance(0.2):
            end = 2**63 - 1 if g.chance(0.5) else n + 3
        if step < 0 and (end < 0 or g.chance(0.2)):
            end = -(2**63) if g.chance(0.5) else -n - 4
        if start > 0 and n == x.sizes[k][0] and x.fixed(k) and g.chance(0.3):
            start -= n
        starts.append(start)
        ends.append(end)
        steps.append(step)
    plain = all(s == 1 for s in steps) and g.chance(0.5)
    ins: list[Var | None] = [x, g.ints(*starts), g.ints(*ends), g.ints(*(g.signed(a, x.rank) for a in axes))]
    g.node("Slice", ins if plain else [*ins, g.ints(*steps)], exact=True)


@row("Split", __name__)
def split(g: Gen) -> None:
    x = g.any(ANY, (1, 4))
    axis = g.int(0, x.rank - 1)
    n = x.sizes[axis][0]
    g.need(x.fixed(axis) and n >= 1, "an open axis")
    if g.chance(0.4):
        parts = g.int(1, min(n, 5))
        g.need((parts - 1) * -(-n // parts) < n, "a last part of nothing")
        g.node("Split", [x], n=parts, exact=True, axis=g.signed(axis, x.rank), num_outputs=parts)
        return
    cuts = sorted(g.int(0, n) for _ in range(g.int(0, 3)))
    sizes = [b - a for a, b in zip([0, *cuts], [*cuts, n])]
    sizes = sizes if g.settings.hostile else [s for s in sizes if s]
    g.node("Split", [x, g.ints(*sizes)], n=len(sizes), exact=True, axis=g.signed(axis, x.rank))


@row("Concat", __name__)
def concat(g: Gen) -> None:
    first = g.any(ANY if g.chance(0.4) else FLOATS, (1, 4))
    axis = g.int(0, first.rank - 1)

    def fits(v: Var) -> bool:
        return all(a == b for k, (a, b) in enumerate(zip(v.sizes, first.sizes)) if k != axis)

    parts = [first]
    for _ in range(g.int(0, 3)):
        there = [v for v in g.values if v.dtype == first.dtype and v.rank == first.rank and fits(v)]
        if there and g.chance(0.8):
            parts.append(g.of(there))
        else:
            sizes: list[Sizes] = list(first.sizes)
            sizes[axis] = (g.extent(),) * g.settings.runs
            parts.append(g.fresh(first.dtype, sizes, weight=0.3))
    g.rnd.shuffle(parts)
    g.node("Concat", parts, exact=True, axis=g.signed(axis, first.rank))
