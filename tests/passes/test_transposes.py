# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Transposes and reshapes cancel, merge and sink."""

from __future__ import annotations

from typing import Any

import numpy as np

from aotgen.core import dtypes
from aotgen.ir import index
from aotgen.ir.graph import TensorType
from aotgen.ops.builder import Builder
from aotgen.ops.interp import run_graph
from aotgen.passes import sink_transposes

RNG = np.random.default_rng(4)


def test_inverse_transposes_cancel(check: Any) -> None:
    done = check("""g (float[2,3,4] x) => (float[2,3,4] y) { n = Neg(x) a = Transpose<perm=[2,0,1]>(n)
        b = Transpose<perm=[1,2,0]>(a) y = Exp(b) }""", "sink_transposes", "dce")
    assert done.ops == ["Neg", "Exp"]


def test_transposes_merge(check: Any) -> None:
    done = check("g (float[2,3,4] x) => (float[3,2,4] y) { a = Transpose<perm=[2,0,1]>(x) y = Transpose<perm=[2,1,0]>(a) }",
                 "sink_transposes", "dce")
    assert done.ops == ["Transpose"]
    assert list(done.after.nodes[0].attrs["perm"]) == [1, 0, 2]


def test_reshapes_merge(check: Any) -> None:
    done = check("""g (float[2,3,4] x) => (float[4,6] y) <int64[2] s = {6, 4}, int64[2] t = {4, -1}, int64[1] z = {0}> {
        a = Reshape(x, s) b = Unsqueeze(a, z) c = Flatten<axis=2>(b) y = Reshape(c, t) }""", "sink_transposes", "dce")
    assert done.ops == ["Reshape"]


def test_transposes_cancel_through_elementwise_chain(check: Any) -> None:
    """What tf2onnx writes between two convolutions of an NHWC model."""
    weights = {"w": RNG.standard_normal((4, 3, 1, 1)).astype(np.float32), "b": RNG.standard_normal(4).astype(np.float32)}
    done = check("""g (float[1,3,5,6] x) => (float[1,4,5,6] y) <float six = {6}, float zero = {0}> {
        c = Conv(x, w) t = Transpose<perm=[0,2,3,1]>(c) a = Add(t, b) r = Clip(a, zero, six) e = Mul(r, a)
        u = Transpose<perm=[0,3,1,2]>(e) y = Neg(u) }""", "sink_transposes", "dce", weights=weights)
    assert "Transpose" not in done.ops
    assert len(done.ops) == 5


def test_transposes_cancel_through_concat_and_mean(check: Any) -> None:
    done = check("""g (float[1,3,5,6] x, float[1,2,5,6] z) => (float[1,5,1,1] y) <int64[2] ax = {1, 2}> {
        t = Transpose<perm=[0,2,3,1]>(x) s = Transpose<perm=[0,2,3,1]>(z) c = Concat<axis=-1>(t, s)
        m = ReduceMean<keepdims=1>(c, ax) y = Transpose<perm=[0,3,1,2]>(m) }""", "sink_transposes", "dce", exact=False)
    assert sorted(done.ops) == ["Concat", "ReduceMean"]


def test_a_product_of_transposes_stays(check: Any) -> None:
    """A long sum is kept wider and rounded at the end, which must not look pointwise."""
    done = check("""g (float[2000,3] x, float[4,2000] w) => (float[4,3] y) {
        s = Transpose(x) t = Transpose(w) p = MatMul(s, t) q = Transpose(p) y = Neg(q) }""", "sink_transposes", "dce", exact=False)
    assert done.ops.count("Transpose") == 3


def test_a_transpose_that_would_not_vanish_stays(check: Any) -> None:
    done = check("g (float[2,3] x) => (float[3,2] y, float[3,2] z) { t = Transpose(x) y = Exp(t) z = Neg(t) }", "sink_transposes")
    assert done.ops == ["Transpose", "Exp", "Neg"]


def test_index_dependent_operator_is_not_crossed(check: Any) -> None:
    done = check("g (float[3,3] x) => (float[3,3] y) { t = Transpose(x) u = Trilu<upper=1>(t) y = Transpose(u) }", "sink_transposes")
    assert done.ops == ["Transpose", "Trilu", "Transpose"]


def test_a_mean_over_the_image_is_not_crossed(check: Any) -> None:
    """Its last step, the division, is pointwise; the sum below it is not."""
    done = check("""g (float[1,6,4] x) => (float[1,1,4] y) { t = Transpose<perm=[0,2,1]>(x) m = GlobalAveragePool(t)
        y = Transpose<perm=[0,2,1]>(m) }""", "sink_transposes")
    assert done.ops == ["Transpose", "GlobalAveragePool", "Transpose"]


def test_a_value_a_channel_is_not_crossed(check: Any) -> None:
    """Its axis is not the last one: no broadcasting aligns it, and none may be tried."""
    done = check("""g (float[1,5,6,3] x) => (float[1,5,6,3] y) <float[3] s = {1, 2, 3}, float[3] z = {0, 1, 0}, float[3] v = {1, 4, 9}> {
        t = Transpose<perm=[0,3,1,2]>(x) b = BatchNormalization(t, s, z, z, v) y = Transpose<perm=[0,2,3,1]>(b) }""", "sink_transposes")
    assert done.ops == ["Transpose", "BatchNormalization", "Transpose"]


def test_inside_bodies(check: Any) -> None:
    done = check("""g (float[2,3] x, bool c) => (float[2,3] y) { a = Exp(x) y = If (c) <
        then_branch = t () => (float[2,3] p) { k = Transpose(a) l = Neg(k) m = Transpose(l) p = Exp(m) },
        else_branch = e () => (float[2,3] q) { q = Neg(a) }> }""", "sink_transposes", "dce")
    assert [n.op for n in done.after.nodes[-1].bodies["then_branch"].nodes] == ["Neg", "Exp"]


def test_an_operator_that_names_axes_is_not_crossed() -> None:
    b = Builder("g")
    x = b.input("x", TensorType(dtypes.f32, (3, 2, index.dim("m"))))
    t = b.op("Transpose", [x], perm=[1, 2, 0])
    (u,) = b.node("Sized", [t, b.constant(np.array([4], np.int64))], {"at": [1], "what": "it"}, domain="aotgen")
    y = b.op("Transpose", [u], perm=[2, 0, 1])
    assert [n.op for n in sink_transposes.run(b.graph([y])).nodes] == ["Transpose", "Sized", "Transpose"]


def test_a_transpose_behind_an_operator_of_another_domain_is_of_onnx() -> None:
    b = Builder("g")
    x = b.input("x", TensorType(dtypes.f32, (3, 2, 4)))
    t = b.op("Transpose", [x], perm=[1, 2, 0])
    (u,) = b.node("FastGelu", [t], {}, domain="com.microsoft")
    y = b.op("Transpose", [b.op("Softmax", [u], axis=0)], perm=[2, 0, 1])
    done = sink_transposes.run(b.graph([y, b.op("Trilu", [u], upper=1)]))
    assert {n.domain for n in done.nodes if n.op == "Transpose"} <= {""}
    feeds = {"x": RNG.standard_normal((3, 2, 4)).astype(np.float32)}
    assert len(run_graph(done, feeds)) == 2


def test_operands_of_other_extents_are_not_crossed(check: Any) -> None:
    """A gather's indices need not broadcast with its data."""
    done = check("""g (float[3,3,4,8] x) => (float[1,5,1,7] y) <int64[1,5,1,7] at = {%s}> {
        t = Transpose<perm=[0,2,1,3]>(x) y = GatherElements<axis=1>(t, at) }""" % ",".join(str(k % 4) for k in range(35)), "sink_transposes")
    assert done.ops == ["Transpose", "GatherElements"]
