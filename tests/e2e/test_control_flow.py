# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""If, Loop and Scan against onnxruntime; a branch that cannot run at the sizes compiled for says so when it is taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest

import aotgen
from aotgen.core.errors import AotgenError, ModelError
from aotgen.frontend import inspect
from aotgen.toolchain.loader import RunError
from tests.e2e.harness import check, compare, literal, normal, parsed, real

BRANCH = 6  # NAME_status_branch


def test_a_hundred_trips(tmp_path: Path) -> None:
    text = """g (float[4,8] s0) => (float[4,8] s) <%s, int64 n = {100}, bool t = {1}> {
        s = Loop(n, t, s0) <body = b (int64 i, bool c, float[4,8] x) => (bool d, float[4,8] y) {
            d = Identity(c) z = MatMul(x, w) y = Tanh(z) }> }"""
    check(parsed(text % literal("w", normal(8, 8) * np.float32(0.4))), [{"s0": normal(4, 8, seed=1)}], tmp_path)


def test_early_exit_and_trips_from_an_input(tmp_path: Path) -> None:
    model = parsed("""g (float[4] x0, int64 n, bool go) => (float[4] s, int64 count) <int64 zero = {0}, int64 one = {1}, float lim = {50}> {
        s, count = Loop(n, go, x0, zero) <body = b (int64 i, bool c, float[4] x, int64 k) => (bool d, float[4] y, int64 m) {
            y = Add(x, x) total = ReduceSum<keepdims=0>(y) d = Less(total, lim) m = Add(k, one) }> }""")
    x = np.array([1, 0.5, 0.25, 0.1], np.float32)
    feeds = [{"x0": x, "n": np.array(n), "go": np.array(go)} for n, go in ((0, True), (2, True), (100, True), (5, False))]
    check(model, feeds, tmp_path)


def test_without_a_trip_count(tmp_path: Path) -> None:
    model = parsed("""g (float x0) => (float s) <bool t = {1}, float lim = {1000}> {
        s = Loop(, t, x0) <body = b (int64 i, bool c, float x) => (bool d, float y) {
            two = Add(x, x) f = Cast<to = 1>(i) y = Add(two, f) d = Less(y, lim) }> }""")
    check(model, [{"x0": np.array(v, np.float32)} for v in (1, 999, 5000)], tmp_path)


def test_scan_outputs_and_the_counter(tmp_path: Path) -> None:
    model = parsed("""g (float[4] x0, float[4] w) => (float[4] s, float[6,4] ys, int64[6] ks) <bool t = {1}, int64 n = {6}> {
        s, ys, ks = Loop(n, t, x0) <body = b (int64 i, bool c, float[4] x) => (bool d, float[4] y, float[4] z, int64 k) {
            y = Mul(x, w) f = Cast<to = 1>(i) z = Add(y, f) d = Identity(c) k = Mul(i, i) }> }""")
    check(model, [{"x0": normal(4), "w": normal(4, seed=1)}], tmp_path)


def test_swapped_values(tmp_path: Path) -> None:
    """Each trip reads what the other wrote: results must not overwrite operands that are still wanted."""
    model = parsed("""g (float[3] a0, float[3] b0) => (float[3] a, float[3] b) <bool t = {1}, int64 n = {7}> {
        a, b = Loop(n, t, a0, b0) <body = x (int64 i, bool c, float[3] p, float[3] q) => (bool d, float[3] r, float[3] u) {
            r = Identity(q) u = Add(p, q) d = Identity(c) }> }""")
    check(model, [{"a0": normal(3), "b0": normal(3, seed=1)}], tmp_path)


RANKS = """g (bool c, float[1] x, float[3,4] y) => (%s z) {
    k = If(c) <then_branch = t () => (float a) { e = Constant<value_float = 2.5>() a = Mul(e, e) },
              else_branch = e () => (float[1] b) { b = Neg(x) }>
    %s }"""


@pytest.mark.parametrize("use", ["z = Mul(k, y)", "h = Neg(k) i = Add(h, h) z = Sub(y, i)", "n = CastLike(y, k) z = Pow(n, k)"])
def test_branches_of_different_ranks(use: str, tmp_path: Path) -> None:
    """One element in either branch, on an axis or on none: nobody can tell once it has been broadcast."""
    feeds = [{"c": np.array(c), "x": normal(1), "y": np.abs(normal(3, 4, seed=1))} for c in (True, False)]
    check(parsed(RANKS % ("float[3,4]", use)), feeds, tmp_path)


@pytest.mark.parametrize(("type_", "use"), [("float[1]", "z = Identity(k)"), ("float[1]", "z = Exp(k)"), ("int64[1]", "z = Shape(k)"),
                                            ("float[1]", "s = Constant<value_ints = [-1]>() z = ReduceSum<keepdims = 0>(k, s)")])
def test_a_rank_that_a_branch_decides_is_refused(type_: str, use: str, tmp_path: Path) -> None:
    with pytest.raises(AotgenError, match="branch that an If takes decides|axis"):
        aotgen.compile(parsed(RANKS % (type_, use)), tmp_path / "libm")


@pytest.mark.parametrize("channels", [16, 17])
def test_what_a_convolution_leaves_for_a_body(channels: int, tmp_path: Path) -> None:
    """Convolutions store channel blocks; carried values are copied row by row, and the kernels of a body read rows too."""
    text = """g (float[1,3,9] x, int64 n, bool go) => (float[1,%d,8] y, float[1,5,8] z) <%s, %s> {
        h = Conv(x, w)
        y = Loop(n, go, h) <body = b (int64 i, bool c, float[1,%d,8] s) => (bool d, float[1,%d,8] t) { d = Identity(c) t = Tanh(s) }>
        z = If(go) <then_branch = t () => (float[1,5,8] a) { a = MatMul(m, h) }, else_branch = e () => (float[1,5,8] b) { k = MatMul(m, h) b = Neg(k) }> }"""
    weights = literal("w", normal(channels, 3, 2)), literal("m", normal(1, 5, channels))
    model = parsed(text % (channels, *weights, channels, channels))
    feeds = [{"x": normal(1, 3, 9, seed=1), "n": np.array(n), "go": np.array(go)} for n, go in ((0, True), (3, True), (1, False))]
    check(model, feeds, tmp_path)


@pytest.mark.parametrize("into", [0, 1])
@pytest.mark.parametrize("out", [0, 1])
def test_scan(tmp_path: Path, into: int, out: int) -> None:
    text = """g (float[2] s0, float[5,2] xs) => (float[2] s, float[5,2] ys) {
        s, ys = Scan<num_scan_inputs = 1, scan_input_directions = [%d], scan_output_directions = [%d],
            body = b (float[2] a, float[2] x) => (float[2] c, float[2] y) { c = Add(a, x) y = Mul(c, x) }>(s0, xs) }"""
    check(parsed(text % (into, out)), [{"s0": normal(2), "xs": normal(5, 2, seed=1)}], tmp_path)


def test_scan_along_other_axes(tmp_path: Path) -> None:
    model = parsed("""g (float[2] s0, float[2,n] xs) => (float[2] s, float[2,n] ys) {
        s, ys = Scan<num_scan_inputs = 1, scan_input_axes = [1], scan_output_axes = [-1],
            body = b (float[2] a, float[2] x) => (float[2] c, float[2] y) { c = Add(a, x) y = Tanh(c) }>(s0, xs) }""")
    check(model, [{"s0": normal(2), "xs": normal(2, n, seed=1)} for n in (1, 6, 31)], tmp_path, dynamic=True)


NESTED = """g (float[4] x0, float lim) => (float[4] s, float[7,4] ys) <bool t = {1}, int64 n = {7}, int64 three = {3}> {
    s, ys = Loop(n, t, x0) <body = b (int64 i, bool c, float[4] x) => (bool d, float[4] y, float[4] z) {
        total = ReduceSum<keepdims=0>(x) big = Greater(total, lim) z = Identity(x) d = Identity(c)
        y = If(big) <
            then_branch = p () => (float[4] a) { e = Mul(x, x) f = Neg(e) a = Sub(f, x0) },
            else_branch = q () => (float[4] h) { h = Loop(three, t, x) <body = r (int64 j, bool k, float[4] u) => (bool l, float[4] v) {
                v = Add(u, x) l = Identity(k) }> }> }> }"""


def test_if_in_a_loop_and_a_loop_in_an_if(tmp_path: Path) -> None:
    feeds = [{"x0": np.abs(normal(4)) * np.float32(0.1), "lim": np.array(v, np.float32)} for v in (0.5, 2, 1e9)]
    check(parsed(NESTED), feeds, tmp_path)


OTHER_SIZES = """g (float[2,3] x, bool c, float[2,2] r) => (float[2,2] z) { y = If(c) <
    then_branch = t () => (float[2,2] p) { k = Transpose(x) p = MatMul(x, k) },
    else_branch = e () => (float[2,2] q) { q = MatMul(x, x) }> z = Add(y, r) }"""


def test_a_branch_for_other_sizes(tmp_path: Path) -> None:
    feeds = {"x": normal(2, 3), "c": np.array(True), "r": normal(2, 2)}
    loaded = aotgen.compile(parsed(OTHER_SIZES), tmp_path / "libm").load()
    compare(loaded(feeds), {"z": feeds["x"] @ feeds["x"].T + feeds["r"]})
    for threads in (1, 2):
        with pytest.raises(RunError, match="a branch that cannot run at these sizes was taken") as caught:
            loaded({**feeds, "c": np.array(False)}, threads=threads)
        assert caught.value.status == BRANCH
    compare(loaded(feeds), {"z": feeds["x"] @ feeds["x"].T + feeds["r"]})
    assert "else_branch cannot run at the sizes compiled for" in next((tmp_path / "libm/src").glob("m_*.cpp")).read_text("utf-8")


def test_two_branches_for_other_sizes(tmp_path: Path) -> None:
    text = """g (float[2,3] x, bool c) => (float[2,2] y) { y = If(c) <
        then_branch = t () => (float[2,2] p) { p = MatMul(x, x) }, else_branch = e () => (float[2,2] q) { q = MatMul(x, x) }> }"""
    with pytest.raises(ModelError, match="differ"):
        aotgen.compile(parsed(text), tmp_path / "libm")


def test_silero_vad(tmp_path: Path) -> None:
    """Compiled for each rate's frame; a frame of 16 kHz is too long for the 8 kHz branch, not the other way round."""
    folder = real("silero_vad_v6")
    for n, other in (("", False), ("_1", True)):
        inputs, want = dict(np.load(folder / f"inputs{n}.npz")), dict(np.load(folder / f"outputs{n}.npz"))
        loaded = aotgen.compile(
            folder / "model.onnx", tmp_path / f"libvad{n}", input_shapes={k: v.shape for k, v in inputs.items()}
        ).load()
        compare(loaded(inputs, threads=2), want, 1e-4)
        swapped = {**inputs, "sr": 24000 - inputs["sr"]}
        if other:
            assert np.isfinite(loaded(swapped)["output"]).all()
        else:
            with pytest.raises(RunError, match="branch"):
                loaded(swapped)


def test_as_many_results_as_trips(tmp_path: Path) -> None:
    """How many is known only when the loop has run, and how many there may be at most."""
    model = parsed("""g (float[4] x0, float lim) => (float[4] s, float[k,4] ys) <bool t = {1}, int64 n = {6}> {
        [collect] s, ys = Loop(n, t, x0) <body = b (int64 i, bool c, float[4] x) => (bool d, float[4] y, float[4] z) {
            y = Add(x, x) z = Identity(y) total = ReduceSum<keepdims=0>(y) d = Less(total, lim) }> }""")
    check(model, [{"x0": np.abs(normal(4)), "lim": np.array(v, np.float32)} for v in (0, 20, 1e9)], tmp_path)


def test_as_many_trips_as_rows(tmp_path: Path) -> None:
    model = parsed("""g (float[n,4] x, float[4] s0) => (float[4] s, float[n,4] ys) <bool t = {1}, int64 zero = {0}> {
        extents = Shape(x) rows = Gather(extents, zero)
        s, ys = Loop(rows, t, s0) <body = b (int64 i, bool c, float[4] a) => (bool d, float[4] e, float[4] f) {
            r = Gather(x, i) e = Add(a, r) f = Tanh(e) d = Identity(c) }> }""")
    check(model, [{"x": normal(n, 4), "s0": normal(4, seed=2)} for n in (1, 5, 40)], tmp_path, dynamic=True)


def test_inspection_agrees(tmp_path: Path) -> None:
    """What compiles is not reported as unsupported; two branches that cannot run are, both of them."""
    path = tmp_path / "m.onnx"
    onnx.save(parsed(OTHER_SIZES), path)
    assert not inspect(path).problems
    both = OTHER_SIZES.replace("k = Transpose(x) p = MatMul(x, k)", "p = MatMul(x, x)")
    onnx.save(parsed(both), path)
    assert len(inspect(path).problems) == 2
