# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""MatMul, Gemm, Einsum of any equation, Det, and integer products."""

from __future__ import annotations

from pathlib import Path

from tests.property.check import amounts, check
from tests.property.differences import NEITHER, ONNX, ORT, Difference, always, empty, special

TABLE = (
    Difference("Det", special, NEITHER, "which pivot meets NaN is not said"),
    Difference("MatMulInteger", empty, ONNX, "onnxruntime leaves sums of nothing as it found them"),
    Difference("QLinearMatMul", always, ORT, "onnx rounds after it has added the zero point: a tie falls the other way where that is odd"),
)


@amounts
def test_contraction(amount: str, tmp_path: Path) -> None:
    check("contraction", TABLE, amount, tmp_path)
