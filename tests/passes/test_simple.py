# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Constant folding, no-ops, common subexpressions, dead code."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from aotgen.ir.graph import Constant


@pytest.mark.parametrize(("line", "extra"), [
    ("y = Identity(a)", ""), ("y = Cast<to=1>(a)", ""), ("y = Transpose<perm=[0,1]>(a)", ""),
    ("y = Reshape(a, s)", "int64[2] s = {2, 3}"), ("y = Expand(a, s)", "int64[2] s = {2, 3}"),
    ("y = Mul(a, one)", "float[1] one = {1}"), ("y = Mul(one, a)", "float[1] one = {1}"), ("y = Div(a, one)", "float one = {1}"),
    ("y = Sub(a, zero)", "float zero = {0}"), ("y = Add(a, zero)", "float zero = {-0.0}"),
    ("y = Pad(a, p)", "int64[4] p = {0, 0, 0, 0}"), ("y = Slice(a, b, e)", "int64[2] b = {0, 0}, int64[2] e = {9, 9}"),
    ("y = Concat<axis=0>(a)", ""), ("y = Max(a)", ""), ("y = Clip(a)", ""), ("y = Dropout(a)", ""),
    ("y = Tile(a, t)", "int64[2] t = {1, 1}"), ("y = ReduceSum<noop_with_empty_axes=1>(a)", "")])
def test_noop_is_removed(check: Any, line: str, extra: str) -> None:
    done = check(f"g (float[2,3] x) => (float[2,3] y) <{extra}> {{ a = Neg(x) {line} }}", "eliminate_noops", "dce")
    assert done.ops == ["Neg"]


@pytest.mark.parametrize(("line", "extra"), [
    ("y = Add(a, zero)", "float zero = {0}"), ("y = Slice(a, b, e, k, k)", "int64[1] b = {-1}, int64[1] e = {-9}, int64[1] k = {-1}"),
    ("y = Pad(a, p)", "int64[4] p = {1, 0, -1, 0}"), ("y = Mul(a, v)", "float[3] v = {1, 1, 2}"), ("y = Transpose(s)", "")])
def test_what_changes_something_stays(check: Any, line: str, extra: str) -> None:
    square = "s = MatMul(a, m)" if "(s)" in line else ""
    weights = {"m": np.ones((3, 2), np.float32)} if square else {}
    shape = "float[2,2]" if square else "float[2,3]"
    if line.startswith("y = Slice"):
        line = "y = Slice(a, b, e, k0, k)"
        extra += ", int64[1] k0 = {0}"
    done = check(f"g (float[2,3] x) => ({shape} y) <{extra}> {{ a = Neg(x) {square} {line} }}", "eliminate_noops", weights=weights)
    assert len(done.ops) == len(done.before.nodes)


def test_identity_between_input_and_output_stays(check: Any) -> None:
    assert check("g (float[2] x) => (float[2] y) { y = Identity(x) }", "eliminate_noops", "dce").ops == ["Identity"]


def test_two_outputs_of_one_value_keep_their_names(check: Any) -> None:
    done = check("g (float[2] x) => (float[2] y, float[2] z) { y = Neg(x) z = Identity(y) }", "eliminate_noops", "cse", "dce")
    assert [v.name for v in done.after.outputs] == ["y", "z"]


def test_float_chain_folds_lazily_in_float64(check: Any) -> None:
    w = np.random.default_rng(1).standard_normal((64, 48)).astype(np.float32)
    done = check("""g (float[2,64] x) => (float[2,48] y) <float c = {3}, float d = {7}> {
        a = Div(w, c) b = Mul(a, d) e = Transpose(b) f = Transpose(e) y = MatMul(x, f) }""", "fold_constants", "dce",
                 exact=False, weights={"w": w})
    assert done.ops == ["MatMul"]
    folded = done.after.constants[done.after.nodes[0].inputs[1]]
    np.testing.assert_array_equal(folded.load(), (w.astype(np.float64) / 3 * 7).astype(np.float32))


def test_folding_holds_no_array(check: Any) -> None:
    w = np.zeros((64, 48), np.float32)
    done = check("g (float[2,64] x) => (float[2,48] y) { a = Neg(w) y = MatMul(x, a) }", "fold_constants", weights={"w": w})
    c: Constant = done.after.constants[done.after.nodes[-1].inputs[1]]
    assert c.load() is not c.load(), "materialised once and kept"


def test_spread_constant_is_not_stored(check: Any) -> None:
    done = check("""g (float[64,64,4] x) => (float[64,64,4] y) <int64[3] s = {64, 64, 4}, float[4] c = {1, 2, 3, 4}> {
        e = Expand(c, s) y = Add(x, e) }""", "fold_constants", "dce")
    assert done.ops == ["Expand", "Add"]


def test_random_operators_are_neither_folded_nor_merged() -> None:
    from aotgen.ir.graph import Node
    from aotgen.passes.evaluate import is_deterministic

    assert not is_deterministic(Node("RandomNormal", (), ()))
    assert is_deterministic(Node("Add", (), ()))


def test_cse_merges_equal_nodes_and_constants(check: Any) -> None:
    done = check("""g (float[2,3] x) => (float[2,3] y) <float c = {2}, float d = {2}> {
        a = Mul(x, c) b = Mul(x, d) e = Exp(a) f = Exp(b) y = Add(e, f) }""", "cse", "dce")
    assert done.ops == ["Mul", "Exp", "Add"]


def test_cse_keeps_different_attributes_apart(check: Any) -> None:
    done = check("g (float[2,2] x) => (float[2,2] y) { a = Softmax<axis=0>(x) b = Softmax<axis=1>(x) y = Add(a, b) }", "cse")
    assert done.count["Softmax"] == 2


def test_cse_tells_zero_from_minus_zero(check: Any) -> None:
    check("""g (float[2] x) => (float[2] y) <float c = {0}, float d = {-0.0}> {
        a = Div(x, c) b = Div(x, d) e = Max(a, b) y = Identity(e) }""", "cse")


def test_dce_drops_unused_nodes_outputs_and_constants(check: Any) -> None:
    done = check("""g (float[1,1,4,4] x) => (float[1,1,2,2] y) <float c = {2}> {
        y, i = MaxPool<kernel_shape=[2,2], strides=[2,2]>(x) a = Mul(y, c) b = Cast<to=7>(a) }""", "dce")
    assert done.ops == ["MaxPool"]
    assert done.after.nodes[0].outputs[1:] in ((), (None,))
    assert not done.after.constants


BRANCHES = """g (float[2] x, bool c) => (float[2] y) {{
    a = Exp(x)
    y = If (c) <then_branch = t () => (float[2] p) {{ {then} }}, else_branch = e () => (float[2] q) {{ q = Neg(a) }}> }}"""


def test_passes_enter_bodies_and_respect_captures(check: Any) -> None:
    done = check(BRANCHES.format(then="b = Exp(x) d = Identity(b) f = Identity(d) p = Mul(f, a)"),
                 "eliminate_noops", "cse", "dce")
    body = done.after.nodes[-1].bodies["then_branch"]
    assert [n.op for n in body.nodes] == ["Mul"], "the body's Exp is the outer one"


def test_body_output_is_computed_inside(check: Any) -> None:
    done = check(BRANCHES.format(then="p = Identity(a)"), "eliminate_noops", "cse", "dce")
    assert [n.op for n in done.after.nodes[-1].bodies["then_branch"].nodes] == ["Identity"]
