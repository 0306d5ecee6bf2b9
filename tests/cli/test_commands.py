# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""compile, verify, explain and bench on a small model, as a user runs them."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import onnx.parser
import pytest

from aotgen.cli.main import main

WEIGHTS = ",".join(f"0.{k}" for k in range(10, 42))
TEXT = f"""<ir_version: 9, opset_import: ["" : 20]> g (float[n,8] x) => (float[n,4] y) <float[8,4] w = {{{WEIGHTS}}}> {{
    [product] h = MatMul(x, w)
    [act] y = Tanh(h)
}}"""
TARGET = ["--target", "cpu:scalar"]


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A model's path and the folder that `aotgen` compiled it into."""
    base = tmp_path_factory.mktemp("cli")
    onnx.save(onnx.parser.parse_model(TEXT), str(base / "m.onnx"))
    assert main([str(base / "m.onnx"), "-o", str(base / "libtiny"), "--dim", "n=5", *TARGET]) == 0
    return str(base / "m.onnx"), str(base / "libtiny")


def test_compile_says_what_it_made(library: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "libnet"
    assert main([library[0], "-o", str(out), "--dim", "n=5", *TARGET, "--no-build"]) == 0
    stdout, err = capsys.readouterr()
    assert stdout == ""
    assert (out / "include" / "net.h").is_file()
    assert not list(out.glob("lib/*"))
    assert "workspace" in err
    last = err.strip().splitlines()[-1]
    assert str(out) in last
    assert "cmake" in last
    assert main([library[0], "-o", str(out), "--dim", "n=6", *TARGET, "--no-build", "-q"]) == 0, "our own folder is replaced"
    assert capsys.readouterr() == ("", "")


def test_verify_agrees(library: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", library[0], "--lib", library[1], "--dim", "n=5", "--json"]) == 0
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert report["ok"]
    assert [c["threads"] for c in report["cases"]][0] == 1
    assert len(report["cases"]) == 2
    assert "verified" in err


def test_verify_finds_the_wrong_library(library: tuple[str, str], tmp_path: Path,
                                        capsys: pytest.CaptureFixture[str]) -> None:
    onnx.save(onnx.parser.parse_model(TEXT.replace("Tanh", "Sigmoid")), str(tmp_path / "other.onnx"))
    words = ["verify", str(tmp_path / "other.onnx"), "--lib", library[1], "--dim", "n=5", *TARGET]
    assert main([*words, "--no-bisect"]) == 3
    out, err = capsys.readouterr()
    assert "WRONG" in out
    assert "output 'y'" in err
    assert main(words) == 3
    assert "right when compiled alone" in capsys.readouterr().err, "the search compiles the right model"


def test_explain(library: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", library[0], "--dim", "n=5", *TARGET]) == 0
    assert "MatMul product" in capsys.readouterr().out
    assert main(["explain", library[0], "product", "--dim", "n=5", *TARGET, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["choices"][0]["node"] == "MatMul product"
    assert main(["explain", library[0], "nowhere", "--dim", "n=5", *TARGET]) == 2


def test_bench(library: tuple[str, str], capsys: pytest.CaptureFixture[str]) -> None:
    words = ["bench", library[0], "--lib", library[1], "--dim", "n=5", "--rounds", "2", "--seconds", "0.01", "--json"]
    assert main(words) == 0
    found = json.loads(capsys.readouterr().out)
    row = found["rows"][0]
    assert row["threads"] == 1
    assert 0 < row["ours"]["low"] <= row["ours"]["median"] <= row["ours"]["high"]
    assert row["theirs"]["runs"] >= 10
    assert row["ratio"]["median"] > 0
    assert found["startup_seconds"] < 1.0
