# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The CUDA dialect: the scalar text of the C++ family in ``__global__`` functions; what differs are the schedules."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from aotgen.targets.base import Fold, Schedule
from aotgen.targets.cfamily import CFamily
from aotgen.targets.cuda.schedules import COLUMN, FLAT, ROW


class CudaDialect(CFamily):
    """CUDA C++17."""

    name = "cuda"
    dims_parameter = "const Dims d"  # by value: it lives on the host
    includes: tuple[str, ...] = ("cuda/launch.h", "cuda/warp.h", "common/scalar.h", "common/vmath.h")
    schedules: Sequence[Schedule] = (FLAT, ROW, COLUMN)

    def _extreme(self, kind: str, dtype: str, across: bool) -> Fold:
        """vmax keeps NaN, so lanes merge by it too."""
        fold = super()._extreme(kind, dtype, across)
        return fold if fold.combine else replace(fold, combine=kind)


DIALECT = CudaDialect()
