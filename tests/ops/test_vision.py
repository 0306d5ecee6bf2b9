# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""GridSample, AffineGrid and RoiAlign against onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
from graphs import RNG, check, f32


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
@pytest.mark.parametrize("corners", [0, 1])
def test_grid_sample(mode: str, padding: str, corners: int) -> None:
    grid = RNG.uniform(-1.6, 1.6, (2, 3, 4, 2)).astype(np.float32)
    check("GridSample", [f32(2, 3, 5, 6), grid], opset=20, mode=mode, padding_mode=padding, align_corners=corners, tol=1e-5)


@pytest.mark.parametrize("mode", ["nearest", "linear"])
def test_grid_sample_volumes(mode: str) -> None:
    grid = RNG.uniform(-1.3, 1.3, (1, 2, 3, 4, 3)).astype(np.float32)
    check("GridSample", [f32(1, 2, 4, 5, 6), grid], opset=20, mode=mode, tol=1e-5)


@pytest.mark.parametrize("corners", [0, 1])
def test_affine_grid(corners: int) -> None:
    check("AffineGrid", [f32(2, 2, 3), np.array([2, 3, 4, 5], np.int64)], const=[1], opset=20, align_corners=corners)
    check("AffineGrid", [f32(1, 3, 4), np.array([1, 3, 2, 4, 5], np.int64)], const=[1], opset=20, align_corners=corners)


@pytest.mark.parametrize("mode", ["avg", "max"])
@pytest.mark.parametrize("coordinates", ["half_pixel", "output_half_pixel"])
def test_roi_align(mode: str, coordinates: str) -> None:
    rois = np.array([[0, 0, 9, 9], [2, 3, 7, 12], [-4, 1, 30, 5]], np.float32)
    check("RoiAlign", [f32(2, 3, 8, 9), rois, np.array([0, 1, 0], np.int64)], opset=16, mode=mode, output_height=3, output_width=2,
          sampling_ratio=2, spatial_scale=0.7, coordinate_transformation_mode=coordinates, tol=1e-5)


@pytest.mark.parametrize("mask", [False, True])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize(("group", "parts"), [(1, 1), (2, 1), (1, 2), (2, 4)])
def test_deform_conv(mask: bool, bias: bool, group: int, parts: int) -> None:
    args = [f32(1, 4, 4, 5), f32(4, 4 // group, 3, 2), f32(1, parts * 12, 4, 3), f32(4) if bias else None,
            f32(1, parts * 6, 4, 3) if mask else None]
    while args[-1] is None:
        args.pop()
    check("DeformConv", args, by="ref", group=group, offset_group=parts, pads=[1, 1, 1, 0], strides=[1, 2], tol=1e-5)
