# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The interpreter of Defs: guards, reductions, scans, scatters, casts, open dims, and what it must refuse."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import pytest

from aotgen.core import dtypes
from aotgen.core.errors import InternalError
from aotgen.ir import define, expr, index, interpret
from aotgen.ir.define import Def, call, compute, reduce_, scan, scatter, source
from aotgen.ir.interpret import evaluate

X = np.arange(12, dtype=np.float32).reshape(3, 4)


def src(array: np.ndarray, name: str = "x") -> Def:
    return source(name, array.shape, dtypes.of(array.dtype))


def test_guard_hides_loads_that_select_may_not() -> None:
    x = src(X)

    def shifted(choose: object) -> Def:
        return compute((3, 5), lambda i, j: choose(expr.ge0(j - 1), x[i, j - 1], expr.const(7, "f32")))  # type: ignore

    y = evaluate([d := shifted(expr.guard)], {x: X})[d]
    np.testing.assert_array_equal(y, np.pad(X, [(0, 0), (1, 0)], constant_values=7))
    with pytest.raises(InternalError, match="out-of-bounds load"):
        evaluate([shifted(expr.select)], {x: X})


def test_nested_guards_mask_each_other() -> None:
    x = src(X)
    inner = lambda i, j: expr.guard(expr.ge0(j - 2), x[i, j - 2], expr.const(1, "f32"))  # noqa: E731
    d = compute((3, 8), lambda i, j: expr.guard(expr.ge0(5 - j), inner(i, j), expr.const(2, "f32")))
    want = np.concatenate([np.full((3, 2), 1), X, np.full((3, 2), 2)], 1)
    np.testing.assert_array_equal(evaluate([d], {x: X})[d], want)
    bad = compute((3, 8), lambda i, j: expr.guard(expr.ge0(6 - j), inner(i, j), expr.const(2, "f32")))
    with pytest.raises(InternalError):
        evaluate([bad], {x: X})


@pytest.mark.parametrize("kind", ["sum", "prod", "max", "min"])
def test_reductions(kind: str) -> None:
    x = src(X)
    d = reduce_(kind, (3,), (4,), lambda o, r: x[o[0], r[0]])
    np.testing.assert_allclose(evaluate([d], {x: X})[d], getattr(np, kind)(X, 1))
    empty = source("e", (3, 0), dtypes.f32)
    d = reduce_(kind, (3,), (0,), lambda o, r: empty[o[0], r[0]])
    want = {"sum": 0, "prod": 1, "max": -np.inf, "min": np.inf}[kind]
    np.testing.assert_array_equal(evaluate([d], {empty: np.zeros((3, 0), np.float32)})[d], [want] * 3)


def test_arg_reductions_break_ties() -> None:
    a = np.array([[1, 3, 3, 0]], np.int32)
    x = src(a)
    first, last = (reduce_(k, (1,), (4,), lambda o, r: x[o[0], r[0]]) for k in ("argmax", "argmax_last"))
    out = evaluate([first, last], {x: a})
    assert (out[first].item(), out[last].item(), out[first].dtype) == (1, 2, np.int64)


def test_scan_keeps_every_step() -> None:
    x = src(X)
    d = scan("add", (3, 4), 1, lambda i, j: x[i, j])
    np.testing.assert_array_equal(evaluate([d], {x: X})[d], np.cumsum(X, 1))


def test_scatter_applies_in_order_and_clamps() -> None:
    at, base = np.array([1, 1, 9]), np.zeros(4, np.float32)
    i, x = src(at, "i"), src(base)
    for fold, want in (("set", [0, 2, 0, 3]), ("add", [0, 3, 0, 3])):
        d = scatter(
            fold, x, (3,), lambda u: (expr.index_of(i[u], 4),), lambda u: expr.cast(expr.ix_value(u + 1), "f32")
        )
        np.testing.assert_array_equal(evaluate([d], {x: base, i: at})[d], want)


def test_stores_round_and_wide_does_not() -> None:
    a = np.array([1 + 2**-10], np.float32)
    x = src(a)
    d = compute((1,), lambda i: x[i] * x[i], dtypes.bf16)
    explicit = compute((1,), lambda i: expr.cast(x[i], "bf16"), dtypes.f32)
    out = evaluate([d, explicit], {x: a})
    assert out[d].dtype == ml_dtypes.bfloat16 and out[d].item() == 1
    wide = evaluate([d, explicit], {x: a}, wide=True)
    assert wide[d].dtype == np.float64 and wide[d].item() == (1 + 2**-10) ** 2 and wide[explicit].item() == 1


def test_casts_agree_with_constant_folding() -> None:
    values = [0.0, -1.5, 2.7, 300.0, -300.0, 3e9, -3e9, 1e20, -1e20, np.inf, -np.inf, np.nan]
    a = np.array(values)
    x = src(a)
    for to in ("i8", "u8", "i16", "u16", "i32", "i64", "u32", "u64", "bool", "i4", "u4"):
        d = compute(a.shape, lambda i, to=to: expr.cast(x[i], to))
        assert evaluate([d], {x: a})[d].tolist() == [expr.cast_value(v, dtypes.of(to)) for v in values], to


def test_open_dims_take_their_extents_from_the_feeds() -> None:
    n = index.dim("N")
    x = source("x", (n, 2 * n), dtypes.f32)
    d = compute((n, n), lambda i, j: x[i, j + n] * expr.cast(expr.ix_value(n), "f32"))
    a = np.arange(18, dtype=np.float32).reshape(3, 6)
    np.testing.assert_array_equal(evaluate([d], {x: a})[d], a[:, 3:] * 3)
    with pytest.raises(InternalError, match="extents"):
        evaluate([d], {x: np.zeros((3, 5), np.float32)})
    lone = compute((n,), lambda i: expr.cast(expr.ix_value(i), "f32"))
    assert evaluate([lone], {}, dims={"N": 2})[lone].tolist() == [0, 1]
    with pytest.raises(InternalError, match="not known"):
        evaluate([lone], {})


def test_large_spaces_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    x = src(X)
    d = reduce_("sum", (3, 3), (4,), lambda o, r: x[o[0], r[0]] * x[o[1], r[0]])
    whole = evaluate([d], {x: X})[d]
    monkeypatch.setattr(interpret, "CHUNK", 5)
    np.testing.assert_array_equal(evaluate([d], {x: X})[d], whole)
    running = scan("add", (3, 4), 0, lambda i, j: x[i, j])
    np.testing.assert_array_equal(evaluate([running], {x: X})[running], np.cumsum(X, 0))


def test_library_calls_go_through_the_table() -> None:
    x = src(X)
    (d,) = call("library", "no such function", [x], [((3,), dtypes.f32)])
    with pytest.raises(InternalError, match="no such function"):
        evaluate([d], {x: X})
    (k,) = call("kernel", "gemm", [x], [((3,), dtypes.f32)])
    with pytest.raises(InternalError, match="kernel:gemm"):
        evaluate([k], {x: X})


def test_a_missing_feed_is_named() -> None:
    x = src(X)
    with pytest.raises(InternalError, match="x: f32"):
        evaluate([compute((3,), lambda i: x[i, 0])], {})


def test_feeding_an_inner_def_cuts_the_graph_there() -> None:
    x = src(X)
    mid = compute((3, 4), lambda i, j: x[i, j] + 1)
    d = compute((3,), lambda i: mid[i, 0])
    np.testing.assert_array_equal(evaluate([d], {mid: X})[d], X[:, 0])


def test_a_def_that_depends_on_itself_is_an_error_and_no_hang() -> None:
    a = define.compute((3,), lambda i: expr.const(1.0, "f32"))
    b = define.compute((3,), lambda i: a[i])
    a.after = (b,)
    with pytest.raises(InternalError, match="itself"):
        define.topological([b])
