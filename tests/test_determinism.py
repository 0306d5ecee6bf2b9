# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Same options, other folder, hash seed, locale and time zone: the same bytes."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.models import small

ROOT = Path(__file__).resolve().parents[1]
VARIANTS = {
    "plain": {"PYTHONHASHSEED": "0", "LC_ALL": "C"},
    "seeded": {"PYTHONHASHSEED": "4242", "LC_ALL": "C.UTF-8", "TZ": "Asia/Tokyo", "PYTHONUTF8": "0"},
    "abroad": {"PYTHONHASHSEED": "77", "LC_ALL": "tr_TR.UTF-8", "TZ": "America/New_York", "COLUMNS": "40"},
}


def written(folder: Path) -> dict[str, str]:
    """SHA-256 by path of every file but those of ``lib/``."""
    paths = (p for p in sorted(folder.rglob("*")) if p.is_file() and p.relative_to(folder).parts[0] != "lib")
    return {str(p.relative_to(folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in paths}


def compile_in(cwd: Path, text: str, env: dict[str, str]) -> dict[str, str]:
    (cwd / "deep").mkdir(parents=True)
    small.save(text, cwd / "m.onnx")
    out = os.path.join("deep", "libsame") if len(cwd.name) > 5 else str(cwd / "libsame")
    command = [sys.executable, "-m", "aotgen.cli.main", "m.onnx", "-o", out, "--no-build"]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(command, cwd=cwd, env={**os.environ, **env, "PYTHONPATH": path}, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return written(cwd / out)


@pytest.mark.parametrize("text", [small.CNN, small.CONTROL], ids=["cnn", "control"])
def test_identical_bytes(text: str, tmp_path: Path) -> None:
    first, *others = (compile_in(tmp_path / name, text, env) for name, env in VARIANTS.items())
    assert len(first) > 6
    assert "manifest.json" in first
    for other in others:
        assert {f for f in first.keys() | other.keys() if first.get(f) != other.get(f)} == set()
