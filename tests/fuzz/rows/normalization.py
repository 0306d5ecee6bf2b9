# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Normalisations."""

from __future__ import annotations

from math import prod

from tests.fuzz.generator import Gen
from tests.fuzz.rows import row
from tests.fuzz.values import FLOATS, Sizes, Var

EPSILON = 1e-2  # large, or a constant row divides rounding errors by it


def near(v: Var) -> bool:
    """A variance far below the squared mean loses as many digits."""
    return v.scale < 16


def vector(g: Gen, size: Sizes, dtype: str, low: float = -1.5, high: float = 1.5) -> Var:
    g.need(len(set(size)) == 1, "an open number of parameters")
    return g.any((dtype,), shape=[size], low=low, high=high, weight=0.8)


@row("BatchNormalization", __name__)
def batch(g: Gen) -> None:
    x = g.any(FLOATS, (2, 5))
    c = x.sizes[1]
    params = [vector(g, c, x.dtype), vector(g, c, x.dtype), vector(g, c, x.dtype), vector(g, c, x.dtype, 0.3, 2)]
    g.node("BatchNormalization", [x, *params], epsilon=EPSILON)


@row("InstanceNormalization", __name__)
def instance(g: Gen) -> None:
    x = g.any(FLOATS, (3, 5), where=near)
    g.need(all(prod(a.shape[2:]) > 1 for a in x.plain), "no variance")
    g.node("InstanceNormalization", [x, vector(g, x.sizes[1], x.dtype), vector(g, x.sizes[1], x.dtype)], epsilon=EPSILON)


@row("LayerNormalization", __name__)
def layer(g: Gen) -> None:
    x = g.any(FLOATS, (1, 4), where=near)
    axis = g.int(0, x.rank - 1)
    g.need(all(x.fixed(k) for k in range(axis, x.rank)), "open parameters")
    params = [g.any((x.dtype,), shape=x.sizes[axis:], low=-1.5, high=1.5, weight=0.8) for _ in range(g.int(1, 2))]
    g.node("LayerNormalization", [x, *params], axis=g.signed(axis, x.rank), epsilon=EPSILON)


@row("RMSNormalization", __name__)
def rms(g: Gen) -> None:
    x = g.any(FLOATS, (1, 4))
    axis = g.int(0, x.rank - 1)
    g.need(all(x.fixed(k) for k in range(axis, x.rank)), "open parameters")
    g.node("RMSNormalization", [x, g.any((x.dtype,), shape=x.sizes[axis:], low=-1.5, high=1.5, weight=0.8)],
           axis=g.signed(axis, x.rank), epsilon=EPSILON)


@row("GroupNormalization", __name__)
def group(g: Gen) -> None:
    groups = g.int(1, 4)
    sizes = g.sizes(g.int(3, 4))
    sizes[1] = (groups * g.int(1, 4),) * g.settings.runs
    x = g.any(("float32",), shape=sizes, where=near)
    g.node("GroupNormalization", [x, vector(g, x.sizes[1], x.dtype), vector(g, x.sizes[1], x.dtype)], num_groups=groups,
           epsilon=EPSILON)


@row("LpNormalization", __name__)
def lp(g: Gen) -> None:
    x = g.any(("float32", "float64"), (1, 4), low=0.1 if g.chance(0.5) else None)
    axis = g.int(0, x.rank - 1)
    g.node("LpNormalization", [x], axis=g.signed(axis, x.rank), p=g.int(1, 2))


@row("MeanVarianceNormalization", __name__)
def mean_variance(g: Gen) -> None:
    x = g.any(("float32",), (4, 4), where=near)
    g.need(g.settings.hostile or all(x.least(k) > 1 for k in (0, 2)), "no variance")
    g.node("MeanVarianceNormalization", [x], **({"axes": [0, 2, 3]} if g.chance(0.5) else {"axes": [2, 3]} if g.chance(0.5) else {}))


@row("LRN", __name__)
def lrn(g: Gen) -> None:
    x = g.any(("float32",), (4, 4))
    g.node("LRN", [x], size=g.of((1, 3, 5)), alpha=g.int(1, 9) / 10, beta=0.75, bias=g.int(1, 3) / 1.0)


@row("SkipLayerNormalization", __name__)
def skip_layer(g: Gen) -> None:
    x = g.any(("float32",), (3, 3), where=near)
    g.need(x.fixed(2), "open parameters")
    params = [vector(g, x.sizes[2], x.dtype) for _ in range(g.int(1, 3))]
    g.node("SkipLayerNormalization", [x, g.like(x, where=near), *params], domain="com.microsoft", epsilon=EPSILON)
