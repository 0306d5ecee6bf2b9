# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Closing in on the first diverging tensor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx.parser
import pytest

from aotgen import driver
from aotgen.core.options import CompileOptions
from aotgen.ops import registry
from aotgen.verify import bisect
from aotgen.verify.bisect import Probe

TEXT = """<ir_version: 9, opset_import: ["" : 20]> g (float[4,6] x) => (float[4,6] y, float[4,6] z) {
    [one] a = Exp(x)
    [side] s = Neg(x)
    [two] b = Softmax(a)
    [three] c = Tanh(b)
    [four] d = Softmax(c)
    [five] y = Sqrt(d)
    [six] z = Abs(s)
}"""


def test_candidates_are_the_ancestors_in_order() -> None:
    found = bisect.candidates(onnx.parser.parse_model(TEXT), "y")
    assert [p.tensor for p in found] == ["a", "b", "c", "d", "y"]
    assert found[2].node == "Tanh three"


def test_showing_replaces_the_outputs() -> None:
    model = bisect.showing(onnx.parser.parse_model(TEXT), ["c", "y"])
    assert [o.name for o in model.graph.output] == ["c", "y"]
    assert model.graph.output[1].type.tensor_type.elem_type == 1


@pytest.mark.parametrize("guilty", [0, 1, 17, 99])
@pytest.mark.parametrize("n", [100, 1000])
def test_search_finds_the_first(guilty: int, n: int) -> None:
    probes = [Probe(f"t{k}", f"Op n{k}") for k in range(n)]
    asked: list[int] = []

    def judge(tensors: Sequence[str]) -> dict[str, float]:
        asked.append(len(tensors))
        return {t: 0.5 for t in tensors if int(t[1:]) >= guilty}

    culprit = bisect.search(probes, judge)
    assert culprit is not None
    assert culprit.first.tensor == f"t{guilty}"
    assert culprit.last_good == (probes[guilty - 1] if guilty else None)
    assert max(asked) <= bisect.PROBES + 1
    assert len(asked) <= 7
    assert f"made by Op n{guilty}" in str(culprit)


def test_search_says_so_when_looking_cures_it() -> None:
    probes = [Probe(f"t{k}", f"Op n{k}") for k in range(9)]
    late = {"t6", "t7", "t8"}
    culprit = bisect.search(probes, lambda tensors: {t: 0.1 for t in tensors if len(tensors) == 1 and t in late})
    assert culprit is not None
    assert (culprit.first, culprit.last_good, culprit.alone) == (probes[6], probes[5], True)
    assert "fused" in str(culprit)
    assert bisect.search(probes, lambda tensors: {}) is None


def test_a_miscompiled_operator_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tanh compiles to Sigmoid; the reference still knows what Tanh is."""
    right, honest = registry.TABLE["", "Tanh"], driver.compile_model

    def wrong(*args: Any, **more: Any) -> driver.Result:
        registry.TABLE["", "Tanh"] = replace(right, lower=registry.TABLE["", "Sigmoid"].lower)
        try:
            return honest(*args, **more)
        finally:
            registry.TABLE["", "Tanh"] = right

    monkeypatch.setattr(driver, "compile_model", wrong)
    feeds = {"x": np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)}
    culprit = bisect.bisect(onnx.parser.parse_model(TEXT), "y", feeds, CompileOptions(target="cpu:scalar"))
    assert culprit is not None
    assert culprit.first.node == "Tanh three"
    assert culprit.error > 0.01
