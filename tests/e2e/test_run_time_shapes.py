# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Shapes and axes that are inputs: one library for all their values; results whose size nothing bounds come from a pool."""

from __future__ import annotations

import ctypes
from pathlib import Path

import numpy as np
import pytest

import aotgen
from aotgen.toolchain.loader import RunError
from tests.e2e.harness import check, compare, expected, normal, parsed

X = normal(2, 3, 4)
DIMS, EXTENT, MEMORY = 2, 7, 8  # statuses


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def scalar(value: int) -> np.ndarray:
    return np.array(value, np.int64)


CASES = {
    "reshape": ("g (float[2,3,4] x, int64[2] s) => (float[a,b] y) { y = Reshape(x, s) }",
                [{"x": X, "s": s} for s in (ints(6, 4), ints(-1, 8), ints(0, 12), ints(24, 1))]),
    "reshape and on": ("g (float[2,3,4] x, int64[2] s) => (float[a,b] z) { y = Reshape(x, s) e = Relu(y) z = Softmax(e) }",
                       [{"x": X, "s": s} for s in (ints(6, 4), ints(-1, 8))]),
    "empty": ("g (float[0,3] x, int64[2] s) => (float[a,b] y) <int64 m = {1}> { y = Reshape<allowzero = 1>(x, s) }",
              [{"x": normal(0, 3), "s": s} for s in (ints(5, 0), ints(0, 7))]),
    "expand": ("g (float[3,1] x, int64[3] s) => (float[a,b,c] y) { y = Expand(x, s) }",
               [{"x": X[0, :, :1], "s": s} for s in (ints(2, 3, 4), ints(1, 1, 5), ints(2, 1, 1))]),
    "reduce": ("g (float[2,3,4] x, int64[2] k) => (float[a,b,c] y, float[d] z) { y = ReduceSum(x, k) z = ReduceMax<keepdims = 0>(x, k) }",
               [{"x": X, "k": k} for k in (ints(0, 1), ints(-1, 0), ints(1, 2))]),
    "pad": ("g (float[2,3,4] x, int64[6] p) => (float[a,b,c] y) { y = Pad(x, p) }",
            [{"x": X, "p": p} for p in (ints(0, 1, 0, 2, 0, 1), ints(-1, 0, 0, 0, -1, 3))]),
    "pad axes": ("g (float[2,3,4] x, int64[2] p, int64[1] k) => (float[a,b,c] y) { y = Pad<mode = \"edge\">(x, p, , k) }",
                 [{"x": X, "p": ints(2, 1), "k": k} for k in (ints(0), ints(-1))]),
    "squeeze": ("g (float[1,3,1] x, int64[1] k) => (float[a,b] y) { y = Squeeze(x, k) }",
                [{"x": X[:1, :, :1], "k": k} for k in (ints(0), ints(-1))]),
    "unsqueeze": ("g (float[2,3,4] x, int64[1] k) => (float[a,b,c,d] y) { y = Unsqueeze(x, k) }",
                  [{"x": X, "k": k} for k in (ints(0), ints(-1), ints(2))]),
    "range": ("g (int64 a, int64 b, int64 c) => (int64[n] y) { y = Range(a, b, c) }",
              [{"a": scalar(a), "b": scalar(b), "c": scalar(c)} for a, b, c in ((0, 5, 1), (10, 2, -3), (0, 0, 1))]),
    "sum along": ("g (float[2,3,4] x, int64 k) => (float[2,3,4] y) { y = CumSum(x, k) }",
                  [{"x": X, "k": scalar(k)} for k in (0, -1, 1)]),
    "tile": ("g (float[2,3,4] x, int64[3] t) => (float[a,b,c] y) { y = Tile(x, t) }",
             [{"x": X, "t": t} for t in (ints(1, 2, 3), ints(0, 1, 1))]),
    "zeros": ("g (int64[2] s) => (float[a,b] y) { y = ConstantOfShape(s) }", [{"s": s} for s in (ints(2, 3), ints(0, 3))]),
    "crop or pad": ("g (float[2,3,4] x, int64[2] s) => (float[a,b,4] y) { y = CenterCropPad<axes = [0,1]>(x, s) }",
                    [{"x": X, "s": s} for s in (ints(4, 1), ints(1, 6), ints(2, 3))]),
}


@pytest.mark.parametrize("name", CASES)
def test_operand(tmp_path: Path, name: str) -> None:
    text, feeds = CASES[name]
    check(newer(text), feeds, tmp_path)


def newer(text: str):  # noqa: ANN201
    model = parsed(text)
    model.opset_import[0].version = 21
    model.ir_version = 10
    return model


@pytest.mark.parametrize(("text", "feeds", "status"), [
    ("g (float[2,3] x, int64[2] s) => (float[a,b] y) { y = Reshape(x, s) }", {"x": normal(2, 3), "s": ints(4, 2)}, DIMS),
    ("g (int64[2] s) => (float[a,b] y) { y = ConstantOfShape(s) }", {"s": ints(2, -1)}, EXTENT),
    ("g (int64[2] s) => (float[a,b] y) { y = ConstantOfShape(s) }", {"s": ints(2**33, 1)}, EXTENT),
    ("g (int64[2] s) => (float[a,b] y) { y = ConstantOfShape(s) }", {"s": ints(2**31 - 1, 2**31 - 1)}, MEMORY),
])
def test_what_cannot_be(tmp_path: Path, text: str, feeds: dict[str, np.ndarray], status: int) -> None:
    """A shape that does not fit ends the run with a status; the library goes on working."""
    loaded = aotgen.compile(newer(text), tmp_path / "libm").load()
    for threads in (1, 3):
        with pytest.raises(RunError) as caught:
            loaded(feeds, threads=threads)
        assert caught.value.status == status
    good = {**feeds, "s": ints(1, 6)}
    compare(loaded(good), expected(newer(text), good))


def test_a_length_that_only_a_check_asks_for(tmp_path: Path) -> None:
    """Its elements are a number that is known: nothing reads it, and still there must be some."""
    text = """g (int64[1] s, float[2] x) => (float[2] y) {
        w = ConstantOfShape<value = float[1] {1}>(s) b = Sign(w) y = LayerNormalization<axis = -1>(x, b) }"""
    loaded = aotgen.compile(newer(text), tmp_path / "libm").load()
    good = {"s": ints(2), "x": normal(2)}
    compare(loaded(good), expected(newer(text), good))
    for wrong in (0, 3):
        with pytest.raises(RunError) as caught:
            loaded({**good, "s": ints(wrong)})
        assert caught.value.status == DIMS


@pytest.mark.parametrize("use", ["y, i, j, c = Unique<sorted = 1>(m)", "y, i = TopK(m, k)"])
def test_working_memory_for_a_length_of_any_size(tmp_path: Path, use: str) -> None:
    model = newer("g (int64 n, int64[1] k) => (int64[a] y) <int64 zero = {0}, int64 one = {1}, int64 seven = {7}> { "
                  "r = Range(zero, n, one) q = Mul(r, r) m = Mod(q, seven) %s }" % use)
    check(model, [{"n": scalar(n), "k": ints(k)} for n, k in ((5, 2), (1, 1), (40_000, 9))], tmp_path)


def test_a_product_beyond_64_bits(tmp_path: Path) -> None:
    """Extents whose product is 24 only because it wraps around: refused, not walked."""
    wraps = ints(1_539_092, 1_484_310, 48_448_661)
    assert np.multiply.reduce(wraps) == 24
    text = "g (float[2,3,4] x, int64[3] s) => (float[1,1,1] y) { r = Reshape(x, s) y = ReduceSum(r) }"
    loaded = aotgen.compile(newer(text), tmp_path / "libm").load()
    with pytest.raises(RunError) as caught:
        loaded({"x": X, "s": wraps})
    assert caught.value.status == DIMS
    good = {"x": X, "s": ints(4, 3, 2)}
    compare(loaded(good), expected(newer(text), good))


def test_the_callers_pool(tmp_path: Path) -> None:
    """Everything taken is given back; memory refused is a status, and nothing is lost then either."""
    loaded = aotgen.compile(newer(CASES["reshape and on"][0]), tmp_path / "libm").load()
    library = loaded.library
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    held: set[int] = set()
    left = [100]

    @ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)
    def take(_: int, size: int) -> int | None:
        left[0] -= 1
        if left[0] < 0:
            return None
        held.add(block := libc.malloc(size))
        return block

    @ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)
    def give(_: int, block: int) -> None:
        held.remove(block)
        libc.free(block)

    class Pool(ctypes.Structure):
        _fields_ = (("context", ctypes.c_void_p), ("take", type(take)), ("give", type(give)))

    pool = Pool(None, take, give)
    feeds = {"x": X, "s": ints(6, 4)}
    prepared = library.prepare(feeds)
    prepared._structs[2].pool = ctypes.addressof(pool)
    prepared.run()
    compare(prepared.outputs, expected(newer(CASES["reshape and on"][0]), feeds))
    assert left[0] < 100 and not held
    for allowed in range(100 - left[0]):
        left[0] = allowed
        with pytest.raises(RunError) as caught:
            prepared.run()
        assert caught.value.status == MEMORY and not held


# -- regions whose values change shape

BRANCHES = """g (float[2,4] x, bool c) => (float[a,4] y, float[b] z) <int64[1] k = {1}> {
    y = If(c) <then_branch = t () => (float[2,4] p) { p = Relu(x) },
               else_branch = e () => (float[1,4] q) <int64[1] first = {0}> { q = ReduceSum(x, first) }>
    w = Neg(y) z = ReduceSum<keepdims = 0>(w, k) }"""

GROWING = """g (float[1,4] x, int64 n) => (float[a,4] y) <bool t = {1}> {
    y = Loop(n, t, x) <body = b (int64 i, bool c, float[m,4] s) => (bool d, float[o,4] r) {
        u = Add(s, x) r = Concat<axis = 0>(s, u) d = Identity(c) }> }"""

WHILE = """g (float[1,4] x, float lim) => (float[a,4] y, float[n,q] ys) <bool t = {1}, int64 n = {8}, int64[1] zero = {0}> {
    y, ys = Loop(n, t, x) <body = b (int64 i, bool c, float[m,4] s) => (bool d, float[o,4] r, float[4] z) {
        u = Add(s, x) r = Concat<axis = 0>(s, u) w = Abs(s) z = ReduceMax<keepdims = 0>(w, zero)
        total = ReduceSum<keepdims = 0>(w) d = Less(total, lim) }> }"""

TRIPS = """g (float[4] x, int64 n) => (float[4] y, float[k,4] ys) <bool t = {1}> {
    y, ys = Loop(n, t, x) <body = b (int64 i, bool c, float[4] s) => (bool d, float[4] r, float[4] z) {
        r = Tanh(s) z = Neg(r) d = Identity(c) }> }"""

IN_EACH_OTHER = """g (float[1,4] x, bool c, int64 n) => (float[a,4] y) <bool t = {1}, int64[1] zero = {0}> {
    y = If(c) <
        then_branch = p () => (float[k,4] h) { h = Loop(n, t, x) <body = b (int64 i, bool c0, float[m,4] s) => (bool d, float[o,4] r) {
            even = Cast<to = 9>(i) d = Identity(c0)
            r = If(even) <then_branch = u () => (float[o1,4] v) { v = Concat<axis = 0>(s, x) },
                          else_branch = w () => (float[o2,4] v0) { v1 = Neg(s) v0 = Concat<axis = 0>(v1, s, x) }> }> },
        else_branch = q () => (float[1,4] e) { e = Neg(x) }> }"""

ROW = normal(1, 4)


@pytest.mark.parametrize(("text", "feeds"), [
    (BRANCHES, [{"x": normal(2, 4), "c": np.array(c)} for c in (True, False)]),
    (GROWING, [{"x": ROW, "n": scalar(n)} for n in (0, 1, 5)]),
    (WHILE, [{"x": ROW, "lim": np.array(v, np.float32)} for v in (0.1, 40, 4000)]),
    (TRIPS, [{"x": normal(4), "n": scalar(n)} for n in (1, 5, 100)]),
    (IN_EACH_OTHER, [{"x": ROW, "c": np.array(c), "n": scalar(n)} for c, n in ((True, 0), (True, 4), (False, 4))]),
], ids=["branches", "growing", "while", "trips", "nested"])
def test_region(tmp_path: Path, text: str, feeds: list[dict[str, np.ndarray]]) -> None:
    check(newer(text), feeds, tmp_path)
