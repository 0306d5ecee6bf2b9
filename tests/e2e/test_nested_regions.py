# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Regions in regions, and loops of many trips: code does not grow with them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import aotgen
from tests.e2e.harness import check, normal, parsed

LOOP_IN_IF_IN_SCAN = """g (float[4] s0, float[n,4] xs) => (float[4] s, float[n,4] ys) <bool t = {1}, int64 three = {3}, float zero = {0}> {
    s, ys = Scan<num_scan_inputs = 1, body = b (float[4] a, float[4] x) => (float[4] c, float[4] y) {
        total = ReduceSum<keepdims = 0>(x) up = Greater(total, zero)
        y = If(up) <
            then_branch = p () => (float[4] h) { h = Loop(three, t, x) <body = r (int64 j, bool k, float[4] u) => (bool l, float[4] v) {
                w = Mul(u, a) v = Tanh(w) l = Identity(k) }> },
            else_branch = q () => (float[4] e) { e = Neg(x) }>
        c = Add(a, y) }>(s0, xs) }"""


def test_a_loop_in_an_if_in_a_scan(tmp_path: Path) -> None:
    check(parsed(LOOP_IN_IF_IN_SCAN), [{"s0": normal(4), "xs": normal(n, 4, seed=n)} for n in (1, 7, 40)], tmp_path, dynamic=True)


SCAN = """g (float[8] s0, float[%d,8] xs) => (float[8] s, float[%d,8] ys) {
    s, ys = Scan<num_scan_inputs = 1, body = b (float[8] a, float[8] x) => (float[8] c, float[8] y) {
        m = Mul(a, x) c = Tanh(m) y = Add(c, x) }>(s0, xs) }"""


@pytest.mark.parametrize("trips", [10, 10_000])
def test_a_long_scan(tmp_path: Path, trips: int) -> None:
    check(parsed(SCAN % (trips, trips)), [{"s0": normal(8), "xs": normal(trips, 8, seed=1)}], tmp_path)


def test_code_does_not_grow_with_trips(tmp_path: Path) -> None:
    """Ten trips and ten thousand: the same steps, and at most the lines that say who runs them."""
    sizes = []
    for trips in (10, 10_000):
        folder = aotgen.compile(parsed(SCAN % (trips, trips)), tmp_path / f"libm{trips}", name="m", build=False).folder
        sizes.append([len(f.read_text("utf-8").splitlines()) for f in sorted((folder / "src").glob("m*.cpp"))])
    assert all(abs(few - many) <= 10 for few, many in zip(*sizes, strict=True))


def test_a_hundred_trips_of_tanh(tmp_path: Path) -> None:
    text = """g (float[1,64] s0, float[64,64] w, int64 n) => (float[1,64] s) <bool t = {1}> {
        s = Loop(n, t, s0) <body = b (int64 i, bool c, float[1,64] x) => (bool d, float[1,64] y) {
            d = Identity(c) z = MatMul(x, w) y = Tanh(z) }> }"""
    feeds = [{"s0": normal(1, 64), "w": normal(64, 64, seed=1) * np.float32(0.1), "n": np.array(n)} for n in (0, 100)]
    check(parsed(text), feeds, tmp_path)
