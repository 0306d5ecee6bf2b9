# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Elementwise operators."""

from __future__ import annotations

from pathlib import Path

from tests.property.check import amounts, check
from tests.property.differences import NEITHER, ONNX, Difference, double

TABLE = (
    Difference("Gelu Erf", double, NEITHER, "onnxruntime has no kernel, and the evaluator's erf is an approximation to 1e-9"),
    Difference("Shrink ThresholdedRelu Elu Celu Selu LeakyRelu HardSigmoid", double, ONNX, "onnxruntime computes some in single precision"),
)


@amounts
def test_elementwise(amount: str, tmp_path: Path) -> None:
    check("elementwise", TABLE, amount, tmp_path)
