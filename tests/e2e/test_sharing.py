# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Steps that share no barrier any more, under the thread sanitizer: what was left out was not needed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

import aotgen
from aotgen.plan import alone, barriers, team
from tests.e2e import native
from tests.e2e.harness import compare, expected, literal, normal, parsed
from tests.e2e.test_sanitizers import THREADS
from tests.lower.nests import one_softmax_a_nest

Case = tuple[onnx.ModelProto, dict[str, np.ndarray], int]  # with the barriers that it keeps


def _softmax_chain() -> Case:
    text = """g (float[37,64] x) => (float[37,64] y) { a = Softmax<axis = -1>(x) b = Softmax<axis = -1>(a) c = Softmax<axis = -1>(b)
        d = Softmax<axis = -1>(c) e = Add(d, a) y = Softmax<axis = -1>(e) }"""
    return parsed(text), {"x": normal(37, 64)}, 1


def _transposed_items() -> Case:
    text = """g (float[12,20,36] x) => (float[12,36,20] y) { a = Softmax<axis = -1>(x) b = Softmax<axis = 1>(a)
        t = Transpose<perm = [0,2,1]>(b) c = Softmax<axis = -1>(t) d = Softmax<axis = 1>(c) y = Add(d, t) }"""
    return parsed(text), {"x": normal(12, 20, 36)}, 1


def _heads() -> Case:
    """Attention of twelve heads: products, softmax and products again, a head at a time."""
    text = """g (float[1,12,17,24] q, float[1,12,24,17] k, float[1,12,17,40] v) => (float[1,12,17,40] y) {
        s = MatMul(q, k) p = Softmax<axis = -1>(s) y = MatMul(p, v) }"""
    return parsed(text), {"q": normal(1, 12, 17, 24), "k": normal(1, 12, 24, 17, seed=1), "v": normal(1, 12, 17, 40, seed=2)}, 0


def _residual_images() -> Case:
    """Residual blocks over a batch, an image at a time, halos included. One slot is taken over by images of another size."""
    text = """g (float[8,16,12,10] x) => (float[8,16,6,5] y) <%s, %s, %s> {
        a = Conv<pads = [1,1,1,1]>(x, k1) b = Relu(a) c = Conv<pads = [1,1,1,1]>(b, k2) d = Add(c, b) e = Relu(d)
        f = Conv<pads = [1,1,1,1]>(e, k3) g = Add(f, e) y = MaxPool<kernel_shape = [2,2], strides = [2,2]>(g) }"""
    weights = [literal(f"k{n}", normal(16, 16, 3, 3, seed=n)) for n in (1, 2, 3)]
    return parsed(text % tuple(weights)), {"x": normal(8, 16, 12, 10)}, 1


def _channel_blocks() -> Case:
    """Depthwise convolutions and a pool over the same blocks of channels, whose borders are not of one size."""
    text = """g (float[2,64,14,12] x) => (float[2,64,7,6] y) <%s, %s> {
        a = Conv<pads = [1,1,1,1], group = 64>(x, k1) b = Relu(a) c = Conv<pads = [1,1,1,1], group = 64>(b, k2)
        d = HardSigmoid(c) y = MaxPool<kernel_shape = [2,2], strides = [2,2]>(d) }"""
    weights = [literal(f"k{n}", normal(64, 1, 3, 3, seed=n)) for n in (1, 2)]
    return parsed(text % tuple(weights)), {"x": normal(2, 64, 14, 12)}, 1


def _handed_on() -> Case:
    """Slots of the arena that one step after the other takes over; a small one by something larger."""
    lines = [f"v{n + 1} = Softmax<axis = {1 + n % 2}>(v{n})" for n in range(12)]
    return parsed(f"g (float[9,24,20] v0) => (float[9,24,20] v12) {{ {' '.join(lines)} }}"), {"v0": normal(9, 24, 20)}, 3


CASES: list[Callable[[], Case]] = [_softmax_chain, _transposed_items, _heads, _residual_images, _channel_blocks, _handed_on]


@pytest.fixture
def always_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    """Many steps, none too small to share, and any coarseness better than a barrier."""
    one_softmax_a_nest(monkeypatch)
    monkeypatch.setattr(team, "BARRIER", 1e9)
    monkeypatch.setattr(alone, "choose", lambda program, barriers: frozenset())


@pytest.mark.usefixtures("always_shared")
@pytest.mark.parametrize("make", CASES, ids=lambda f: f.__name__.strip("_"))
def test_elided_barriers_were_not_needed(tmp_path: Path, make: Callable[[], Case]) -> None:
    model, inputs, kept = make()
    folder = aotgen.compile(model, tmp_path / "libm", threading="pool", build=False).folder
    (source,) = (folder / "src").glob("m_*[0-9r].cpp")
    text = source.read_text("utf-8")
    assert text.count("barrier.wait(nt);") == kept
    exe = native.build(folder, tmp_path / "tsan", THREADS)
    want = expected(model, inputs)
    for threads in (3, 5):
        compare(native.run(exe, folder, inputs, {k: v.shape for k, v in want.items()}, threads=threads, rounds=10), want)


@pytest.mark.usefixtures("always_shared")
def test_a_partition_that_does_not_fit_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the test above relies on: without the shares that were planned, the same text races."""
    made = barriers.plan_barriers
    monkeypatch.setattr(barriers, "plan_barriers", lambda *a, **k: barriers.Sharing(made(*a, **k).barriers, {}))
    model, inputs, _ = _heads()
    folder = aotgen.compile(model, tmp_path / "libm", threading="pool", build=False).folder
    exe = native.build(folder, tmp_path / "tsan", THREADS)
    with pytest.raises(AssertionError, match="data race"):
        for _ in range(5):
            native.run(exe, folder, inputs, {"y": (1, 12, 17, 40)}, threads=5, rounds=20)
