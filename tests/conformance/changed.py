# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Other values for operands that decide a shape.

Where a case gives a shape, axes or sizes as an input, its declared output shape gives the answer away, and so does any compiler
that reads the value off the test data. The same library must also do with another value: the rows say which, onnx's
reference what then comes out.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from onnx.reference import ReferenceEvaluator

from tests.conformance.cases import Case, DataSet, free_inputs

Array = np.ndarray[Any, Any]
Change = Callable[[Array, Sequence[Array]], Array]  # of the operand, beside all of the node's inputs


def _next_axis(value: Array, inputs: Sequence[Array]) -> Array:
    """Every axis by one further, none twice."""
    rank = max(inputs[0].ndim, 1)
    return ((value % rank + 1) % rank).astype(value.dtype)


def _turned(value: Array, inputs: Sequence[Array]) -> Array:
    return value[::-1].copy() if (value > 0).all() else value


def _more(value: Array, inputs: Sequence[Array]) -> Array:
    return value + np.ones_like(value)


def _less(value: Array, inputs: Sequence[Array]) -> Array:
    return np.maximum(value - 1, 1).astype(value.dtype)


def _wider(value: Array, inputs: Sequence[Array]) -> Array:
    """One more wherever the tensor has an extent of 1 to spread."""
    own = np.array([1] * (len(value) - inputs[0].ndim) + list(inputs[0].shape), value.dtype)[-len(value) :]
    return np.where(own == 1, value + 1, value).astype(value.dtype)


def _start(value: Array, inputs: Sequence[Array]) -> Array:
    return np.where(value >= 0, value + 1, value).astype(value.dtype)


REDUCTIONS = ("Sum", "Mean", "Max", "Min", "Prod", "L1", "L2", "LogSum", "LogSumExp", "SumSquare")
ROWS: dict[tuple[str, int], Change] = {
    **{(f"Reduce{name}", 1): _next_axis for name in REDUCTIONS},
    ("CumSum", 1): _next_axis,
    ("CumProd", 1): _next_axis,
    ("Reshape", 1): _turned,
    ("Split", 1): _turned,
    ("Expand", 1): _wider,
    ("Tile", 1): _more,
    ("ConstantOfShape", 0): _more,
    ("OneHot", 1): _more,
    ("Pad", 1): _more,
    ("CenterCropPad", 1): _less,
    ("TopK", 1): _less,
    ("Slice", 1): _start,
    ("Range", 1): _more,
    ("Resize", 3): _more,
    ("Resize", 2): _more,
    ("STFT", 1): _more,
    ("MelWeightMatrix", 0): _more,
}


def variant(case: Case) -> DataSet | None:
    """The case's first data set with the operand changed; None where it has none, or onnx's reference cannot say."""
    nodes = case.model.graph.node
    if len(nodes) != 1 or nodes[0].domain or not case.data:
        return None
    names = [i.name for i in free_inputs(case.model)]
    feeds = dict(zip(names, case.data[0][0], strict=False))
    for (op, k), change in ROWS.items():
        if op != nodes[0].op_type or k >= len(nodes[0].input) or nodes[0].input[k] not in feeds:
            continue
        name = nodes[0].input[k]
        inputs = [feeds[n] for n in nodes[0].input if n in feeds]
        if not all(isinstance(a, np.ndarray) for a in inputs) or feeds[name].size == 0:
            return None
        new = change(feeds[name], inputs)
        if np.array_equal(new, feeds[name]):
            return None
        return _expected(case, names, {**feeds, name: new})
    return None


def _expected(case: Case, names: Sequence[str], feeds: dict[str, Any]) -> DataSet | None:
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            outputs = ReferenceEvaluator(case.model).run(None, feeds)
    except Exception:  # the reference has its own limits, which say nothing about the library
        return None
    return [feeds[n] for n in names], list(outputs)
