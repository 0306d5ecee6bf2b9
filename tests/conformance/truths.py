# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What operators mean where onnx's reference evaluator has nothing for a type, in NumPy. Operands by formal name; floats
are float64."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Operands = Mapping[str, Array]


def scatter(v: Operands, attrs: Mapping[str, Any]) -> list[Array]:
    out = v["data"].copy()
    np.put_along_axis(out, v["indices"], v["updates"], 0)
    return [out]


def one_hot(v: Operands, attrs: Mapping[str, Any]) -> list[Array]:
    at = np.arange(int(v["depth"])) == v["indices"][:, None]
    return [np.where(at, v["values"][1], v["values"][0])]


def global_lp_pool(v: Operands, attrs: Mapping[str, Any]) -> list[Array]:
    return [np.sqrt(np.sum(np.square(v["X"]), (2, 3), keepdims=True))]


def layer_norm(v: Operands, attrs: Mapping[str, Any]) -> list[Array]:
    x = v["X"]
    mean = x.mean(-1, keepdims=True)
    inverse = 1 / np.sqrt(np.square(x - mean).mean(-1, keepdims=True) + float(np.float32(1e-5)))
    return [(x - mean) * inverse * v["Scale"] + v["B"], mean, inverse]


def qlinear_matmul(v: Operands, attrs: Mapping[str, Any]) -> list[Array]:
    a, b = ((v[x].astype(float) - float(v[f"{x}_zero_point"])) * float(v[f"{x}_scale"]) for x in "ab")
    y, zero = a @ b / float(v["y_scale"]), v["y_zero_point"]
    if zero.dtype.kind in "iu":
        info = np.iinfo(zero.dtype)
        return [np.clip(np.rint(y) + zero, info.min, info.max)]
    top = float(ml_dtypes.finfo(zero.dtype).max)  # type: ignore[no-untyped-call]
    return [np.clip(y + float(zero), -top, top)]


def doubled(v: Operands, attrs: Mapping[str, Any]) -> list[Array]:
    return [v["X"].repeat(2, 2).repeat(2, 3)]


def mean_variance(v: Operands, attrs: Mapping[str, Any]) -> list[Array]:
    x = v["X"]
    centred = x - x.mean((0, 2, 3), keepdims=True)
    return [centred / (np.sqrt(np.square(centred).mean((0, 2, 3), keepdims=True)) + 1e-9)]


def same(v: Operands, attrs: Mapping[str, Any]) -> list[Array]:
    return list(v.values())


def one_pixel(v: Operands, attrs: Mapping[str, Any]) -> list[Array]:
    """Of a picture whose last three bytes are its only pixel."""
    return [v["encoded_stream"][-3:].reshape(1, 1, 3)]
