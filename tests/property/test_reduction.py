# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Reductions."""

from __future__ import annotations

from pathlib import Path

from tests.property.check import amounts, check
from tests.property.differences import NEITHER, ONNX, Difference, empty, has_nan, large_integers

TABLE = (
    Difference("ArgMax ArgMin", has_nan, NEITHER, "whether NaN is the greatest is said nowhere, and each differs"),
    Difference("ReduceLogSumExp", has_nan, ONNX, "onnxruntime loses NaN in the maximum it takes off"),
    Difference("ReduceMean ReduceMax ReduceMin ReduceLogSum ReduceLogSumExp", empty, NEITHER, "the mean or maximum of nothing is not said to be anything"),
    Difference("ReduceSum ReduceL1 ReduceProd ReduceSumSquare", large_integers, ONNX, "onnxruntime sums integers in floats, or lets them saturate; they wrap"),
)


@amounts
def test_reduction(amount: str, tmp_path: Path) -> None:
    check("reduction", TABLE, amount, tmp_path)
