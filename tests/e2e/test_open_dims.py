# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Compiled once with open dims, run at many sizes; dims that do not fit each other are refused before anything runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import aotgen
from aotgen.core.errors import ModelError, UsageError
from aotgen.ir.define import LONG_SUM
from aotgen.toolchain.loader import RunError
from tests.e2e.harness import check, compare, expected, literal, normal, parsed, real

DIMS = 2  # NAME_status_dims
ADD = "g (float[a,4] x, float[b,4] y) => (float[a,4] z) { z = Add(x, y) }"


def test_two_names_for_one_extent(tmp_path: Path) -> None:
    """Nobody can tell while compiling whether a == b: runs where it holds, else a status."""
    model = parsed(ADD)
    loaded = check(model, [{"x": normal(n, 4), "y": normal(n, 4, seed=1)} for n in (1, 3, 40)], tmp_path, dynamic=True)
    with pytest.raises(RunError, match="a == b") as caught:
        loaded({"x": normal(3, 4), "y": normal(5, 4)})
    assert caught.value.status == DIMS
    assert "a == b" in (tmp_path / "libm/include/m.h").read_text("utf-8")


def test_extents_that_cannot_agree(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be broadcast"):
        aotgen.compile(parsed(ADD), tmp_path / "libm", dims={"a": (2, 3), "b": (4, 8)})


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("g (float[a,b] x, float[c,4] y) => (float[a,4] z) { z = MatMul(x, y) }", "b == c"),
        ("g (float[a,b] x, float[a,c] y) => (float[d,b] z) { z = Concat<axis=0>(x, y) }", "b == c"),
        ("g (float[a,b] x, float[c,4] y) => (float[a,4] z) { t = Transpose(x) z = Gemm<transA=1>(t, y) }", "b == c"),
    ],
)
def test_shared_extents(tmp_path: Path, text: str, condition: str) -> None:
    feeds = []
    for a, b in ((1, 1), (5, 3), (2, 33)):
        shape = (a, b) if "Concat" in text else (b, 4)
        feeds.append({"x": normal(a, b), "y": normal(*shape, seed=1)})
    loaded = check(parsed(text), feeds, tmp_path, dynamic=True)
    wrong = {"x": normal(2, 3), "y": normal(2, 4)}
    with pytest.raises(RunError, match=condition):
        loaded(wrong)


def test_a_reshape_that_must_divide(tmp_path: Path) -> None:
    model = parsed("g (float[n,2] x) => (float[m,3] y) <int64[2] s = {-1, 3}> { r = Reshape(x, s) y = Relu(r) }")
    loaded = check(model, [{"x": normal(n, 2)} for n in (3, 6, 30)], tmp_path, dims={"n": (1, 64)})
    with pytest.raises(RunError):
        loaded({"x": normal(4, 2)})


def test_an_axis_squeezed_if_its_extent_is_one(tmp_path: Path) -> None:
    """A value has one rank: the library is made for dims at which the axis goes, and refuses others."""
    model = parsed("""g (float[n,m] x) => (float[k] y) <int64[1] one = {1}, int64 two = {2}> {
        s = Shape(x) h = Gather(s, one) c = Div(h, two) q = Equal(c, one) p = Cast<to=9>(q)
        t = ReduceSum<keepdims=1>(x, one)
        y = If (p) <
        then_branch = a () => (float[k] u) { u = Squeeze(t, one) },
        else_branch = b () => (float[k,l] v) { v = Identity(t) }> }""")
    loaded = check(model, [{"x": normal(n, m)} for n, m in ((1, 2), (5, 3), (2, 3))], tmp_path, dynamic=True)
    with pytest.raises(RunError, match="== 1|m // 2"):
        loaded({"x": normal(2, 5)})


def test_one_number_needs_no_brackets(tmp_path: Path) -> None:
    loaded = check(parsed("g (float[3] x, float s) => (float[3] y) { y = Mul(x, s) }"), [{"x": normal(3), "s": normal()}], tmp_path)
    x, s = normal(3), np.array([[2.0]], np.float32)
    np.testing.assert_array_equal(loaded({"x": x, "s": s})["y"], x * 2)


def test_an_image_too_small_for_the_window(tmp_path: Path) -> None:
    model = parsed("""g (float[n,3,h,w] x) => (float[n,5,p,q] y) <%s> {
        c = Conv(x, k) y = MaxPool<kernel_shape=[2,2], strides=[2,2]>(c) }""" % literal("k", normal(5, 3, 3, 3)))
    sizes = ((1, 4, 11), (2, 17, 8), (3, 32, 33))
    loaded = check(model, [{"x": normal(n, 3, h, w)} for n, h, w in sizes], tmp_path, dynamic=True)
    for h in (1, 2, 3):
        with pytest.raises(RunError) as caught:
            loaded({"x": normal(1, 3, h, 9)})
        assert caught.value.status == DIMS


def test_bounds(tmp_path: Path) -> None:
    model = parsed("g (float[n,s] x) => (float[n,s] y) { y = Softmax(x) }")
    loaded = check(model, [{"x": normal(n, s)} for n, s in ((1, 1), (4, 17), (2, 64))], tmp_path,
                   dims={"n": (1, 4), "s": (1, 64)})
    for shape in ((5, 8), (1, 65)):
        with pytest.raises(UsageError, match="compiled for 1 to"):
            loaded({"x": normal(*shape)})


def test_sizes_follow_the_dims(tmp_path: Path) -> None:
    """The workspace and the outputs are as large as these dims need, not as the largest."""
    model = parsed("""g (float[n,32] x) => (float[n,64] y) <%s> { a = MatMul(x, w) b = Softmax(a) y = Concat<axis=1>(b, a) }"""
                   % literal("w", normal(32, 32)))
    library = check(model, [{"x": normal(7, 32)}], tmp_path, dims={"n": (1, 1000)}).library
    small, large = (library.prepare({"x": normal(n, 32)}) for n in (1, 1000))
    assert small.outputs["y"].shape == (1, 64) and large.outputs["y"].shape == (1000, 64)
    assert small._structs[2].workspace_size < 4096 < large._structs[2].workspace_size


def test_minilm(tmp_path: Path) -> None:
    folder = real("minilm_l2_v2k_fp32")
    model = folder / "model.onnx"
    loaded = aotgen.compile(model, tmp_path / "libm", dims={"batch": (1, 4), "seq": (1, 512)}).load()
    for n in ("", "_1"):
        inputs, want = dict(np.load(folder / f"inputs{n}.npz")), dict(np.load(folder / f"outputs{n}.npz"))
        for threads in (1, 2):
            compare(loaded(inputs, threads=threads), want, 1e-5)
    random = np.random.default_rng(0)
    for shape in ((1, 1), (4, 65), (2, 512)):
        ids = random.integers(0, 2048, shape)
        inputs = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        compare(loaded(inputs, threads=2), expected(model, inputs), 1e-5)
    with pytest.raises(UsageError, match="512"):
        ids = np.zeros((1, 513), np.int64)
        loaded({"input_ids": ids, "attention_mask": ids, "token_type_ids": ids})


@pytest.mark.full
def test_ppocr(tmp_path: Path) -> None:
    folder = real("ppocr_cls_v4")
    model = folder / "model.onnx"
    loaded = aotgen.compile(model, tmp_path / "libm", dynamic=True).load()
    for n in ("", "_1"):
        inputs, want = dict(np.load(folder / f"inputs{n}.npz")), dict(np.load(folder / f"outputs{n}.npz"))
        for threads in (1, 2):
            compare(loaded(inputs, threads=threads), want, 1e-5)
    for shape in ((1, 3, 48, 100), (3, 3, 64, 33)):
        inputs = {"x": normal(*shape)}
        compare(loaded(inputs, threads=2), expected(model, inputs), 1e-4)
    with pytest.raises(RunError, match=">= 2"):  # its last pooling window of two rows would find one
        loaded({"x": normal(1, 3, 32, 100)})


SHAPES = {
    "resize": ('g (float[n,2,h,w] x) => (float[n,2,a,b] y) <float[4] s = {1,1,2,2}> { y = Resize<mode = "linear">(x, , s) }',
               [(1, 2, 3, 3), (3, 2, 3, 8)]),
    "flatten": ("g (float[n,c,h,w] x) => (float[n,k] y) { f = Flatten(x) y = Softmax(f) }", [(1, 1, 1, 1), (2, 3, 5, 2)]),
    "reflect": ('g (float[n,m] x) => (float[n,a] y) <int64[4] p = {0,2,0,1}> { y = Pad<mode = "reflect">(x, p) }', [(1, 3), (3, 8)]),
    "same": ('g (float[n,3,w] x) => (float[n,2,a] y) <%s> { y = Conv<strides = [2], auto_pad = "SAME_UPPER">(x, k) }'
             % literal("k", normal(2, 3, 3)), [(1, 3, 3), (3, 3, 8)]),
    "transposed": ("g (float[n,3,w] x) => (float[n,2,a] y) <%s> { y = ConvTranspose<strides = [2], pads = [1,1]>(x, k) }"
                   % literal("k", normal(3, 2, 3)), [(1, 3, 3), (3, 3, 8)]),
    "lstm": ("g (float[s,b,3] x) => (float[s,1,b,4] y, float[1,b,4] h) <%s, %s> { y, h = LSTM<hidden_size = 4>(x, w, r) }"
             % (literal("w", normal(1, 16, 3)), literal("r", normal(1, 16, 4))), [(1, 3, 3), (9, 1, 3)]),
    "norm": ("g (float[n,3,h,w] x) => (float[n,3,h,w] y) <%s> { y = InstanceNormalization(x, s, s) }" % literal("s", normal(3)),
             [(2, 3, 5, 2), (1, 3, 40, 41)]),
}


@pytest.mark.parametrize("name", SHAPES)
def test_operators_at_open_sizes(tmp_path: Path, name: str) -> None:
    text, shapes = SHAPES[name]
    check(parsed(text), [{"x": normal(*s)} for s in shapes], tmp_path, dynamic=True)


def test_a_product_with_as_many_ones_as_the_run_says(tmp_path: Path) -> None:
    model = parsed("""g (float[n,7] x, float[7,m] like) => (float[n,m] y) {
        s = Shape(like) w = ConstantOfShape<value = float[1] {1}>(s) y = MatMul(x, w) }""")
    check(model, [{"x": normal(n, 7), "like": normal(7, m)} for n, m in ((1, 1), (5, 33))], tmp_path, dynamic=True)


def test_a_slice_of_a_slice_of_one(tmp_path: Path) -> None:
    """The first leaves at most one row, so the second's end lies before it, whatever n."""
    model = parsed("""g (float[n,3] x) => (float[m,3] y) <int64[1] a = {0}, int64[1] b = {1}, int64[1] e = {-5}, int64[1] back = {-1}> {
        t = Slice(x, a, b, a) y = Slice(t, a, e, a, back) }""")
    check(model, [{"x": normal(n, 3)} for n in (1, 2, 9)], tmp_path, dynamic=True)


@pytest.mark.parametrize("use", ["y = Expand(t, w)", "u = ConstantOfShape(w) y = Add(u, t)"])
def test_a_slice_too_short_for_what_it_is_broadcast_to(use: str, tmp_path: Path) -> None:
    """Rows 0 to 2, one in three: one, which is broadcast to five."""
    model = parsed("""g (float[n,3] x) => (float[5,3] y) <int64[1] a = {0}, int64[1] b = {3}, int64[1] step = {3}, int64[2] w = {5, 3}> {
        t = Slice(x, a, b, a, step) %s }""" % use)
    check(model, [{"x": normal(n, 3)} for n in (1, 2, 3, 9)], tmp_path, dynamic=True)


@pytest.mark.parametrize("group", [1, 5])
@pytest.mark.parametrize("pads", [(1, 1), (0, 3), (3, 0)])
def test_more_padding_than_a_window_needs(pads: tuple[int, int], group: int, tmp_path: Path) -> None:
    """The last window lies beyond the input at some extents and not at others."""
    model = parsed("g (float[b,5,n] x) => (float[b,5,m] y) <%s> { y = Conv<group=%d, pads=[%d,%d], strides=[2]>(x, w) }"
                   % (literal("w", normal(5, 5 // group, 2)), group, *pads))
    check(model, [{"x": normal(b, 5, n)} for b, n in ((1, 1), (7, 4), (2, 9), (3, 18))], tmp_path, dynamic=True)


def test_a_cache_that_grows(tmp_path: Path) -> None:
    """Attention over ``p`` old and ``s`` new steps: an extent that is a sum of two dims."""
    model = parsed("""g (float[1,2,p,4] past, float[1,2,s,4] k, float[1,2,s,4] q) => (float[1,2,s,4] y, float[1,2,t,4] all) {
        all = Concat<axis = 2>(past, k) kt = Transpose<perm = [0,1,3,2]>(all) a = MatMul(q, kt) b = Softmax(a) y = MatMul(b, all) }""")
    feeds = [{"past": normal(1, 2, p, 4), "k": normal(1, 2, s, 4, seed=1), "q": normal(1, 2, s, 4, seed=2)}
             for p, s in ((1, 1), (7, 3), (33, 1))]
    check(model, feeds, tmp_path, dynamic=True)


def test_three_operands_of_which_any_may_be_broadcast(tmp_path: Path) -> None:
    """One library: each run another operand has the extent 1."""
    model = parsed("""g (bool[a,b] c, float[d,e] x, float[f,h] y) => (float[m,n] w, float[k,l] s) {
        w = Where(c, x, y) s = Sum(x, y, w) }""")
    shapes = [((3, 4), (3, 4), (3, 4)), ((1, 4), (3, 1), (1, 1)), ((3, 1), (1, 4), (3, 4)), ((1, 1), (1, 1), (2, 5))]
    feeds = [{"c": normal(*c) > 0, "x": normal(*x, seed=1), "y": normal(*y, seed=2)} for c, x, y in shapes]
    check(model, feeds, tmp_path, dynamic=True)


ROWS = """g (float[n,k] x, float[n,k] z) => (float[n,k] y, float[n,k] w, float[n,1] m) {
    y = Softmax<axis=-1>(x) t = Tanh(x) w = Mul(t, z) e = Exp(z) m = ReduceSum<keepdims=1>(e, axis) }"""


def test_rows_of_any_length(tmp_path: Path) -> None:
    """Whole vectors, their masked remainders, and runs of a long sum: lengths about 16 and 1024."""
    model = parsed(ROWS.replace(" {", f" <{literal('axis', np.array([1]))}> {{", 1))
    lengths = (1, 2, 7, 8, 9, 15, 16, 17, 31, 33, 100, 1023, 1024, 1025, 1039, 2048, 3000)
    check(model, [{"x": normal(3, k), "z": normal(3, k, seed=1)} for k in lengths], tmp_path, dynamic=True)


def test_rows_that_turn_out_short(tmp_path: Path) -> None:
    """Few rows or long ones are vectors one by one, many short ones lie side by side: the same whatever the number of threads."""
    model = parsed("""g (float[n,k] x) => (float[n,k] y, int64[n,1] p) {
        y = Softmax<axis=-1>(x) e = Exp(x) p = ArgMax<axis=1>(e) }""")
    sizes = ((1, 1), (2, 6), (16, 4), (17, 1), (63, 8), (64, 15), (65, 16), (130, 3), (200, 17), (5, 16), (0, 8))
    loaded = check(model, [{"x": normal(n, k)} for n, k in sizes], tmp_path, dynamic=True)
    assert any("side by side" in f.read_text("utf-8") for f in (tmp_path / "libm/src").glob("m_*.cpp"))
    for n, k in ((200, 8), (300, 15), (70, 2)):
        x = normal(n, k)
        x[1], x[3, -1], x[n - 1, 0] = np.inf, np.nan, -np.inf
        one, three = (loaded({"x": x}, threads=threads) for threads in (1, 3))
        wanted = expected(model, {"x": x})
        wanted["p"][3] = k - 1  # NaN is the largest, as NumPy has it
        for name, want in wanted.items():
            np.testing.assert_array_equal(one[name], three[name])
            np.testing.assert_allclose(one[name], want, rtol=2e-6, atol=1e-6)


def test_infinities_and_nan_beside_masked_lanes(tmp_path: Path) -> None:
    """What lies beyond a row is the next row: it must not leak into the maximum or the sum."""
    model = parsed("g (float[n,k] x) => (float[n,k] y) { y = Softmax<axis=-1>(x) }")
    loaded = aotgen.compile(model, tmp_path / "libm", dynamic=True).load()
    for k in (3, 13, 21, 1030):
        x = normal(4, k)
        x[1], x[3, -1] = np.inf, np.nan
        x[2, : k // 2] = -np.inf
        want = expected(model, {"x": x})["y"]
        np.testing.assert_allclose(loaded({"x": x})["y"], want, rtol=2e-6, atol=1e-7)


def test_a_sum_of_many_terms(tmp_path: Path) -> None:
    """0.1 a million times: a running float32 sum is off by 1 %, one of runs of at most 1024 terms by 1024 roundings."""
    model = parsed("g (float[n] x) => (float[1] y) { y = ReduceMean<keepdims=1>(x) }")
    for dims in ({"dynamic": True}, {"dims": {"n": 1_000_003}}):
        x = np.full(1_000_003, 0.1, np.float32)
        y = aotgen.compile(model, tmp_path / f"lib{len(dims)}{'dims' in dims}", **dims).load()({"x": x})["y"]
        np.testing.assert_allclose(y, np.float32(0.1), rtol=LONG_SUM * 2.0**-24)


def test_rows_whose_length_is_a_sum_or_a_difference(tmp_path: Path) -> None:
    text = """g (float[n,a] x, float[n,b] z) => (float[n,c] y, float[n,d] w) <int64[1] one = {1}, int64[1] first = {20}, int64[1] last = {2000}> {
        j = Concat<axis=1>(x, z) y = Softmax<axis=-1>(j) s = Slice(j, first, last, one) t = Tanh(s) w = Softmax<axis=-1>(t) }"""
    check(parsed(text), [{"x": normal(2, a), "z": normal(2, b, seed=1)} for a, b in ((2, 19), (9, 29), (16, 17), (3, 40), (700, 400))],
          tmp_path, dynamic=True)


def test_reflecting_more_than_once(tmp_path: Path) -> None:
    """Rows shorter than what is added are reflected back and forth, as NumPy does."""
    model = parsed('g (float[n,m] x) => (float[n,a] y) <int64[4] p = {0,5,0,7}> { y = Pad<mode = "reflect">(x, p) }')
    loaded = aotgen.compile(model, tmp_path / "libm", dynamic=True).load()
    for n, m in ((1, 1), (2, 2), (3, 3), (2, 6), (3, 8), (2, 1500)):
        x = normal(n, m)
        np.testing.assert_array_equal(loaded({"x": x})["y"], np.pad(x, [(0, 0), (5, 7)], "reflect"))


def test_a_slice_of_one_is_broadcast_to_all(tmp_path: Path) -> None:
    """The first row against every row, and against as many of another dim."""
    model = parsed("""g (float[n,3] x, float[m,3] z) => (float[n,3] y, float[m,3] w) <int64[1] a = {0}, int64[1] b = {1}> {
        t = Slice(x, a, b, a) y = Sub(x, t) w = Sub(z, t) }""")
    loaded = check(model, [{"x": normal(n, 3), "z": normal(m, 3, seed=1)} for n, m in ((1, 1), (4, 1), (1, 7), (4, 9))],
                   tmp_path, dynamic=True)
    with pytest.raises(RunError):
        loaded({"x": normal(0, 3), "z": normal(2, 3)})
