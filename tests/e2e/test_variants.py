# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Several instruction sets in one library, and every kind of team: the same results, whichever runs."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

import aotgen
from aotgen.api import Artifact
from aotgen.targets.cpu.isa import ISAS, features, native
from aotgen.toolchain.loader import Library
from tests.e2e.harness import ROOT, compare, expected, normal, parsed

CNN, TRANSFORMER = ROOT / "models/digits_cnn.onnx", ROOT / "models/tiny_transformer.onnx"
IDS = np.random.default_rng(0).integers(0, 96, (1, 11))
INPUTS = {CNN: {"image": normal(1, 1, 8, 8)}, TRANSFORMER: {"ids": IDS}}


class About(ctypes.Structure):
    """NAME_about of the generated header."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("inputs", ctypes.c_int32),
        ("outputs", ctypes.c_int32),
        ("input", ctypes.c_void_p),
        ("output", ctypes.c_void_p),
        ("isa", ctypes.c_char_p),
    ]


def runs_on(library: Library) -> str:
    """The variant this CPU gets."""
    about = About()
    getattr(library._lib, f"{library.name}_info")(ctypes.byref(about))
    return (about.isa or b"nothing").decode()


def built(model: Path, out: Path, target: str, threading: str = "openmp") -> Artifact:
    shapes = {k: v.shape for k, v in INPUTS[model].items()}
    return aotgen.compile(model, out / "libnet", target=target, threading=threading, input_shapes=shapes)


@pytest.mark.skipif(native().arch != "x86_64", reason="x86-64 variants")
@pytest.mark.parametrize("model", [CNN, TRANSFORMER], ids=lambda p: p.stem)
def test_two_variants_in_one_library(tmp_path: Path, model: Path) -> None:
    """The best variant that fits is run; it agrees with the lower one, which a library of its own forces."""
    want = expected(model, INPUTS[model])
    both, lower = built(model, tmp_path / "a", "cpu:avx2+avx512"), built(model, tmp_path / "b", "cpu:avx2")
    has = features()
    fitting = [i.name for i in ISAS if i.name in ("avx2", "avx512") and has.issuperset(i.needs)]
    if not fitting:
        pytest.skip("this CPU has neither AVX2 nor AVX-512")
    assert runs_on(both.load().library) == fitting[-1]
    assert runs_on(lower.load().library) == "avx2"
    for artifact in (both, lower):
        compare(artifact.load()(INPUTS[model], threads=2), want)
    sources = {p.name for p in (both.folder / "src").glob("net_*.cpp")}
    assert sources == {"net_avx2.cpp", "net_avx512.cpp"}


def test_the_plan_does_not_depend_on_the_variant(tmp_path: Path) -> None:
    """One arena, one blob: what several variants in one library share."""
    made = [built(CNN, tmp_path / t, f"cpu:{t}", "none").folder for t in ("scalar", "avx2")] if "avx2" in {
        i.name for i in ISAS if features().issuperset(i.needs)} else []
    if not made:
        pytest.skip("this CPU has no AVX2")
    blobs = [next((f / "src").glob("net_weights.c")).read_text("utf-8") for f in made]
    assert blobs[0] == blobs[1]


@pytest.mark.parametrize("model", [CNN, TRANSFORMER], ids=lambda p: p.stem)
def test_plain_cpp(tmp_path: Path, model: Path) -> None:
    artifact = built(model, tmp_path, "cpu:scalar", "none")
    assert runs_on(artifact.load().library) == "scalar"
    compare(artifact.load()(INPUTS[model]), expected(model, INPUTS[model]))


@pytest.mark.skipif(native().arch != "x86_64", reason="x86-64 variants")
def test_a_cpu_that_has_none_of_them(tmp_path: Path) -> None:
    """A CPU without the features is told so, not killed: its report is replaced by an empty one and the library rebuilt."""
    artifact = built(CNN, tmp_path, "cpu:avx2", "none")
    report = artifact.folder / "src/cpu_features.h"
    text = report.read_text("utf-8").replace("inline uint32_t cpu_features() {", "inline uint32_t cpu_features() {\n  return 0u;", 1)
    report.write_text(text, "utf-8")
    aotgen.toolchain.build(artifact.folder)
    loaded = artifact.load()
    assert runs_on(loaded.library) == "nothing"
    with pytest.raises(aotgen.AotgenError, match="CPU lacks instructions"):
        loaded(INPUTS[CNN])


@pytest.mark.parametrize("threading", ["openmp", "pool", "none"])
def test_teams(tmp_path: Path, threading: str) -> None:
    """Bit-identical whatever the number of threads; many callers at once, each with its own workspace."""
    artifact = built(TRANSFORMER, tmp_path, "cpu:native", threading)
    inputs = INPUTS[TRANSFORMER]
    first = artifact.load()(inputs, threads=1)
    compare(first, expected(TRANSFORMER, inputs))
    for threads in (2, 3, 5):
        compare(artifact.load()(inputs, threads=threads), first, 0.0)

    def caller(number: int) -> None:
        mine = artifact.load()
        for _ in range(30):
            compare(mine(inputs, threads=1 + number % 3), first, 0.0)

    with ThreadPoolExecutor(8) as callers:
        for done in [callers.submit(caller, n) for n in range(8)]:
            done.result()


def test_a_split_sum_does_not_depend_on_the_team(tmp_path: Path) -> None:
    model = parsed("g (float[3,20000] x) => (float[3] y, float z) { y = ReduceMean<axes = [1], keepdims = 0>(x) z = ReduceSum<keepdims = 0>(x) }")
    loaded = aotgen.compile(model, tmp_path / "libsum").load()
    inputs = {"x": np.abs(normal(3, 20000))}
    first = loaded(inputs, threads=1)
    compare(first, expected(model, inputs))
    for threads in (2, 3, 7):
        compare(loaded(inputs, threads=threads), first, 0.0)


def test_needs_only_the_c_library(tmp_path: Path) -> None:
    """What a library asks of its surroundings: nothing that allocates or starts threads, with ``threading="none"``."""
    if not shutil.which("nm"):
        pytest.skip("no nm")
    artifact = built(CNN, tmp_path, "cpu:native", "none")
    listing = subprocess.run(["nm", "-u", artifact.folder / "lib/libnet.a"], capture_output=True, text=True, check=True).stdout
    wanted = {line.split()[-1].split("@")[0] for line in listing.splitlines() if " U " in line}
    assert wanted <= {"memcpy", "memset", "memmove", "sched_yield", "_GLOBAL_OFFSET_TABLE_"}, wanted
