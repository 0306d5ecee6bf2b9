# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Resize against onnxruntime (onnx.reference where onnxruntime has no kernel), known and open extents."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from graphs import check, close, expect, f32, run
from onnx import helper, numpy_helper

from aotgen.core import dtypes
from aotgen.core.errors import ModelError
from aotgen.frontend import load_graph
from aotgen.ir import index
from aotgen.ir.graph import TensorType
from aotgen.ops.builder import Builder
from aotgen.ops.interp import run_graph
from aotgen.ops.resize import integer_map

# onnxruntime's own rounding of half_pixel_symmetric coordinates that are exact integers is not reproduced.
TIED = {((1, 1), "floor"), (0.6, "floor"), (0.6, "round_prefer_floor")}
COORDINATES = ["half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric"]
NEAREST = ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"]
SIZES = [(6, 8), (9, 7), (2, 3), (1, 1), (5, 13)]


def args(x: np.ndarray, scales: list[float] | None = None, sizes: list[int] | None = None) -> list[Any]:
    if scales is not None:
        return [x, None, np.array(scales, np.float32)]
    return [x, None, None, np.array(sizes, np.int64)]


def both(inputs: list[Any], tol: float = 3e-6, by: str = "ort", **attrs: Any) -> None:
    """With the operands known, and as data."""
    for const in ([1, 2, 3], []):
        check("Resize", inputs, const=const, opset=19, tol=tol, by=by, **attrs)


@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("nearest", NEAREST)
@pytest.mark.parametrize("size", SIZES)
def test_nearest(coordinates: str, nearest: str, size: tuple[int, int]) -> None:
    if coordinates == "half_pixel_symmetric" and (size, nearest) in TIED:
        pytest.skip("a tie")
    both(args(f32(1, 2, 3, 4), sizes=[1, 2, *size]), coordinate_transformation_mode=coordinates, nearest_mode=nearest)


@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("nearest", ["round_prefer_floor", "floor"])
@pytest.mark.parametrize("scale", [2.0, 3.0, 0.5, 0.6, 1.7])
def test_nearest_by_scales(coordinates: str, nearest: str, scale: float) -> None:
    if coordinates == "half_pixel_symmetric" and (scale, nearest) in TIED:
        pytest.skip("a tie")
    both(args(f32(1, 2, 5, 7), scales=[1, 1, scale, scale]), coordinate_transformation_mode=coordinates, nearest_mode=nearest)


def test_nearest_keeps_the_type() -> None:
    both(args(np.arange(24, dtype=np.uint8).reshape(1, 2, 3, 4), scales=[1, 1, 2, 3]), coordinate_transformation_mode="asymmetric",
         nearest_mode="floor")


@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("size", SIZES)
def test_linear(coordinates: str, size: tuple[int, int]) -> None:
    both(args(f32(2, 2, 3, 4), sizes=[2, 2, *size]), mode="linear", coordinate_transformation_mode=coordinates)


@pytest.mark.parametrize("shape", [(1, 2, 7), (1, 1, 3, 4, 5)])
def test_linear_ranks(shape: tuple[int, ...]) -> None:
    scales = [1.0, 1.0, *[1.6] * (len(shape) - 2)]
    by = "ort" if len(shape) == 5 else "ref"
    both(args(f32(*shape), scales=scales), mode="linear", by=by)


@pytest.mark.parametrize("coordinates", ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"])
@pytest.mark.parametrize("size", [(6, 8), (9, 7), (2, 3), (5, 13)])
@pytest.mark.parametrize("exclude", [0, 1])
def test_cubic(coordinates: str, size: tuple[int, int], exclude: int) -> None:
    both(args(f32(1, 2, 4, 5), sizes=[1, 2, *size]), mode="cubic", coordinate_transformation_mode=coordinates,
         exclude_outside=exclude, cubic_coeff_a=-0.6, tol=1e-5)


@pytest.mark.parametrize("mode", ["linear", "cubic"])
@pytest.mark.parametrize("scale", [0.4, 0.7, 1.5])
@pytest.mark.parametrize("exclude", [0, 1])
def test_antialias(mode: str, scale: float, exclude: int) -> None:
    both(args(f32(1, 1, 9, 11), scales=[1, 1, scale, scale]), mode=mode, antialias=1, by="ref", tol=1e-5, exclude_outside=exclude)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("region", [(0.1, 0.2, 0.8, 0.9), (-0.2, 0.3, 0.9, 1.4)])
def test_crop(mode: str, region: tuple[float, float, float, float]) -> None:
    top, left, bottom, right = region
    roi = np.array([0, 0, top, left, 1, 1, bottom, right], np.float32)
    x = f32(1, 1, 6, 7)
    inputs = [x, roi, None, np.array([1, 1, 4, 5], np.int64)]
    both(inputs, mode=mode, coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=7.5, tol=1e-5)


@pytest.mark.parametrize("policy", ["not_larger", "not_smaller"])
@pytest.mark.parametrize("sizes", [(7, 8), (3, 9)])
def test_aspect_ratio(policy: str, sizes: tuple[int, int]) -> None:
    inputs = [f32(1, 1, 4, 5), None, None, np.array(sizes, np.int64)]
    both(inputs, keep_aspect_ratio_policy=policy, axes=[2, 3], by="ref")


def test_axes() -> None:
    both([f32(2, 3, 4, 5), None, np.array([2.0, 1.5], np.float32)], axes=[3, 2], mode="linear", by="ref")


def test_integer_maps() -> None:
    for n, size in ((8, 4), (3, 9), (7, 5)):
        found = integer_map(np.arange(n) * size // n, size)
        assert found is not None
        p, r, q = found
        np.testing.assert_array_equal((np.arange(n) * p + r) // q, np.arange(n) * size // n)
    assert integer_map(np.array([0, 2, 2, 3]), 4) is None


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("coordinates", COORDINATES)
@pytest.mark.parametrize("scale", [2.0, 1.5, 0.5])
def test_open(mode: str, coordinates: str, scale: float) -> None:
    if mode == "cubic" and coordinates == "half_pixel_symmetric":
        return
    b = Builder("g")
    x = b.input("x", TensorType(dtypes.f32, (index.dim("N"), 2, index.dim("H"), index.dim("W"))))
    scales = np.array([1, 1, scale, scale], np.float32)
    y = b.op("Resize", [x, None, b.constant(scales)], mode=mode, coordinate_transformation_mode=coordinates)
    data = f32(2, 2, 5, 6)
    got = run_graph(b.graph([y]), {"x": data})
    want = expect("Resize", [data, None, scales], opset=19, mode=mode, coordinate_transformation_mode=coordinates)
    close(list(got.values()), want, 1e-5)


def test_half_computes_in_single() -> None:
    x = f32(1, 1, 4, 4).astype(np.float16)
    got, = run("Resize", args(x, scales=[1, 1, 2, 2]), const=[2], mode="linear")
    want, = expect("Resize", args(x.astype(np.float32), scales=[1, 1, 2, 2]), opset=19, mode="linear")
    np.testing.assert_array_equal(got, want.astype(np.float16))


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("antialias", [0, 1])
@pytest.mark.parametrize("const", [(3,), ()])
@pytest.mark.parametrize(("shape", "sizes"), [((1, 0, 3), (1, 0, 5)), ((1, 2, 3), (1, 0, 5)), ((1, 2, 0), (1, 2, 0))])
def test_nothing(mode: str, antialias: int, const: tuple[int, ...], shape: tuple[int, ...], sizes: tuple[int, ...]) -> None:
    inputs = [np.zeros(shape, np.float32), None, None, np.array(sizes)]
    assert run("Resize", inputs, const=const, mode=mode, antialias=antialias)[0].shape == sizes


def test_something_of_nothing() -> None:
    with pytest.raises(ModelError, match="nothing to read"):
        run("Resize", args(np.zeros((1, 0), np.float32), sizes=[1, 2]), const=(3,))


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("scales", [(1, 1, 2, 0.5), (1, 1, 0.6, 1.7), (1, 1, 3, 2)])
def test_opset_10_rounds_each_axis_by_its_own_scale(mode: str, known: bool, scales: tuple[float, ...]) -> None:
    """Up where it shrinks, down where it grows."""
    x, factors = f32(1, 2, 5, 6), np.array(scales, np.float32)
    node = helper.make_node("Resize", ["x", "s"], ["y"], mode=mode)
    graph = helper.make_graph([node], "g", [helper.make_tensor_value_info("x", 1, x.shape)],
                              [helper.make_empty_tensor_value_info("y")])
    operand = helper.make_tensor_value_info("s", 1, [4])
    if known:
        graph.initializer.append(numpy_helper.from_array(factors, "s"))
    else:
        graph.input.append(operand)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 10)], ir_version=5)
    feeds = {"x": x} if known else {"x": x, "s": factors}
    want = ort.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feeds)
    close(list(run_graph(load_graph(model), feeds).values()), want)
