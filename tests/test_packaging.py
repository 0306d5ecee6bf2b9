# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What an installation holds: data folders, the native module and the path without it, a wheel that works elsewhere."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import aotgen
from aotgen import _paths, native
from aotgen.toolchain.loader import RunError
from tests.models import small

ROOT = Path(__file__).resolve().parents[1]
WITH_NATIVE = pytest.param(True, marks=pytest.mark.skipif(native.module is None, reason="aotgen._native is not built"))


@pytest.mark.parametrize("name", ["kernels", "runtime", "templates"])
def test_data_folders(name: str) -> None:
    assert (_paths.data(name) / "LICENSE").read_text().startswith("BSD Zero Clause License")


def test_missing_data_folder() -> None:
    with pytest.raises(aotgen.AotgenError, match="lacks its no-such/ folder"):
        _paths.data("no-such")


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> aotgen.Artifact:
    return aotgen.compile(small.model(small.CHAIN), tmp_path_factory.mktemp("chain") / "libchain", threads=1)


@pytest.mark.parametrize("fast", [False, WITH_NATIVE])
def test_run_and_time(chain: aotgen.Artifact, fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not fast:
        monkeypatch.setattr(native, "module", None)
    rng = np.random.default_rng(0)
    x, b = rng.standard_normal((3, 17)).astype(np.float32), rng.standard_normal(17).astype(np.float32)
    prepared = chain.load().library.prepare({"x": x, "b": b})
    assert (prepared._library._runner is not None) is fast
    prepared.run()
    np.testing.assert_allclose(prepared.outputs["y"], np.tanh(x + b) * x, rtol=1e-5, atol=1e-6)
    prepared.outputs["y"][:] = 0
    times = prepared.time(5)
    assert len(times) == 5
    assert all(0 < t < 1 for t in times)
    np.testing.assert_allclose(prepared.outputs["y"], np.tanh(x + b) * x, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("fast", [False, WITH_NATIVE])
def test_a_refusal_says_why(chain: aotgen.Artifact, fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not fast:
        monkeypatch.setattr(native, "module", None)
    prepared = chain.load().library.prepare({"x": np.zeros((3, 17), np.float32), "b": np.zeros(17, np.float32)})
    prepared._structs[0].x = None  # a caller that forgot an input
    with pytest.raises(RunError, match=r"chain_run: \w+"):
        prepared.run()
    with pytest.raises(RunError, match=r"chain_run: \w+"):
        prepared.time(2)


@pytest.mark.skipif(native.module is None, reason="aotgen._native is not built")
def test_cpu_features() -> None:
    assert native.module is not None
    rows = Path("/proc/cpuinfo").read_text().splitlines()
    reported = next(row.partition(":")[2].split() for row in rows if row.lower().startswith(("flags", "features")))
    mine = set(native.module.cpu_features())
    assert mine <= set(reported)
    assert {"avx2", "fma", "avx512f", "asimd"} & set(reported) <= mine


_ELSEWHERE = """
import numpy, onnx, sys, aotgen
from aotgen import native, _paths
from onnx import parser
text = '<ir_version: 8, opset_import: ["": 18]> g (float[2,3] x) => (float[2,3] y) { y = Relu(x) }'
got = aotgen.compile(parser.parse_model(text), "libelsewhere").load()({"x": -numpy.eye(2, 3, dtype="f")})
assert not got["y"].any() and native.module is not None
assert str(_paths.data("kernels")).startswith(sys.prefix), _paths.data("kernels")
"""


@pytest.mark.full
def test_wheel(tmp_path: Path) -> None:
    run = [sys.executable, "-m", "pip", "wheel", "-q", str(ROOT), "--no-deps", "-w", str(tmp_path)]
    subprocess.run([*run, "--config-settings", f"build-dir={tmp_path}/build"], check=True, timeout=500)
    (wheel,) = tmp_path.glob("aotgen-*.whl")
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True)
    python = venv / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", "--no-deps", str(wheel)], check=True)
    # The dependencies come from this interpreter's packages; the package itself from the wheel, which comes first.
    packages = next(p for p in sys.path if p.endswith("site-packages"))
    code = f"import sys; sys.path.append({packages!r})\n{_ELSEWHERE}"
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    subprocess.run([python, "-c", code], check=True, cwd=tmp_path, env=env)
