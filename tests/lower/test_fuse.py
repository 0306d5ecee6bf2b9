# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What the one cost rule of inlining decides."""

from __future__ import annotations

import numpy as np

from aotgen.core import dtypes
from aotgen.ir import define, expr, index, interpret
from aotgen.ir.define import compute, reduce_, source
from aotgen.ir.expr import fn
from aotgen.lower.fuse import MAX_LOADS, MAX_NODES, inline, nodes

F = dtypes.f32


def x_(*shape, dtype=F, name="x"):
    return source(name, shape, dtype)


def kept(outputs, keep=()):
    """The expression Defs left after inlining."""
    inline(outputs, keep)
    return [d for d in define.topological(outputs) if d.expr is not None]


def test_views_and_casts_vanish():
    x = x_(4, 6)
    t = compute((6, 4), lambda i, j: x[j, i])
    c = compute((6, 4), lambda i, j: expr.cast(t[i, j], "i32"))
    y = compute((6, 4), lambda i, j: c[i, j] + c[i, 3 - j])
    assert kept([y]) == [y]
    assert {ld.attr[0] for ld in expr.loads_of(y.expr)} == {x}


def test_cheap_values_are_recomputed_and_dear_ones_kept():
    x, m = x_(8, 64), x_(8, name="m")
    d = compute((8, 64), lambda i, j: x[i, j] - m[i])
    s = reduce_("sum", (8,), (64,), lambda o, r: d[o[0], r[0]] * d[o[0], r[0]])
    y = compute((8, 64), lambda i, j: d[i, j] * s[i])
    assert kept([y]) == [s, y]
    e = compute((8, 64), lambda i, j: fn("exp", x[i, j] - m[i]))
    s = reduce_("sum", (8,), (64,), lambda o, r: e[o[0], r[0]])
    y = compute((8, 64), lambda i, j: e[i, j] / s[i])
    assert kept([y]) == [e, s, y]


def test_a_producer_of_a_broadcast_operand_is_kept():
    x, b = x_(64, 32), x_(32, name="b")
    p = compute((32,), lambda j: fn("exp", b[j]))
    y = compute((64, 32), lambda i, j: x[i, j] + p[j])
    assert kept([y]) == [p, y]


def test_a_scalar_is_hoisted_not_stored():
    x, a = x_(64, 32), x_(1, name="a")
    p = compute((1,), lambda j: fn("exp", a[0]))
    y = compute((64, 32), lambda i, j: x[i, j] * p[0])
    assert kept([y]) == [y]


def test_keep_stays_but_is_seen_through_when_it_is_a_view():
    x = x_(4, 6)
    t = compute((6, 4), lambda i, j: x[j, i])
    r = compute((6, 4), lambda i, j: fn("max", t[i, j], expr.const(0, "f32")))
    y = compute((6, 4), lambda i, j: r[i, j] + 1.0)
    assert set(kept([y, t, r], [t, r])) == {t, r, y}
    assert expr.loads_of(r.expr)[0].attr[0] is x
    assert expr.loads_of(y.expr)[0].attr[0] is r


def test_never_through_a_reduction_or_an_argument_of_a_call():
    x = x_(4, 6)
    s = reduce_("sum", (4,), (6,), lambda o, r: x[o[0], r[0]])
    t = compute((4,), lambda i: s[i] + 1.0)
    (c,) = define.call("library", "sort", [t], [((4,), F)])
    y = compute((4,), lambda i: c[i] * t[i])
    assert kept([y]) == [s, t, y]


def test_narrow_integers_wrap_where_their_store_would():
    x = x_(4, dtype=dtypes.u8)
    a = compute((4,), lambda i: x[i] + x[i], dtypes.u8)
    y = compute((4,), lambda i: expr.cast(a[i], "f32"))
    feeds = {x: np.array([1, 127, 128, 255])}
    want = interpret.evaluate([y], feeds)[y]
    assert kept([y]) == [y]
    np.testing.assert_array_equal(interpret.evaluate([y], feeds)[y], want)
    np.testing.assert_array_equal(want, [2, 254, 0, 254])


def test_caps_hold_and_values_stay():
    xs = [x_(64, name=f"x{n}") for n in range(80)]
    y = compute((64,), lambda i: xs[0][i])
    for x in xs[1:]:
        y = compute((64,), lambda i, y=y, x=x: fn("tanh", y[i]) + x[i])
    left = kept([y])
    assert len(left) > 1
    assert all(nodes(d.expr) <= MAX_NODES and len(expr.loads_of(d.expr)) <= MAX_LOADS for d in left)


def test_sharing_keeps_a_chain_of_squares_small():
    x = x_(64)
    y = compute((64,), lambda i: x[i])
    for _ in range(40):
        y = compute((64,), lambda i, y=y: y[i] * y[i] + 1.0)
    assert kept([y]) == [y]
    assert nodes(y.expr) < 100


def test_indirect_indices_are_substituted_too():
    x, ids = x_(8, 4), source("ids", (3,), dtypes.i64)
    shifted = compute((3,), lambda i: ids[i] + 1)
    y = compute((3, 4), lambda i, j: x[expr.wrap_negative(shifted[i], 8), j])
    want = {x: np.arange(32).reshape(8, 4), ids: np.array([0, -3, 6])}
    before = interpret.evaluate([y], want)[y]
    assert kept([y]) == [y]
    np.testing.assert_array_equal(interpret.evaluate([y], want)[y], before)


def test_open_dims():
    n = index.dim("N", 1, 512)
    x = x_(n, 16)
    r = compute((n, 16), lambda i, j: fn("max", x[i, j], expr.const(0, "f32")))
    y = compute((16, n), lambda j, i: r[i, j] * 2.0)
    assert kept([y]) == [y]


def test_what_a_reader_would_not_hoist_is_kept():
    """A bias by relative position: buckets index a table of [bucket, head], which is then read head by head."""
    n = index.dim("N", 1, 512)
    table, at = x_(32, 8), source("at", (n,), dtypes.i64)

    def bucket(i, j):
        far = fn("log", expr.cast(fn("abs", at[i] - at[j]), "f32") / 8.0) / 2.77 * 8.0
        return fn("min", expr.cast(far, "i64"), expr.const(31, "i64"))

    b = compute((n, n), bucket, name="bucket")
    looked_up = compute((n, n, 8), lambda i, j, h: table[expr.wrap_negative(b[i, j], 32), h])
    turned = compute((8, n, n), lambda h, i, j: looked_up[i, j, h])
    y = compute((8, n, n), lambda h, i, j: turned[h, i, j] * 8.0)
    assert kept([y]) == [b, y]
