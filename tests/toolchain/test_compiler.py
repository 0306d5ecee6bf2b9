# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Finding compilers, their errors, the object cache, and libraries under sanitizers and many threads."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aotgen import toolchain
from aotgen.core.errors import ToolchainError, UsageError
from aotgen.core.options import CompileOptions
from aotgen.emit import project
from aotgen.plan import plan
from aotgen.targets.cpu import TARGET
from aotgen.targets.cpu.isa import native
from aotgen.toolchain import cache
from tests.emit.programs import Case, gemm, loop, open_chain, scratch


def write(case: Case, folder: Path, **options: object) -> Path:
    target = replace(TARGET, isas=(native(),))
    project.write(plan(case.program), CompileOptions(name="toy", **options), target, folder)  # type: ignore[arg-type]
    return folder


def test_no_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(ToolchainError, match="no-such-compiler") as error:
        toolchain.find_compiler()
    assert error.value.exit_code == 4


def test_compiler_with_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "g++ -DNOTHING")
    assert toolchain.find_compiler().cxx == ("g++", "-DNOTHING")
    assert toolchain.find_compiler().cc[0] == "gcc"


def test_compiler_errors_are_shown(tmp_path: Path) -> None:
    folder = write(gemm(), tmp_path / "out")
    (folder / "src/toy.cpp").write_text("int broken(\n")
    with pytest.raises(ToolchainError, match=r"compiling src/toy.cpp failed(.|\n)*broken"):
        toolchain.build(folder)
    assert not list((folder / "lib").iterdir())


def test_only_our_folders_are_built(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not a folder made by aotgen"):
        toolchain.build(tmp_path)


def test_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AOTGEN_CACHE_DIR", str(tmp_path / "cache"))
    flags = ("-O0",)
    first = toolchain.build(write(gemm(), tmp_path / "a"), extra_flags=flags)
    assert first.cached == 0 and first.units == 3
    again = toolchain.build(write(gemm(), tmp_path / "b"), extra_flags=flags)
    assert again.cached == 3 and again.shared.read_bytes() == first.shared.read_bytes()
    assert again.static.read_bytes() == first.static.read_bytes()
    assert toolchain.build(tmp_path / "b", extra_flags=("-O1",)).cached == 1  # the C file does not get them
    header = tmp_path / "b/src/extent.h"
    header.write_text(header.read_text() + "// changed\n")
    assert toolchain.build(tmp_path / "b", extra_flags=flags).cached == 2


@pytest.mark.parametrize("where", ["", "file/below"])
def test_no_cache_is_no_problem(where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("AOTGEN_CACHE_DIR", str(tmp_path / where) if where else "")
    assert (cache.folder() is None) == (not where)
    assert toolchain.build(write(gemm(), tmp_path / "a"), extra_flags=("-O0",)).cached == 0


def test_embedded_weights_are_part_of_the_key(tmp_path: Path) -> None:
    folder = write(gemm(), tmp_path / "a", weights="linked")
    read = cache.files_read(folder / "src/toy_weights.S", [folder / "src"])
    assert [p.name for p in read] == ["toy.weights", "toy_weights.S"]


@pytest.mark.skipif(shutil.which("clang++") is None, reason="no clang++")
def test_clang(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "clang++")
    folder = write(gemm(), tmp_path / "a", threading="pool")
    toolchain.build(folder, extra_flags=("-O1",))
    case = gemm()
    np.testing.assert_allclose(
        toolchain.load(folder).run(case.inputs)["y"], case.meaning(case.inputs)["y"], rtol=1e-5, atol=1e-5
    )


@pytest.mark.parametrize("make", [gemm, loop, open_chain, scratch])
@pytest.mark.parametrize("sanitizer", ["address,undefined", "thread"])
def test_sanitizers(make: object, sanitizer: str, tmp_path: Path) -> None:
    """The example on zeros with four threads, every source instrumented."""
    folder = write(make(), tmp_path / "a", threading="pool", threads=4)  # type: ignore[operator]
    sources = sorted(str(p) for p in folder.glob("src/*.cpp"))
    flags = [
        f"-fsanitize={sanitizer}",
        "-fno-sanitize-recover=all",
        "-O1",
        "-g",
        f"-I{folder / 'include'}",
        *native().flags,
    ]
    for c in sorted([*folder.glob("src/*.c"), *folder.glob("example/*.c")]):
        subprocess.run(["gcc", *flags, "-c", c, "-o", tmp_path / f"{c.stem}.o"], check=True)
    objects = sorted(map(str, tmp_path.glob("*.o")))
    subprocess.run(["g++", "-std=c++17", *flags, *sources, *objects, "-pthread", "-o", tmp_path / "run"], check=True)
    env = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}  # the example never frees
    done = subprocess.run([tmp_path / "run"], cwd=tmp_path, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, done.stderr


def test_many_threads_at_once_and_bit_identical(tmp_path: Path) -> None:
    folder = write(gemm(), tmp_path / "a", threading="pool")
    toolchain.build(folder, extra_flags=("-O1",))
    case = gemm()
    want = toolchain.load(folder).run(case.inputs, threads=1)["y"]
    bad: list[int] = []

    def user(threads: int) -> None:
        prepared = toolchain.load(folder).prepare(case.inputs, threads=threads)
        for _ in range(200):
            prepared.outputs["y"][...] = np.nan
            prepared.run()
            if not np.array_equal(prepared.outputs["y"], want):
                bad.append(threads)

    users = [threading.Thread(target=user, args=(n,)) for n in (1, 2, 3, 4)]
    for u in users:
        u.start()
    for u in users:
        u.join()
    assert not bad


def test_missing_and_contradictory_inputs(tmp_path: Path) -> None:
    folder = write(open_chain(), tmp_path / "a", threading="none")
    toolchain.build(folder, extra_flags=("-O0",))
    library = toolchain.load(folder)
    with pytest.raises(UsageError, match="x: input is missing"):
        library.run({}, dims={"N": 4})
    with pytest.raises(UsageError, match="dim N is open"):
        library.run({})
    with pytest.raises(UsageError, match="dim N is 101; the library was compiled for 1 to 100"):
        library.run({"x": np.zeros((101, 24), np.float32)})
    assert len(library.prepare(open_chain().inputs).time(3)) == 3
