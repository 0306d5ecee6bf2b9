# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The table of constant strings: what is in it, where, and how it is written in C."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from aotgen import driver
from aotgen.core.options import CompileOptions
from aotgen.emit.texts import texts_source
from aotgen.ir.graph import Constant
from aotgen.ir.program import Packed, packed, row_major
from aotgen.plan.texts import TextsPlan
from aotgen.toolchain.compiler import find_compiler

WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror")


def strings(*values: str) -> np.ndarray:
    out = np.empty(len(values), object)
    out[:] = values
    return out


def model(*constants: np.ndarray) -> onnx.ModelProto:
    """Each constant indexed by the input."""
    outs = [f"y{k}" for k in range(len(constants))]
    nodes = [helper.make_node("Gather", [f"c{k}", "i"], [o]) for k, o in enumerate(outs)]
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("i", 7, [2])], [helper.make_tensor_value_info(o, 8, [2]) for o in outs],
                              [numpy_helper.from_array(a, f"c{k}") for k, a in enumerate(constants)])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)


def test_equal_constants_are_one(tmp_path: Path) -> None:
    folder = tmp_path / "libm"
    driver.compile_model(model(strings("a", "é"), strings("b", "c", ""), strings("a", "é")), folder, CompileOptions(name="m"), build=False)
    text = (folder / "src/m_texts.c").read_text("utf-8")
    assert "m_texts[5]" in text
    assert text.count('{"a", 1},') == 1
    assert '{"\\303\\251", 2},' in text
    assert not list(folder.glob("src/*weights*"))


def test_contents_follow_the_layout() -> None:
    whole = Constant.of(strings("a", "b", "c", "d", "e", "f").reshape(2, 3))
    plan = TextsPlan({}, (Packed(whole, packed((2, 3), (1, 0))), Packed(Constant.of(strings("x")), row_major((1,)))), 7)
    assert list(plan.contents()) == [b"a", b"d", b"b", b"e", b"c", b"f", b"x"]


def test_without_a_string_there_is_one() -> None:
    plan = TextsPlan({}, (Packed(Constant.of(np.empty(0, object)), row_major((0,))),), 1)
    assert list(plan.contents()) == [b""]


@pytest.mark.parametrize("text", ["", "plain", '"\\??/\n\0%s', "é\udcff", "z" * 4000, "é" * 40000], ids=["empty", "plain", "odd", "bytes", "edge", "long"])
def test_c_reads_back_the_bytes(tmp_path: Path, text: str) -> None:
    """Also of a string longer than a C compiler need take."""
    data = text.encode("utf-8", "surrogateescape")
    plan = TextsPlan({}, (Packed(Constant.of(strings(text, "tail")), row_major((2,))),), 2)
    (tmp_path / "m.h").write_text("#include <stddef.h>\ntypedef struct { const char* data; size_t size; } aotgen_string;\n")
    (tmp_path / "m_texts.c").write_text(texts_source(plan, "m"), "utf-8")
    (tmp_path / "main.c").write_text(
        '#include <stdio.h>\n#include "m.h"\nextern const aotgen_string m_texts[2];\n'
        "int main(void) { return fwrite(m_texts[0].data, 1, m_texts[0].size, stdout) == m_texts[0].size && m_texts[1].size == 4 ? 0 : 1; }\n")
    command = [*find_compiler().cc, "-std=c99", *WARNINGS, "main.c", "m_texts.c", "-o", "main"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert subprocess.run([tmp_path / "main"], capture_output=True, check=True).stdout == data
