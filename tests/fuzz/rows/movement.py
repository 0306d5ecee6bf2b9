# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Reshape, Transpose, Pad and whatever else only moves elements."""

from __future__ import annotations

from math import prod

import numpy as np

from tests.fuzz.generator import Gen
from tests.fuzz.rows import row
from tests.fuzz.values import ANY, FLOATS, NUMBERS, Var

BYTES = ("float32", "int64", "bool", "uint8", "float64")


def factors(g: Gen, n: int) -> list[int]:
    """``n`` as a random product."""
    out = []
    while n > 1:
        d = g.of([k for k in range(2, n + 1) if n % k == 0])
        out.append(d)
        n //= d
    return out + [1] * g.int(0, 2 if len(out) < 3 else 0)


@row("Reshape", __name__)
def reshape(g: Gen) -> None:
    x = g.any(ANY)
    open_ = [k for k in range(x.rank) if not x.fixed(k)]
    g.need(len(open_) <= 1, "two open extents")
    if x.size == 0:
        target = [*x.shape, 1] if g.chance(0.5) else [0] * x.rank
        g.need(not open_, "an open extent of nothing")
        g.node("Reshape", [x, g.ints(*target)], exact=True, **({"allowzero": 1} if len(target) > x.rank else {}))
        return
    target = factors(g, prod(s[0] for k, s in enumerate(x.sizes) if k not in open_))
    g.rnd.shuffle(target)
    target = target[:5]
    rest = prod(s[0] for k, s in enumerate(x.sizes) if k not in open_) // prod(target)
    if open_ or rest > 1 or g.chance(0.3):
        target.insert(g.int(0, len(target)), -1)
    if not open_:
        target = [0 if k < x.rank and d == x.shape[k] and -1 in target and g.chance(0.3) else d for k, d in enumerate(target)]
    g.node("Reshape", [x, g.ints(*target)], exact=True)


@row("Flatten", __name__)
def flatten(g: Gen) -> None:
    x = g.any(BYTES, (0, 5))
    g.node("Flatten", [x], exact=True, axis=g.int(-x.rank, x.rank))


@row("Squeeze", __name__)
def squeeze(g: Gen) -> None:
    x = g.any(BYTES, (1, 5), where=lambda v: any(set(s) == {1} for s in v.sizes))
    ones = [k for k, s in enumerate(x.sizes) if set(s) == {1}]
    if not ones:
        [x] = g.node("Unsqueeze", [x, g.ints(0)], exact=True)
        ones = [0]
    some = [k for k in ones if g.chance(0.6)] or ones[:1]
    g.node("Squeeze", [x, g.ints(*(g.signed(k, x.rank) for k in some))], exact=True)


@row("Unsqueeze", __name__)
def unsqueeze(g: Gen) -> None:
    x = g.any(BYTES)
    n = g.int(1, 2)
    axes = [g.signed(a, x.rank + n) for a in g.rnd.sample(range(x.rank + n), n)]
    g.node("Unsqueeze", [x, g.ints(*axes)], exact=True)


@row("Transpose", __name__)
def transpose(g: Gen) -> None:
    x = g.any(ANY, (0, 5))
    perm = list(range(x.rank))
    g.rnd.shuffle(perm)
    g.node("Transpose", [x], exact=True, **({"perm": perm} if perm and g.chance(0.85) else {}))


@row("Expand", __name__)
def expand(g: Gen) -> None:
    x = g.any(ANY)
    to = [g.int(1, 5) if s == (1,) * len(s) else 1 if len(set(s)) > 1 or g.chance(0.4) else s[0] for s in x.sizes]
    to = to[g.int(0, len(to)):] if g.chance(0.3) else [g.int(1, 3)] * g.int(0, 1) + to
    g.node("Expand", [x, g.ints(*to)], exact=True)


@row("Tile", __name__)
def tile(g: Gen) -> None:
    x = g.any(ANY, (1, 4))
    g.node("Tile", [x, g.ints(*(g.of((1, 1, 2, 3)) for _ in range(x.rank)))], exact=True)


@row("Pad", __name__)
def pad(g: Gen) -> None:
    x = g.any(FLOATS + ("int32", "int64", "uint8", "int8", "bool"), (1, 4))
    mode = g.of(("constant", "edge", "reflect", "wrap"))
    most = [4 if mode == "constant" else 3 * x.least(k) if mode == "edge" else x.least(k) - 1 for k in range(x.rank)]
    axes = g.some(x.rank, 1) if g.chance(0.3) else None
    pads = []
    for _ in range(2):
        for k in range(x.rank) if axes is None else axes:
            low = -min((x.least(k) - 1) // 2, 2) if mode == "constant" and g.chance(0.3) else 0
            pads.append(g.int(min(low, 0), max(min(most[k], 4), 0)))
    ins: list[Var | None] = [x, g.ints(*pads)]
    value = g.weight(np.array(g.int(0, 3), x.dtype)) if mode == "constant" and g.chance(0.5) else None
    if value is not None or axes is not None:
        ins.append(value)
    if axes is not None:
        ins.append(g.ints(*(g.signed(a, x.rank) for a in axes)))
    g.node("Pad", ins, exact=True, mode=mode)


@row("DepthToSpace", __name__)
def depth_to_space(g: Gen) -> None:
    b = g.of((1, 2, 3))
    sizes = g.sizes(4)
    sizes[1] = (b * b * g.int(1, 4),) * g.settings.runs
    x = g.any(("float32", "float64", "uint8"), (4, 4), shape=sizes)
    g.node("DepthToSpace", [x], exact=True, blocksize=b, mode=g.of(("DCR", "CRD")))


@row("SpaceToDepth", __name__)
def space_to_depth(g: Gen) -> None:
    b = g.of((1, 2, 3))
    sizes = g.sizes(2) + [(b * g.int(1, 4),) * g.settings.runs for _ in range(2)]
    g.node("SpaceToDepth", [g.any(("float32",), (4, 4), shape=sizes)], exact=True, blocksize=b)


@row("ReverseSequence", __name__)
def reverse_sequence(g: Gen) -> None:
    x = g.any(BYTES, (2, 4))
    time = g.int(0, 1)
    g.need(x.least(time) >= 1, "no time")
    lengths = g.any(("int64",), (1, 1), shape=[x.sizes[1 - time]], low=0 if g.settings.hostile else 1, high=x.least(time))
    g.node("ReverseSequence", [x, lengths], exact=True, time_axis=time, batch_axis=1 - time)


@row("Trilu", __name__)
def trilu(g: Gen) -> None:
    x = g.any(("float32", "float64", "int64", "bool"), (2, 4))
    k = [g.weight(np.array(g.int(-4, 4), np.int64))] if g.chance(0.6) else []
    g.node("Trilu", [x, *k], exact=True, upper=g.int(0, 1))


@row("CenterCropPad", __name__)
def center_crop_pad(g: Gen) -> None:
    x = g.any(NUMBERS, (1, 4))
    axes = g.some(x.rank, 1)
    g.node("CenterCropPad", [x, g.ints(*(g.int(1, 9) for _ in axes))], exact=True, axes=[g.signed(a, x.rank) for a in axes])
