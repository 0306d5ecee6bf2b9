# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""`verify` and `bench` of models with strings."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser

import aotgen
from aotgen.bench.measure import bench
from aotgen.core.options import CompileOptions
from aotgen.verify import ort, verify

TEXT = """<ir_version: 9, opset_import: ["" : 20, "ai.onnx.ml" : 3]> g (string[n] x, float[n,2] f) => (string[n] y, int64[n] l, string[n] c, float[n,2] m) {
    y = StringConcat(x, x) l = ai.onnx.ml.LabelEncoder<keys_strings = ["a", "word"], values_int64s = [1, 2]>(x)
    c, s = ai.onnx.ml.LinearClassifier<coefficients = [1.0, 0.0, 0.0, 1.0], intercepts = [0.0, 0.1], classlabels_strings = ["zwei", "eins"]>(f)
    m = Identity(s) }"""


def model(tmp_path: Path) -> Path:
    path = tmp_path / "m.onnx"
    onnx.save(onnx.parser.parse_model(TEXT), path)
    return path


def test_verify(tmp_path: Path) -> None:
    path = model(tmp_path)
    options = CompileOptions(open_dims=(("n", (1, 9)),))
    library = aotgen.compile(path, tmp_path / "libm", dims={"n": (1, 9)}).load().library
    report = verify(path, library, options, threads=(1, 3))
    assert report.ok
    assert not report.remarks
    assert {f.dtype for c in report.cases for f in c.findings} == {"string", "int64", "float32"}


def test_a_wrong_string_is_found(tmp_path: Path) -> None:
    """Held against a library of another model."""
    path = model(tmp_path)
    other = onnx.parser.parse_model(TEXT.replace("StringConcat(x, x)", "Identity(x)"))
    library = aotgen.compile(other, tmp_path / "libm", dims={"n": 4}).load().library
    report = verify(path, library, CompileOptions(dims=(("n", 4),)), threads=(1,))
    assert [f.name for f in report.cases[0].findings if not f.ok] == ["y"]


def test_the_maps_of_a_zip_map_are_scores(tmp_path: Path) -> None:
    """In the order of the labels, not of the keys."""
    made = onnx.parser.parse_model(TEXT)
    made.graph.node.append(onnx.helper.make_node("ZipMap", ["s"], ["z"], domain="ai.onnx.ml", classlabels_strings=["zwei", "eins"]))
    made.graph.output.append(onnx.helper.make_value_info("z", onnx.helper.make_sequence_type_proto(onnx.helper.make_map_type_proto(
        onnx.TensorProto.STRING, onnx.helper.make_tensor_type_proto(onnx.TensorProto.FLOAT, None)))))
    found = ort.run(made, {"x": np.array(["a", "b"], object), "f": np.array([[1, 0], [0, 2]], np.float32)})
    np.testing.assert_array_equal(found["z"], found["m"])


def test_bench(tmp_path: Path) -> None:
    path = model(tmp_path)
    folder = aotgen.compile(path, tmp_path / "libm", dims={"n": 3}).folder
    feeds = {"x": np.array(["a", "é", ""], object), "f": np.ones((3, 2), np.float32)}
    row, = bench(folder, path, feeds, threads=[1], rounds=1, seconds=0.02)
    assert row.ours.median > 0
    assert row.theirs is not None
    assert row.theirs.median > 0
