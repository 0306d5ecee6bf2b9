# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Resize, and the operators that sample between pixels."""

from __future__ import annotations

from typing import Any

import numpy as np

from tests.fuzz.generator import Gen
from tests.fuzz.rows import row
from tests.fuzz.rows.convolution import image, sized
from tests.fuzz.values import Var

SCALES = (0.5, 0.6, 0.75, 1.0, 1.25, 1.5, 2.0, 2.5, 3.0)


@row("Resize", __name__)
def resize(g: Gen) -> None:
    x = image(g, ("float32",), (3, 5))
    mode = g.of(("nearest", "linear", "cubic")) if x.rank == 4 else "linear" if x.rank < 4 and g.chance(0.5) else "nearest"
    attrs: dict[str, Any] = {"mode": mode, "coordinate_transformation_mode": g.of(
        ("half_pixel", "asymmetric", "align_corners", "pytorch_half_pixel", "half_pixel_symmetric"))}
    if mode == "nearest":
        attrs["nearest_mode"] = g.of(("round_prefer_floor", "round_prefer_ceil", "floor", "ceil"))
    if mode == "cubic":
        attrs |= {"cubic_coeff_a": g.of((-0.75, -0.5)), "exclude_outside": g.int(0, 1)}
    if mode != "nearest" and g.chance(0.15) and x.rank == 4:
        attrs["antialias"] = 1
    spatial = x.rank - 2
    ins: list[Var | None] = [x, None]
    # A scale that is no fraction of a power of two puts a pixel on a rounding boundary in one precision and not in another.
    scales = [float(g.of((0.5, 0.75, 1.0, 1.5, 2.0, 2.5, 3.0))) for _ in range(spatial)]
    if g.chance(0.5):
        g.need(all(int(x.least(2 + k) * s) >= 1 for k, s in enumerate(scales)), "nothing left")
        ins.append(g.weight(np.array([1, 1, *scales], np.float32)))
    else:
        g.need(all(x.fixed(2 + k) for k in range(spatial)) and x.static, "open sizes")
        g.need(mode != "nearest" or attrs["coordinate_transformation_mode"] == "asymmetric", "rounding boundaries")
        ins += [None, g.ints(*x.shape[:2], *(max(int(d * s), 1) for d, s in zip(x.shape[2:], scales)))]
    g.need(mode != "nearest" or attrs["coordinate_transformation_mode"] != "align_corners", "rounding boundaries")
    g.node("Resize", ins, exact=mode == "nearest", **attrs)


@row("GridSample", __name__)
def grid_sample(g: Gen) -> None:
    x = image(g, ("float32",), (4, 5))
    mode = g.of(("linear", "linear", "cubic")) if x.rank == 4 else "linear"
    grid = g.any(("float32",), shape=[x.sizes[0], *g.sizes(x.rank - 2), *sized(g, [x.rank - 2])], low=-1.3, high=1.3)
    g.node("GridSample", [x, grid], mode=mode, padding_mode=g.of(("zeros", "border", "reflection")), align_corners=g.int(0, 1))


@row("AffineGrid", __name__)
def affine_grid(g: Gen) -> None:
    n = g.of((2, 3))
    theta = g.any(("float32",), shape=sized(g, [g.int(1, 3), n, n + 1]))
    size = g.ints(theta.shape[0], g.int(1, 3), *(g.int(2, 5) for _ in range(n)))
    g.node("AffineGrid", [theta, size], align_corners=g.int(0, 1))


@row("RoiAlign", __name__)
def roi_align(g: Gen) -> None:
    x = image(g, ("float32",), (4, 4))
    n = g.int(1, 4)  # averages only: onnxruntime says itself that its maximum is wrong
    corner = g.contents("float32", (n, 2), 0, 2)
    rois = np.concatenate([corner, corner + g.contents("float32", (n, 2), 1, 5)], -1).astype(np.float32)
    g.need(x.least(0) > 0, "no image")
    at = g.any(("int64",), shape=sized(g, [n]), low=0, high=x.least(0) - 1)
    g.node("RoiAlign", [x, g.given([rois] * g.settings.runs), at], output_height=g.int(1, 4), output_width=g.int(1, 4),
           sampling_ratio=g.int(1, 3), spatial_scale=g.of((0.5, 1.0)),
           coordinate_transformation_mode=g.of(("half_pixel", "output_half_pixel")))
