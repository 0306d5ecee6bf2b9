# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Elementwise operators: broadcasting before opset 7, attributes that became inputs, enums that were strings."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto

from aotgen.core import dtypes
from aotgen.core.errors import ModelError
from aotgen.frontend.opset import Draft, Results, adapter, small_constant
from aotgen.ops.builder import Builder


@adapter("Add", "Sub", "Mul", "Div", "And", "Or", "Xor", "Equal", "Greater", "Less", "Pow", to=7)
def explicit_broadcast(n: Draft, b: Builder) -> None:
    """Before opset 7 the second operand was aligned at ``axis`` (by default at the end) when ``broadcast`` was 1."""
    axis, broadcast = n.attrs.pop("axis", None), n.attrs.pop("broadcast", 0)
    if not broadcast or axis is None:
        return
    rank, inner = n.rank(0), n.rank(1)
    axis = int(axis) + rank if int(axis) < 0 else int(axis)
    if inner and axis + inner < rank:
        shape = [*n.input(1).shape, *[1] * (rank - axis - inner)]
        n.inputs[1] = b.op("Reshape", [n.input(1), b.constant(np.array(shape, np.int64))])


@adapter("PRelu", to=7)
def prelu_channels(n: Draft, b: Builder) -> None:
    """Before opset 7 a slope of C elements belonged to axis 1."""
    slope, rank = n.input(1), n.rank(0)
    if len(slope.shape) == 1 and slope.shape[0] != 1 and rank > 2:
        shape = np.array([slope.shape[0], *[1] * (rank - 2)], np.int64)
        n.inputs[1] = b.op("Reshape", [slope, b.constant(shape)])


@adapter("Gemm", to=7)
def gemm_broadcast(n: Draft, b: Builder) -> None:
    """Opset 7 made the broadcast of C implicit."""
    n.attrs.pop("broadcast", None)


@adapter("Clip", to=11)
def clip_bounds(n: Draft, b: Builder) -> None:
    """``min`` and ``max`` became inputs."""
    n.attr_to_input(b, "min", 1, n.input(0).dtype)
    n.attr_to_input(b, "max", 2, n.input(0).dtype)


@adapter("Cast", to=6)
def cast_enum(n: Draft, b: Builder) -> None:
    """``to`` was the name of the type."""
    to = n.attrs.get("to")
    if isinstance(to, (str, bytes)):
        name = (to.decode() if isinstance(to, bytes) else to).upper()
        if name not in list(TensorProto.DataType.keys()):
            raise ModelError(f"Cast to unknown type {name}", node=n.where())
        n.attrs["to"] = TensorProto.DataType.Value(name)


@adapter("Dropout", to=10)
def dropout_mask(n: Draft, b: Builder) -> None:
    """The mask had the type of the data."""
    n.attrs.pop("is_test", None)
    if len(n.outputs) > 1 and n.outputs[1]:
        onnx_type = n.input(0).dtype.onnx

        def finish(results: Results) -> Results:
            return results[0], b.op("Cast", [results[1]], to=onnx_type)

        n.finish = finish


@adapter("Dropout", to=12)
def dropout_ratio(n: Draft, b: Builder) -> None:
    """``ratio`` became an input; a node of these versions is inference only, where it does nothing."""
    n.attrs.pop("ratio", None)


@adapter("Dropout", to=10_000)
def dropout_inference(n: Draft, b: Builder) -> None:
    """Outside training, Dropout without a mask is Identity."""
    training = small_constant(b, n.inputs[2]) if n.given(2) else np.array(False)
    if training is not None and not training.any() and not (len(n.outputs) > 1 and n.outputs[1]):
        n.op, n.inputs, n.attrs = "Identity", n.inputs[:1], {}


@adapter("QuantizeLinear", "DequantizeLinear", to=13)
def quantise_scalar(n: Draft, b: Builder) -> None:
    """Opset 10 knew only whole-tensor scales, sometimes written with one element of rank 1."""
    for i in (1, 2):
        v = n.inputs[i] if n.given(i) else None
        if v is not None and v.shape == (1,) and n.rank(0) > 0:
            n.inputs[i] = b.op("Reshape", [v, b.constant(np.zeros(0, dtypes.i64.numpy))])
