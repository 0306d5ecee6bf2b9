# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The default number of threads follows the work."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import aotgen
from aotgen import driver, targets
from aotgen.core.options import CompileOptions
from aotgen.ir import index
from aotgen.plan.team import TEAMS, demand, useful_threads

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


def test_blocks_of_an_open_extent_are_not_counted_whole():
    """A nest in blocks of 1024 does ``n`` things, not as many as its blocks could hold."""
    options = CompileOptions(open_dims=(("n", (1, None)),))
    graph = driver.import_graph(MODELS / "digits_lstm.onnx", options)
    planned, _ = driver.lower_graph(graph, options, targets.load("cpu"))
    wanted = demand(planned.program)
    work = index.ix(wanted.work)
    (n,) = planned.program.dims
    at = [int(work.evaluate({n: k})) for k in (1, 2, 1000)]
    assert at[1] < 2.1 * at[0] and at[2] > 900 * at[0]


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="one core: every team is one thread")
def test_a_small_run_wakes_nobody(tmp_path):
    model = MODELS / "tiny_transformer.onnx"
    loaded = aotgen.compile(model, tmp_path / "libm", dynamic=True, threading="pool").load()
    started = []
    for seq in (1, 64):
        loaded({"ids": np.zeros((1, seq), np.int64)})
        started.append(len(os.listdir("/proc/self/task")))
    assert started[0] < started[1]
