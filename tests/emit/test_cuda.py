# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Loop nests printed for CUDA: run on the CPU through the shim, and compiled by nvcc where there is one."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from aotgen import targets
from aotgen.core.errors import UnsupportedError
from aotgen.emit.loops import print_nest
from aotgen.emit.printed import PrintedKernel
from aotgen.emit.text import Text
from tests.emit import cases, harness

CASES = {n: c for n, c in cases.everything().items() if n != "boundless"}
DIALECT = targets.load("cuda").dialect


def _launch(text: Any, kernel: PrintedKernel, name: str, args: Sequence[str]) -> None:
    block = text.block()
    block.line("void* const stream = nullptr;")
    block.line(kernel.launch(name, args))


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return harness.build(CASES, DIALECT, tmp_path_factory.mktemp("cuda"), ("-Wno-unknown-pragmas",), wrap=_launch)


@pytest.mark.parametrize("name", CASES)
def test_equals_the_interpreter(library: ctypes.CDLL, name: str) -> None:
    harness.check(library, name, CASES[name])


def _schedules(case: cases.Case) -> list[str]:
    case.lower()
    return [print_nest(n, DIALECT).schedule.name for n in case.nests]


def test_schedules() -> None:
    assert _schedules(cases.relu()) == ["flat"]
    assert _schedules(cases.transpose()) == ["flat"]
    assert _schedules(cases.masked_softmax()) == ["row"]
    assert _schedules(cases.layernorm()) == ["row"]
    assert _schedules(cases.softmax((9, 7))) == ["column"]
    assert set(_schedules(cases.pool("max", blocked=False))) == {"column"}


def test_rows_without_a_bound_are_refused() -> None:
    with pytest.raises(UnsupportedError, match="bound"):
        _schedules(cases.boundless())


@pytest.mark.skipif(shutil.which("nvcc") is None, reason="no nvcc on this machine")
def test_nvcc_accepts_the_kernels(tmp_path: Path) -> None:
    out, seen = Text(), set()
    for line in DIALECT.includes:
        out.raw(f'#include "{line}"')
    space = out.block("namespace AOT_NS").block("namespace")
    space.block("struct Dims", "};").line("int batch_size_b98b, L_;")
    calls = out.block('extern "C" void start(void** b, cudaStream_t stream)')
    calls.line("using namespace AOT_NS; Dims d{};").line("(void)d;")
    for name in (
        "relu",
        "masked_softmax",
        "layernorm",
        "columns",
        "argmax_0",
        "half_f16",
        "whole_i64",
        "gather",
        "open_dims",
    ):
        case = cases.everything()[name]
        case.lower()
        for n in case.nests:
            k = print_nest(n, DIALECT)
            if k.key not in seen:
                seen.add(k.key)
                space.add(k.text(f"k{len(seen)}"))
                args = ["d"] if k.dims else []
                args += [f"static_cast<{c}*>(b[{j}])" for j, (_, c, _) in enumerate(k.params)]
                calls.line(k.launch(f"k{len(seen)}", args))
    (tmp_path / "k.cu").write_text(out.render(), encoding="ascii")
    done = subprocess.run(
        [
            "nvcc",
            "-std=c++17",
            "-arch=sm_80",
            "-cubin",
            "--expt-relaxed-constexpr",
            f"-I{harness.KERNELS}",
            str(tmp_path / "k.cu"),
            "-o",
            str(tmp_path / "k.cubin"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[:6000]
