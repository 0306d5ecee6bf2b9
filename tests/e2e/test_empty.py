# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Extents of 0, of 1 and of more from one artefact: empty tensors give empty or neutral results, an axis of 1 broadcasts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import aotgen
from aotgen.toolchain.loader import RunError
from tests.e2e.harness import check, literal, normal, parsed

DIMS = 2  # NAME_status_dims

EMPTY = {
    "product": ("g (float[n,k] x, float[k,m] w) => (float[n,m] y) { a = MatMul(x, w) y = Relu(a) }",
                [((2, 0), (0, 3)), ((0, 4), (4, 3)), ((2, 4), (4, 0)), ((3, 5), (5, 17))]),
    "softmax": ("g (float[n,k] x) => (float[n,k] y) { y = Softmax(x) }", [((0, 5),), ((3, 0),), ((3, 5),)]),
    "sums": ("g (float[n,k] x) => (float[n] s, float[k] p) <int64[1] a = {1}> { s = ReduceSum<keepdims = 0>(x, a) "
             "p = ReduceProd<axes = [0], keepdims = 0>(x) }", [((0, 5),), ((3, 0),), ((3, 5),)]),
    "concat": ("g (float[n,4] x, float[m,4] w) => (float[k,4] y) { y = Concat<axis = 0>(x, w) }",
               [((0, 4), (3, 4)), ((3, 4), (0, 4)), ((0, 4), (0, 4)), ((2, 4), (1, 4))]),
    "flat": ("g (float[n,c,h] x) => (float[n,k] y) <int64[2] s = {0, -1}> { t = Transpose<perm = [0,2,1]>(x) y = Flatten(t) }",
             [((0, 2, 3),), ((2, 0, 3),), ((2, 3, 4),)]),
    "padded": ("g (float[n,m] x) => (float[n,k] y) <int64[4] p = {0,2,0,1}> { y = Pad(x, p) }", [((0, 3),), ((2, 0),), ((2, 3),)]),
    "tail": ("g (float[n,m] x) => (float[n,k] y) <int64[1] a = {1}, int64[1] b = {-1}, int64[1] c = {1}> { y = Slice(x, a, b, c) }",
             [((2, 0),), ((2, 1),), ((2, 2),), ((0, 9),), ((3, 9),)]),
    "image": ("g (float[n,3,8,8] x) => (float[n,5,4,4] y) <%s> { c = Conv<pads = [1,1,1,1]>(x, k) "
              "y = MaxPool<kernel_shape = [2,2], strides = [2,2]>(c) }" % literal("k", normal(5, 3, 3, 3)),
              [((0, 3, 8, 8),), ((2, 3, 8, 8),)]),
    "running": ("g (float[n,m] x) => (float[n,m] y) <int64 a = {1}> { y = CumSum(x, a) }", [((2, 0),), ((0, 3),), ((2, 3),)]),
}


@pytest.mark.parametrize("name", EMPTY)
def test_nothing_to_do(tmp_path: Path, name: str) -> None:
    text, cases = EMPTY[name]
    feeds = [{k: normal(*s, seed=n) for n, (k, s) in enumerate(zip("xw", shapes))} for shapes in cases]
    check(parsed(text), feeds, tmp_path, dynamic=True)


def test_rows_that_must_exist(tmp_path: Path) -> None:
    """A row that is read whatever the data are: its absence is refused, not followed."""
    model = parsed("g (float[n,4] x, int64[k] i) => (float[k,4] y, float[4] z) <int64 two = {2}> "
                   "{ y = Gather<axis = 0>(x, i) z = Gather<axis = 0>(x, two) }")
    loaded = check(model, [{"x": normal(n, 4), "i": np.arange(k) % n} for n, k in ((3, 0), (3, 5), (7, 1))], tmp_path, dynamic=True)
    for n, k in ((0, 0), (2, 1), (0, 3)):
        with pytest.raises(RunError, match="n >= 3") as caught:
            loaded({"x": normal(n, 4), "i": np.zeros(k, np.int64)})
        assert caught.value.status == DIMS


def test_nowhere_to_look_up(tmp_path: Path) -> None:
    model = parsed("g (float[n,4] x, int64[k] i) => (float[k,4] y) { y = Gather<axis = 0>(x, i) }")
    loaded = check(model, [{"x": normal(n, 4), "i": np.zeros(k, np.int64)} for n, k in ((0, 0), (3, 0), (2, 5))], tmp_path, dynamic=True)
    with pytest.raises(RunError, match="n >= 1 or k == 0"):
        loaded({"x": normal(0, 4), "i": np.zeros(3, np.int64)})


def test_an_operand_too_short_for_the_rest(tmp_path: Path) -> None:
    """Operands that no rule of the operator compares: the shorter one is never read past its end."""
    model = parsed("g (float[n,c] x, float[d] s, float[d] b) => (float[n,c] y) { y = LayerNormalization(x, s, b) }")
    loaded = check(model, [{"x": normal(n, c), "s": normal(c, seed=1), "b": normal(c, seed=2)} for n, c in ((2, 3), (0, 5), (4, 33))],
                   tmp_path, dynamic=True)
    with pytest.raises(RunError) as caught:
        loaded({"x": normal(2, 8), "s": normal(4), "b": normal(4)})
    assert caught.value.status == DIMS


BROADCAST = [((3, 4), (3, 4)), ((1, 4), (3, 4)), ((3, 1), (1, 4)), ((3, 4), (1, 1)), ((0, 4), (1, 4)), ((5, 1), (5, 33)), ((2, 0), (2, 1))]


def test_axes_of_one_at_run_time(tmp_path: Path) -> None:
    """Nobody knows while compiling which of two axes is 1, if any."""
    model = parsed("g (float[a,b] x, float[c,d] w) => (float[e,f] y, float[e] z) "
                   "{ s = Add(x, w) y = Mul(s, x) z = ReduceMax<axes = [1], keepdims = 0>(s) }")
    feeds = [{"x": normal(*x), "w": normal(*w, seed=1)} for x, w in BROADCAST if 0 not in (*x, *w)]
    loaded = check(model, feeds, tmp_path, dynamic=True)
    assert loaded({"x": normal(0, 4), "w": normal(1, 4)})["y"].shape == (0, 4)
    for x, w in (((2, 4), (3, 4)), ((3, 4), (3, 2)), ((0, 4), (2, 4))):
        with pytest.raises(RunError, match="a == c or") as caught:
            loaded({"x": normal(*x), "w": normal(*w)})
        assert caught.value.status == DIMS


def test_batches_of_one_at_run_time(tmp_path: Path) -> None:
    model = parsed("g (float[a,b,m,k] x, float[c,d,k,n] w) => (float[e,f,m,n] y) { y = MatMul(x, w) }")
    shapes = [((2, 3, 4, 5), (2, 3, 5, 6)), ((1, 3, 4, 5), (2, 1, 5, 6)), ((2, 1, 4, 5), (1, 3, 5, 17)), ((2, 3, 4, 0), (1, 1, 0, 6))]
    check(model, [{"x": normal(*x), "w": normal(*w, seed=1)} for x, w in shapes], tmp_path, dynamic=True)


def test_zero_points_of_one_or_many(tmp_path: Path) -> None:
    model = parsed("g (uint8[a,b] x, float[s] w, uint8[t] z) => (float[a,b] y) { y = DequantizeLinear<axis = 1>(x, w, z) }")
    feeds = [{"x": np.arange(12, dtype=np.uint8).reshape(3, 4), "w": np.abs(normal(s)), "z": np.arange(s, dtype=np.uint8)} for s in (1, 4)]
    check(model, feeds, tmp_path, dynamic=True)


HALVES = """g (float[n,m] x) => (float[n,k] y, float[n,m] z) <int64[1] two = {2}, int64[1] one = {1}, int64[1] zero = {0}, int64[1] far = {99}> {
    s = Shape(x) m = Slice(s, one, two) h = Div(m, two) a = Slice(x, zero, h, one) b = Slice(x, h, far, one)
    c = Neg(b) z = Concat<axis = 1>(c, a) d = Slice(x, zero, h, one) y = Tanh(d) }"""


def test_halves_of_an_open_axis(tmp_path: Path) -> None:
    check(parsed(HALVES), [{"x": normal(n, m)} for n, m in ((2, 6), (3, 7), (1, 1), (0, 4), (2, 34))], tmp_path, dynamic=True)


def test_equal_parts_of_an_open_axis(tmp_path: Path) -> None:
    model = parsed("g (float[n,m] x) => (float[n,k] y) { a, b = Split<axis = 1>(x) c = Sigmoid(b) y = Mul(a, c) }")
    check(model, [{"x": normal(n, m)} for n, m in ((2, 6), (0, 4), (3, 66))], tmp_path, dynamic=True)


WEIGHTS = {
    "conv": ("g (float[n,c,h,w] x, float[m,c,i,j] w) => (float[n,m,p,q] y) { y = Conv<pads = [1,1,1,1], strides = [2,1]>(x, w) }",
             [((1, 3, 8, 9), (5, 3, 3, 3)), ((2, 2, 7, 7), (4, 2, 1, 2)), ((0, 2, 7, 7), (4, 2, 3, 3))]),
    "transposed": ("g (float[n,c,h] x, float[c,m,i] w) => (float[n,m,p] y) { y = ConvTranspose<strides = [2]>(x, w) }",
                   [((1, 3, 8), (3, 2, 3)), ((2, 1, 5), (1, 4, 4))]),
    "recurrent": ("g (float[t,n,i] x, float[d,g,i] w, float[d,g,h] r) => (float[t,d,n,h] y, float[d,n,h] last) "
                  "{ y, last = GRU<hidden_size = 4>(x, w, r) }", [((5, 2, 3), (1, 12, 3), (1, 12, 4)), ((1, 1, 7), (1, 12, 7), (1, 12, 4))]),
}


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_as_inputs(tmp_path: Path, name: str) -> None:
    """Nothing is known of the weights but their rank; what the operator needs of them is checked."""
    text, cases = WEIGHTS[name]
    feeds = [{k: normal(*s, seed=n) for n, (k, s) in enumerate(zip("xwr", shapes))} for shapes in cases]
    check(parsed(text), feeds, tmp_path, dynamic=True)


def test_directions_that_the_weights_have_not(tmp_path: Path) -> None:
    text, cases = WEIGHTS["recurrent"]
    loaded = aotgen.compile(parsed(text), tmp_path / "libm", dynamic=True).load()
    x, w, r = cases[0]
    with pytest.raises(RunError, match="d == 1") as caught:
        loaded({"x": normal(*x), "w": normal(2, *w[1:]), "r": normal(2, *r[1:])})
    assert caught.value.status == DIMS
