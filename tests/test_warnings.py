# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Generated sources are clean under strict warnings, headers are C99 and C++17, libraries need only a compiler's own."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import aotgen
from tests.models import small

STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Wshadow", "-Werror"]
MODELS = {"cnn": small.CNN, "control": small.CONTROL, "attention": small.ATTENTION}
ALLOWED = {"libc", "libm", "libgomp", "libstdc++", "libgcc_s", "libpthread", "ld-linux-x86-64", "ld-linux-aarch64"}


@pytest.fixture(scope="module", params=sorted(MODELS))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp(request.param) / f"lib{request.param}"
    return aotgen.compile(small.model(MODELS[request.param]), out, threads=2).folder


def gxx(*words: object) -> str:
    done = subprocess.run([str(w) for w in words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:4000]
    return done.stderr


def test_sources(folder: Path, tmp_path: Path) -> None:
    build = json.loads((folder / "manifest.json").read_text())["build"]
    include = [f"-I{folder}/{name}" for name in build["include"]]
    units = [u for u in build["units"] if u["file"].endswith((".cpp", ".c"))]
    assert len(units) >= 2
    for unit in units:
        plain = unit["file"].endswith(".c")
        command = ["gcc", "-std=c99", *build["cflags"]] if plain else ["g++", *build["cxxflags"]]
        command += [*STRICT, *unit["flags"], *include, "-c"]
        assert gxx(*command, folder / unit["file"], "-o", tmp_path / "unit.o") == ""


@pytest.mark.parametrize("command", [["gcc", "-std=c99", "-xc"], ["g++", "-std=c++17", "-xc++"]], ids=["c99", "c++17"])
def test_header(folder: Path, tmp_path: Path, command: list[str]) -> None:
    (header,) = sorted((folder / "include").glob("*.h"))
    (tmp_path / "user").write_text(f'#include "{header.name}"\nint main(void) {{ return 0; }}\n')
    gxx(*command, *STRICT, f"-I{header.parent}", "-fsyntax-only", tmp_path / "user")


def test_example(folder: Path, tmp_path: Path) -> None:
    gxx("gcc", "-std=c99", *STRICT, f"-I{folder}/include", "-c", folder / "example/main.c", "-o", tmp_path / "main.o")


@pytest.mark.skipif(shutil.which("readelf") is None, reason="needs readelf")
def test_needs_and_exports(folder: Path) -> None:
    (library,) = (folder / "lib").glob("*.so")
    text = subprocess.run(["readelf", "-dW", str(library)], check=True, capture_output=True, text=True).stdout
    needed = {name.split(".so")[0] for name in re.findall(r"\(NEEDED\).*\[(.*)\]", text)}
    assert needed
    assert needed <= ALLOWED
    text = subprocess.run(["nm", "-D", "--defined-only", str(library)], check=True, capture_output=True, text=True).stdout
    names = [line.split()[-1] for line in text.splitlines()]
    name = folder.name.removeprefix("lib")
    assert f"{name}_run" in names
    assert [n for n in names if not n.startswith(f"{name}_")] == []
