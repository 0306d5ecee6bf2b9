# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Bad models and bad output folders at the command line: the right exit code, one clear message, nothing left behind."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper, parser

from aotgen.cli.main import main
from tests.models import small

HEAD = '<ir_version: 8, opset_import: ["": 18]>\n'


def text(body: str) -> Callable[[Path], None]:
    return lambda path: onnx.save(parser.parse_model(HEAD + body), path)


def truncated(path: Path) -> None:
    small.save(small.CNN, path)
    path.write_bytes(path.read_bytes()[:2000])


def escaping(path: Path) -> None:
    """Weights said to lie outside the model's folder."""
    (path.parent.parent / "secret.bin").write_bytes(bytes(64))
    model = parser.parse_model(HEAD + "g (float[4] x) => (float[4] y) { y = Add(x, w) }")
    w = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    for key, value in (("location", "../secret.bin"), ("offset", "0"), ("length", "16")):
        w.external_data.add(key=key, value=value)
    model.graph.initializer.append(w)
    path.write_bytes(model.SerializeToString())


def unknown_domain(path: Path) -> None:
    node = helper.make_node("Frobnicate", ["x"], ["y"], "frob_1", domain="org.example")
    value = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [4]) for n in "xy"]
    graph = helper.make_graph([node], "g", value[:1], value[1:])
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("org.example", 1)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8), path)


# How to write each bad model, and words its message must hold.
BAD: dict[str, tuple[Callable[[Path], None], tuple[str, ...]]] = {
    "truncated": (truncated, ("m.onnx",)),
    "empty": (lambda p: p.write_bytes(b"") and None, ("m.onnx",)),
    "not onnx": (lambda p: p.write_text("once upon a time there was a network\n" * 40) and None, ("m.onnx",)),
    "cycle": (text("g (float[4] x) => (float[4] y) { a = Add(x, b)\n b = Relu(a)\n y = Neg(b) }"), ("cycle",)),
    "undefined input": (text("g (float[4] x) => (float[4] y) { y = Add(x, nowhere) }"), ("nowhere", "Add")),
    "uncomputed output": (text("g (float[4] x) => (float[4] y) { z = Relu(x) }"), ("y",)),
    "wrong types": (text("g (float[4] x, int64[4] i) => (float[4] y) { y = Add(x, i) }"), ("Add",)),
    "wrong shapes": (text("g (float[4,3] x, float[5,2] w) => (float[4,2] y) { y = MatMul(x, w) }"), ("MatMul",)),
    "unknown operator": (text("g (float[4] x) => (float[4] y) { y = Frobnicate(x) }"), ("Frobnicate",)),
    "unknown domain": (unknown_domain, ("Frobnicate", "org.example")),
    "escaping data": (escaping, ("secret.bin",)),
}


def run(path: Path, out: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Exit code and the one message of a compile that must fail."""
    code = main([str(path), "-o", str(out), "--no-build"])
    data, talk = capsys.readouterr()
    assert data == ""
    assert talk.count("error: ") == 1
    assert "Traceback" not in talk
    return code, talk


@pytest.mark.parametrize("case", BAD)
def test_bad_model(case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make, words = BAD[case]
    (tmp_path / "in").mkdir()
    path = tmp_path / "in" / "m.onnx"
    make(path)
    before = sorted(tmp_path.rglob("*"))
    code, talk = run(path, tmp_path / "libm", capsys)
    assert code == 1, talk
    assert all(w in talk for w in words), talk
    assert sorted(tmp_path.rglob("*")) == before


def test_missing_model(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, talk = run(tmp_path / "no.onnx", tmp_path / "libm", capsys)
    assert code in (1, 2)
    assert "no.onnx" in talk
    assert not list(tmp_path.iterdir())


def test_foreign_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = small.save(small.CHAIN, tmp_path / "m.onnx"), tmp_path / "mine"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    code, talk = run(path, out, capsys)
    assert code == 2
    assert "mine" in talk
    assert [p.name for p in out.iterdir()] == ["thesis.txt"]


def test_output_is_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = small.save(small.CHAIN, tmp_path / "m.onnx"), tmp_path / "taken"
    out.write_text("a file")
    assert run(path, out, capsys)[0] == 2
    assert out.read_text() == "a file"


def test_parent_is_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, taken = small.save(small.CHAIN, tmp_path / "m.onnx"), tmp_path / "taken"
    taken.write_text("a file")
    assert run(path, taken / "libm", capsys)[0] == 2
    assert taken.read_text() == "a file"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_unwritable_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, closed = small.save(small.CHAIN, tmp_path / "m.onnx"), tmp_path / "closed"
    closed.mkdir(mode=0o500)
    assert run(path, closed / "libm", capsys)[0] == 2
    assert not list(closed.iterdir())


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="needs /proc")
def test_nowhere_to_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = small.save(small.CHAIN, tmp_path / "m.onnx")
    assert run(path, Path("/proc/self/libm"), capsys)[0] == 2


def test_our_own_folder_is_replaced(tmp_path: Path) -> None:
    path, out = small.save(small.CHAIN, tmp_path / "m.onnx"), tmp_path / "libm"
    assert main([str(path), "-o", str(out), "--no-build", "-q"]) == 0
    (out / "src" / "stale.cpp").write_text("")
    assert main([str(path), "-o", str(out), "--no-build", "-q"]) == 0
    assert not (out / "src" / "stale.cpp").exists()
