# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Sequences and optionals as values: built, read, carried through loops and branches, passed in and out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

import aotgen
from aotgen.api import Model
from aotgen.toolchain.loader import RunError
from tests.e2e.harness import normal

EXTENT = 7  # NAME_status_extent


def parsed(text: str) -> onnx.ModelProto:
    return onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 21]> {text}')


def same(got: Any, want: Any) -> None:
    if isinstance(want, list):
        assert isinstance(got, list) and len(got) == len(want)
        for g, w in zip(got, want, strict=True):
            same(g, w)
    elif want is None:
        assert got is None
    else:
        assert got.shape == np.shape(want)
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def check(text: str, feeds: list[dict[str, Any]], out: Path) -> Model:
    """Against onnx's reference (onnxruntime lacks some of these), with one and three threads."""
    model = parsed(text)
    loaded = aotgen.compile(model, out / "libm").load()
    for inputs in feeds:
        want = ReferenceEvaluator(model).run(None, inputs)
        for threads in (1, 3):
            for (_, g), w in zip(loaded(inputs, threads=threads).items(), want, strict=True):
                same(g, w)
    return loaded


def scalar(value: int) -> np.ndarray:
    return np.array(value, np.int64)


X = normal(6, 4)


def test_insert_and_erase(tmp_path: Path) -> None:
    check("""g (float[6,4] x) => (float[a,b] y) <int64 p = {1}> {
        s = SplitToSequence<axis = 0>(x) u = SequenceInsert(s, x, p) v = SequenceErase(u, p) y = ConcatFromSequence<axis = 1>(v) }""",
          [{"x": X}], tmp_path)


def test_parts_of_unequal_size(tmp_path: Path) -> None:
    text = """g (float[6,4] x, int64 p) => (float[b,4] y, int64 n) <int64[3] z = {1, 3, 2}> {
        s = SplitToSequence<axis = 0>(x, z) t = SequenceAt(s, p) y = Relu(t) n = SequenceLength(s) }"""
    loaded = check(text, [{"x": X, "p": scalar(p)} for p in (0, 1, -1)], tmp_path)
    for threads in (1, 3):
        with pytest.raises(RunError) as caught:
            loaded({"x": X, "p": scalar(3)}, threads=threads)
        assert caught.value.status == EXTENT


@pytest.mark.parametrize("size", [1, 4, 6, 10])
def test_parts_of_one_size(tmp_path: Path, size: int) -> None:
    check("g (float[6,4] x, int64 n) => (seq(float[b,4]) y) { y = SplitToSequence<axis = 0>(x, n) }",
          [{"x": X, "n": scalar(size)}], tmp_path)


def test_stacked(tmp_path: Path) -> None:
    check("""g (float[6,4] x) => (float[a,b] y) {
        s = SplitToSequence<axis = 1, keepdims = 0>(x) y = ConcatFromSequence<axis = -1, new_axis = 1>(s) }""", [{"x": X}], tmp_path)


DECODING = """g (float[2,3] x, int64 n) => (float[a,3] y, seq(float[b,3]) l) <bool t = {1}> {
    e = SequenceConstruct(x)
    l = Loop(n, t, e) <body = b (int64 i, bool c, seq(float[k,3]) s) => (bool d, seq(float[q,3]) r) <int64 m = {-1}> {
        last = SequenceAt(s, m) more = Concat<axis = 0>(last, x) r = SequenceInsert(s, more) d = Identity(c) }>
    y = ConcatFromSequence<axis = 0>(l) }"""


def test_a_decoding_loop(tmp_path: Path) -> None:
    """Each trip reads the longest tensor so far and adds a longer one."""
    check(DECODING, [{"x": normal(2, 3), "n": scalar(n)} for n in (0, 1, 4, 40)], tmp_path)


def test_branches_of_different_lengths(tmp_path: Path) -> None:
    check("""g (float[6,4] x, bool c) => (seq(float[a,4]) y, int64 n) {
        y = If(c) <then_branch = t () => (seq(float[1,4]) p) { p = SplitToSequence<axis = 0>(x) },
                   else_branch = e () => (seq(float[6,4]) q) { q = SequenceConstruct(x) }> n = SequenceLength(y) }""",
          [{"x": X, "c": np.array(c)} for c in (True, False)], tmp_path)


def test_ports(tmp_path: Path) -> None:
    """Lists of tensors of any shape in and out; one that is passed through is not the caller's afterwards."""
    loaded = check("g (seq(float[n,m]) s, float[2,2] x) => (seq(float[n,m]) y, seq(float[n,m]) z) { y = SequenceInsert(s, x) z = Identity(s) }",
                   [{"s": [normal(3, 1), normal(0, 4)], "x": normal(2, 2)}, {"s": [], "x": normal(2, 2)}], tmp_path)
    with pytest.raises(RunError, match="null or not aligned"):
        loaded({"s": [normal(3)], "x": normal(2, 2)})  # of another rank


MAP = """g (seq(float[N]) s, float[1] x) => (seq(float[N]) y) {
    y = SequenceMap(s, x) <body = b (float[N] a, float[1] k) => (float[N] r) { r = Mul(a, k) }> }"""


def test_map(tmp_path: Path) -> None:
    check(MAP, [{"s": [normal(k) for k in sizes], "x": normal(1)} for sizes in ((2, 5, 0), (1,))], tmp_path)


def test_optional(tmp_path: Path) -> None:
    """Absent, and there; getting what is absent is a status."""
    text = "g (optional(float[4]) o) => (bool has, float[4] y) { has = OptionalHasElement(o) y = OptionalGetElement(o) }"
    loaded = aotgen.compile(parsed(text), tmp_path / "libm").load()
    got = loaded({"o": normal(4)})
    assert bool(got["has"])
    np.testing.assert_array_equal(got["y"], normal(4))
    with pytest.raises(RunError) as caught:
        loaded({"o": None})
    assert caught.value.status == EXTENT


def test_optional_out_of_a_branch(tmp_path: Path) -> None:
    text = """g (float[4] x, bool c) => (optional(float[4]) o, bool has) {
        o = If(c) <then_branch = t () => (optional(float[4]) p) { r = Relu(x) p = Optional(r) },
                   else_branch = e () => (optional(float[4]) q) { q = Optional<type = float[4]>() }> has = OptionalHasElement(o) }"""
    loaded = aotgen.compile(parsed(text), tmp_path / "libm").load()
    x = normal(4)
    got = loaded({"x": x, "c": np.array(True)})
    np.testing.assert_array_equal(got["o"], np.maximum(x, 0))
    assert bool(got["has"])
    got = loaded({"x": x, "c": np.array(False)})
    assert got["o"] is None and not bool(got["has"])
