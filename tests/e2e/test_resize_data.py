# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Resize whose sizes, scales or region of interest are computed from data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import aotgen
from aotgen.toolchain.loader import RunError
from tests.e2e.harness import check, literal, normal, parsed

EXTENT = 7  # a status
HEAD = "g (float[1,2,n,m] x, {given}) => (float[a,b,c,d] y)"


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_sizes(tmp_path: Path, mode: str) -> None:
    model = parsed(HEAD.format(given="int64[4] s") + f'{{ y = Resize<mode="{mode}">(x, , , s) }}')
    feeds = [{"x": normal(1, 2, 5, 6), "s": np.array([1, 2, *size], np.int64)} for size in ((5, 6), (9, 4), (3, 13))]
    check(model, feeds, tmp_path, dynamic=True)


@pytest.mark.parametrize("mode", ["nearest", "cubic"])
def test_scales(tmp_path: Path, mode: str) -> None:
    model = parsed(HEAD.format(given="float[4] s") + f'{{ y = Resize<mode="{mode}">(x, , s) }}')
    feeds = [{"x": normal(1, 2, 5, 6), "s": np.array([1, 1, *scale], np.float32)} for scale in ((1, 1), (1.5, 0.7), (2, 2.3))]
    check(model, feeds, tmp_path, dynamic=True)


REGION = "mode=\"linear\", coordinate_transformation_mode=\"tf_crop_and_resize\", extrapolation_value=7.5"
CORNERS = ((0.1, 0.2, 0.8, 0.9), (-0.2, 0.3, 0.9, 1.4))


def region(corners: tuple[float, ...]) -> np.ndarray:
    return np.array([0, 0, *corners[:2], 1, 1, *corners[2:]], np.float32)


def test_region_of_interest(tmp_path: Path) -> None:
    text = HEAD.format(given="float[8] r") + f"<int64[4] s = {{1, 2, 4, 5}}> {{ y = Resize<{REGION}>(x, r, , s) }}"
    check(parsed(text), [{"x": normal(1, 2, 5, 6), "r": region(c)} for c in CORNERS], tmp_path, dynamic=True)


@pytest.mark.parametrize("corners", CORNERS)
def test_scales_of_a_region(tmp_path: Path, corners: tuple[float, ...]) -> None:
    """The standard scales the region; onnxruntime, which scales the whole, cannot judge: known and data must agree."""
    text = HEAD + "<float[4] t = {{1, 1, 1.5, 2}}{known}> {{ y = Resize<" + REGION + ">(x, r, t) }}"
    x, r = normal(1, 2, 5, 6), region(corners)
    fixed = parsed(text.format(given="float[8] q", known=", " + literal("r", r)))
    want = aotgen.compile(fixed, tmp_path / "liba", input_shapes={"x": x.shape}).load()({"x": x, "q": r})["y"]
    got = aotgen.compile(parsed(text.format(given="float[8] r", known="")), tmp_path / "libb", dynamic=True).load()({"x": x, "r": r})["y"]
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-5)


@pytest.mark.parametrize(("modes", "operand", "values"), [
    ('mode="linear", antialias=1', "float[4] s", ((1, 1, 0.4, 0.7), (1, 1, 0.26, 1.5), (1, 1, 1, 1))),
    ('mode="cubic", exclude_outside=1, cubic_coeff_a=-0.6', "float[4] s", ((1, 1, 1.5, 0.7), (1, 1, 0.5, 2))),
    ('keep_aspect_ratio_policy="not_larger", axes=[2,3]', "int64[2] s", ((7, 8), (3, 9), (10, 2))),
    ('keep_aspect_ratio_policy="not_smaller", axes=[3,2], mode="linear"', "int64[2] s", ((7, 8), (3, 9))),
])
def test_modes(tmp_path: Path, modes: str, operand: str, values: tuple[tuple[float, ...], ...]) -> None:
    """Taps, weights or one scale for all axes follow from the operand."""
    place = "x, , s" if operand.startswith("float") else "x, , , s"
    model = parsed(HEAD.format(given=operand) + f"{{ y = Resize<{modes}>({place}) }}")
    model.opset_import[0].version = 19
    kind = np.float32 if operand.startswith("float") else np.int64
    feeds = [{"x": normal(1, 2, 9, 11), "s": np.array(v, kind)} for v in values]
    check(model, feeds, tmp_path, dynamic=True)


def test_an_axis_that_does_not_change_spreads_no_infinity(tmp_path: Path) -> None:
    model = parsed(HEAD.format(given="float[4] s") + '{ y = Resize<mode="linear">(x, , s) }')
    x = normal(1, 2, 5, 6)
    x[0, 1] = np.inf
    run = aotgen.compile(model, tmp_path / "libm", dynamic=True).load()
    got = run({"x": x, "s": np.array([1, 1, 1.5, 2], np.float32)})["y"]
    assert np.isfinite(got[0, 0]).all() and np.isinf(got[0, 1]).any()


@pytest.mark.parametrize("scale", [-1.0, np.nan, np.inf, 1e-9])
def test_a_scale_that_makes_nothing(tmp_path: Path, scale: float) -> None:
    """No elements, or a status: never a crash."""
    model = parsed(HEAD.format(given="float[4] s") + '{ y = Resize<mode="linear", antialias=1>(x, , s) }')
    model.opset_import[0].version = 19
    run = aotgen.compile(model, tmp_path / "libm", dynamic=True).load()
    feeds = {"x": normal(1, 2, 5, 6), "s": np.array([1, 1, scale, 2], np.float32)}
    try:
        assert run(feeds)["y"].size == 0
    except RunError as error:
        assert error.status == EXTENT
