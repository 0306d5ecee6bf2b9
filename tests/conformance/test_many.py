# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Several models in one library: each computes its own, and one that fails costs only itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from aotgen import backend, many
from aotgen.core.errors import ToolchainError, UnsupportedError, UsageError

X = np.array([[-1.0, 2.0, -3.0]], np.float32)


def model(body: str, kind: str = "float[1,3]") -> onnx.ModelProto:
    return onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : 20]> g ({kind} x) => ({kind} y) {{ {body} }}')


FOUR = {"relu": model("y = Relu(x)"), "abs": model("y = Abs(x)"), "neg": model("y = Neg(x)"), "exp": model("y = Exp(x)")}
WANT = {"relu": np.maximum(X, 0), "abs": np.abs(X), "neg": -X, "exp": np.exp(X)}


def check(made: Any, key: str) -> None:
    np.testing.assert_allclose(made[key].load().run({"x": X})["y"], WANT[key], rtol=1e-6)


def test_each_model_of_a_group_computes_its_own(tmp_path: Path) -> None:
    out = many.compile_many(FOUR, tmp_path, group=3)
    assert not out.failed and len({m.shared for m in out.made.values()}) == 2
    for key in FOUR:
        check(out.made, key)


def test_a_model_that_is_refused_fails_alone(tmp_path: Path) -> None:
    bad = onnx.parser.parse_model('<ir_version: 10, opset_import: ["" : 20]> g (string[4] x) => (bool[4] y) { y = RegexFullMatch<pattern = "[[:nothing:]]">(x) }')
    out = many.compile_many({"relu": FOUR["relu"], "bad": bad, "abs": FOUR["abs"]}, tmp_path)
    assert isinstance(out.failed["bad"], UnsupportedError) and set(out.made) == {"relu", "abs"}
    check(out.made, "abs")


@pytest.mark.parametrize("message", ["src/m2_isa.cpp:7:1: error: no", "no line is named"])
def test_a_model_the_compiler_refuses_fails_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, message: str) -> None:
    real, calls = many.build, []

    def build(folder: Path, **kwargs: Any) -> Any:
        calls.append(folder.name)
        if (folder / "src" / "m2.cpp").exists():
            raise ToolchainError(message)
        return real(folder, **kwargs)

    monkeypatch.setattr(many, "build", build)
    out = many.compile_many(FOUR, tmp_path)
    assert set(out.failed) == {"neg"} and set(out.made) == {"relu", "abs", "exp"}
    assert len(calls) == (3 if "error:" in message else 5)
    for key in out.made:
        check(out.made, key)


def test_the_backend_runs_models_and_nodes() -> None:
    prepared = backend.prepare(FOUR["relu"])
    assert np.array_equal(prepared.run([X])["y"], WANT["relu"])
    assert np.array_equal(prepared.run({"x": X})[0], WANT["relu"])
    assert np.array_equal(backend.run_model(FOUR["abs"], [X]).y, WANT["abs"])
    node = onnx.helper.make_node("Sub", ["a", "b"], ["c"])
    assert np.array_equal(backend.run_node(node, [X, WANT["abs"]])[0], X - np.abs(X))
    with pytest.raises(UsageError, match="2 inputs"):
        prepared.run([X, X])


def test_the_backend_compiles_an_open_dim_once() -> None:
    prepared = backend.prepare(model("y = Relu(x)", "float[n,3]"))
    for n in (1, 5):
        assert prepared.run([np.tile(X, (n, 1))])[0].shape == (n, 3)


def test_the_backend_is_of_the_cpu() -> None:
    assert backend.supports_device("CPU") and not backend.supports_device("CUDA") and not backend.supports_device("nonsense")
