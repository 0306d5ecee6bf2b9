# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Normalizations against onnxruntime or onnx.reference."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import check, check_open, close, expect, f32, run

MS = "com.microsoft"


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (2, 3, 4, 5), (1, 2, 3, 2, 3)])
def test_batch(shape: tuple[int, ...]) -> None:
    c = shape[1]
    check("BatchNormalization", [f32(*shape), f32(c), f32(c), f32(c), np.abs(f32(c))], opset=15, epsilon=1e-3)


def test_batch_training() -> None:
    args = [f32(4, 3, 5), f32(3), f32(3), f32(3), np.abs(f32(3))]
    check("BatchNormalization", args, opset=15, n=3, by="ref", training_mode=1, momentum=0.7)


def test_instance() -> None:
    check("InstanceNormalization", [f32(2, 3, 4, 5), f32(3), f32(3)], epsilon=1e-3, tol=5e-6)
    check("InstanceNormalization", [f32(2, 3, 9), f32(3), f32(3)], tol=5e-6)


@pytest.mark.parametrize("groups", [1, 2, 6])
def test_group(groups: int) -> None:
    check("GroupNormalization", [f32(2, 6, 4, 3), f32(6), f32(6)], by="ref", opset=21, num_groups=groups, tol=5e-6)


@pytest.mark.parametrize(("axis", "tail"), [(-1, (5,)), (1, (3, 4, 5)), (-2, (4, 5)), (0, (2, 3, 4, 5)), (2, (1, 5))])
@pytest.mark.parametrize("n", [1, 3])
def test_layer(axis: int, tail: tuple[int, ...], n: int) -> None:
    full = (2, 3, 4, 5)[axis:] if tail != (1, 5) else (4, 5)
    args = [f32(2, 3, 4, 5), f32(*full), f32(*full)]
    check("LayerNormalization", args, n=n, axis=axis, opset=17, tol=5e-6)


def test_layer_without_bias_and_half() -> None:
    check("LayerNormalization", [f32(2, 3, 8), f32(8)], opset=17, tol=5e-6)
    x, s = f32(3, 64).astype(np.float16), f32(64).astype(np.float16)
    want = expect("LayerNormalization", [x.astype(np.float32), s.astype(np.float32)], opset=17)
    close(run("LayerNormalization", [x, s]), [want[0].astype(np.float16)], 1e-3)


@pytest.mark.parametrize("axis", [-1, -2])
def test_rms(axis: int) -> None:
    check("RMSNormalization", [f32(2, 3, 4), f32(*(2, 3, 4)[axis:])], by="ref", opset=23, axis=axis, tol=5e-6)


@pytest.mark.parametrize("p", [1, 2])
@pytest.mark.parametrize("axis", [-1, 0, 1])
def test_lp(p: int, axis: int) -> None:
    x = f32(3, 4, 2)
    x[:, 0] = x[0] = 0
    check("LpNormalization", [x], p=p, axis=axis)


def test_mean_variance() -> None:
    check("MeanVarianceNormalization", [f32(2, 3, 4, 5)], opset=13, tol=5e-6)
    check("MeanVarianceNormalization", [f32(2, 3, 4, 5)], by="ref", opset=13, axes=[1, 3], tol=5e-6)


@pytest.mark.parametrize("size", [1, 3, 5])
def test_lrn(size: int) -> None:
    check("LRN", [f32(1, 6, 3, 4)], size=size, alpha=0.01, beta=0.6, bias=1.5)


@pytest.mark.parametrize("bias", [False, True])
def test_microsoft_skips(bias: bool) -> None:
    x, skip, g, b, extra = f32(2, 3, 8), f32(2, 3, 8), f32(8), f32(8), f32(8)
    names = ["y", "", "", "total"]
    check("SkipLayerNormalization", [x, skip, g, b, *([extra] if bias else [])], domain=MS, names=names, epsilon=1e-6, tol=5e-6)
    check("SkipSimplifiedLayerNormalization", [x, skip, g, *([extra] if bias else [])], domain=MS, names=names, tol=5e-6)


def test_simplified() -> None:
    check("SimplifiedLayerNormalization", [f32(2, 3, 8), f32(8)], opset=17, axis=-1, tol=5e-6)


def test_open() -> None:
    check_open("LayerNormalization", [f32(2, 3, 8), f32(8), f32(8)], {0: ["N", "T", 8]}, opset=17, tol=5e-6)
    check_open("InstanceNormalization", [f32(2, 3, 4, 5), f32(3), f32(3)], {0: ["N", 3, "H", "W"]}, tol=5e-6)
