# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The default number of threads follows the work."""

from __future__ import annotations

from pathlib import Path

import pytest

from aotgen import driver, targets
from aotgen.core.options import CompileOptions
from aotgen.plan.team import TEAMS, useful_threads

MODELS = Path(__file__).resolve().parents[2] / "models"


@pytest.mark.parametrize(("model", "dims", "least", "most"), [
    ("digits_cnn", {}, 1, 1),
    ("tiny_transformer", {"seq": (1, 64)}, 4, 32),
    ("digits_lstm", {"n": (1, 32)}, 1, 4),
    ("digits_lstm", {"n": (1, None)}, TEAMS[-1], TEAMS[-1]),
])
def test_threads_follow_the_work(model, dims, least, most):
    options = CompileOptions(open_dims=tuple(dims.items()))
    graph = driver.import_graph(MODELS / f"{model}.onnx", options)
    planned, _ = driver.lower_graph(graph, options, targets.load("cpu"))
    assert least <= useful_threads(planned.program) <= most
