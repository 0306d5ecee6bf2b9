# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""verify() on built libraries: agreement, disagreement, the cache of truths, models without onnxruntime."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import pytest

from aotgen import driver, frontend
from aotgen.core.errors import UsageError
from aotgen.core.options import CompileOptions
from aotgen.toolchain.loader import Library
from aotgen.verify import ort, reference, verify

OPTIONS = CompileOptions(target="cpu:scalar", open_dims=(("n", (1, 8)),))
TEXT = """<ir_version: 9, opset_import: ["" : 20]> g (float[n,6] x, int64[n] i) => (float[n,6] y, int64[n] k)
  <float[4,6] table = {1,2,3,4,5,6, 6,5,4,3,2,1, 0,1,0,1,0,1, 2,2,2,2,2,2}> {
    t = Gather(table, i)
    s = Add(x, t)
    y = Softmax(s)
    k = ArgMax<axis=1, keepdims=0>(s)
}"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A model's path and the folder it was compiled into."""
    base = tmp_path_factory.mktemp("verify")
    onnx.save(onnx.parser.parse_model(TEXT), str(base / "m.onnx"))
    driver.compile_model(base / "m.onnx", base / "libm", OPTIONS)
    return base / "m.onnx", base / "libm"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AOTGEN_CACHE_DIR", str(tmp_path / "cache"))


def test_a_right_library_agrees_at_every_setting(built: tuple[Path, Path]) -> None:
    report = verify(built[0], Library(built[1]), OPTIONS, threads=(1, 3))
    assert report.ok
    assert [(dict(c.dims), c.threads) for c in report.cases] == [
        ({"n": 1}, 1), ({"n": 1}, 3), ({"n": 8}, 1), ({"n": 8}, 3)]
    assert all(c.same_bits for c in report.cases)
    assert {f.name for f in report.cases[0].findings} == {"y", "k"}
    assert report.remarks == ()


def test_another_models_library_does_not(built: tuple[Path, Path], tmp_path: Path) -> None:
    other = tmp_path / "other.onnx"
    onnx.save(onnx.parser.parse_model(TEXT.replace("Add(x, t)", "Sub(x, t)")), str(other))
    report = verify(other, Library(built[1]), OPTIONS, at=[{"n": 5}], threads=(1,))
    assert not report.ok
    assert report.worst is not None
    assert report.worst.name in ("y", "k")
    assert report.feeds["x"].shape == (5, 6)


def test_given_inputs(built: tuple[Path, Path], tmp_path: Path) -> None:
    np.savez(tmp_path / "in.npz", x=np.zeros((3, 6), np.float32), i=np.array([0, 3, 1]))
    report = verify(built[0], Library(built[1]), OPTIONS, feeds=tmp_path / "in.npz", threads=(1,))
    assert report.ok
    assert dict(report.cases[0].dims) == {"n": 3}


def test_truth_is_remembered(built: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    graph = frontend.load_graph(built[0], OPTIONS)
    feeds = {"x": np.ones((2, 6), np.float32), "i": np.array([1, 2])}
    first = reference.truth(graph, built[0], feeds, {"n": 2})
    again = reference.truth(graph, built[0], feeds, {"n": 2})
    assert not first.cached
    assert again.cached
    assert first.outputs is not None
    assert again.outputs is not None
    assert first.outputs["y"].dtype == np.float64
    assert all(np.array_equal(again.outputs[k], v) for k, v in first.outputs.items())
    assert not reference.truth(graph, built[0], {**feeds, "i": np.array([1, 3])}, {"n": 2}).cached
    monkeypatch.setattr(reference, "_interpreter", lambda: "repaired")
    assert not reference.truth(graph, built[0], feeds, {"n": 2}).cached


def test_too_large_for_float64(built: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reference, "MAC_LIMIT", -1)
    report = verify(built[0], Library(built[1]), OPTIONS, threads=(1,))
    assert report.ok
    assert "too many for a float64 run" in report.remarks[0]
    assert report.cases[0].findings[0].against == "onnxruntime"


def test_without_onnxruntime(built: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UsageError, match="onnxruntime is needed") as e:
        ort.require()
    assert "pip install" in e.value.hint
    assert verify(built[0], Library(built[1]), OPTIONS, threads=(1,), use_ort=False).ok
