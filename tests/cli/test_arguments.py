# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What flags mean, and that every flag is documented."""

from __future__ import annotations

import argparse
import math
import re
from pathlib import Path

import numpy as np
import pytest

from aotgen.cli import arguments, console, main
from aotgen.cli.verify import counts
from aotgen.core.errors import UsageError

DOC = Path(__file__).resolve().parents[2] / "docs" / "cli.md"


def parse(*words: str) -> argparse.Namespace:
    return main.parser().parse_args(main.with_verb(words))


def test_the_verb_may_be_left_out() -> None:
    assert main.with_verb(["m.onnx", "-o", "lib"]) == ["compile", "m.onnx", "-o", "lib"]
    assert main.with_verb(["-o", "lib", "m.onnx"])[0] == "compile"
    assert main.with_verb(["verify", "m.onnx"])[0] == "verify"
    assert main.with_verb(["--version"]) == ["--version"]
    assert main.with_verb([]) == ["--help"]


def test_dims() -> None:
    assert arguments.dims(["seq=128", "n=1..8", "m=2.."]) == {"seq": 128, "n": (1, 8), "m": (2, None)}
    assert arguments.dims(["a=b=3"]) == {"a=b": 3}, "a dim may be called anything"
    for bad in ("seq", "seq=", "seq=x", "=4", "seq=8..2", "seq=-1", "seq=1...3"):
        with pytest.raises(UsageError, match="--dim"):
            arguments.dims([bad])
    with pytest.raises(UsageError, match="twice"):
        arguments.dims(["n=1", "n=2"])


def test_shapes_and_settings() -> None:
    assert arguments.shapes(["x=1,3,224,224", "ns:0=5", "s="]) == {"x": [1, 3, 224, 224], "ns:0": [5], "s": []}
    assert arguments.shapes(["x=1x3x8"]) == {"x": [1, 3, 8]}
    for bad in ("x", "=1,2", "x=1,a", "x=1,,2"):
        with pytest.raises(UsageError, match="--input-shape"):
            arguments.shapes([bad])
    assert arguments.settings(["a=1,b=2", "a=3"]) == [{"a": 1, "b": 2}, {"a": 3}]
    with pytest.raises(UsageError, match="--at"):
        arguments.settings(["a=1..2"])
    assert counts("1, 2") == (1, 2)
    with pytest.raises(UsageError):
        counts("0")


@pytest.mark.parametrize(
    ("folder", "name"),
    [("libmodel", "model"), ("out/libresnet-50", "resnet_50"), ("resnet", "resnet"), ("lib", "model"), ("lib3d", "m3d"),
     ("libé", "model"), ("library", "rary")],
)
def test_the_folder_names_the_model(folder: str, name: str) -> None:
    assert arguments.model_name(Path(folder)) == name


def test_options() -> None:
    args = parse("m.onnx", "-o", "libnet", "--dim", "n=2", "--dim", "seq=1..9", "--input-shape", "x=1,2", "--threads", "3",
                 "--threading", "none", "--numerics", "strict", "--weights", "array", "--target", "cpu:avx2",
                 "--kernel-dir", "mine", "--passes", "cse, dce")
    o = arguments.options(args, args.output)
    assert (o.name, o.dims, o.open_dims, o.input_shapes) == ("net", (("n", 2),), (("seq", (1, 9)),), (("x", (1, 2)),))
    assert (o.threads, o.threading, o.numerics, o.weights, o.target) == (3, "none", "strict", "array", "cpu:avx2")
    assert (o.kernel_dirs, o.passes, o.dynamic) == (("mine",), ("cse", "dce"), False)
    assert arguments.options(parse("m.onnx"), Path("libx")).passes is None
    assert arguments.options(parse("m.onnx", "--passes", ""), Path("libx")).passes == ()
    with pytest.raises(UsageError, match="--name"):
        arguments.options(parse("m.onnx", "--name", "2fast"), Path("libx"))


def test_hooks() -> None:
    args = parse("m.onnx", "--print-ir-after", "cse", "--print-ir-after", "dce", "--timing", "--stop-after", "plan")
    hooks = arguments.hooks(args, console.Console())
    assert hooks.print_ir_after == {"cse", "dce"}
    assert hooks.timing
    assert hooks.stop_after == "plan"
    assert not hooks.check_each


def every_flag() -> dict[str, list[argparse.Action]]:
    verbs = next(a for a in main.parser()._actions if isinstance(a, argparse._SubParsersAction))
    return {verb: p._actions for verb, p in verbs.choices.items()}


def test_every_flag_has_help_and_stands_in_the_documentation() -> None:
    text = DOC.read_text("utf-8")
    for verb, actions in every_flag().items():
        assert re.search(rf"^#+ .*{verb}", text, re.MULTILINE), f"docs/cli.md has no section on {verb}"
        for action in actions:
            assert action.help, f"{verb} {action.dest} is not explained"
            for flag in action.option_strings:
                assert f"`{flag}" in text or f"`{flag.split()[0]}" in text, f"docs/cli.md lacks {flag}"


def test_console_plain_and_numbers() -> None:
    value = console.plain({"a": np.float32(1.5), "b": (np.int64(2), math.inf), "c": Path("x/y"), "d": None})
    assert value == {"a": 1.5, "b": [2, "inf"], "c": "x/y", "d": None}
    assert [console.amount(n) for n in (12, 3400, 5.6e6)] == ["12 B", "3.4 KB", "5.6 MB"]
    assert [console.duration(s) for s in (2.5, 0.0034, 1.2e-5)] == ["2.5 s", "3.4 ms", "12 us"]
    assert console.count(231_000_000) == "231 M"
    assert console.columns(("a", "bb"), [("ccc", 1)]) == ["a    bb", "ccc  1"]
