# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Transforms, frames, filters and blocks whose parameters are data: one library for all their values."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import aotgen
from aotgen.toolchain.loader import RunError
from tests.e2e.harness import check, normal, parsed

DIMS, EXTENT = 2, 7  # statuses


def whole(value: int) -> np.ndarray:
    return np.array(value, np.int64)


def real(value: float) -> np.ndarray:
    return np.array(value, np.float32)


X = normal(3, 6, 8, 1)
PAIRS = normal(2, 6, 5, 2)
CASES = {
    "axis": ("g (float[3,6,8,1] x, int64 k) => (float[a,b,c,d] y, float[e,f,g,h] z) { y = DFT<onesided=1>(x, , k) z = DFT(x, , k) }",
             [{"x": X, "k": whole(k)} for k in (0, 1, -2)]),
    "length": ("g (float[2,6,5,2] x, int64 n) => (float[2,a,5,2] y) { y = DFT<inverse=1>(x, n, one) }",
               [{"x": PAIRS, "n": whole(n)} for n in (6, 4, 9)]),
    "axis and length": ("g (float[2,6,5,2] x, int64 n, int64 k) => (float[a,b,c,d] y) { y = DFT(x, n, k) }",
                        [{"x": PAIRS, "n": whole(n), "k": whole(k)} for n, k in ((6, 1), (3, 2), (8, 0))]),
    "frames": ("g (float[2,40,1] x, float[n] w, int64 s, int64 l) => (float[2,a,b,2] y) { y = STFT(x, s, w, l) }",
               [{"x": normal(2, 40, 1), "w": normal(n), "s": whole(s), "l": whole(n)} for n, s in ((16, 5), (8, 8), (9, 1))]),
    "filters": ("g (int64 n, int64 l, int64 r, float a, float b) => (float[c,d] y) { y = MelWeightMatrix(n, l, r, a, b) }",
                [{"n": whole(n), "l": whole(size), "r": whole(r), "a": real(a), "b": real(b)}
                 for n, size, r, a, b in ((8, 16, 8192, 0, 4096), (3, 9, 8000, 20, 3000))]),
    "blocks": ("g (float[1,c,l] x, int64[2] i, int64[2] k) => (float[1,d,e,f] y) { y = Col2Im(x, i, k) }",
               [{"x": normal(1, 2 * h * w, (6 - h) * (8 - w)), "i": np.array([5, 7], np.int64), "k": np.array([h, w], np.int64)}
                for h, w in ((1, 5), (2, 3))]),
}


@pytest.mark.parametrize("name", CASES)
def test_operand(tmp_path: Path, name: str) -> None:
    text, feeds = CASES[name]
    text = text.replace(" {", " <int64 one = {1}> {", 1)
    model = parsed(text)
    model.opset_import[0].version = 20
    check(model, feeds, tmp_path, dynamic=True)


@pytest.mark.parametrize(("name", "changed", "status"), [
    ("axis", {"k": whole(3)}, DIMS),  # the last axis holds the parts of numbers
    ("frames", {"s": whole(-1)}, EXTENT),
    ("frames", {"x": normal(2, 7, 1)}, DIMS),
])
def test_what_cannot_be(tmp_path: Path, name: str, changed: dict[str, np.ndarray], status: int) -> None:
    text, feeds = CASES[name]
    model = parsed(text.replace("[2,40,1]", "[2,m,1]"))
    model.opset_import[0].version = 20
    run = aotgen.compile(model, tmp_path / "libm", dynamic=True).load()
    with pytest.raises(RunError) as caught:
        run({**feeds[0], **changed})
    assert caught.value.status == status
    run(feeds[0])


def test_an_axis_cut_twice_into_ragged_blocks(tmp_path: Path) -> None:
    """10 of 27 channels: blocks of 9 within which blocks of 3, neither of which 10 is a multiple of."""
    model = parsed("""g (float[3,3,3,3] x, int64[3,10,1,1] i) => (float[3,10,1,1] y) {
        s = SpaceToDepth<blocksize = 3>(x) y = GatherElements<axis = 3>(s, i) }""")
    check(model, [{"x": normal(3, 3, 3, 3), "i": np.zeros((3, 10, 1, 1), np.int64)}], tmp_path)
