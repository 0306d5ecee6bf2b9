# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Random tensors: repeatable, different by seed, and distributed as they say. Optimiser steps against NumPy."""

from __future__ import annotations

import math

import numpy as np
import pytest
from graphs import close, f32, run

N = 20000


def test_uniform() -> None:
    x, = run("RandomUniform", [], shape=[N], seed=1.0, low=-1.0, high=3.0)
    assert x.min() >= -1 and x.max() < 3
    assert abs(x.mean() - 1) < 0.04 and abs(x.var() - 16 / 12) < 0.04
    assert abs(np.corrcoef(x[:-1], x[1:])[0, 1]) < 0.03


def test_normal() -> None:
    x, = run("RandomNormal", [], shape=[N], seed=2.0, mean=1.0, scale=2.0)
    z = (x - 1) / 2
    assert abs(z.mean()) < 0.03 and abs(z.var() - 1) < 0.05 and abs((z**4).mean() - 3) < 0.25


@pytest.mark.parametrize("op", ["RandomUniform", "RandomNormal"])
def test_seed(op: str) -> None:
    a, b, c = (run(op, [], shape=[100], seed=s)[0] for s in (1.0, 1.0, 2.0))
    np.testing.assert_array_equal(a, b)
    assert (a != c).mean() > 0.9


def test_like_takes_shape_and_type() -> None:
    assert run("RandomNormalLike", [f32(3, 4)], seed=1.0)[0].shape == (3, 4)
    assert run("RandomUniformLike", [f32(3, 4)], seed=1.0, dtype=10)[0].dtype == np.float16


def test_bernoulli() -> None:
    p = np.repeat(np.array([0.0, 0.25, 1.0], np.float32), N).reshape(3, N)
    np.testing.assert_allclose(run("Bernoulli", [p], seed=3.0)[0].mean(1), [0, 0.25, 1], atol=0.02)


def test_multinomial() -> None:
    logits = np.log(np.array([[0.1, 0.2, 0.7], [0.5, 0.5, 1e-9]], np.float32)) + 5
    got, = run("Multinomial", [logits], sample_size=N, seed=4.0)
    assert got.dtype == np.int32
    counts = np.stack([np.bincount(row, minlength=3) for row in got]) / N
    np.testing.assert_allclose(counts, [[0.1, 0.2, 0.7], [0.5, 0.5, 0]], atol=0.02)


@pytest.mark.parametrize("t", [0, 3])
def test_adam(t: int) -> None:
    r, x, g, v, h = np.float32(0.1), f32(5), f32(5), f32(5), np.abs(f32(5))
    a, b, e = 0.9, 0.99, 1e-3
    vn, hn = a * v + (1 - a) * g, b * h + (1 - b) * g * g
    rate = r * np.sqrt(1 - b**t) / (1 - a**t) if t else r
    want = [x - rate * vn / (np.sqrt(hn) + e), vn, hn]
    got = run("Adam", [np.array(r), np.array(t, np.int64), x, g, v, h], n=3, domain="ai.onnx.preview.training",
              alpha=a, beta=b, epsilon=e)
    close(got, [w.astype(np.float32) for w in want])


def test_several_tensors_in_one_step() -> None:
    r, t = np.array(0.1, np.float32), np.array(0, np.int64)
    x, y, g, k, v, w = f32(2), f32(3), f32(2), f32(3), f32(2), f32(3)
    got = run("Momentum", [r, t, x, y, g, k, v, w], n=4, domain="ai.onnx.preview.training", alpha=0.5, beta=0.25,
              norm_coefficient=0.0, mode="nesterov")
    vn, wn = 0.5 * v + g, 0.5 * w + k
    close(got, [x - 0.1 * (g + 0.5 * vn), y - 0.1 * (k + 0.5 * wn), vn, wn])


# 99.9 % of a chi-square variable of k degrees of freedom lie below k + 3.1 sqrt(2 k) + 7 (Wilson and Hilferty's
# approximation, rounded up), and of the largest distance of n uniform numbers from theirs below 1.95 / sqrt(n)
# (Kolmogorov). The numbers are the same on every run: a test that passes once always passes.


def chi_square(counts: np.ndarray) -> float:
    want = counts.sum() / counts.size
    return float(np.square(counts - want).sum() / want)


@pytest.mark.parametrize("seed", [0.0, 1.0, 7.5])
def test_uniform_numbers_fill_their_range_and_pairs_of_them_the_square(seed: float) -> None:
    x = run("RandomUniform", [], shape=[4 * N], seed=seed)[0].astype(np.float64)
    cells = (x * 64).astype(int)
    for counts in (np.bincount(cells, minlength=64), np.bincount(cells[::2] // 8 * 8 + cells[1::2] // 8, minlength=64)):
        assert chi_square(counts) < 63 + 3.1 * np.sqrt(2 * 63) + 7
    distance = np.abs(np.sort(x) - (np.arange(x.size) + 0.5) / x.size).max()
    assert distance < 1.95 / np.sqrt(x.size)


def test_normal_numbers_have_the_normal_distribution() -> None:
    x = np.sort(run("RandomNormal", [], shape=[N], seed=5.0)[0].astype(np.float64))
    share = np.array([0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x])
    assert np.abs(share - (np.arange(N) + 0.5) / N).max() < 1.95 / np.sqrt(N)


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_dropout_in_training_keeps_a_share_and_scales_it(dtype: type, known: bool) -> None:
    x = np.full(N, 3, dtype)
    args = [x, np.array(0.25, np.float32), np.array(True)]
    y, mask = run("Dropout", args, n=2, const=[1, 2] if known else [], seed=3)
    assert abs(mask.mean() - 0.75) < 0.015
    np.testing.assert_allclose(y.astype(np.float64), np.where(mask, 4.0, 0.0), rtol=1e-3)


def test_dropout_in_training_without_loss_and_out_of_training_is_the_identity() -> None:
    x = f32(5, 4)
    for ratio, training in ((0.0, True), (0.5, False)):
        y, mask = run("Dropout", [x, np.array(ratio, np.float32), np.array(training)], n=2, seed=3)
        np.testing.assert_array_equal(y, x)
        assert mask.all()
