# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Movement operators whose attributes became inputs, or whose defaults changed."""

from __future__ import annotations

import numpy as np

from aotgen.core import dtypes
from aotgen.core.errors import ModelError
from aotgen.frontend.opset import EVERY, Draft, adapter, small_constant
from aotgen.ops.builder import Builder

REDUCTIONS = (
    "ReduceL1",
    "ReduceL2",
    "ReduceLogSum",
    "ReduceLogSumExp",
    "ReduceMax",
    "ReduceMean",
    "ReduceMin",
    "ReduceProd",
    "ReduceSumSquare",
)


@adapter("Squeeze", "Unsqueeze", "ReduceSum", to=13)
@adapter(*REDUCTIONS, to=18)
def axes_input(n: Draft, b: Builder) -> None:
    """``axes`` became an input."""
    n.attr_to_input(b, "axes", 1, dtypes.i64)


@adapter("Reshape", to=5)
def reshape_input(n: Draft, b: Builder) -> None:
    n.attr_to_input(b, "shape", 1, dtypes.i64)


@adapter("Concat", to=4)
def concat_axis(n: Draft, b: Builder) -> None:
    """The axis had a default."""
    n.attrs.setdefault("axis", 1)


@adapter("Split", to=2)
def split_default(n: Draft, b: Builder) -> None:
    """``split`` could be an attribute or an input."""
    if n.given(1):
        sizes = small_constant(b, n.inputs[1])
        if sizes is None:
            raise n.refuse("'split' must be known at compile time")
        n.attrs["split"] = sizes.astype(np.int64).ravel().tolist()
        n.inputs = n.inputs[:1]


@adapter("Split", to=13)
def split_input(n: Draft, b: Builder) -> None:
    n.attr_to_input(b, "split", 1, dtypes.i64)


@adapter("Split", to=18)
def split_count(n: Draft, b: Builder) -> None:
    """Without sizes, the number of outputs decides; opset 18 says so in an attribute."""
    if not n.given(1):
        n.attrs.setdefault("num_outputs", len(n.outputs))


@adapter("Slice", to=10)
def slice_inputs(n: Draft, b: Builder) -> None:
    for i, name in enumerate(("starts", "ends", "axes"), start=1):
        n.attr_to_input(b, name, i, dtypes.i64)


@adapter("Pad", to=2)
def pad_name(n: Draft, b: Builder) -> None:
    if "paddings" in n.attrs:
        n.attrs["pads"] = n.attrs.pop("paddings")


@adapter("Pad", to=11)
def pad_inputs(n: Draft, b: Builder) -> None:
    value = n.attrs.pop("value", 0.0)
    n.attr_to_input(b, "pads", 1, dtypes.i64)
    if value != 0.0 and n.attrs.get("mode", "constant") == "constant":
        with np.errstate(over="ignore"):  # a float16 model pads with the lowest float32: -inf
            n.set_input(2, b.constant(np.asarray(value, np.float32).astype(n.input(0).dtype.numpy)))


@adapter("Tile", to=6)
def tile_repeats(n: Draft, b: Builder) -> None:
    """Opset 1 repeated one axis: inputs were ``tiles`` and ``axis``, scalars."""
    tiles, axis = (small_constant(b, n.input(i)) for i in (1, 2))
    if tiles is None or axis is None:
        raise n.refuse("'tiles' and 'axis' must be known at compile time")
    repeats = np.ones(n.rank(0), np.int64)
    repeats[int(axis.ravel()[0])] = int(tiles.ravel()[0])
    n.inputs = [n.input(0), b.constant(repeats)]


@adapter("TopK", to=10)
def topk_input(n: Draft, b: Builder) -> None:
    if "k" not in n.attrs:
        raise ModelError("attribute 'k' is missing", node=n.where())
    n.attrs["k"] = [n.attrs["k"]]
    n.attr_to_input(b, "k", 1, dtypes.i64)


@adapter("Scatter", to=11)
def scatter_elements(n: Draft, b: Builder) -> None:
    n.op = "ScatterElements"


@adapter("DFT", to=20)
def dft_axis(n: Draft, b: Builder) -> None:
    """The axis became an input and its default moved from 1 to -2."""
    n.attrs.setdefault("axis", 1)
    n.attr_to_input(b, "axis", 2, dtypes.i64)


@adapter("Softmax", "LogSoftmax", "Hardmax", to=13)
def softmax_flatten(n: Draft, b: Builder) -> None:
    """Before opset 13 the input was coerced to 2-D at ``axis`` (default 1) and the second dim normalised."""
    rank = n.rank(0)
    axis = int(n.attrs.get("axis", 1))
    axis = axis + rank if axis < 0 else axis
    if axis > rank:
        raise ModelError(f"axis {axis} is out of range for rank {rank}", node=n.where())
    x = n.input(0)
    n.attrs["axis"] = -1
    if rank and axis == rank - 1:
        return
    tail = [k for k in range(axis, rank) if x.shape[k] != 1]
    if len(tail) == 1:
        n.attrs["axis"] = tail[0]
        return
    shape = b.op("Shape", [x])
    n.inputs[0] = b.op("Flatten", [x], axis=axis)
    n.chain(lambda y: b.op("Reshape", [y, shape]))


@adapter("Reshape", "Expand", "Squeeze", "Unsqueeze", "Slice", "Pad", to=EVERY)
def drop_trailing_absent(n: Draft, b: Builder) -> None:
    """An omitted optional input may be written as a trailing empty name."""
    while n.inputs and n.inputs[-1] is None:
        n.inputs.pop()
