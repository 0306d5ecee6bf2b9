# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Loop nests printed for the CPU, compiled without a warning, against the interpreter of Defs."""

from __future__ import annotations

import ctypes
import platform
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from aotgen import targets
from aotgen.core import dtypes
from aotgen.emit.loops import print_nest
from aotgen.ir import index
from aotgen.ir.define import source
from aotgen.ir.program import Buffer, LoopNest, Stage, Stmt, Tensor, row_major
from tests.emit import cases, harness

CASES = cases.everything()


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    return harness.build(CASES, targets.load("cpu").dialect, tmp_path_factory.mktemp("loops"))


@pytest.mark.parametrize("name", CASES)
def test_equals_the_interpreter(library: ctypes.CDLL, name: str) -> None:
    harness.check(library, name, CASES[name])


def test_equal_layers_share_a_function() -> None:
    case, other, wider = (cases.softmax(shape) for shape in ((12, 77), (12, 77), (12, 78)))
    dialect = targets.load("cpu").dialect
    keys = []
    for n, c in enumerate((case, other, wider)):
        for d in (*c.feeds, *c.outputs):
            d.name = f"/layer{n}/softmax"
        c.lower()
        keys.append([print_nest(nest, dialect).key for nest in c.nests])
    assert keys[0] == keys[1] != keys[2]


def test_names_stand_in_comments_only() -> None:
    case = cases.bias()
    for d in (*case.feeds, *case.outputs):
        d.name = "int main() {\n*/ #include \\"
    case.lower()
    text = print_nest(case.nests[0], targets.load("cpu").dialect).text("k").render()
    assert all(line.lstrip().startswith("//") for line in text.splitlines() if "main" in line)
    assert "\\\n" not in text


def _one_row(size: int) -> LoopNest:
    x, y = source("x", (size,), dtypes.f32), source("y", (size,), dtypes.f32)
    lane = index.fresh_var(size)
    tensors = {d: Tensor(Buffer(d.name, d.dtype, d.size, "workspace"), row_major(d.shape)) for d in (x, y)}
    return LoopNest("copy", (), (Stage((lane,), (Stmt(y, (index.var(lane),), x[lane] * 2.0),), lane=lane),), tensors)


def test_offsets_are_int_below_two_to_the_31() -> None:
    dialect = targets.load("cpu").dialect
    assert "int l = 0" in print_nest(_one_row((1 << 31) - 1), dialect).text("k").render()
    assert "int64_t l = 0; l < 2147483648" in print_nest(_one_row(1 << 31), dialect).text("k").render()


def test_one_buffer_in_place_is_one_pointer() -> None:
    nest = _one_row(64)
    x, y = nest.tensors
    same = replace(nest, tensors=dict.fromkeys((x, y), nest.tensors[x]))
    printed = print_nest(same, targets.load("cpu").dialect)
    assert len(printed.params) == 1 and not printed.params[0][2]
    moved = replace(nest, tensors={x: replace(nest.tensors[x], base=64), y: nest.tensors[x]})
    two = print_nest(moved, targets.load("cpu").dialect)
    assert len(two.params) == 2 and "__restrict" not in two.text("k").render()


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the flags are for x86-64")
@pytest.mark.parametrize("arch", ["x86-64-v3", "x86-64-v4"])
def test_promised_loops_are_vectors(tmp_path: Path, arch: str) -> None:
    """Every loop under ``omp simd`` is reported vectorised by GCC."""
    chosen = {
        "softmax": cases.softmax((12, 200)),
        "axis1": cases.softmax((5, 23, 200)),
        "masked": cases.masked_softmax(),
        "layernorm_gelu": cases.layernorm(9, 192),
        "bias_tanh": cases.bias(),
        "quantise": cases.quantise(dtypes.u8),
        "dequantise": cases.dequantise(),
        "where": cases.where(),
        "columns": cases.columns(),
        "half": cases.halves(dtypes.bf16),
    }
    dialect = targets.load("cpu").dialect
    for c in chosen.values():
        c.lower()
        c.kernels = [print_nest(n, dialect) for n in c.nests]
    source_file = tmp_path / "v.cpp"
    source_file.write_text(harness.render(chosen, dialect, (), harness.call_threads), encoding="ascii")
    flags = [f for f in harness.FLAGS if f != "-march=native"]
    done = subprocess.run(
        [
            "g++",
            *flags,
            f"-march={arch}",
            "-fopt-info-vec-optimized",
            f"-I{harness.KERNELS}",
            "-o",
            str(tmp_path / "v.so"),
            str(source_file),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    vectors = {int(m[1]) for m in re.finditer(r"v\.cpp:(\d+):\d+: optimized: loop vectorized", done.stderr)}
    lines = source_file.read_text(encoding="ascii").splitlines()
    promised = [n + 1 for n, line in enumerate(lines) if "#pragma omp simd" in line]
    assert len(promised) == sum(k.vector_loops for c in chosen.values() for k in c.kernels)
    lost = [lines[n : _end(lines, n)] for n in promised if vectors.isdisjoint(range(n + 1, _end(lines, n) + 1))]
    assert not [body for body in lost if not _is_copy(body)]  # GCC makes memcpy and memset of those


def _is_copy(body: list[str]) -> bool:
    return (
        len(body) == 2 and re.fullmatch(r"\w+\[[^]]*\] = (\w+\[[^]]*\]|-?[\w.]+(\(\))?);", body[1].strip()) is not None
    )


def _end(lines: list[str], header: int) -> int:
    """The line that closes the block begun at ``header``."""
    indent = len(lines[header]) - len(lines[header].lstrip())
    return next(n for n in range(header + 1, len(lines)) if lines[n] == " " * indent + "}")
