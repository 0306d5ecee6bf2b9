# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""QuantizeLinear and DequantizeLinear pairs: int8 in storage, the standard's literal arithmetic in between."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import aotgen
from tests.e2e.harness import check, literal, normal, parsed, real


def test_elementwise(tmp_path: Path) -> None:
    model = parsed("""g (float[4,33] x) => (float[4,33] y, int8[4,33] q)
        <float s = {0.05}, int8 z = {3}, float s2 = {0.02}, uint8 z2 = {100}> {
        q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) e = Sigmoid(d)
        r = QuantizeLinear(e, s2, z2) y = DequantizeLinear(r, s2, z2) }""")
    check(model, [{"x": normal(4, 33) * np.float32(3)}], tmp_path)


def test_int8_in_int8_out(tmp_path: Path) -> None:
    """Values between quantised operators are one byte wide in storage too."""
    model = parsed("""g (int8[8,64] x) => (int8[8,64] y) <float s = {0.05}, int8 z = {3}> {
        d = DequantizeLinear(x, s, z) t = Transpose<perm = [1, 0]>(d) m = ReduceMax<keepdims = 1>(t) r = Sub(d, m)
        y = QuantizeLinear(r, s, z) }""")
    x = np.random.default_rng(0).integers(-128, 128, (8, 64)).astype(np.int8)
    check(model, [{"x": x}], tmp_path)


def test_per_channel_convolution(tmp_path: Path) -> None:
    w = np.random.default_rng(0).integers(-127, 128, (16, 8, 3, 3)).astype(np.int8)
    scales = literal("ws", np.linspace(0.001, 0.004, 16, dtype=np.float32))
    model = parsed("""g (float[1,8,9,9] x) => (float[1,16,9,9] y)
        <%s, %s, %s, float s = {0.05}, int8 z = {3}, float s2 = {0.1}> {
        q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) k = DequantizeLinear<axis = 0>(w, ws, wz)
        c = Conv<pads = [1,1,1,1]>(d, k) e = Relu(c) r = QuantizeLinear(e, s2, z) y = DequantizeLinear(r, s2, z) }"""
                   % (literal("w", w), scales, literal("wz", np.zeros(16, np.int8))))
    check(model, [{"x": normal(1, 8, 9, 9) * np.float32(3)}], tmp_path)


@pytest.mark.parametrize("n", ["", "_1"])
def test_keyword_spotting(tmp_path: Path, n: str) -> None:
    """Agrees with onnxruntime's fused or unfused run: one step of the last quantisation is allowed to either."""
    folder = real("micro_kws_qdq")
    inputs = dict(np.load(folder / f"inputs{n}.npz"))
    shapes = {k: v.shape for k, v in inputs.items()}
    got = aotgen.compile(folder / "model.onnx", tmp_path / "libkws", input_shapes=shapes).load()(inputs)
    step = 1 / 255  # of the final probabilities
    for name, value in got.items():
        near = [np.abs(value - np.load(folder / f"{kind}{n}.npz")[name]).max() for kind in ("outputs", "outputs_noopt")]
        assert min(near) <= 1.01 * step
