# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The kernel rules of the CPU target: operator -> who may offer a template kernel for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aotgen.targets.anchors import Rule
from aotgen.targets.cpu import convolution, gemm

RULES: Mapping[str, Sequence[Rule]] = {
    "Conv": (convolution.conv,),
    "ConvTranspose": (convolution.conv_transpose,),
    "MatMul": (gemm.matmul,),
}
