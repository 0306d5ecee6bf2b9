# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Seeded inputs: types, ranges learnt from the graph, open dims, .npz files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx.parser
import pytest

from aotgen.core.errors import UsageError
from aotgen.core.options import CompileOptions
from aotgen.frontend import load_graph
from aotgen.ir.graph import Graph
from aotgen.verify import inputs


def graph(text: str, **options: object) -> Graph:
    model = onnx.parser.parse_model(f'<ir_version: 9, opset_import: ["" : 20]> {text}')
    return load_graph(model, CompileOptions(**options))  # type: ignore[arg-type]


def contents(text: str, name: str, seeds: int = 8) -> np.ndarray:
    """Values of an input over several seeds."""
    g = graph(text)
    return np.concatenate([inputs.seeded(g, s)[name].ravel() for s in range(seeds)])


def test_floats_are_normal_seeded_and_independent_of_other_inputs() -> None:
    one = graph("g (float[40,50] x) => (float[40,50] y) { y = Relu(x) }")
    two = graph("g (float[3] a, float[40,50] x) => (float[40,50] y, float[3] b) { y = Relu(x) b = Abs(a) }")
    x = inputs.seeded(one, 7)["x"]
    assert x.dtype == np.float32
    assert abs(x.mean()) < 0.1
    assert abs(x.std() - 1) < 0.1
    assert np.array_equal(x, inputs.seeded(two, 7)["x"])
    assert not np.array_equal(x, inputs.seeded(one, 8)["x"])


@pytest.mark.parametrize(
    ("body", "low", "high"),
    [
        ("y = Gather(table, i)", 0, 5),
        ("y = Gather<axis=1>(table, i)", 0, 7),
        ("s = Unsqueeze(i, zero) t = Cast<to=6>(s) y = Gather(table, t)", 0, 5),
        ("a = Gather(table, i) b = Gather<axis=1>(table, i) y = Concat<axis=0>(a, c)", 0, 5),
        ("y = GatherElements<axis=1>(table, i)", 0, 7),
        ("y = OneHot(i, four, pair)", 0, 4),
    ],
)
def test_indices_stay_below_what_they_index(body: str, low: int, high: int) -> None:
    text = f"""g (int64[5,3] i) => (y)
        <float[5,7] table = {{{','.join('1' for _ in range(35))}}}, int64[1] zero = {{0}}, int64[1] four = {{4}},
         float[2] pair = {{0, 1}}, float[5,3,7] c = {{{','.join('1' for _ in range(105))}}}> {{ {body} }}"""
    seen = contents(text, "i")
    assert seen.min() == low
    assert seen.max() == high - 1


def test_masks_lengths_pixels_and_choices() -> None:
    mask = contents("g (int64[4,6] m) => (float[4,6] y) { y = Cast<to=1>(m) }", "m").reshape(-1, 4, 6)
    assert set(np.unique(mask)) == {0, 1}
    assert (mask[:, :, 0] == 1).all(), "no row masks everything"
    pixels = contents("g (uint8[40,40] p) => (float[40,40] y) { y = Cast<to=1>(p) }", "p")
    assert pixels.min() == 0
    assert pixels.max() == 255
    rate = contents("""g (int64 r) => (bool y) <int64 a = {8000}, int64 b = {16000}>
        { c = Equal(r, a) d = Equal(r, b) y = Or(c, d) }""", "r", 20)
    assert set(rate) == {8000, 16000}
    flags = contents("g (bool[50] b) => (bool[50] y) { y = Not(b) }", "b")
    assert flags.dtype == np.bool_
    assert 0 < flags.mean() < 1


def test_sequence_lengths_are_at_least_one() -> None:
    weights = {"w": "float[1,12,2]", "r": "float[1,12,4]"}
    text = f"""g (float[5,3,2] x, int32[3] lens) => (y) <{', '.join(
        f"{t} {n} = {{{','.join('0.1' for _ in range(24 if n == 'w' else 48))}}}" for n, t in weights.items())}>
        {{ y = GRU<hidden_size=4>(x, w, r, , lens) }}"""
    lens = contents(text, "lens", 20)
    assert lens.min() == 1
    assert lens.max() == 5


def test_open_dims_get_a_small_and_a_larger_setting() -> None:
    text = "g (float[n,m] x) => (float[n,m] y) { y = Relu(x) }"
    g = graph(text, open_dims=(("m", (2, 8)), ("n", (1, None))))
    settings = inputs.sizes(g)
    assert settings[0] == {"m": 2, "n": 1}
    assert settings[1]["m"] == 8
    assert settings[1]["n"] > 8
    assert inputs.seeded(g, 0, settings[1])["x"].shape == (settings[1]["n"], 8)
    assert inputs.sizes(g, [{"n": 3}]) == [{"m": 8, "n": 3}]
    with pytest.raises(UsageError, match="not an open dim"):
        inputs.sizes(g, [{"k": 3}])
    with pytest.raises(UsageError, match="given no value"):
        inputs.seeded(g, 0, {"m": 2})
    assert inputs.dims_from(g, {"x": np.zeros((4, 5), np.float32)}) == {"n": 4, "m": 5}


def test_a_scalar_may_be_stored_as_one_element(tmp_path: Path) -> None:
    g = graph("g (float[2] x, float i) => (float[2] y) { y = Add(x, i) }")
    np.savez(tmp_path / "in.npz", x=np.zeros(2, np.float32), i=np.ones(1, np.float32))
    assert inputs.read_npz(tmp_path / "in.npz", g)["i"].shape == ()


def test_npz(tmp_path: Path) -> None:
    g = graph("g (float[2] x, int64[2] i) => (float[2] y) { z = Cast<to=1>(i) y = Add(x, z) }")
    path = tmp_path / "in.npz"
    np.savez(path, x=np.array([1.0, 2.5]), i=np.array([1, 2], np.int32))
    found = inputs.read_npz(path, g)
    assert found["x"].dtype == np.float32, "float64 that loses nothing is taken"
    assert found["i"].dtype == np.int64
    np.savez(path, x=np.array([0.1, 2.5]), i=np.array([1, 2]))
    with pytest.raises(UsageError, match="float64 given"):
        inputs.read_npz(path, g)
    np.savez(path, x=np.zeros((1, 2), np.float32), i=np.array([1, 2]))
    with pytest.raises(UsageError, match="given for"):
        inputs.read_npz(path, g)
    np.savez(path, x=np.zeros(2, np.float32))
    with pytest.raises(UsageError, match="no array 'i'"):
        inputs.read_npz(path, g)
    path.write_bytes(b"not a zip")
    with pytest.raises(UsageError, match="cannot read"):
        inputs.read_npz(path, g)


def test_shapes_and_scales_fit_what_they_are_for() -> None:
    text = """g (float[2,3,4,4] x, int32[3] s, int64[5] e, float[4] t) => (float[a,b,c] r, float[d,f,h,i,j] w, float[k,l,m,n] y)
        { q = Cast<to=7>(s) r = Reshape(x, q) w = Expand(x, e) y = Resize(x, , t) }"""
    drawn = inputs.seeded(graph(text))
    assert drawn["s"].dtype == np.int32 and drawn["s"].prod() == 2 * 3 * 4 * 4
    assert drawn["e"].tolist() == [1, 2, 3, 4, 4]
    assert drawn["t"][:2].tolist() == [1, 1] and (drawn["t"] > 0).all()


def test_strings_are_words_their_readers_know() -> None:
    text = """g (string[64] x, string[64] y, string[64] z) => (bool[64] e, float[64] f, string[64] s) <string one = {"only here"}> {
        u = Identity(x) e = Equal(u, one) f = Cast<to = 1>(y) s = StringConcat(z, z) }"""
    assert "only here" in contents(text, "x")
    assert all(float(t) == float(t) for t in contents(text, "y"))
    found = set(contents(text, "z"))
    assert "" in found
    assert any(not t.isascii() for t in found)
    assert "only here" not in found
