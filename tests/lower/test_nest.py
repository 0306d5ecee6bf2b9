# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Nests of real operators compute what their Defs mean, after lowering and after every transformation."""

from __future__ import annotations

import numpy as np
import pytest
from nests import blocked, check, divisions, guards, plain, random

from aotgen.core import dtypes
from aotgen.ir import expr, index
from aotgen.ir.define import Def, compute, reduce_, scan, scatter, source
from aotgen.ir.expr import all_, between, fn, guard

RNG = np.random.default_rng(3)
f32 = dtypes.f32
INF = float("inf")


def x_(*shape, dtype=f32, name="x"):
    return source(name, shape, dtype)


def softmax(x: Def, axis: int) -> Def:
    def drop(i):
        return (*i[:axis], *i[axis + 1 :])

    def along(kind, d):
        shape = drop(d.shape)
        return reduce_(kind, shape, [d.shape[axis]], lambda o, r: d[(*o[:axis], r[0], *o[axis:])])

    m = along("max", x)
    e = compute(x.shape, lambda *i: fn("exp", x[i] - m[drop(i)]))
    s = along("sum", e)
    inverse = compute(s.shape, lambda *i: 1.0 / s[i])
    return compute(x.shape, lambda *i: e[i] * inverse[drop(i)])


def mean(x: Def) -> Def:
    s = reduce_("sum", x.shape[:-1], [x.shape[-1]], lambda o, r: x[(*o, r[0])])
    return compute(s.shape, lambda *i: s[i] / expr.cast(expr.ix_value(x.shape[-1]), "f32"))


def layer_norm(x: Def, g: Def, b: Def) -> Def:
    m = mean(x)
    d = compute(x.shape, lambda *i: x[i] - m[i[:-1]])
    v = mean(compute(x.shape, lambda *i: d[i] * d[i]))
    r = compute(v.shape, lambda *i: fn("rsqrt", v[i] + 1e-5))
    return compute(x.shape, lambda *i: d[i] * r[i[:-1]] * g[i[-1]] + b[i[-1]])


def gelu(x: Def) -> Def:
    return compute(x.shape, lambda *i: x[i] * 0.5 * (fn("erf", x[i] * 0.70710678) + 1.0))


def add(a: Def, b: Def) -> Def:
    return compute(a.shape, lambda *i: a[i] + b[i])


def pool(kind: str, x: Def, out, k, stride, pad, outside: float, dilation: int = 1) -> Def:
    n, c, h, w = x.shape

    def term(o, r):
        y, z = (o[2 + a] * stride + r[a] * dilation - pad for a in (0, 1))
        value = x[o[0], o[1], y, z]
        return guard(all_([between(0, y, h), between(0, z, w)]), value, expr.const(outside, value.dtype))

    return reduce_(kind, (n, c, *out), (k, k), term, dtype=x.dtype)


def average(x: Def, out, k, stride, pad) -> Def:
    total = pool("sum", x, out, k, stride, pad, 0.0)
    n, c, h, w = x.shape

    def one(o, r):
        y, z = (o[a] * stride + r[a] - pad for a in (0, 1))
        return guard(all_([between(0, y, h), between(0, z, w)]), expr.const(1, "f32"), expr.const(0, "f32"))

    count = reduce_("sum", out, (k, k), one)
    return compute(total.shape, lambda *i: total[i] / count[i[2], i[3]])


def conv(x: Def, w: Def, b: Def, pad: int, stride: int, group: int = 1) -> Def:
    n, c, h, wd = x.shape
    m, cg, kh, kw = w.shape
    out = [(e + 2 * pad - k) // stride + 1 for e, k in ((h, kh), (wd, kw))]

    def term(o, r):
        y, z = o[2] * stride + r[1] - pad, o[3] * stride + r[2] - pad
        value = x[o[0], (o[1] // (m // group)) * cg + r[0], y, z]
        inside = all_([between(0, y, h), between(0, z, wd)])
        return guard(inside, value, expr.const(0, "f32")) * w[o[1], r[0], r[1], r[2]]

    acc = reduce_("sum", (n, m, *out), (cg, kh, kw), term)
    return compute(acc.shape, lambda *i: acc[i] + b[i[1]])


def reshape(x: Def, shape) -> Def:
    def f(*i):
        flat, at = index.ix(0), []
        for k, d in zip(i, shape, strict=True):
            flat = flat * d + k
        for d in reversed(x.shape):
            at.append(flat % d)
            flat = flat // d
        return x[tuple(reversed(at))]

    return compute(shape, f)


def transpose(x: Def, perm) -> Def:
    inverse = [list(perm).index(k) for k in range(len(perm))]
    return compute([x.shape[p] for p in perm], lambda *i: x[tuple(i[k] for k in inverse)])


def concat(xs, axis: int) -> Def:
    total = sum((index.ix(x.shape[axis]) for x in xs), index.ix(0))

    def f(*i):
        offset, parts, out = index.ix(0), [], None
        for x in xs:
            parts.append((offset, x))
            offset = offset + x.shape[axis]
        for o, x in reversed(parts):
            value = x[(*i[:axis], i[axis] - o, *i[axis + 1 :])]
            out = value if out is None else guard(expr.ge0(o + x.shape[axis] - 1 - i[axis]), value, out)
        return out

    shape = list(xs[0].shape)
    shape[axis] = index.as_dim(total)
    return compute(shape, f)


def pad(x: Def, before, after, value: float = 0.5) -> Def:
    def f(*i):
        at = [k - b for k, b in zip(i, before, strict=True)]
        inside = all_([between(0, k, d) for k, d in zip(at, x.shape, strict=True)])
        return guard(inside, x[tuple(at)], expr.const(value, "f32"))

    return compute([d + b + a for d, b, a in zip(x.shape, before, after, strict=True)], f)


def gather(x: Def, ids: Def, axis: int) -> Def:
    q = ids.rank

    def f(*i):
        at = expr.wrap_negative(ids[i[axis : axis + q]], x.shape[axis])
        return x[(*i[:axis], at, *i[axis + q :])]

    return compute((*x.shape[:axis], *ids.shape, *x.shape[axis + 1 :]), f)


# ------------------------------------------------------------------------------------------------ rows


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("shape", [(2, 3, 20), (2, 19, 5), (1, 4, 1)])
def test_softmax(axis, shape):
    x = x_(*shape)
    nests = check([softmax(x, axis)], {x: random(RNG, *shape)})
    assert len(nests) == 1


@pytest.mark.parametrize("channels", [3, 16, 24])
@pytest.mark.parametrize("axis", [1, 3])
def test_softmax_blocked(channels, axis):
    x = x_(1, channels, 2, 5)
    nests = check([softmax(x, axis)], {x: random(RNG, 1, channels, 2, 5)}, blocked)
    assert len(nests) == 1
    assert divisions(nests) == 0


def test_softmax_open():
    n, c = index.dim("N"), index.dim("C", 1, 64)
    x = x_(n, 4, c)
    assert len(check([softmax(x, 2)], {x: random(RNG, 3, 4, 7)}, dims={"N": 3, "C": 7})) == 1


def norm_case(*shape):
    x, g, b, r = x_(*shape), x_(shape[-1], name="g"), x_(shape[-1], name="b"), x_(*shape, name="r")
    return x, g, b, r, add(gelu(layer_norm(x, g, b)), r)


def test_layer_norm_gelu_add_is_one_nest():
    x, g, b, r, y = norm_case(2, 5, 18)
    feeds = {x: random(RNG, 2, 5, 18), g: random(RNG, 18), b: random(RNG, 18), r: random(RNG, 2, 5, 18)}
    nests = check([y], feeds)
    assert len(nests) == 1
    assert len(nests[0].outer) == 1, "the two outer loops collapse"


def test_layer_norm_open():
    s = index.dim("S", 1, 128)
    x, g, b, r, y = norm_case(2, s, 18)
    feeds = {x: random(RNG, 2, 5, 18), g: random(RNG, 18), b: random(RNG, 18), r: random(RNG, 2, 5, 18)}
    assert len(check([y], feeds, dims={"S": 5})) == 1


def test_two_outputs_and_a_shared_row():
    x = x_(6, 20)
    top = reduce_("max", (6,), (20,), lambda o, r: x[o[0], r[0]])
    total = reduce_("sum", (6,), (20,), lambda o, r: x[o[0], r[0]])
    nests = check([top, total], {x: random(RNG, 6, 20)})
    assert len(nests) == 1
    assert len(nests[0].stages) == 1


# ------------------------------------------------------------------------------------------------ windows

POOLS = [((5, 5), 3, 1, 1), ((3, 3), 3, 2, 1), ((4, 4), 2, 2, 1), ((5, 5), 1, 1, 0), ((4, 4), 3, 2, 2)]


@pytest.mark.parametrize("layouts", [plain, blocked])
@pytest.mark.parametrize("channels", [3, 24])
@pytest.mark.parametrize(("out", "k", "stride", "border"), POOLS)
def test_max_pool(layouts, channels, out, k, stride, border):
    x = x_(1, channels, 5, 5)
    y = pool("max", x, out, k, stride, border, -INF)
    nests = check([y], {x: random(RNG, 1, channels, 5, 5)}, layouts)
    assert guards(nests) == 0
    assert divisions(nests) == 0


def test_max_pool_of_one_block():
    x = x_(1, 16, 5, 5)
    nests = check([pool("max", x, (5, 5), 3, 1, 1, -INF)], {x: random(RNG, 1, 16, 5, 5)}, blocked)
    assert guards(nests) == 0


def test_max_pool_of_bytes():
    x = x_(1, 3, 5, 5, dtype=dtypes.i8)
    y = pool("max", x, (5, 5), 3, 1, 1, -128)
    assert guards(check([y], {x: RNG.integers(-128, 127, (1, 3, 5, 5))})) == 0


def test_dilated_pool():
    x = x_(1, 3, 9, 9)
    check([pool("max", x, (7, 7), 3, 1, 1, -INF, dilation=2)], {x: random(RNG, 1, 3, 9, 9)})


@pytest.mark.parametrize("layouts", [plain, blocked])
@pytest.mark.parametrize("channels", [3, 24])
def test_average_pool(layouts, channels):
    x = x_(2, channels, 5, 5)
    assert guards(check([average(x, (3, 3), 3, 2, 1)], {x: random(RNG, 2, channels, 5, 5)}, layouts)) == 0


@pytest.mark.parametrize("layouts", [plain, blocked])
@pytest.mark.parametrize(("c", "m", "group", "stride"), [(3, 18, 1, 1), (4, 2, 2, 2), (16, 16, 16, 1), (18, 2, 1, 2)])
def test_conv(layouts, c, m, group, stride):
    x, w, b = x_(1, c, 3, 5), x_(m, c // group, 3, 3, name="w"), x_(m, name="b")
    feeds = {x: random(RNG, 1, c, 3, 5), w: random(RNG, m, c // group, 3, 3), b: random(RNG, m)}
    check([conv(x, w, b, 1, stride, group)], feeds, layouts)


def test_global_average_open():
    h = index.dim("H", 1, 32)
    x = x_(2, 24, h, 3)
    s = reduce_("sum", (2, 24), (h, 3), lambda o, r: x[o[0], o[1], r[0], r[1]])
    check([s], {x: random(RNG, 2, 24, 4, 3)}, blocked, dims={"H": 4})
    check([s], {x: random(RNG, 2, 24, 4, 3)}, dims={"H": 4})


# ------------------------------------------------------------------------------------------------ movement


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
@pytest.mark.parametrize("layouts", [plain, blocked])
def test_concat(axis, layouts):
    shapes = [[2, 8, 3, 4] for _ in range(3)]
    for n, s in enumerate(shapes):
        s[axis] = n + 2
    xs = [x_(*s, name=f"x{n}") for n, s in enumerate(shapes)]
    check([concat(xs, axis)], {x: random(RNG, *x.shape) for x in xs}, layouts)


def test_concat_open():
    n = index.dim("N", 1, 64)
    a, b = x_(3, n, name="a"), x_(3, 5, name="b")
    check([concat([a, b], 1)], {a: random(RNG, 3, 4), b: random(RNG, 3, 5)}, dims={"N": 4})
    a, b = x_(n, 3, name="a"), x_(5, 3, name="b")
    check([concat([a, b], 0)], {a: random(RNG, 4, 3), b: random(RNG, 5, 3)}, dims={"N": 4})


@pytest.mark.parametrize("layouts", [plain, blocked])
def test_pad(layouts):
    x = x_(1, 8, 3, 9)
    y = pad(x, (0, 2, 1, 2), (0, 1, 0, 3))
    assert guards(check([y], {x: random(RNG, 1, 8, 3, 9)}, layouts)) == 0


def test_pad_then_relu_keeps_pieces():
    x = x_(2, 3, 5, 20)
    p = pad(x, (0, 0, 1, 2), (0, 0, 0, 3))
    y = compute(p.shape, lambda *i: fn("max", p[i], expr.const(0, "f32")))
    assert guards(check([y], {x: random(RNG, 2, 3, 5, 20)})) == 0


@pytest.mark.parametrize("layouts", [plain, blocked])
def test_transpose(layouts):
    x = x_(2, 20, 3, 5)
    check([transpose(x, (0, 2, 3, 1))], {x: random(RNG, 2, 20, 3, 5)}, layouts)


def test_split_heads_without_divisions():
    x, bias = x_(2, 6, 12), x_(12, name="bias")
    y = compute(x.shape, lambda *i: x[i] + bias[i[2]])
    heads = transpose(reshape(y, (2, 6, 3, 4)), (0, 2, 1, 3))
    nests = check([heads], {x: random(RNG, 2, 6, 12), bias: random(RNG, 12)})
    assert len(nests) == 1
    assert divisions(nests) == 0


def test_merge_heads_without_divisions():
    x = x_(2, 3, 6, 4)
    merged = reshape(transpose(x, (0, 2, 1, 3)), (2, 6, 12))
    assert divisions(check([merged], {x: random(RNG, 2, 3, 6, 4)})) == 0


def test_open_reshape_collapses():
    n, m = index.dim("N"), index.dim("M")
    x = x_(n, 6, m)
    y = compute(x.shape, lambda *i: fn("max", x[i], expr.const(0, "f32")))
    nests = check([reshape(y, (n * 6, m))], {x: random(RNG, 2, 6, 5)}, dims={"N": 2, "M": 5})
    assert len(nests[0].outer) == 1


def test_bias_broadcast():
    x, b = x_(3, 40), x_(40, name="b")
    y = compute(x.shape, lambda *i: fn("max", x[i] + b[i[1]], expr.const(0, "f32")))
    nests = check([y], {x: random(RNG, 3, 40), b: random(RNG, 40)})
    assert nests[0].stages[0].lane is not None


def test_gather():
    x, ids = x_(7, 20), source("ids", (2, 3), dtypes.i64)
    check([gather(x, ids, 0)], {x: random(RNG, 7, 20), ids: np.array([[0, -1, 3], [6, 2, -7]])})
    check([gather(x, ids, 1)], {x: random(RNG, 7, 20), ids: np.array([[0, -1, 3], [6, 2, -20]])})


# ------------------------------------------------------------------------------------------------ ordered


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_cumsum(axis):
    x = x_(3, 5, 20)
    y = scan("add", x.shape, axis, lambda *i: x[i])
    z = compute(x.shape, lambda *i: fn("exp", y[i] * 0.1))
    check([z], {x: random(RNG, 3, 5, 20)})


@pytest.mark.parametrize("kind", ["argmax", "argmin", "argmax_last", "argmin_last"])
@pytest.mark.parametrize("axis", [0, 1])
def test_argmax(kind, axis):
    x = x_(6, 20, dtype=dtypes.i32)
    y = reduce_(
        kind, (20, 6)[axis : axis + 1], (x.shape[axis],), lambda o, r: x[(r[0], o[0]) if axis == 0 else (o[0], r[0])]
    )
    check([y], {x: RNG.integers(0, 4, (6, 20))})


def test_argmax_over_two_axes():
    x = x_(3, 4, 5, dtype=dtypes.i32)
    y = reduce_("argmax", (3,), (4, 5), lambda o, r: x[o[0], r[0], r[1]])
    check([y], {x: RNG.integers(0, 4, (3, 4, 5))})


def test_argmin_of_one_beside_a_fold():
    """The position along an axis of one element is 0, also where the loops around it fold something else."""
    x = x_(1, 6, 5)
    least = reduce_("argmin", (6, 5), (1,), lambda o, r: x[r[0], o[0], o[1]])
    most = reduce_("max", (6,), (5,), lambda o, r: x[0, o[0], r[0]] * 0.5)
    power = compute((6, 5), lambda i, j: fn("exp", x[0, i, j] * 0.5 - most[i]))
    total = reduce_("sum", (6,), (5,), lambda o, r: power[o[0], r[0]])
    y = compute((6, 5), lambda i, j: power[i, j] / total[i])
    nests = check([y, least], {x: random(RNG, 1, 6, 5)})
    assert len(nests) == 1


@pytest.mark.parametrize("fold", ["set", "add", "max"])
@pytest.mark.parametrize("axis", [0, 1])
def test_scatter_elements(fold, axis):
    x, ids, u = x_(6, 20), source("ids", (6, 18), dtypes.i64), x_(6, 18, name="u")

    def at(*i):
        k = expr.wrap_negative(ids[i], x.shape[axis])
        return (k, i[1]) if axis == 0 else (i[0], k)

    y = scatter(fold, x, u.shape, at, lambda *i: u[i])
    feeds = {x: random(RNG, 6, 20), ids: RNG.integers(-6, 6, (6, 18)), u: random(RNG, 6, 18)}
    nests = check([y], feeds)
    assert len(nests) == 2
    assert len(nests[1].outer) + (nests[1].stages[0].lane is not None) == 1


def test_scatter_nd_is_one_iteration():
    x, ids, u = x_(6, 20), source("ids", (4, 1), dtypes.i64), x_(4, 20, name="u")
    zero = index.ix(0)
    y = scatter("add", x, u.shape, lambda a, b: (expr.wrap_negative(ids[a, zero], 6), b), lambda *i: u[i] * 2.0)
    feeds = {x: random(RNG, 6, 20), ids: np.array([[1], [-1], [1], [0]]), u: random(RNG, 4, 20)}
    check([y], feeds)


def test_row_major_matmul():
    a, b = x_(5, 7, name="a"), x_(7, 20, name="b")
    y = reduce_("sum", (5, 20), (7,), lambda o, r: a[o[0], r[0]] * b[r[0], o[1]])
    nests = check([y], {a: random(RNG, 5, 7), b: random(RNG, 7, 20)})
    stage = nests[0].stages[0]
    assert stage.lane in stage.inner, "the columns are the vector, spread over accumulators"


@pytest.mark.parametrize("shape", [(2220,), (2, 1100)])
def test_long_loops_are_cut_in_blocks(shape):
    x = x_(*shape)
    y = compute(x.shape, lambda *i: x[i] + 1.0)
    nests = check([y], {x: random(RNG, *shape)})
    assert nests[0].outer, "there is something to share between threads"


# ------------------------------------------------------------------------------------------------ chains


def test_attention_is_one_nest():
    x, b, mask = x_(2, 5, 12), x_(12, name="b"), x_(5, 5, name="mask")

    def heads(f):
        return transpose(reshape(compute(x.shape, f), (2, 5, 3, 4)), (0, 2, 1, 3))

    q, k = heads(lambda *i: x[i] + b[i[2]]), heads(lambda *i: x[i] * b[i[2]])
    s = reduce_("sum", (2, 3, 5, 5), (4,), lambda o, r: q[o[0], o[1], o[2], r[0]] * k[o[0], o[1], o[3], r[0]])
    p = softmax(compute(s.shape, lambda *i: s[i] * 0.5 + mask[i[2], i[3]]), 3)
    o = reduce_("sum", (2, 3, 5, 4), (5,), lambda i, r: p[i[0], i[1], i[2], r[0]] * q[i[0], i[1], r[0], i[3]])
    y = reshape(transpose(o, (0, 2, 1, 3)), (2, 5, 12))
    check([y], {x: random(RNG, 2, 5, 12), b: random(RNG, 12), mask: random(RNG, 5, 5)})


def test_group_norm_silu_pad_in_blocks():
    x = x_(1, 24, 3, 4)
    g = reshape(x, (1, 3, 96))
    m = mean(g)
    d = compute(g.shape, lambda *i: g[i] - m[i[:-1]])
    v = mean(compute(g.shape, lambda *i: d[i] * d[i]))
    z = reshape(compute(g.shape, lambda *i: d[i] * fn("rsqrt", v[i[:-1]] + 1e-5)), x.shape)
    y = pad(compute(z.shape, lambda *i: z[i] * fn("sigmoid", z[i])), (0, 0, 1, 1), (0, 0, 1, 1))
    check([y], {x: random(RNG, 1, 24, 3, 4)}, blocked, rtol=1e-4)


def test_concat_relu_pool_in_blocks():
    a, c = x_(1, 8, 3, 4, name="a"), x_(1, 24, 3, 4, name="c")
    joined = concat([a, c], 1)
    r = compute(joined.shape, lambda *i: fn("max", joined[i], expr.const(0, "f32")))
    u = pool("max", r, (3, 4), 3, 1, 1, -INF)
    nests = check([r, u], {a: random(RNG, 1, 8, 3, 4), c: random(RNG, 1, 24, 3, 4)}, blocked)
    assert guards(nests) == 0


@pytest.mark.parametrize("layouts", [plain, blocked])
def test_depth_to_space_without_divisions(layouts):
    x = x_(1, 16, 3, 4)
    y = reshape(transpose(reshape(x, (1, 2, 2, 4, 3, 4)), (0, 3, 4, 1, 5, 2)), (1, 4, 6, 8))
    assert divisions(check([y], {x: random(RNG, 1, 16, 3, 4)}, layouts)) == 0
