# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Gathers and scatters."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from tests.fuzz.generator import Gen
from tests.fuzz.rows import row
from tests.fuzz.values import ANY, Sizes, Var

INDEX = ("int64", "int32")
STORED = ("float32", "int64", "float64", "int32", "uint8", "bool")


def indices(g: Gen, shape: list[Sizes], n: int, types: Sequence[str] = INDEX) -> Var:
    """Positions along an axis of ``n``, also counted from its end."""
    g.need(n >= 1, "nothing to index")
    return g.any(types, (len(shape), len(shape)), shape=shape, low=-n if g.chance(0.4) else 0, high=n - 1, weight=0.3)


def axis_of(g: Gen, x: Var) -> tuple[int, int]:
    k = g.int(0, x.rank - 1)
    return k, x.least(k)


@row("Gather", __name__)
def gather(g: Gen) -> None:
    x = g.any(ANY, (1, 4))
    k, n = axis_of(g, x)
    g.node("Gather", [x, indices(g, g.sizes(g.int(0, 2)), n)], exact=True, axis=g.signed(k, x.rank))


@row("GatherElements", __name__)
def gather_elements(g: Gen) -> None:
    x = g.any(ANY, (1, 4))
    k, n = axis_of(g, x)
    shape = [s if d != k and len(set(s)) > 1 else (g.int(1, max(min(s), 1)),) * len(s) if d != k else g.sizes(1)[0]
             for d, s in enumerate(x.sizes)]
    g.need(all(max(a) <= min(b) or a == b for d, (a, b) in enumerate(zip(shape, x.sizes)) if d != k), "out of the data")
    g.node("GatherElements", [x, indices(g, shape, n)], exact=True, axis=g.signed(k, x.rank))


def tuples(g: Gen, x: Var, batch: int, depth: int, free: int) -> Var:
    """Index tuples: within all of the first ``depth`` axes behind the batch."""
    n = min(x.least(batch + k) for k in range(depth))
    lead = [*x.sizes[:batch], *g.sizes(free)]
    return indices(g, [*lead, (depth,) * g.settings.runs], n, ("int64",))


@row("GatherND", __name__)
def gather_nd(g: Gen) -> None:
    x = g.any(ANY, (1, 4))
    batch = g.int(0, x.rank - 1) if g.chance(0.4) else 0
    g.need(all(x.fixed(k) for k in range(batch)), "open batches")
    depth = g.int(1, x.rank - batch)
    g.node("GatherND", [x, tuples(g, x, batch, depth, g.int(0, 2) if batch == 0 else g.int(0, 1))], exact=True, batch_dims=batch)


@row("ScatterElements", __name__)
def scatter_elements(g: Gen) -> None:
    x = g.any(STORED, (1, 3))
    g.need(x.static and x.size > 0, "open data")
    k, n = axis_of(g, x)
    shape = [(g.int(1, d),) * g.settings.runs for d in x.shape]
    how = g.of(("none", "add", "mul", "max", "min")) if x.dtype not in ("bool",) else "none"
    if how == "none":  # every place once: else the last of an unspecified order stays
        where = np.argsort(np.random.default_rng(g.int(0, 1 << 20)).random(x.shape), k)
        cut = np.moveaxis(np.moveaxis(where, k, 0)[: shape[k][0]], 0, k)
        at = g.weight(cut[tuple(slice(0, s[0]) if d != k else slice(None) for d, s in enumerate(shape))].astype(np.int64))
    else:
        at = indices(g, shape, n)
    g.node("ScatterElements", [x, at, g.any((x.dtype,), shape=shape, low=-2, high=2)] if x.dtype != "bool" and x.dtype != "uint8"
           else [x, at, g.any((x.dtype,), shape=shape)], axis=g.signed(k, x.rank), reduction=how,
           exact=how in ("none", "max", "min"))


@row("ScatterND", __name__)
def scatter_nd(g: Gen) -> None:
    x = g.any(STORED, (1, 4))
    g.need(x.static and x.size > 0, "open data")
    depth = g.int(1, x.rank)
    how = g.of(("none", "add", "mul", "max", "min")) if x.dtype not in ("bool", "uint8") else "none"
    places = prod(x.shape[:depth])
    n = g.int(1, min(places, 6))
    rng = np.random.default_rng(g.int(0, 1 << 20))
    flat = rng.permutation(places)[:n] if how == "none" else rng.integers(0, places, n)
    at = np.stack(np.unravel_index(flat, x.shape[:depth]), -1).astype(np.int64)
    at = np.where(rng.random(at.shape) < 0.3, at - np.array(x.shape[:depth]), at)
    updates = g.any((x.dtype,), shape=[(n,) * g.settings.runs, *x.sizes[depth:]])
    g.node("ScatterND", [x, g.weight(at) if g.chance(0.5) else g.given([at] * g.settings.runs), updates], reduction=how,
           exact=how in ("none", "max", "min"))


@row("OneHot", __name__)
def one_hot(g: Gen) -> None:
    depth = g.int(1, 7)
    at = g.any(("int64", "int32", "float32"), (0, 2), low=-depth, high=depth - 1)
    g.need(not at.is_float or at.exact, "fractions")
    if at.is_float:
        [at] = g.node("Floor", [at], exact=True)
    values = g.weight(g.contents(g.of(("float32", "int64", "int32")), (2,), None, None))
    g.node("OneHot", [at, g.weight(np.array(depth, np.int64)), values], exact=True, axis=g.int(-at.rank - 1, at.rank))
