# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Floor 8: a built library against onnxruntime and against a float64 run of the same Graph."""

from __future__ import annotations

from aotgen.verify.check import Case, Report, verify
from aotgen.verify.contract import Finding, compare, limit, relative_error
from aotgen.verify.inputs import read_npz, seeded

__all__ = ["Case", "Finding", "Report", "compare", "limit", "read_npz", "relative_error", "seeded", "verify"]
