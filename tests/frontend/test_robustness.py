# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Malformed and hostile models: one clear error that names the node, never a crash."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from aotgen.core.errors import AotgenError, ModelError, UnsupportedError, UsageError
from aotgen.frontend import inspect, load_graph
from aotgen.passes import pipeline

from .models import parsed

GOOD = "g (float[2] x) => (float[2] y) { [n1] a = Neg(x) [n2] y = Relu(a) }"


def edited(**changes: str) -> onnx.ModelProto:
    """The good model with node attributes replaced by hand: ``n1_in='y'``."""
    model = parsed(GOOD)
    for node, (name, value) in zip((model.graph.node[int(k[1]) - 1] for k in changes), changes.items(), strict=True):
        getattr(node, {"in": "input", "out": "output", "op": "op_type"}[name[3:]])
        if name.endswith("op"):
            node.op_type = value
        elif name.endswith("in"):
            node.input[0] = value
        else:
            node.output[0] = value
    return model


@pytest.fixture
def good(tmp_path: Path) -> Path:
    path = tmp_path / "m.onnx"
    onnx.save(parsed(GOOD), path)
    return path


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        load_graph(tmp_path / "none.onnx")


@pytest.mark.parametrize("content", [b"", b"hello", b"\x7fELF" + bytes(100), b"PK\x03\x04" + bytes(50), bytes(64), b"<html></html>"])
def test_not_onnx(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"m\.onnx.*(not an ONNX model|no graph)"):
        load_graph(path)


def test_every_truncation(good: Path) -> None:
    whole = good.read_bytes()
    for n in range(len(whole)):
        good.write_bytes(whole[:n])
        try:
            load_graph(good)
        except AotgenError as e:
            assert e.exit_code == 1
        else:
            assert n == len(whole) or n > len(whole) - 12, "only the operator set at the end may be missing"


def test_damaged_bytes_never_crash(good: Path) -> None:
    whole = bytearray(good.read_bytes())
    rng = random.Random(7)
    for _ in range(300):
        damaged = bytearray(whole)
        for _ in range(rng.randint(1, 3)):
            damaged[rng.randrange(len(damaged))] = rng.randrange(256)
        good.write_bytes(damaged)
        try:
            load_graph(good)
        except AotgenError as e:
            assert e.exit_code in (1, 2), str(e)


@pytest.mark.parametrize(("model", "message"), [
    (edited(n1_in="y"), "Neg n1: .*cycle"),
    (edited(n1_in="a"), "Neg n1: .*cycle"),
    (edited(n2_in="nowhere"), "Relu n2: input 'nowhere' is not defined"),
    (edited(n2_out="a"), "Relu n2: 'a' is already an output of Neg n1"),
    (edited(n2_out="z"), "output 'y' .* not computed"),
    (edited(n1_op="Negg"), "Negg n1: unknown operator Negg"),
    (parsed("g (float[2] x) => (float[2] y) { [n] y = a.b.Foo(x) }"), "Foo n: unknown operator a.b.Foo"),
    (parsed("g (float[2] x, int64[2] z) => (float[2] y) { [n] y = Add(x, z) }"), "Add n: input 'B' is tensor.int64. but input 'A'"),
    (parsed("g (bool[2] x) => (bool[2] y) { [n] y = Relu(x) }"), "Relu n: input 'X' .* is tensor.bool., which Relu does not take"),
    (parsed("g (float[2] x, float[3] z) => (float[2] y) { [n] y = Add(x, z) }"), "Add n"),
    (parsed("g (float[2,3] x, float[2,3] z) => (float[2] y) { [n] y = MatMul(x, z) }"), "MatMul n"),
    (parsed("g (float[2] x) => (float[2] y) { [n] y = Add(x) }"), "Add n"),
    (parsed("g (float[2] x) => (float[2] y) { [n] y = Relu<alpha=1>(x) }"), "Relu n"),
    (parsed("g (float[2] x) => (float[2] y) { [n] y = Transpose<perm=[0,5]>(x) }"), "Transpose n"),
    (parsed("g (float[2] x) => (float[2] y) { [n] y = Relu(x) }", 900), "operator set 900"),
])
def test_malformed(model: onnx.ModelProto, message: str) -> None:
    with pytest.raises((ModelError, UnsupportedError), match=message):
        load_graph(model)


def test_unsorted_nodes_are_sorted() -> None:
    model = parsed("g (float[2] x) => (float[2] y) { y = Relu(a) a = Neg(x) }")
    assert [n.op for n in load_graph(model).nodes] == ["Neg", "Relu"]


def test_dead_nodes_are_not_read() -> None:
    assert len(load_graph(parsed("g (float[2] x) => (float[2] y) { y = Relu(x) z = Foo(x) }")).nodes) == 1


def test_function_that_calls_itself() -> None:
    text = """<ir_version: 10, opset_import: ["" : 21, "l" : 1]> g (float[2] x) => (float[2] y) { y = l.f(x) }
    <domain: "l", opset_import: ["" : 21, "l" : 1]> f (a) => (b) { b = l.f(a) }"""
    with pytest.raises(ModelError, match="calls itself"):
        load_graph(onnx.parser.parse_model(text))


# -- stored tensors


def with_tensor(tensor: TensorProto) -> onnx.ModelProto:
    model = parsed("g (float[2] x) => (float[2] y) { y = Add(x, w) }")
    tensor.name = "w"
    model.graph.initializer.append(tensor)
    return model


def external(folder: Path, location: str, **info: int) -> Path:
    tensor = TensorProto(data_type=1, dims=[2], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": location, **info}.items():
        tensor.external_data.add(key=key, value=str(value))
    path = folder / "m.onnx"
    path.write_bytes(with_tensor(tensor).SerializeToString())
    return path


def test_external_data_is_mapped_when_loaded(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(8) + np.array([1, 2], np.float32).tobytes())
    graph = load_graph(external(tmp_path, "w.bin", offset=8, length=8))
    (constant,) = graph.constants.values()
    loaded = constant.load()
    assert isinstance(loaded.base if loaded.base is not None else loaded, (np.memmap, np.ndarray))
    assert loaded.tolist() == [1, 2]


@pytest.mark.parametrize(("location", "info", "message"), [
    ("../w.bin", {}, "outside the model's folder"), ("/etc/passwd", {}, "outside the model's folder"),
    ("sub/../../w.bin", {}, "outside"), ("none.bin", {}, "is missing"), ("", {}, "names no file"),
    ("w.bin", {"offset": 4}, "holds 8 bytes"), ("w.bin", {"offset": -8}, "holds 8 bytes"), ("w.bin", {"length": 4}, "declared as 4"),
    ("link.bin", {}, "outside")])
def test_bad_external_data(tmp_path: Path, location: str, info: dict[str, int], message: str) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(8))
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "w.bin").write_bytes(bytes(8))
    (folder / "link.bin").symlink_to(tmp_path / "w.bin")
    with pytest.raises(ModelError, match=message):
        load_graph(external(folder, location, **info))


def test_external_data_without_a_folder(tmp_path: Path) -> None:
    (tmp_path / "w.bin").write_bytes(bytes(8))
    with pytest.raises(ModelError, match="without a folder"):
        load_graph(onnx.load(external(tmp_path, "w.bin"), load_external_data=False))


@pytest.mark.parametrize("tensor", [
    TensorProto(data_type=1, dims=[2], raw_data=bytes(7)), TensorProto(data_type=1, dims=[2], float_data=[1.0]),
    TensorProto(data_type=1, dims=[-2], raw_data=bytes(8)), TensorProto(data_type=77, dims=[2], raw_data=bytes(8)),
    TensorProto(data_type=0, dims=[2], raw_data=bytes(8))])
def test_bad_tensors(tensor: TensorProto) -> None:
    with pytest.raises((ModelError, UnsupportedError)):
        load_graph(with_tensor(tensor))


def test_every_dtype_is_read() -> None:
    for dtype in ("float64", "float16", "int8", "uint16", "int64", "bool", "uint64"):
        array = np.array([[0, 1], [1, 0]], dtype)
        model = parsed("g () => (float[2,2] y) { y = Cast<to=1>(w) }")
        model.graph.initializer.append(numpy_helper.from_array(array, "w"))
        (constant,) = (c for c in load_graph(model).constants.values() if c.dtype.numpy == np.dtype(dtype))
        np.testing.assert_array_equal(constant.load(), array)
    packed = helper.make_tensor("w", TensorProto.INT4, [3], [-8, 7, 1])
    model = parsed("g () => (float[3] y) { y = Cast<to=1>(w) }")
    model.graph.initializer.append(packed)
    graph = load_graph(model)
    assert next(c for c in graph.constants.values() if c.dtype.name == "i4").load().astype(int).tolist() == [-8, 7, 1]


def test_inspect_lists_every_problem() -> None:
    report = inspect(parsed("""g (float[N] x) => (float[N] y) { [a] b = Foo(x) [c] d = Bar(b) [e] f = Neg(d) [g] h = Foo(x)
        y = Add(f, h) }"""))
    assert [p.node for p in report.problems] == ["Foo a", "Foo g", "Bar c"] or {p.node for p in report.problems} == {"Foo a", "Bar c", "Foo g"}
    assert report.macs is None
    assert report.open_dims == (("N", ("x axis 0",)),)


def test_inspect_tells_problems_of_open_dims_apart() -> None:
    report = inspect(parsed("""g (float[N] x, int64[M] i) => (float[K] y, float[P] z) {
        [pick] y = GatherND(x, i) [odd] z = Foo(x) }"""))
    assert [p.node for p in report.problems] == ["Foo odd"]
    assert [p.node for p in report.problems_if_open] == ["GatherND pick"]


def test_more_than_two_gigabytes_are_never_read(tmp_path: Path) -> None:
    """A sparse 3 GiB file: importing and optimising touch none of it, loading maps it."""
    with open(tmp_path / "w.bin", "wb") as f:
        f.truncate(3 << 30)
    tensor = TensorProto(data_type=1, dims=[3 << 18, 1024], name="w", data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value="w.bin")
    model = parsed("g (float[2,1024] x) => (float[2,786432] y) { t = Transpose<perm=[1,0]>(w) y = MatMul(x, t) }")
    model.graph.initializer.append(tensor)
    path = tmp_path / "m.onnx"
    path.write_bytes(model.SerializeToString())
    graph = pipeline.optimise(load_graph(path))
    assert [n.op for n in graph.nodes] == ["MatMul"]
    weight = graph.constants[graph.nodes[0].inputs[1]]  # type: ignore[index]
    assert weight.shape == (1024, 3 << 18)
    assert not weight.load()[3, 7]
