# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""BatchNorm, per-channel constants and Pad into the operators before and after them; the scale of attention."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

RNG = np.random.default_rng(3)


def f32(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def norm(n: int) -> dict[str, np.ndarray]:
    return {"s": f32(n), "t": f32(n), "m": f32(n), "v": np.abs(f32(n)) + np.float32(0.1)}


BN = "BatchNormalization<epsilon=0.01>({x}, s, t, m, v)"


@pytest.mark.parametrize("bias", [False, True])
def test_batchnorm_into_conv(check: Any, bias: bool) -> None:
    operands = "x, w, b" if bias else "x, w"
    done = check(f"g (float[1,3,8,8] x) => (float[1,4,6,6] y) {{ c = Conv({operands}) y = {BN.format(x='c')} }}",
                 "fold_batchnorm", "dce", exact=False, weights={"w": f32(4, 3, 3, 3), "b": f32(4), **norm(4)})
    assert done.ops == ["Conv"]
    assert [v.name for v in done.after.outputs] == ["y"]


def test_batchnorm_into_grouped_transposed_conv(check: Any) -> None:
    done = check(f"g (float[1,4,5,5] x) => (float[1,6,7,7] y) {{ c = ConvTranspose<group=2>(x, w, b) y = {BN.format(x='c')} }}",
                 "fold_batchnorm", "dce", exact=False, weights={"w": f32(4, 3, 3, 3), "b": f32(6), **norm(6)})
    assert done.ops == ["ConvTranspose"]


def test_chain_of_constants_into_conv_rounds_once(check: Any) -> None:
    weights = {"w": f32(4, 3, 3, 3), "c": f32(4, 1, 1), "d": f32(1, 4, 1, 1), **norm(4)}
    done = check(f"""g (float[1,3,8,8] x) => (float[1,4,6,6] y) {{
        a = Conv(x, w) e = {BN.format(x='a')} f = Mul(e, c) h = Add(d, f) i = Sub(h, c) y = Div(i, d) }}""",
                 "fold_batchnorm", "dce", exact=False, weights=weights)
    assert done.ops == ["Conv"]
    w = {k: a.astype(np.float64) for k, a in weights.items()}
    scale = w["s"] / np.sqrt(w["v"] + np.float64(np.float32(0.01))) * w["c"].ravel() / w["d"].ravel()
    folded = done.after.constants[done.after.nodes[0].inputs[1]].load()
    np.testing.assert_allclose(folded, (w["w"] * scale[:, None, None, None]).astype(np.float32), rtol=1.3e-7)


def test_batchnorm_into_matmul_with_bias(check: Any) -> None:
    done = check(f"g (float[3,5] x) => (float[3,4] y) {{ a = MatMul(x, w) c = Add(a, b) y = {BN.format(x='c')} }}",
                 "fold_batchnorm", "dce", exact=False, weights={"w": f32(5, 4), "b": f32(4), **norm(4)})
    assert done.ops == ["MatMul", "Add"]


def test_batchnorm_into_gemm(check: Any) -> None:
    done = check(f"g (float[3,5] x) => (float[3,4] y) {{ c = Gemm(x, w, b) y = {BN.format(x='c')} }}",
                 "fold_batchnorm", "dce", exact=False, weights={"w": f32(5, 4), "b": f32(4), **norm(4)})
    assert "BatchNormalization" not in done.ops


@pytest.mark.parametrize("line", [
    "y = Add(c, x2)",  # not constant
    "y = Mul(c, row)",  # varies along the width
    "d = Relu(c) e = Mul(d, k) y = Add(e, c)",  # the Conv has another reader
])
def test_what_is_not_per_channel_stays(check: Any, line: str) -> None:
    done = check(f"g (float[1,3,4,4] x, float[1,4,4,4] x2) => (float[1,4,4,4] y) {{ c = Conv(x, w) {line} }}", "fold_batchnorm",
                 weights={"w": f32(4, 3, 1, 1), "row": f32(4), "k": f32(4, 1, 1)})
    assert len(done.after.nodes) == len(done.before.nodes)


def test_pad_into_conv(check: Any) -> None:
    done = check("""g (float[1,3,6,6] x) => (float[1,4,8,7] y) <int64[8] p = {0, 0, 1, 0, 0, 0, 2, 2}> {
        a = Pad(x, p) y = Conv<pads=[0,0,1,1]>(a, w) }""", "fold_pad", "dce", exact=False, weights={"w": f32(4, 3, 3, 3)})
    assert done.ops == ["Conv"]
    assert done.after.nodes[0].attrs["pads"] == [1, 0, 3, 3]


def test_pad_into_pools(check: Any) -> None:
    done = check("""g (float[1,2,6,6] x) => (float[1,2,7,7] y) <int64[8] p = {0,0,1,1,0,0,1,1}, float f = {-inf}> {
        a = Pad(x, p) b = AveragePool<kernel_shape=[2,2]>(a) y = Identity(b) }""".replace(", float f = {-inf}", ""),
                 "fold_pad", "dce", exact=False)
    assert "Pad" not in done.ops
    done = check("""g (float[1,2,6,6] x) => (float[1,2,7,7] y) <int64[8] p = {0,0,1,1,0,0,1,1}> {
        a = Pad(x, p, f) y = MaxPool<kernel_shape=[2,2]>(a) }""", "fold_pad", "dce",
                 weights={"f": np.array(-np.inf, np.float32)})
    assert done.ops == ["MaxPool"]


@pytest.mark.parametrize("text", [
    "a = Pad(x, p) y = MaxPool<kernel_shape=[2,2]>(a)",  # zeros may be the maximum
    "a = Pad<mode=\"reflect\">(x, p) y = AveragePool<kernel_shape=[2,2]>(a)",
])
def test_other_pads_stay(check: Any, text: str) -> None:
    done = check(f"g (float[1,2,6,6] x) => (float[1,2,7,7] y) <int64[8] p = {{0,0,1,1,0,0,1,1}}> {{ {text} }}", "fold_pad")
    assert "Pad" in done.ops


@pytest.mark.parametrize(("c", "op"), [(8.0, "Mul"), (5.0, "Div"), (2.0**-130, "Div")])
def test_scale_of_scores_only_where_exact(check: Any, c: float, op: str) -> None:
    done = check("""g (float[2,4,8] q, float[2,8,4] k, float[2,4,8] v) => (float[2,4,8] y) {
        s = MatMul(q, k) d = Div(s, c) p = Softmax(d) y = MatMul(p, v) }""", "recognise_attention",
                 weights={"c": np.array(c, np.float32)})
    assert done.ops == ["Attention"]
    assert [n.op for n in done.after.nodes[0].bodies["composite"].nodes] == ["MatMul", op, "Softmax", "MatMul"]


def test_attention_with_a_mask_is_one_composite(check: Any) -> None:
    done = check("""g (float[2,4,8] q, float[2,8,4] k, float[2,4,8] v, float[4,4] m) => (float[2,4,8] y) {
        s = MatMul(q, k) t = Add(s, m) p = Softmax(t) y = MatMul(p, v) }""", "recognise_attention")
    assert done.ops == ["Attention"]
    assert [v.name for v in done.after.nodes[0].inputs if v] == ["q", "k", "v", "m"]


@pytest.mark.parametrize("text", [
    "s = MatMul(q, k) p = Softmax(s) y = MatMul(p, v) z = Relu(p)",  # the probabilities are wanted too
    "s = MatMul(q, k) p = Softmax(s) z = Relu(s) y = MatMul(p, v)",
    "s = MatMul(q, k) z = Softmax(s) y = MatMul(v, z)",  # the softmax is the right operand
])
def test_what_is_no_attention_stays(check: Any, text: str) -> None:
    out = "float[2,4,4] z" if "z =" in text else ""
    done = check(f"g (float[2,4,4] q, float[2,4,4] k, float[2,4,4] v) => (float[2,4,4] y, {out}) {{ {text} }}",
                 "recognise_attention")
    assert "Attention" not in done.ops
