# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A new elementwise operator is one file: the worked example of docs/adding-an-operator.md through the whole pipeline."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper, parser

import aotgen
from aotgen import driver
from aotgen.core.options import CompileOptions
from aotgen.ops import registry
from aotgen.ops.interp import run_graph

ROOT = Path(__file__).resolve().parents[1]
KEY = ("org.example", "SquaredRelu")


def block(language: str) -> str:
    """The one block of code in ``language`` of the page."""
    page = (ROOT / "docs" / "adding-an-operator.md").read_text()
    (found,) = re.findall(rf"```{language}\n(.*?)```", page, re.S)
    return str(found)


@pytest.fixture
def operator(tmp_path: Path) -> Iterator[None]:
    """The page's file, imported from outside the package as a user's would be."""
    path = tmp_path / "squared_relu.py"
    path.write_text(block("python"))
    spec = importlib.util.spec_from_file_location("squared_relu", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    assert KEY not in registry.TABLE
    spec.loader.exec_module(module)
    yield
    del registry.TABLE[KEY]


RNG = np.random.default_rng(3)
W = RNG.standard_normal((4, 3, 1, 1)).astype(np.float32)
X = RNG.standard_normal((2, 3, 8, 8)).astype(np.float32)
B = RNG.standard_normal((3, 1, 1)).astype(np.float32)


def model() -> onnx.ModelProto:
    made = parser.parse_model(block("onnx"))
    made.graph.initializer.append(numpy_helper.from_array(W, "w"))
    made.graph.initializer.append(numpy_helper.from_array(np.array([2, 3]), "axes"))
    return made


def expected() -> dict[str, np.ndarray]:
    conv = np.einsum("oc,nchw->nohw", W[:, :, 0, 0], X)
    return {"y": np.maximum(conv, 0) ** 2, "m": (0.5 * np.maximum(X + B, 0) ** 2).max(axis=(2, 3))}


@pytest.mark.usefixtures("operator")
def test_compiled(tmp_path: Path) -> None:
    made = aotgen.compile(model(), tmp_path / "libone")
    got = made.load()({"x": X, "b": B})
    for name, want in expected().items():
        np.testing.assert_allclose(got[name], want, rtol=1e-5, atol=1e-5)
    program = made.result.planned
    assert program is not None
    assert len(program.program.steps) == 2  # the convolution and the reduction: it has no step of its own


@pytest.mark.usefixtures("operator")
def test_interpreted() -> None:
    graph = driver.import_graph(model(), CompileOptions(name="one"))
    got = run_graph(graph, {"x": X, "b": B})
    for name, want in expected().items():
        np.testing.assert_allclose(got[name], want, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("operator")
def test_refusal_names_the_node(tmp_path: Path) -> None:
    head, _, _ = block("onnx").partition("\n")
    text = f"{head}\ng (int32[4] x) => (int32[4] y) {{ y = org.example.SquaredRelu(x) }}"
    with pytest.raises(aotgen.UnsupportedError, match="SquaredRelu of i32"):
        aotgen.compile(parser.parse_model(text), tmp_path / "libone", build=False)


def test_without_the_file_it_is_unknown(tmp_path: Path) -> None:
    with pytest.raises(aotgen.UnsupportedError, match=r"org\.example.*SquaredRelu|SquaredRelu.*org\.example"):
        aotgen.compile(model(), tmp_path / "libone", build=False)


@pytest.mark.parametrize("name", ["Softsign", "Mish", "Celu", "HardSwish", "ThresholdedRelu", "Acosh", "IsInf"])
def test_no_second_place_names_an_elementwise_operator(name: str) -> None:
    folders = [ROOT / f for f in ("aotgen", "kernels", "runtime", "templates")]
    files = [p for f in folders for p in f.rglob("*") if p.suffix in {".py", ".h", ".j2", ".cpp"}]
    naming = {p.relative_to(ROOT).parts[:2] for p in files if re.search(rf"\b{name}\b", p.read_text())}
    assert naming <= {("aotgen", "ops"), ("aotgen", "frontend")}  # adapters of older versions are in frontend/
    assert ("aotgen", "ops") in naming
