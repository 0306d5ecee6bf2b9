# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The text of a Program shows each kind of step, every loop and statement, and is the same every time."""

from __future__ import annotations

from pathlib import Path

from aotgen import driver
from aotgen.core.options import CompileOptions
from aotgen.ir.print_program import print_program
from tests.models import small


def program(text: str, tmp_path: Path) -> str:
    hooks = driver.Hooks(stop_after="plan", dump_dir=tmp_path / "dump", print_ir_after=frozenset({"plan"}), echo=said.append)
    result = driver.compile_model(small.model(text), tmp_path / "libm", CompileOptions(name="m"), hooks=hooks)
    assert result.planned is not None
    shown = print_program(result.planned.program)
    assert (tmp_path / "dump" / "plan.program").read_text() == shown
    assert said.pop() == f"// after plan\n{shown}"
    assert (tmp_path / "dump" / "lower.program").exists()
    assert not (tmp_path / "libm").exists()
    return shown


said: list[str] = []


def test_kernels_and_nests(tmp_path: Path) -> None:
    shown = program(small.CNN, tmp_path)
    assert "kernel conv conv_" in shown
    assert "max((acc[" in shown  # the Relu, in the convolution's epilogue
    assert "halo (1,1) of axis 2" in shown
    assert " = max " in shown  # MaxPool and Softmax fold
    assert "OC=16" in shown


def test_regions(tmp_path: Path) -> None:
    shown = program(small.CONTROL, tmp_path)
    assert "\n  loop " in shown
    assert "\n  if " in shown
    assert "\n  else\n" in shown
    assert "sin((" in shown
    assert shown == program(small.CONTROL, tmp_path)
