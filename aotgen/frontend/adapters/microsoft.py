# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""com.microsoft operators that the standard has under the same or another name since: read as those."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from aotgen.core import dtypes
from aotgen.frontend.opset import EVERY, Draft, adapter
from aotgen.ops.builder import Builder

MICROSOFT = "com.microsoft"
# Name there -> name and version of the standard's operator that means the same.
STANDARD = {
    "ExpandDims": ("Unsqueeze", 13), "GatherND": ("GatherND", 12), "GridSample": ("GridSample", 16), "Pad": ("Pad", 13),
    "TorchEmbedding": ("Gather", 13), "Trilu": ("Trilu", 14), "Range": ("Range", 11), "Unique": ("Unique", 11),
}  # fmt: skip
Change = Callable[[Draft, Builder], None]


def _expand_dims(n: Draft, b: Builder) -> None:
    """The axis is a number of 32 bits."""
    axis = b.op("Cast", [n.input(1)], to=dtypes.i64.onnx)
    n.inputs[1] = b.op("Reshape", [axis, b.constant(np.array([1], np.int64))])


def _torch_embedding(n: Draft, b: Builder) -> None:
    """What the padding row and the scaling of gradients are for is training."""
    n.inputs, n.attrs = n.inputs[:2], {}


def _range(n: Draft, b: Builder) -> None:
    """The step is 1 where it is absent; each operand is a number, or a tensor that holds one."""
    if not n.given(2):
        n.set_input(2, b.scalar(1, n.input(0).dtype))
    number = b.constant(np.zeros(0, np.int64))
    n.inputs = [v if v is None or not v.shape else b.op("Reshape", [v, number]) for v in n.inputs]


def _unique(n: Draft, b: Builder) -> None:
    """Values in the order they first appear, where each element went, how often each is there."""
    n.attrs["sorted"] = 0
    first, *rest = n.outputs
    n.outputs = [first, "", *rest]
    n.finish = lambda results: (results[0], *results[2:])  # without the places of the values


CHANGES: dict[str, Change] = {
    "ExpandDims": _expand_dims, "TorchEmbedding": _torch_embedding, "Range": _range, "Unique": _unique,
}  # fmt: skip


def _reading(op: str, version: int, change: Change | None) -> Change:
    def read(n: Draft, b: Builder) -> None:
        if change is not None:
            change(n, b)
        n.op, n.domain, n.version = op, "", version

    return read


for _name, (_op, _version) in STANDARD.items():
    adapter(_name, to=EVERY, domain=MICROSOFT)(_reading(_op, _version, CHANGES.get(_name)))
