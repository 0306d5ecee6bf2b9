# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Floor 5: order of steps, the arena, in-place reuse, barriers, and the layout of the weights blob."""

from aotgen.plan.planned import Planned, plan

__all__ = ["Planned", "plan"]
