# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""docs/architecture.md tells the truth: its excerpts are found, in order, in what its model compiles to."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

from aotgen import driver, targets
from aotgen.core.options import CompileOptions
from aotgen.ir import define
from aotgen.lower.scope import Scope

PAGE = (Path(__file__).resolve().parents[1] / "docs" / "architecture.md").read_text(encoding="utf-8")
OPTIONS = CompileOptions(name="tiny", target="cpu:avx512", threads=2)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.S | re.M)


def squeezed(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines() if line.strip()]


def model() -> onnx.ModelProto:
    made = parser.parse_model(blocks("onnx")[0])
    rng = np.random.default_rng(0)
    for name, shape in (("w", (16, 16, 3, 3)), ("b", (16,)), ("v", (16, 16, 3, 3))):
        made.graph.initializer.append(numpy_helper.from_array(rng.standard_normal(shape).astype(np.float32), name))
    return made


def defs() -> str:
    """Every expression of the plain lowering, and what it is reduced over."""
    scope = Scope(driver.import_graph(model(), OPTIONS), {})
    for v in scope.graph.inputs:
        scope.env[v] = define.source(v.name, v.shape, v.dtype)
    found = [d for d in define.topological(scope.build()) if d.expr is not None]
    return "\n".join(f"{d.red} over {list(d.rvars)}: {d.expr}" if d.red else f"{d.expr}" for d in found)


@pytest.fixture(scope="module")
def shown(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The text of every stage, by the language of the blocks that quote it."""
    folder = tmp_path_factory.mktemp("page")
    hooks = driver.Hooks(dump_dir=folder / "dump")
    result = driver.compile_model(model(), folder / "libtiny", OPTIONS, build=False, hooks=hooks)
    rows = "\n".join(f"{c.node} {c.chosen}" for c in result.choices)
    return {
        "graph": driver.print_graph(result.graph),
        "defs": defs(),
        "choices": rows,
        "program": (folder / "dump" / "lower.program").read_text(),
        "cpp": (folder / "libtiny" / "src" / "tiny_avx512.cpp").read_text(),
    }


@pytest.mark.parametrize("language", ["graph", "defs", "choices", "program", "cpp"])
def test_excerpts(language: str, shown: dict[str, str]) -> None:
    assert blocks(language)
    for block in blocks(language):
        rest = iter(squeezed(shown[language]))
        missing = [line for line in squeezed(block) if line not in rest]
        assert not missing, "docs/architecture.md quotes what is no longer printed; print it again (last table of the page)"


@pytest.mark.parametrize("stage", ["import", "passes", "lower", "plan", "emit"])
def test_stages_are_those_of_the_driver(stage: str) -> None:
    assert stage in driver.STAGES
    assert re.search(rf"--stop-after [^`]*\b{stage}\b", PAGE)


def test_files_exist() -> None:
    root = Path(__file__).resolve().parents[1]
    named = set(re.findall(r"`((?:\w+/)+\w+\.(?:py|h|md)|\w+\.py)`", PAGE))
    assert len(named) > 10
    bases = (root, root / "aotgen")
    assert not [n for n in named if not any((b / n).exists() for b in bases)]
    assert targets.load("cpu").rules["Conv"]
