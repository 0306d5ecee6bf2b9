# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The output folder: it computes, compiles without a warning, is deterministic, atomic, and exports its interface only."""

from __future__ import annotations

import ctypes
import json
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from aotgen import toolchain
from aotgen.core.errors import UsageError
from aotgen.core.options import CompileOptions
from aotgen.emit import headers, project
from aotgen.emit.source import Provenance
from aotgen.ir import index
from aotgen.plan import plan
from aotgen.targets.cpu import TARGET
from aotgen.targets.cpu.isa import native, resolve
from aotgen.toolchain.loader import RunError
from tests.emit import programs
from tests.emit.programs import CASES, Case

WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Wshadow", "-Werror")
QUICK = ("-O1", *WARNINGS)
NATIVE = replace(TARGET, isas=(native(),))
ORIGIN = Provenance("test.onnx", "0" * 64, "1.2")


def write(case: Case, folder: Path, name: str = "toy", target: object = NATIVE, **options: object) -> Path:
    opts = CompileOptions(name=name, **options)  # type: ignore[arg-type]
    project.write(plan(case.program), opts, target, folder, ORIGIN)  # type: ignore[arg-type]
    return folder


def check(case: Case, library: toolchain.Library, **changes: object) -> None:
    inputs = {**case.inputs, **changes}
    want = case.meaning(inputs)  # type: ignore[arg-type]
    for threads in (1, 3):
        got = library.run(inputs, threads=threads)  # type: ignore[arg-type]
        for name, value in want.items():
            np.testing.assert_allclose(got[name], value, rtol=2e-6, atol=2e-6, err_msg=f"{name}, {threads} threads")


@pytest.mark.parametrize("name", CASES)
def test_computes(name: str, tmp_path: Path) -> None:
    case = CASES[name]()
    folder = write(case, tmp_path / "out", threading="pool")
    toolchain.build(folder, jobs=2, extra_flags=QUICK)
    library = toolchain.load(folder)
    check(case, library)
    if name == "branch":
        check(case, library, c=np.array(False))
    if name.startswith("loop"):
        for trips in (0, 1, 4, 9, -1):
            check(case, library, trips=np.array(trips, np.int64))
    if name.startswith("open"):
        for rows in (1, 40, 64):
            check(case, library, x=programs.floats(rows, case.inputs["x"].shape[1]))
        with pytest.raises(RunError, match="dim"):
            prepared = library.prepare(case.inputs)
            prepared._structs[2].dims.__setattr__(library.manifest["dims"][0]["member"], 101)
            prepared.run()


def test_huge_dims_are_refused(tmp_path: Path) -> None:
    n, m = index.dim("N"), index.dim("M")
    x, y, t = (programs.tensor(k, (n, m), place) for k, place in (("x", "input"), ("y", "output"), ("t", "workspace")))
    steps = [programs.nest("relu", t, [x], programs.relu), programs.nest("sum", y, [t, x], programs.add)]
    dims = tuple(a for d in (n, m) for a in index.dims_of(d))
    case = Case(programs.program([x], [y], steps, dims=dims), {}, dict)
    folder = write(case, tmp_path / "out", threading="none")
    toolchain.build(folder, extra_flags=QUICK)
    library = toolchain.load(folder)

    def workspace(**dims: int) -> int:
        call = library._Call()
        for row in library.manifest["dims"]:
            setattr(call.dims, row["member"], dims[row["name"]])
        return int(library._lib.toy_workspace_size(ctypes.byref(call)))

    assert workspace(N=3, M=100) == 1216
    assert workspace(N=2**31 - 1, M=2**31 - 1) == 0
    assert workspace(N=2**31, M=1) == 0 and workspace(N=0, M=1) == 0 and workspace(N=-1, M=1) == 0


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library with three variants, weights by .incbin, OpenMP."""
    target = replace(TARGET, isas=resolve("sse4+avx2+avx512"))
    folder = write(programs.gemm(), tmp_path_factory.mktemp("several") / "net", "my_net", target, weights="linked")
    toolchain.build(folder, jobs=2, extra_flags=("-O1",))
    return folder


def symbols(*args: str) -> list[str]:
    return [
        line.split()[-1]
        for line in subprocess.run(["nm", *args], capture_output=True, text=True, check=True).stdout.splitlines()
        if line and not line.endswith(":")
    ]


def test_only_the_interface_is_exported(several: Path) -> None:
    manifest = json.loads((several / "manifest.json").read_text())
    want = sorted(manifest["build"]["exports"])
    assert sorted(symbols("-g", "--defined-only", str(several / "lib/libmy_net.a"))) == want
    assert sorted(symbols("-D", "--defined-only", str(several / "lib/libmy_net.so"))) == want
    weak = subprocess.run(["nm", str(several / "lib/libmy_net.a")], capture_output=True, text=True, check=True).stdout
    assert not re.findall(r" [WVuw] .*", weak)


def test_best_variant_runs(several: Path) -> None:
    check(programs.gemm(), toolchain.load(several))


def test_needs_no_cxx_library(several: Path) -> None:
    needed = subprocess.run(
        ["readelf", "-d", str(several / "lib/libmy_net.so")], capture_output=True, text=True, check=True
    ).stdout
    assert "libstdc++" not in needed


def test_bad_arguments_are_refused(several: Path) -> None:
    case, library = programs.gemm(), toolchain.load(several)

    def status(change: object) -> int:
        prepared = library.prepare(case.inputs)
        ins, outs, call = prepared._structs
        change(ins, outs, call)  # type: ignore[operator]
        return int(library._lib.my_net_run(ctypes.byref(ins), ctypes.byref(outs), ctypes.byref(call)))

    wrong = np.zeros(1 << 16, np.uint8)
    assert status(lambda i, o, c: None) == 0
    assert status(lambda i, o, c: setattr(i, "x", None)) == 1
    assert status(lambda i, o, c: setattr(o, "y", o.y + 1)) == 1
    assert status(lambda i, o, c: setattr(c, "weights", wrong.ctypes.data - wrong.ctypes.data % 64 + 64)) == 4
    with pytest.raises(UsageError, match=r"not float32\[19, 33\]"):
        library.run({"x": case.inputs["x"].T})


def test_workspace_is_checked(tmp_path: Path) -> None:
    case = programs.pointwise()
    folder = write(case, tmp_path / "out", threading="none")
    toolchain.build(folder, extra_flags=QUICK)
    prepared = toolchain.load(folder).prepare(case.inputs)
    call = prepared._structs[2]
    for name, value in (
        ("workspace_size", call.workspace_size - 1),
        ("workspace", call.workspace + 8),
        ("workspace", None),
    ):
        kept = getattr(call, name)
        setattr(call, name, value)
        with pytest.raises(RunError, match="workspace"):
            prepared.run()
        setattr(call, name, kept)
    prepared.run()


def test_external_weights(tmp_path: Path) -> None:
    case = programs.gemm()
    folder = write(case, tmp_path / "out", weights="file", threading="none")
    toolchain.build(folder, extra_flags=QUICK)
    assert (folder / "toy.weights").stat().st_size == json.loads((folder / "manifest.json").read_text())["weights"][
        "size"
    ]
    check(case, toolchain.load(folder))


def test_example_and_header_compile_everywhere(several: Path, tmp_path: Path) -> None:
    header = ["-I", str(several / "include"), "-include", "my_net.h", "-fsyntax-only"]
    for command in (
        ["gcc", "-std=c99", "-x", "c", *WARNINGS],
        ["g++", "-std=c++17", "-x", "c++", *WARNINGS],
        ["g++", "-std=c++11", "-x", "c++", *WARNINGS],
    ):
        subprocess.run([*command, *header, "/dev/null"], check=True)
    subprocess.run(
        [
            "gcc",
            "-std=c99",
            *WARNINGS,
            "-I",
            several / "include",
            several / "example/main.c",
            several / "lib/libmy_net.a",
            "-fopenmp",
            "-lm",
            "-o",
            tmp_path / "example",
        ],
        check=True,
    )
    case = programs.gemm()
    case.inputs["x"].tofile(tmp_path / "x.bin")
    subprocess.run([tmp_path / "example", "x=x.bin"], cwd=tmp_path, check=True, capture_output=True)
    got = np.fromfile(tmp_path / "y.bin", np.float32).reshape(19, 40)
    np.testing.assert_allclose(got, case.meaning(case.inputs)["y"], rtol=2e-6, atol=2e-6)
    subprocess.run([tmp_path / "example"], cwd=tmp_path, check=True, capture_output=True)
    assert subprocess.run(
        [tmp_path / "example", "x=nothing.bin"], cwd=tmp_path, check=False, capture_output=True
    ).returncode


@pytest.mark.skipif(shutil.which("cmake") is None, reason="no cmake")
def test_cmake_builds_installs_and_is_found(several: Path, tmp_path: Path) -> None:
    def cmake(*args: object) -> None:
        done = subprocess.run(["cmake", *map(str, args)], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr

    cmake(
        "-S",
        several,
        "-B",
        tmp_path / "b",
        "-DMY_NET_EXAMPLE=ON",
        f"-DCMAKE_INSTALL_PREFIX={tmp_path / 'i'}",
        "-DCMAKE_CXX_FLAGS=-O1",
    )
    cmake("--build", tmp_path / "b", "-j2")
    cmake("--install", tmp_path / "b")
    user = tmp_path / "user"
    user.mkdir()
    (user / "main.cpp").write_text(
        '#include "my_net.h"\nint main() { my_net_call c{}; return my_net_workspace_size(&c) > 9; }\n'
    )
    (user / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\nproject(user CXX)\nfind_package(my_net REQUIRED)\n"
        "add_executable(user main.cpp)\ntarget_link_libraries(user my_net::my_net)\n"
    )
    cmake("-S", user, "-B", tmp_path / "ub", f"-DCMAKE_PREFIX_PATH={tmp_path / 'i'}")
    cmake("--build", tmp_path / "ub")
    subprocess.run([tmp_path / "ub/user"], check=True)


def test_deterministic_and_without_paths(several: Path, tmp_path: Path) -> None:
    target = replace(TARGET, isas=resolve("sse4+avx2+avx512"))
    again = write(programs.gemm(), tmp_path / "elsewhere", "my_net", target, weights="linked")
    names = sorted(p.relative_to(again).as_posix() for p in again.rglob("*") if p.is_file())
    assert names == sorted(
        p.relative_to(several).as_posix() for p in several.rglob("*") if p.is_file() and p.parent.name != "lib"
    )
    for name in names:
        data = (again / name).read_bytes()
        assert data == (several / name).read_bytes(), name
        assert str(tmp_path).encode() not in data, name


def test_equal_kernels_are_one_function(tmp_path: Path) -> None:
    x, y = programs.tensor("x", (8, 40), "input"), programs.tensor("y", (8, 40), "output")
    t = [programs.tensor(f"t{k}", (8, 40)) for k in range(3)]
    chain = [x, *t, y]
    steps = [
        programs.nest(f"twice_{k}", b, [a, x], programs.add)
        for k, (a, b) in enumerate(zip(chain, chain[1:], strict=False))
    ]
    folder = write(Case(programs.program([x], [y], steps), {}, dict), tmp_path / "out")
    text = next(folder.glob("src/toy_*.cpp")).read_text()
    assert text.count("static void twice") == 3  # x + x, in place (called twice), and into the output
    assert "// [2/4] twice_1  /twice_1  f32[8,40] -> f32[8,40]" in text


def test_folder_is_replaced_or_left_alone(tmp_path: Path) -> None:
    folder = write(programs.pointwise(), tmp_path / "out")
    (folder / "lib").mkdir()
    (folder / "lib" / "old").write_text("")
    write(programs.pointwise(), folder)
    assert not (folder / "lib").exists() and (folder / "manifest.json").exists()
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("precious")
    with pytest.raises(UsageError, match="left alone") as error:
        write(programs.pointwise(), mine)
    assert error.value.exit_code == 2 and [p.name for p in mine.iterdir()] == ["thesis.txt"]
    with pytest.raises(UsageError, match="not a folder"):
        write(programs.pointwise(), mine / "thesis.txt")
    with pytest.raises(UsageError, match="cannot write"):
        write(programs.pointwise(), mine / "thesis.txt" / "below")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["mine", "out"]


def test_nothing_is_left_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(programs.pointwise(), tmp_path / "out")
    before = (folder / "manifest.json").read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(project, "render", full)
    with pytest.raises(UsageError, match="No space left"):
        write(programs.gemm(), folder)
    assert [p.name for p in tmp_path.iterdir()] == ["out"] and (folder / "manifest.json").read_bytes() == before


@pytest.mark.parametrize("name", ["../../evil", "int", "9 lives", "a-b.c", "Ünïcode", ""])
def test_hostile_names(name: str, tmp_path: Path) -> None:
    x, y = programs.tensor('*/ evil"\\\n??/', (4, 4), "input"), programs.tensor("class", (4, 4), "output")
    case = Case(programs.program([x], [y], [programs.nest("*/ \\", y, [x], programs.relu, "// \n#error\\")]), {}, dict)
    folder = write(case, tmp_path / "out", name, threading="none")
    for path in folder.rglob("*"):
        assert re.fullmatch(r"[A-Za-z0-9_.]+", path.name)
    assert [p.name for p in tmp_path.iterdir()] == ["out"]
    if name == "int":
        toolchain.build(folder, extra_flags=QUICK)


def test_headers_are_closed_and_flat() -> None:
    found = headers.closure(["gemm.h"], "cpu")
    assert {"gemm.h", "tile.h", "extent.h", "simd.h"} <= set(found)
    for text in found.values():
        assert all(n in found for n in re.findall(r'#include "([^"]+)"', text))
    assert "conv.h" not in found


def test_templates_are_small() -> None:
    from aotgen import _paths

    for path in _paths.data("templates").iterdir():
        assert len(path.read_text().splitlines()) <= 60, path.name
