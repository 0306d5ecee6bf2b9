# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""README.md of a generated library."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aotgen.emit.render import render
from aotgen.emit.steps import flops_text
from aotgen.ir.program import KernelCall
from aotgen.plan.memory import summary


def readme(values: Mapping[str, Any]) -> str:
    """The text, from the values every template gets."""
    planned = values["planned"]
    steps = list(planned.program.walk())
    flops = sum(s.flops for s in steps if isinstance(s, KernelCall) and isinstance(s.flops, int))
    face = values["face"]
    rows = [
        (_cell(r.name), r.member, r.dtype, " x ".join(map(str, r.shape)) or "scalar", kind)
        for kind, ports in (("input", face.inputs), ("output", face.outputs))
        for r in ports
    ]
    return render(
        "README.md.j2",
        **values,
        rows=rows,
        steps=len(steps),
        flops=flops_text(flops) if flops else "",
        barriers=len(planned.barriers),
        workspace=summary(planned.memory),
    )


def _cell(text: str) -> str:
    return "".join(c if c.isprintable() else " " for c in text).replace("|", "\\|").replace("`", "'")
