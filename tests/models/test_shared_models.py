# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Real models of the shared folder, compiled for the sizes of their stored inputs, against their stored outputs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import aotgen

SHARED = Path(__file__).resolve().parents[3] / "shared" / "models"
QUICK = {"tfl_helloworld", "tinytaxinet", "acasxu_1_1", "mnist_cntk"}
PLAIN = [[], ["dynamic-dims"]]
ALSO = {"silero_vad_v6"}
LOOSER = {"basic_pitch": 1e-3}  # a logarithm near zero
Arrays = dict[str, np.ndarray[Any, Any]]


def names() -> list[str]:
    metas = sorted(SHARED.glob("*/META.json"))
    return [m.parent.name for m in metas if json.loads(m.read_text())["needs"] in PLAIN or m.parent.name in ALSO]


def cases() -> list[Any]:
    """One case for every stored set of inputs."""
    out = []
    for name in names():
        for inputs in sorted((SHARED / name).glob("inputs*.npz")):
            first = inputs.stem == "inputs"
            marks = () if name in QUICK and first else (pytest.mark.full,)
            out.append(pytest.param(name, inputs.stem.removeprefix("inputs"), marks=marks, id=f"{name}{inputs.stem[6:]}"))
    return out


CASES = cases()
pytestmark = pytest.mark.skipif(not CASES, reason="../shared/models is not here")


def load(path: Path) -> Arrays:
    with np.load(path) as f:
        return {k: f[k] for k in f.files}


def far(name: str, got: Arrays, want: Arrays) -> dict[str, str]:
    """Outputs that disagree, and how. Judged as the folder's README says."""
    out = {}
    for key, w in want.items():
        g = got[key]
        if g.shape != w.shape:
            out[key] = f"shape {g.shape}, not {w.shape}"
        elif w.dtype.kind == "f":
            scale = float(np.abs(w[np.isfinite(w)]).max(initial=0)) or 1.0
            with np.errstate(invalid="ignore"):
                error = np.where((g == w) | (np.isnan(g) & np.isnan(w)), 0, np.abs(g.astype("f8") - w)) / scale
            if not error.max(initial=0) <= LOOSER.get(name, 1e-4):
                out[key] = f"off by {error.max():.2e} of {scale:.3g}"
        elif not np.array_equal(g, w):
            out[key] = f"{np.count_nonzero(g != w)} of {w.size} differ"
    return out


def test_all_are_here() -> None:
    assert len(names()) == 36
    assert QUICK <= set(names())


@pytest.mark.parametrize(("name", "suffix"), CASES)
def test_outputs(name: str, suffix: str, tmp_path: Path) -> None:
    feeds, want = load(SHARED / name / f"inputs{suffix}.npz"), load(SHARED / name / f"outputs{suffix}.npz")
    shapes = {k: list(v.shape) for k, v in feeds.items()}
    try:
        made = aotgen.compile(SHARED / name / "model.onnx", tmp_path / f"lib{name}", input_shapes=shapes, threads=1)
        model = made.load()
        one, two = model(feeds), model(feeds, threads=2)
        assert far(name, one, want) == {}
        assert all(np.array_equal(one[k], two[k], equal_nan=one[k].dtype.kind == "f") for k in one), "threads differ"
    finally:
        shutil.rmtree(tmp_path / f"lib{name}", ignore_errors=True)


def test_the_comparison_can_fail() -> None:
    w = np.array([1.0, -2.0], np.float32)
    assert far("any", {"y": w * np.float32(1.00005)}, {"y": w}) == {}
    assert far("any", {"y": w * np.float32(1.0005)}, {"y": w}) != {}
    assert far("any", {"y": w * np.float32(np.nan)}, {"y": w}) != {}
    assert far("any", {"y": w[:1]}, {"y": w}) != {}
    assert far("any", {"i": np.array([1])}, {"i": np.array([2])}) != {}
