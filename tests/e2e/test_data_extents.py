# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Extents known only after a step has run, and everything downstream of them: equal to onnxruntime, shapes included."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

import aotgen
from aotgen.api import Model
from aotgen.toolchain.compiler import find_compiler
from aotgen.toolchain.loader import RunError
from tests.e2e import native
from tests.e2e.harness import compare, expected, literal, normal, parsed
from tests.e2e.test_sanitizers import MEMORY, THREADS

Arrays = Mapping[str, np.ndarray]


def check(model: onnx.ModelProto, feeds: Sequence[Arrays], out: Path, **options: Any) -> Model:
    """Compile once; every feed with one and three threads, workspace and outputs full of what was never written."""
    loaded = aotgen.compile(model, out / "libm", **options).load()
    for inputs in feeds:
        want = expected(model, inputs)
        for threads in (1, 3):
            prepared = loaded.library.prepare(inputs, threads=threads)
            loaded.library._workspace[:] = 0xFF
            for array in prepared.outputs.values():
                array.reshape(-1).view(np.uint8)[:] = 0xAB
            prepared.run()
            compare(prepared.outputs, want)
    return loaded


def sparse(*shape: int, keep: float = 0.4, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (random.standard_normal(shape) * (random.random(shape) < keep)).astype(np.float32)


SPARSE = [{"x": sparse(7, 5, keep=k)} for k in (0.4, 1.0, 0.0)]


def test_nonzero_gather_reshape(tmp_path: Path) -> None:
    model = parsed("""g (float[7,5] x) => (float[m] y, int64[2,k] at) <int64[1] flat = {-1}, int64 first = {0}> {
        at = NonZero(x) rows = Gather<axis = 0>(at, first) picked = Gather<axis = 0>(x, rows) r = Relu(picked)
        y = Reshape(r, flat) }""")
    check(model, SPARSE, tmp_path)


# Softmax, reductions along and across, a product with that many rows, the count itself, and zeros of that count.
FOLLOWING = """g (float[7,5] x) => (float[k,9] y, float[1,5] m, float[k,5] s, int64[2] n, float[z,k] o, int64[k] r)
    <%s, int64[1] zero = {0}, int64[1] five = {5}, int64[1] ax = {1}, int64 one = {1}, int64 none = {0}> {
    at = NonZero(x) rows = Gather<axis = 0>(at, one) xt = Transpose(x) p = Gather<axis = 0>(xt, rows)
    q = Transpose(p) a = Softmax(q) b = Transpose(a) pw = Slice(b, zero, five, ax) y0 = MatMul(pw, w) y = Relu(y0)
    s = Softmax<axis = 1>(pw) m = ReduceSum<keepdims = 1>(pw, zero)
    n = Shape(at) o0 = ConstantOfShape(n) o = Cos(o0)
    count = Gather<axis = 0>(n, one) r = Range(none, count, one) }""" % literal("w", normal(5, 9))


def test_what_follows(tmp_path: Path) -> None:
    check(parsed(FOLLOWING), SPARSE, tmp_path)


@pytest.mark.parametrize("text", [
    "g (float[7,5] x) => (int64 n) { at = NonZero(x) n = Size(at) }",
    "g (float[7,5] x) => (int64[2] n) { at = NonZero(x) n = Shape(at) }",
    "g (float[7,5] x) => (int64[1] n) { y, f, i, c = Unique(x) n = Shape(c) }",
    "g (float[7,5] x, bool b) => (int64 n) { n = If(b) <then_branch = t () => (int64 p) { at = NonZero(x) p = Size(at) }, "
    "else_branch = e () => (int64 q) { q = Constant<value = int64 {3}>() }> }",
])
def test_only_the_count_is_read(tmp_path: Path, text: str) -> None:
    feeds = [{**f, "b": np.array(k > 0)} if "bool" in text else f for k, f in enumerate(SPARSE)]
    check(parsed(text), feeds, tmp_path)


def test_convolutions(tmp_path: Path) -> None:
    """As many images as there are; and a blocked result that a library function reads."""
    model = parsed("""g (float[6,3,8,8] x, bool[6] c) => (float[k,20,6,6] y, int64[2,q] at, float[6,20,6,2] best) <%s, %s, int64[1] two = {2}> {
        a = Compress<axis = 0>(x, c) t = Conv(a, w) r = Relu(t) y = Conv<pads = [1,1,1,1]>(r, v) g = GlobalAveragePool(y)
        p = Flatten(g) at = NonZero(p) e = Conv(x, w) best, i = TopK(e, two) }"""
                   % (literal("w", normal(20, 3, 3, 3)), literal("v", normal(20, 20, 3, 3))))
    keep = [np.arange(6) % m == 0 for m in (1, 4)] + [np.zeros(6, bool)]
    check(model, [{"x": normal(6, 3, 8, 8), "c": c} for c in keep], tmp_path)


def test_square_products(tmp_path: Path) -> None:
    """An extent of data as rows, columns and depth of a product."""
    model = parsed("""g (float[90,40] x, bool[90] c) => (float[k,70] y, float[k,40] o) <%s, %s> {
        a = Compress<axis = 0>(x, c) h0 = MatMul(a, w) h = Relu(h0) y = LayerNormalization(h, g)
        t = Transpose(a) s0 = MatMul(a, t) s = Softmax(s0) o = MatMul(s, a) }"""
                   % (literal("w", normal(40, 70)), literal("g", normal(70))))
    random = np.random.default_rng(0)
    check(model, [{"x": normal(90, 40), "c": random.random(90) < p} for p in (0.0, 0.02, 0.5, 1.0)], tmp_path)


def test_compress(tmp_path: Path) -> None:
    model = parsed("""g (float[6,5] x, bool[6] c, bool[30] d) => (float[k,5] y, float[m] z) {
        a = Compress<axis = 0>(x, c) y = Exp(a) z = Compress(x, d) }""")
    random = np.random.default_rng(1)
    feeds = [{"x": normal(6, 5), "c": random.random(6) < p, "d": random.random(30) < p} for p in (0.5, 1.0, 0.0)]
    check(model, feeds, tmp_path)


@pytest.mark.parametrize("axis", [0, 1, -1])
def test_topk(tmp_path: Path, axis: int) -> None:
    model = parsed("""g (float[3,8,4] x, int64[1] k) => (float[a,b,c] y, int64[a,b,c] at) {
        v, at = TopK<axis = %d>(x, k) y = Neg(v) }""" % axis)
    check(model, [{"x": normal(3, 8, 4), "k": np.array([k])} for k in (2, 3, 1, 0)], tmp_path)


def test_slice(tmp_path: Path) -> None:
    model = parsed("""g (float[6,9] x, int64[2] a, int64[2] b, int64[2] s, int64[1] e) => (float[p,q] y, float[6] z)
        <int64[1] zero = {0}, int64[1] one = {1}> {
        t = Slice(x, a, b, , s) y = Abs(t) u = Slice(x, zero, e, one) z = ReduceSum<keepdims = 0>(u, one) }""")
    cases = [((0, 0), (6, 9), (1, 1), 9), ((1, 2), (-1, 100), (2, 3), 4), ((5, -1), (-100, 0), (-1, -4), -3),
             ((4, 4), (2, 2), (1, 1), 0), ((-99, 8), (99, -99), (2**40, -(2**40)), 1)]
    feeds = [{"x": normal(6, 9), "a": np.array(a), "b": np.array(b), "s": np.array(s), "e": np.array([e])}
             for a, b, s, e in cases]
    check(model, feeds, tmp_path)


@pytest.mark.parametrize("steps", [", s", ""])
def test_slice_along_axes_of_data(tmp_path: Path, steps: str) -> None:
    model = parsed("""g (float[6,9,2] x, int64[2] a, int64[2] b, int64[2] ax, int64[2] s) => (float[p,q,r] y, int64[2] z) {
        t = Slice(x, a, b, ax%s) y = Abs(t) z = Identity(s) }""" % steps)
    cases = [((0, 1), (6, 2), (0, 2), (2, 1)), ((1, -2), (-1, 100), (-3, 1), (1, 3)), ((3, 3), (3, 5), (0, 1), (1, 1))]
    check(model, [{"x": normal(6, 9, 2), **{k: np.array(v) for k, v in zip(("a", "b", "ax", "s"), c, strict=True)}} for c in cases],
          tmp_path)


def boxes(n: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    corner = random.random((1, n, 2)) * 4
    return np.concatenate([corner, corner + 0.5 + random.random((1, n, 2)) * 2], -1).astype(np.float32)


# NonMaxSuppression, the boxes and scores it selected, and of those the best.
DETECTOR = """g (float[1,20,4] boxes, float[1,3,20] scores, float[1] least) => (int64[k,3] at, float[k,4] b, float[k] s, float[t] best)
    <int64[1] most = {5}, float[1] iou = {0.4}, int64[1] two = {2}, int64[1] three = {3}, int64[1] one = {1}, int64[1] flat = {-1},
     int64[1] zero = {0}, int64[1] four = {4}> {
    at = NonMaxSuppression(boxes, scores, most, iou, least)
    i0 = Slice(at, two, three, one) i = Reshape(i0, flat) bs = Squeeze(boxes, zero) b = Gather<axis = 0>(bs, i)
    c0 = Slice(at, one, two, one) pairs = Concat<axis = 1>(c0, i0) ss = Squeeze(scores, zero) s = GatherND(ss, pairs)
    n = Shape(s) m = Min(n, four) best, order = TopK(s, m) }"""


def detections(k: int, least: float) -> Arrays:
    scores = np.random.default_rng(3).random((1, 3, 20)).astype(np.float32)
    return {"boxes": boxes(20, k), "scores": scores, "least": np.array([least], np.float32)}


def test_detector_tail(tmp_path: Path) -> None:
    check(parsed(DETECTOR), [detections(k, t) for k, t in enumerate((0.1, 0.8, 2.0))], tmp_path)


@pytest.mark.parametrize("flags", [MEMORY, THREADS], ids=["memory", "races"])
@pytest.mark.parametrize("case", [(FOLLOWING, SPARSE), (DETECTOR, [detections(0, 0.1), detections(0, 2.0)])], ids=["following", "detector"])
def test_sanitized(tmp_path: Path, case: tuple[str, list[Arrays]], flags: tuple[str, ...]) -> None:
    model, feeds = parsed(case[0]), case[1]
    folder = aotgen.compile(model, tmp_path / "libm", threading="pool", build=False).folder
    exe = native.build(folder, tmp_path / "program", flags)
    for inputs in feeds:
        want = expected(model, inputs)
        got = native.run(exe, folder, inputs, dict.fromkeys(want, (-1,)), threads=3, rounds=3)
        compare({k: v[: want[k].size].reshape(want[k].shape) for k, v in got.items()}, want)


@pytest.mark.parametrize("attributes", ["", "<sorted = 0>", "<axis = 0>", "<axis = 1, sorted = 0>"])
def test_unique(tmp_path: Path, attributes: str) -> None:
    shape = "n" if "axis" not in attributes else "a,b"
    model = parsed(f"g (float[5,6] x) => (float[{shape}] y, int64[k] f, int64[m] i, int64[k] c) {{ y, f, i, c = Unique{attributes}(x) }}")
    random = np.random.default_rng(0)
    feeds = [{"x": random.integers(0, high, (5, 6)).astype(np.float32)} for high in (1, 2, 9)]
    feeds.append({"x": np.repeat(normal(5, 2), 3, 1)})
    check(model, feeds, tmp_path)


def test_range_of_narrow_integers(tmp_path: Path) -> None:
    model = parsed("g (int16 a, int16 b, int16 s) => (int16[n] y) { y = Range(a, b, s) }")
    cases = ((0, 5, 1), (5, -6, -2), (3, 3, 1), (-32768, 32767, 700))
    check(model, [dict(zip("abs", (np.array(v, np.int16) for v in c), strict=True)) for c in cases], tmp_path)


def test_inside_a_branch(tmp_path: Path) -> None:
    model = parsed("""g (float[7,5] x, bool c) => (float[1] y) {
        y = If(c) <then_branch = t () => (float[1] a) { at = NonZero(x) f = Cast<to = 1>(at) n = ReduceSum<keepdims = 0>(f)
                a = Reshape(n, one) },
            else_branch = e () => (float[1] b) { b = Constant<value = float[1] {3}>() }> }""".replace(
                "Reshape(n, one)", "Unsqueeze(n, ax)").replace("a = Unsq", "ax = Constant<value = int64[1] {0}>() a = Unsq"))
    check(model, [{**SPARSE[0], "c": np.array(c)} for c in (True, False)], tmp_path)


def test_inside_a_loop(tmp_path: Path) -> None:
    """Another extent on every trip."""
    model = parsed("""g (float[7,5] x, int64 n) => (float[5] y) <bool true = {1}, int64[1] zero = {0}> {
        s = ReduceSum<keepdims = 0>(x, zero)
        y = Loop(n, true, s) <body = b (int64 i, bool c, float[5] acc) => (bool c2, float[5] acc2) {
            row = Gather<axis = 0>(x, i) at = NonZero(row) f = Squeeze(at, zero) v = Gather(row, f) q = ReduceSum<keepdims = 0>(v)
            acc2 = Add(acc, q) c2 = Identity(c) }> }""")
    check(model, [{"x": sparse(7, 5), "n": np.array(n)} for n in (0, 1, 6)], tmp_path)


def test_from_either_branch(tmp_path: Path) -> None:
    model = parsed("""g (float[7,5] x, bool c) => (int64[2,k] y) { y = If(c) <then_branch = t () => (int64[2,k] a) { a = NonZero(x) },
        else_branch = e () => (int64[2,k] b) { b = NonZero(x) }> }""")
    check(model, [{**SPARSE[0], "c": np.array(c)} for c in (True, False)], tmp_path)


def test_with_an_open_dim(tmp_path: Path) -> None:
    model = parsed("""g (float[n,3] x) => (float[k,3] y, int64[m] i) {
        a = ReduceMax<axes = [1], keepdims = 0>(x) z = Sub(a, a) g = Greater(a, z) b = Compress<axis = 0>(x, g) y = Softmax(b)
        o = NonZero(g) i = Squeeze(o, zero) }""".replace("{\n", "<int64[1] zero = {0}> {\n", 1))
    check(model, [{"x": normal(n, 3)} for n in (1, 4, 40)], tmp_path, dims={"n": (1, 64)})


def test_extents_that_do_not_fit(tmp_path: Path) -> None:
    model = parsed("""g (float[8] x, bool[8] c, bool[8] d) => (float[k] y) { a = Compress<axis = 0>(x, c)
        b = Compress<axis = 0>(x, d) y = Add(a, b) }""")
    c = np.arange(8) % 2 == 0
    loaded = check(model, [{"x": normal(8), "c": c, "d": ~c}], tmp_path)
    with pytest.raises(RunError) as caught:
        loaded({"x": normal(8), "c": c, "d": np.arange(8) < 3}, threads=3)
    assert caught.value.status == 2


def test_a_bound_that_is_open(tmp_path: Path) -> None:
    """As large as the open dim at most: room is set aside when the run's dims are known."""
    model = parsed("g (float[n] x) => (int64[1,k] y) { y = NonZero(x) }")
    check(model, [{"x": sparse(n)} for n in (3, 40)], tmp_path, dynamic=True)


def test_the_example_program(tmp_path: Path) -> None:
    """It writes as much of an output as there is."""
    model = parsed("g (float[7,5] x) => (int64[2,k] at) { at = NonZero(x) }")
    folder = aotgen.compile(model, tmp_path / "libm").folder
    subprocess.run(["cc", "-Wall", "-Wextra", "-Werror", "-Iinclude", "example/main.c", "-Llib", "-lm", "-o", "example/main",
                    f"-Wl,-rpath,{folder / 'lib'}"], cwd=folder, check=True)
    SPARSE[0]["x"].tofile(tmp_path / "x.bin")
    subprocess.run([str(folder / "example/main"), f"x={tmp_path / 'x.bin'}"], cwd=tmp_path, check=True)
    got = np.fromfile(tmp_path / "at.bin", np.int64).reshape(2, -1)
    np.testing.assert_array_equal(got, np.array(np.nonzero(SPARSE[0]["x"])))


@pytest.mark.parametrize("text", [FOLLOWING, DETECTOR], ids=["following", "detector"])
def test_no_warnings(tmp_path: Path, text: str) -> None:
    folder = aotgen.compile(parsed(text), tmp_path / "libm", build=False).folder
    warnings = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Wshadow", "-Werror")
    native.build(folder, tmp_path / "made", ("-O1", *warnings))
    subprocess.run([*find_compiler().cc, "-std=c99", *warnings, "-fsyntax-only", f"-I{folder / 'include'}", folder / "example/main.c"],
                   check=True)


def test_an_extent_behind_a_loop_that_never_runs(tmp_path: Path) -> None:
    """Every thread learns the extent, however little the steps around it do."""
    model = parsed("""g (float[4] x, bool go, int32[9] d, bool[9] keep) => (float[4] y, int32[m] z) <int64 never = {0}> {
        y = Loop(never, go, x) <body = b (int64 i, bool c, float[4] s) => (bool e, float[4] t) { e = Identity(c) t = Sin(s) }>
        z = Compress<axis=0>(d, keep) }""")
    keep = np.arange(9) % 2 == 0
    check(model, [{"x": normal(4), "go": np.array(True), "d": np.arange(9, dtype=np.int32), "keep": k} for k in (keep, ~keep, keep & False)], tmp_path)


def test_a_body_that_makes_an_extent_of_constants(tmp_path: Path) -> None:
    """Its length is arithmetic on an outer dim: the loop makes none, though it carries what was counted before it."""
    model = parsed("""g (float[s] x, int64 n) => (int64[1,k] y, float[t,u] z) <bool yes = {1}> {
        at = NonZero(x) l = Shape(x) y, z = Loop(n, yes, at) <body = b (int64 i, bool c, int64[1,k] v) => (bool o, int64[1,k] w, float[u] f)
            <int64[1] two = {2}, int64 ax = {1}> { o = Identity(c) w = CumSum(v, ax) d = Mul(l, two) f = ConstantOfShape(d) }> }""")
    feeds = [{"x": sparse(n), "n": np.array(m)} for n, m in ((7, 2), (20, 1), (1, 3))]
    check(model, feeds, tmp_path, dynamic=True)
