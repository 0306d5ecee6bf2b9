# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Runs of 16-bit arithmetic compute in float32; what the model rounds, and what compares, still reads rounded values."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from aotgen.core import dtypes

PASSES = ("widen_halves", "dce")


def types(outcome: Any) -> list[tuple[str, str]]:
    return [(n.op, n.outputs[0].dtype.name) for n in outcome.after.nodes]


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_a_run_is_float32_between_one_cast_in_and_one_out(check: Any, kind: str) -> None:
    text = f"g ({kind}[4,3] x, {kind}[3,2] m) => ({kind}[4,2] y) {{ a = MatMul(x, m) b = Relu(a) c = Transpose<perm=[0,1]>(b) y = Exp(c) }}"
    done = check(text, *PASSES, exact=False)
    short = {"float16": "f16", "bfloat16": "bf16"}[kind]
    assert types(done) == [("Cast", "f32"), ("Cast", "f32"), ("MatMul", "f32"), ("Relu", "f32"), ("Transpose", "f32"),
                           ("Exp", "f32"), ("Cast", short)]


def test_movement_alone_stays_as_it_is(check: Any) -> None:
    done = check("g (float16[4,3] x) => (float16[3,4] y) { y = Transpose<perm=[1,0]>(x) }", *PASSES)
    assert types(done) == [("Transpose", "f16")]


def test_a_cast_in_the_model_rounds(check: Any) -> None:
    text = "g (float[4] x, float16[4] z) => (float16[4] y) { a = Cast<to=10>(x) y = Mul(a, z) }"
    done = check(text, *PASSES)
    assert types(done)[0] == ("Cast", "f16") and done.count["Cast"] == 4


def test_what_compares_reads_the_rounded_value(check: Any) -> None:
    text = "g (float16[4] x) => (float16[4] y, bool[4] z) { y = Exp(x) z = Less(y, x) }"
    done = check(text, *PASSES)
    less = next(n for n in done.after.nodes if n.op == "Less")
    assert [v.dtype for v in less.inputs] == [dtypes.f16, dtypes.f16]


def test_a_cache_joined_to_its_new_rows_stays_half(check: Any) -> None:
    text = "g (float16[2,3] past, float16[1,3] x) => (float16[3,3] present) { k = Exp(x) present = Concat<axis=0>(past, k) }"
    done = check(text, *PASSES)
    assert ("Concat", "f16") in types(done)


def test_both_branches_of_an_if_read_one_outer_value(check: Any) -> None:
    text = """g (bool c, float16[4] x) => (float16[4] y) { a = Exp(x)
        y = If(c) <then_branch = t () => (float16[4] p) { p = Sqrt(a) }, else_branch = e () => (float16[4] q) { q = Neg(a) }> }"""
    done = check(text, *PASSES, exact=False)
    branches = next(n for n in done.after.nodes if n.op == "If").bodies
    for body in branches.values():
        assert [n.outputs[0].dtype.name for n in body.nodes] == ["f32", "f16"]


def test_attention_is_opened_again_in_float32(check: Any) -> None:
    text = "g (float16[1,2,3,4] q, float16[1,2,5,4] k, float16[1,2,5,4] v) => (float16[1,2,3,4] y) { y = Attention(q, k, v) }"
    done = check(text, *PASSES, exact=False, opset=23)
    node = next(n for n in done.after.nodes if n.op == "Attention")
    assert all(v.dtype is dtypes.f32 for v in node.inputs)
    assert all(n.outputs[0].dtype is dtypes.f32 for body in node.bodies.values() for n in body.nodes)


def test_other_types_are_left_alone(check: Any) -> None:
    assert types(check("g (float[4] x) => (float[4] y) { y = Exp(x) }", *PASSES)) == [("Exp", "f32")]
    assert np.float16 is dtypes.f16.numpy.type
