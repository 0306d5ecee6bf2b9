# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Normalisation, pooling, recurrent and sampling operators."""

from __future__ import annotations

import numpy as np

from aotgen.frontend.opset import EVERY, Draft, adapter
from aotgen.ops.builder import Builder


@adapter("BatchNormalization", to=7)
def batchnorm_test(n: Draft, b: Builder) -> None:
    """``is_test`` chose inference; every model we compile is inference."""
    n.attrs.pop("is_test", None)


@adapter("BatchNormalization", to=9)
def batchnorm_spatial(n: Draft, b: Builder) -> None:
    """``spatial = 0`` kept one mean and variance per element instead of per channel."""
    if int(n.attrs.pop("spatial", 1)) or n.rank(0) <= 2:
        return
    x, scale, bias, mean, var = (n.input(i) for i in range(5))
    eps = b.scalar(float(n.attrs.get("epsilon", 1e-5)), x.dtype)
    deviation = b.op("Sqrt", [b.op("Add", [var, eps])])
    unit = b.op("Div", [b.op("Sub", [x, mean]), deviation])
    n.results = (b.op("Add", [b.op("Mul", [unit, scale]), bias]), *[None] * (len(n.outputs) - 1))


@adapter("BatchNormalization", to=14)
def batchnorm_outputs(n: Draft, b: Builder) -> None:
    """Outputs beyond Y existed for training only."""
    n.outputs = n.outputs[:1]


@adapter("LayerNormalization", to=17)
def layernorm_types(n: Draft, b: Builder) -> None:
    """Before the standard had it, onnxruntime's own took a scale of another type, which the result has too."""
    if n.input(0).dtype is not n.input(1).dtype:
        n.inputs[0] = b.op("Cast", [n.input(0)], to=n.input(1).dtype.onnx)


@adapter("LpPool", "GlobalLpPool", to=2)
def lp_order(n: Draft, b: Builder) -> None:
    """``p`` was a float."""
    if "p" in n.attrs:
        n.attrs["p"] = int(n.attrs["p"])


@adapter("RNN", "GRU", "LSTM", to=7)
def rnn_outputs(n: Draft, b: Builder) -> None:
    """``output_sequence`` said whether Y is wanted; since opset 7 its being named does."""
    n.attrs.pop("output_sequence", None)


@adapter("GroupNormalization", to=21)
def groupnorm_channels(n: Draft, b: Builder) -> None:
    """Opset 18 had one scale and bias per group, opset 21 has one per channel."""
    groups, channels = int(n.attrs["num_groups"]), n.input(0).shape[1]
    each = np.array([groups, channels // groups], np.int64)
    for i in (1, 2):
        column = b.op("Reshape", [n.input(i), b.constant(np.array([groups, 1], np.int64))])
        wide = b.op("Expand", [column, b.constant(each)])
        n.inputs[i] = b.op("Reshape", [wide, b.constant(np.array([-1], np.int64))])


@adapter("RoiAlign", to=16)
def roi_align_pixels(n: Draft, b: Builder) -> None:
    """Opset 16 shifted pixels by half by default."""
    n.attrs["coordinate_transformation_mode"] = "output_half_pixel"


@adapter("GridSample", to=20)
def grid_sample_modes(n: Draft, b: Builder) -> None:
    renamed = {"bilinear": "linear", "bicubic": "cubic"}
    mode = n.attrs.get("mode", "bilinear")
    n.attrs["mode"] = renamed.get(mode, mode)


# -- Resize and its predecessor


@adapter("Upsample", to=7)
def upsample_two_scales(n: Draft, b: Builder) -> None:
    """Opset 1 knew only images: ``height_scale`` and ``width_scale``."""
    n.attrs["scales"] = [1.0, 1.0, float(n.attrs.pop("height_scale")), float(n.attrs.pop("width_scale"))]
    if n.attrs.get("mode") == "bilinear":
        n.attrs["mode"] = "linear"


@adapter("Upsample", to=9)
def upsample_scales(n: Draft, b: Builder) -> None:
    n.set_input(1, b.constant(np.asarray(n.attrs.pop("scales"), np.float32), "scales"))


@adapter("Upsample", to=10)
def upsample_resize(n: Draft, b: Builder) -> None:
    """Upsample became Resize."""
    n.op = "Resize"


@adapter("Resize", to=11)
def resize_asymmetric(n: Draft, b: Builder) -> None:
    """Opset 10: inputs X and scales; output pixel i reads input pixel i / scale. For ``nearest`` the index was rounded
    down when enlarging; onnxruntime rounds up when shrinking, and so do we."""
    x, scales = n.input(0), n.input(1)
    n.inputs = [x, None, scales]
    n.attrs["coordinate_transformation_mode"] = "asymmetric"
    n.attrs["nearest_mode"] = "simple"


@adapter("Resize", to=EVERY)
def resize_absent(n: Draft, b: Builder) -> None:
    """An operand that is not used may be written as an empty tensor."""
    n.inputs = [None if v is None or (i and v.shape == (0,)) else v for i, v in enumerate(n.inputs)]
    while n.inputs and n.inputs[-1] is None:
        n.inputs.pop()
