# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Generated libraries under ASan and UBSan with a poisoned workspace, the pool under TSan, and a count of allocations."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

import aotgen
from aotgen.toolchain.compiler import find_compiler
from tests.e2e import native
from tests.e2e.harness import ROOT, compare, expected, literal, normal, parsed
from tests.e2e.test_control_flow import NESTED, OTHER_SIZES

Arrays = dict[str, np.ndarray]
Case = tuple[onnx.ModelProto | Path, Arrays, dict[str, int]]
MEMORY = ("-O1", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer")
THREADS = ("-O1", "-g1", "-fsanitize=thread")


def _cnn() -> Case:
    return ROOT / "models/digits_cnn.onnx", {"image": normal(1, 1, 8, 8)}, {}


def _open_cnn(n: int = 2, h: int = 13, w: int = 17) -> Case:
    """Odd channels, a stride, a residual and pooling at open sizes."""
    text = """g (float[n,3,h,w] x) => (float[n,5] y) <%s, %s> {
        a = Conv<pads = [1,1,1,1], strides = [2,2]>(x, k1) r = Relu(a) b = Conv<pads = [1,1,1,1]>(r, k2) s = Add(b, r)
        p = MaxPool<kernel_shape = [2,2], strides = [2,2]>(s) g = GlobalAveragePool(p) y = Flatten(g) }"""
    weights = literal("k1", normal(5, 3, 3, 3)), literal("k2", normal(5, 5, 3, 3, seed=1))
    return parsed(text % weights), {"x": normal(n, 3, h, w)}, {"n": n, "h": h, "w": w}


def _large_cnn() -> Case:
    """Large enough for every thread to have a part."""
    return _open_cnn(3, 64, 64)


def _mlp(n: int = 7) -> Case:
    text = """g (float[n,37] x) => (float[n,10] y, int64[n] digit) <%s, %s, %s> {
        a = Gemm(x, w1, b1) r = Relu(a) c = MatMul(r, w2) y = Softmax(c) digit = ArgMax<axis = 1, keepdims = 0>(y) }"""
    weights = literal("w1", normal(37, 50)), literal("b1", normal(50, seed=1)), literal("w2", normal(50, 10, seed=2))
    return parsed(text % weights), {"x": normal(n, 37, seed=3)}, {"n": n}


def _large_mlp() -> Case:
    return _mlp(64)


def _lstm() -> Case:
    return ROOT / "models/digits_lstm.onnx", {"rows": normal(3, 8, 8)}, {"n": 3}


def _transformer() -> Case:
    return ROOT / "models/tiny_transformer.onnx", {"ids": np.random.default_rng(0).integers(0, 96, (1, 11))}, {"seq": 11}


def _regions() -> Case:
    return parsed(NESTED), {"x0": np.abs(normal(4)) * np.float32(0.1), "lim": np.array(2, np.float32)}, {}


CASES: list[Callable[[], Case]] = [_cnn, _open_cnn, _mlp, _lstm, _transformer, _regions]


def _compiled(case: Case, out: Path, threading: str) -> Path:
    model, _, dims = case
    return aotgen.compile(model, out / "libm", dims={k: (1, 64) for k in dims}, threading=threading, build=False).folder


@pytest.mark.parametrize("make", CASES, ids=lambda f: f.__name__.strip("_"))
def test_memory(tmp_path: Path, make: Callable[[], Case]) -> None:
    """No read or write outside a buffer, none of a byte that nobody wrote, no undefined arithmetic."""
    case = make()
    model, inputs, dims = case
    folder = _compiled(case, tmp_path, "pool")
    exe = native.build(folder, tmp_path / "asan", MEMORY, dims=dims)
    want = expected(model, inputs)
    shapes = {k: v.shape for k, v in want.items()}
    for threads in (1, 2):
        compare(native.run(exe, folder, inputs, shapes, threads=threads, rounds=2), want)


@pytest.mark.parametrize("make", [_large_cnn, _large_mlp, _transformer, _regions], ids=lambda f: f.__name__.strip("_"))
def test_races(tmp_path: Path, make: Callable[[], Case]) -> None:
    """Barriers suffice: no two threads of a team touch the same bytes unordered; nor do eight callers at once."""
    case = make()
    model, inputs, dims = case
    folder = _compiled(case, tmp_path, "pool")
    exe = native.build(folder, tmp_path / "tsan", THREADS, dims=dims)
    want = expected(model, inputs)
    shapes = {k: v.shape for k, v in want.items()}
    for callers in (1, 8):
        compare(native.run(exe, folder, inputs, shapes, threads=3, rounds=5, callers=callers), want)


def test_a_missing_barrier_is_seen(tmp_path: Path) -> None:
    """What the test above relies on."""
    case = _large_mlp()
    model, inputs, dims = case
    folder = _compiled(case, tmp_path, "pool")
    (source,) = (folder / "src").glob("m_*[0-9r].cpp")
    text = source.read_text("utf-8")
    assert "barrier.wait(nt);" in text
    source.write_text(text.replace("barrier.wait(nt);", ""), "utf-8")
    exe = native.build(folder, tmp_path / "tsan", THREADS, dims=dims)
    shapes = {k: v.shape for k, v in expected(model, inputs).items()}
    with pytest.raises(AssertionError, match="data race"):
        for _ in range(5):
            native.run(exe, folder, inputs, shapes, threads=3, rounds=20)


def test_a_workspace_too_small_is_seen(tmp_path: Path) -> None:
    """What the test of memory relies on: the library is made to ask for less than it uses."""
    case = _mlp()
    model, inputs, dims = case
    folder = _compiled(case, tmp_path, "pool")
    source = folder / "src/m.cpp"
    text = source.read_text("utf-8")
    assert "c->workspace = top" in text
    source.write_text(text.replace("c->workspace = top", "c->workspace = top - 128"), "utf-8")
    exe = native.build(folder, tmp_path / "asan", MEMORY, dims=dims)
    with pytest.raises(AssertionError, match="AddressSanitizer"):
        native.run(exe, folder, inputs, {k: v.shape for k, v in expected(model, inputs).items()})


@pytest.mark.parametrize(("threading", "first"), [("none", 0), ("pool", 1)])
def test_runs_allocate_nothing(tmp_path: Path, threading: str, first: int) -> None:
    """The pool starts its threads in the first run."""
    case = _transformer()
    model, inputs, dims = case
    folder = _compiled(case, tmp_path, threading)
    exe = native.build(folder, tmp_path / "count", ("-O1", f"-DCOUNT={first}"), dims=dims)
    want = expected(model, inputs)
    got = native.run(exe, folder, inputs, {k: v.shape for k, v in want.items()}, threads=2, rounds=5)
    compare(got, want)


@pytest.mark.parametrize("text", [OTHER_SIZES, NESTED, "g (float[a,4] x, float[b,4] y) => (float[a,4] z) { z = Add(x, y) }",
                                  "g (float[n,m] x) => (float[k,6] y) <int64[2] s = {-1, 6}> { y = Reshape(x, s) }"],
                         ids=["refused", "nested", "equal", "divides"])
def test_no_warnings(tmp_path: Path, text: str) -> None:
    """The texts that conditions, statuses and regions add; the header and the example as C99."""
    folder = aotgen.compile(parsed(text), tmp_path / "libm", dynamic=True, build=False).folder
    warnings = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Wshadow", "-Werror")
    native.build(folder, tmp_path / "made", ("-O1", *warnings))
    command = [*find_compiler().cc, "-std=c99", "-x", "c", *warnings, "-fsyntax-only", f"-I{folder / 'include'}"]
    done = subprocess.run([*command, folder / "example/main.c"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_a_refused_branch_is_clean_too(tmp_path: Path) -> None:
    folder = aotgen.compile(parsed(OTHER_SIZES), tmp_path / "libm", threading="pool", build=False).folder
    exe = native.build(folder, tmp_path / "asan", MEMORY, expected=6)
    inputs = {"x": normal(2, 3), "c": np.array(False), "r": normal(2, 2)}
    native.run(exe, folder, inputs, {"z": (2, 2)}, threads=2, rounds=3)
