# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""One meaning for every exit code, one clear message, data on stdout and talk on stderr."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import onnx
import onnx.parser
import pytest

from aotgen import driver
from aotgen.cli.main import main
from aotgen.core.errors import (
    AotgenError,
    InternalError,
    MismatchError,
    ModelError,
    ToolchainError,
    UnsupportedError,
    UsageError,
)

RELU = '<ir_version: 9, opset_import: ["" : 20]> g (float[2,n] x) => (float[2,n] y) { [act] y = Relu(x) }'


@pytest.fixture
def model(tmp_path: Path) -> Path:
    onnx.save(onnx.parser.parse_model(RELU), str(tmp_path / "m.onnx"))
    return tmp_path / "m.onnx"


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ModelError("broken", node="Conv c1"), 1),
        (UnsupportedError("no such thing", hint="something else"), 1),
        (UsageError("nonsense"), 2),
        (MismatchError("off by a lot"), 3),
        (ToolchainError("g++: error"), 4),
        (InternalError("invariant"), 101),
        (ZeroDivisionError("division by zero"), 101),
        (KeyboardInterrupt(), 130),
    ],
)
def test_errors_become_exit_codes(error: BaseException, code: int, monkeypatch: pytest.MonkeyPatch,
                                  capsys: pytest.CaptureFixture[str]) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise error

    monkeypatch.setattr(driver, "compile_model", fail)
    assert main(["m.onnx", "-o", "lib"]) == code
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert "Traceback" not in err
    if isinstance(error, AotgenError) and code != 101:
        assert error.message() in err
    if code == 101:
        assert "bug in aotgen" in err
        assert "aotgen compile m.onnx -o lib" in err
        assert "Please report" in err


def test_verbose_shows_the_traceback_of_a_bug(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(driver, "compile_model", lambda *_, **__: 1 // 0)
    assert main(["m.onnx", "-v"]) == 101
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["frobnicate"], ["m.onnx", "--no-such-flag"], ["m.onnx", "--threads", "-1"],
                                   ["compile"], ["m.onnx", "--weights", "gold"]])
def test_argparse_leaves_with_two(words: list[str]) -> None:
    if words == ["frobnicate"]:  # taken for a model file
        assert main(words) == 2
        return
    with pytest.raises(SystemExit) as e:
        main(words)
    assert e.value.code == 2


def test_help_and_version_leave_with_zero(capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--help"], ["--version"], ["verify", "--help"], []):
        with pytest.raises(SystemExit) as e:
            main(words)
        assert e.value.code == 0
    assert "exit codes" in capsys.readouterr().out


def test_flags_that_contradict_each_other(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(model), "--verify", "--no-build"]) == 2
    assert main([str(model), "--verify", "--stop-after", "plan"]) == 2
    assert main(["bench", str(model), "--rounds", "0"]) == 2
    assert capsys.readouterr().err.count("error: ") == 3


def test_bad_models(tmp_path: Path, model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "absent.onnx"), "-o", str(tmp_path / "a")]) == 2
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(model.read_bytes()[:-20])
    assert main([str(broken), "-o", str(tmp_path / "b")]) == 1
    assert main([str(model), "-o", str(tmp_path / "c")]) == 2, "an open dim without a flag"
    err = capsys.readouterr().err
    assert "--dim n=" in err
    assert "Traceback" not in err
    assert not any((tmp_path / d).exists() for d in "abc"), "nothing half-written"


def test_a_foreign_folder_is_refused(tmp_path: Path, model: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("do not touch")
    assert main([str(model), "-o", str(tmp_path / "mine"), "--dim", "n=3"]) == 2
    assert [p.name for p in (tmp_path / "mine").iterdir()] == ["thesis.txt"]


def test_inspect(model: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["inspect", str(model)]) == 0
    out = capsys.readouterr().out
    assert "x: f32[2,n]" in out
    assert "Relu 1" in out
    assert main(["inspect", str(model), "--json", "-q"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["inputs"][0]["shape"] == ["2", "n"]
    assert err == ""


def test_inspect_lists_every_problem(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = """<ir_version: 9, opset_import: ["" : 20, "odd" : 1]> g (float[2] x) => (float[2] y) {
        [first] a = odd.Frob(x) [second] y = odd.Nicate(x) [third] b = Neg(y) }"""
    onnx.save(onnx.parser.parse_model(text.replace("=> (float[2] y)", "=> (float[2] y, a)")), str(tmp_path / "odd.onnx"))
    assert main(["inspect", str(tmp_path / "odd.onnx"), "--json"]) == 1
    problems = " ".join(json.loads(capsys.readouterr().out)["problems"])
    assert "Frob" in problems
    assert "Nicate" in problems


def test_warnings_become_notes(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def warn(*_: Any, **__: Any) -> driver.Result:
        for _k in range(2):
            warnings.warn("a branch cannot run", stacklevel=1)
        raise UnsupportedError("enough")

    monkeypatch.setattr(driver, "compile_model", warn)
    assert main(["m.onnx"]) == 1
    assert capsys.readouterr().err == "note: a branch cannot run\nerror: enough\n"
    assert main(["m.onnx", "-q"]) == 1
    assert "note" not in capsys.readouterr().err


def test_ops_and_targets(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ops", "--json"]) == 0
    rows = {(r["domain"], r["name"]): r["how"] for r in json.loads(capsys.readouterr().out)}
    assert rows["ai.onnx", "Conv"] == "lowering"
    assert rows["ai.onnx", "LSTM"] == "expansion"
    assert main(["ops", "softm"]) == 0
    assert {w.split()[1] for w in capsys.readouterr().out.splitlines()[1:]} >= {"Softmax", "LogSoftmax"}
    assert main(["targets", "--json"]) == 0
    found = {r["target"]: r["runs_here"] for r in json.loads(capsys.readouterr().out)}
    assert found["cpu:scalar"] is True


def test_print_ir_and_stop(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "lib"
    words = [str(model), "-o", str(out), "--dim", "n=3", "--print-ir-after", "dce", "--stop-after", "dce"]
    assert main(words) == 0
    stdout, err = capsys.readouterr()
    assert "Relu" in stdout
    assert "stopped after dce" in err
    assert not out.exists()
