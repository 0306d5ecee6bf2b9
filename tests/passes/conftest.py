# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Passes are tested on ONNX text: operators before and after, and the same numbers from the Graph interpreter."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import onnx
import pytest

from aotgen.frontend import load_graph
from aotgen.ir.graph import Graph
from aotgen.ops.interp import run_graph
from aotgen.passes import manager

NARROW = {"float16": 2.0**-9, "bfloat16": 2.0**-6}  # two units: results rounded after every node, or once


@dataclass(frozen=True)
class Outcome:
    before: Graph
    after: Graph

    @property
    def ops(self) -> list[str]:
        return [n.op for n in self.after.nodes]

    @property
    def count(self) -> Counter[str]:
        return Counter(self.ops)


Check = Callable[..., Outcome]


def arrays(graph: Graph, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {v.name: (rng.standard_normal(v.shape) if v.dtype.is_float else rng.integers(0, 2, v.shape)).astype(v.dtype.numpy)
            for v in graph.inputs}


@pytest.fixture
def check() -> Check:
    """``check(text, pass, ...)``: import the graph text, run the passes, compare numbers (``exact``: bit for bit)."""

    def run(text: str, *names: str, exact: bool = True, weights: dict[str, np.ndarray] | None = None, opset: int = 21) -> Outcome:
        model = onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : {opset}]>\n{text}')
        for name, array in (weights or {}).items():
            model.graph.initializer.append(onnx.numpy_helper.from_array(array, name))
        before = load_graph(model)
        after = manager.run(before, names)
        feeds = arrays(before, 0)
        old, new = run_graph(before, feeds), run_graph(after, feeds)
        assert list(old) == list(new), "output names"
        for name in old:
            assert old[name].dtype == new[name].dtype
            if exact:
                np.testing.assert_array_equal(old[name], new[name])
            else:
                narrow = NARROW.get(str(old[name].dtype))
                rtol, atol = (2e-5, 2e-6) if narrow is None else (narrow, narrow * float(np.max(np.abs(old[name]))))
                np.testing.assert_allclose(old[name], new[name], rtol=rtol, atol=atol)
        return Outcome(before, after)

    return run
