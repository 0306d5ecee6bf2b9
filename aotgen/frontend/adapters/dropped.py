# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Experimental operators that the standard dropped and onnxruntime still runs; converted CNTK, Caffe2 and CoreML models
hold them. Each is written out as standard operators."""

from __future__ import annotations

from typing import Any

import numpy as np

from aotgen.core import dtypes
from aotgen.frontend.opset import EVERY, Draft, adapter
from aotgen.ir import index
from aotgen.ir.graph import Constant
from aotgen.ops.builder import Builder


def _scalar(n: Draft, b: Builder, name: str, default: float) -> Any:
    return b.scalar(float(n.attrs.get(name, default)), n.input(0).dtype)


@adapter("Affine", to=EVERY)
def affine(n: Draft, b: Builder) -> None:
    """alpha * x + beta."""
    scaled = b.op("Mul", [n.input(0), _scalar(n, b, "alpha", 1.0)])
    n.results = (b.op("Add", [scaled, _scalar(n, b, "beta", 0.0)]),)


@adapter("ImageScaler", to=EVERY)
def image_scaler(n: Draft, b: Builder) -> None:
    """scale * x + bias[c], x of [N, C, H, W]."""
    x = n.input(0)
    bias = np.asarray(n.attrs.get("bias", [0.0]), x.dtype.numpy).reshape(-1, *[1] * (len(x.shape) - 2))
    n.results = (b.op("Add", [b.op("Mul", [x, _scalar(n, b, "scale", 1.0)]), b.constant(bias)]),)


@adapter("ScaledTanh", to=EVERY)
def scaled_tanh(n: Draft, b: Builder) -> None:
    """alpha * tanh(beta * x)."""
    inner = b.op("Tanh", [b.op("Mul", [n.input(0), _scalar(n, b, "beta", 1.0)])])
    n.results = (b.op("Mul", [inner, _scalar(n, b, "alpha", 1.0)]),)


@adapter("ParametricSoftplus", to=EVERY)
def parametric_softplus(n: Draft, b: Builder) -> None:
    """alpha * log(1 + exp(beta * x)), computed so that a large x does not overflow."""
    v = b.op("Mul", [n.input(0), _scalar(n, b, "beta", 1.0)])
    tail = b.op("Exp", [b.op("Neg", [b.op("Abs", [v])])])
    zero, one = b.scalar(0.0, v.dtype), b.scalar(1.0, v.dtype)
    soft = b.op("Add", [b.op("Max", [v, zero]), b.op("Log", [b.op("Add", [one, tail])])])
    n.results = (b.op("Mul", [soft, _scalar(n, b, "alpha", 1.0)]),)


@adapter("Crop", to=EVERY)
def crop(n: Draft, b: Builder) -> None:
    """``border`` = left, top, right, bottom; with ``scale`` = height, width the extent is given instead of the far edge."""
    x = n.input(0)
    left, top, right, bottom = (int(v) for v in n.attrs["border"])
    height, width = x.shape[-2], x.shape[-1]
    ends = [index.as_dim(index.ix(height) - bottom), index.as_dim(index.ix(width) - right)]
    if n.attrs.get("scale"):
        ends = [top + int(n.attrs["scale"][0]), left + int(n.attrs["scale"][1])]
    starts, axes = (b.constant(np.array(v, np.int64)) for v in ([top, left], [-2, -1]))
    n.results = (b.op("Slice", [x, starts, b.constant(Constant.of_dims(tuple(ends), (2,), dtypes.i64)), axes]),)


@adapter("DynamicSlice", to=EVERY)
def dynamic_slice(n: Draft, b: Builder) -> None:
    """Slice of operator set 10 by its first name."""
    n.op, n.version = "Slice", 10


@adapter("Scale", to=EVERY)
def scale(n: Draft, b: Builder) -> None:
    """scale * x."""
    n.results = (b.op("Mul", [n.input(0), _scalar(n, b, "scale", 1.0)]),)
