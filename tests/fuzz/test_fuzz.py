# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The fuzzer itself: a seed is a graph, a wrong number is seen, a finding becomes small and can be read again."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import parser

from tests import isolated
from tests.fuzz import case, judge, rows, shrink
from tests.fuzz.case import Case
from tests.fuzz.run import MODES

rows.load()
TANH = '<ir_version: 10, opset_import: ["" : 21]> g (float[4] x) => (float[4] y) { y = Tanh(x) }'


@pytest.fixture(scope="module")
def made() -> Case:
    grown = next(c for seed in range(99) if (c := case.grown(seed, (8, 12)).case) and len(c.model.graph.node) >= 8)
    return grown


def test_a_seed_is_a_graph(made: Case) -> None:
    again = case.grown(int(made.name.removeprefix("seed")), (8, 12)).case
    assert again is not None
    assert again.model.SerializeToString(deterministic=True) == made.model.SerializeToString(deterministic=True)
    assert [{n: a.tobytes() for n, a in f.items()} for f in again.feeds] == [{n: a.tobytes() for n, a in f.items()} for f in made.feeds]


def test_dims_are_open() -> None:
    some = [c for seed in range(4) if (c := case.grown(seed, (5, 8), MODES["open"]).case)]
    assert all(c.dynamic and len(c.feeds) == 3 for c in some)
    assert any(d.dim_param for c in some for i in c.model.graph.input for d in i.type.tensor_type.shape.dim)


def test_a_case_can_be_read_again(made: Case, tmp_path: Path) -> None:
    read = case.read(case.save(made, tmp_path))
    assert read.model == made.model and read.dynamic == made.dynamic
    for old, new in zip((*made.feeds, *made.truth), (*read.feeds, *read.truth), strict=True):
        assert old.keys() == new.keys() and all(np.array_equal(old[n], new[n]) for n in old)


def test_a_finding_becomes_small(made: Case) -> None:
    op = made.model.graph.node[len(made.model.graph.node) // 2].op_type
    small = shrink.shrunk(made, lambda c: any(n.op_type == op for n in c.model.graph.node), seconds=60)
    assert [n.op_type for n in small.model.graph.node] == [op]
    assert len(small.feeds) == 1


@pytest.mark.parametrize(("spoil", "wrong"), [
    (lambda a: a, False),
    (lambda a: a * np.float32(1 + 1e-3), True),
    (lambda a: np.where(np.arange(a.size) == 1, np.float32(np.nan), a), True),
    (lambda a: a[:-1], True),
])
def test_a_wrong_number_is_seen(spoil: Callable[[np.ndarray], np.ndarray], wrong: bool) -> None:
    model = parser.parse_model(TANH)
    x = np.array([0.5, -2, 3, 1], np.float32)
    right = Case("c", model, [{"x": x}], [{"y": np.tanh(x.astype(np.float64))}])
    actual = spoil(np.tanh(x)).astype(np.float32)
    for pointwise in (False, True):
        told = judge.different(replace(right, pointwise=pointwise), 0, "y", actual, right.truth[0]["y"], np.tanh(x))
        assert bool(told) == wrong, told


def test_what_dies_costs_one_item() -> None:
    def work(n: int) -> int:
        if n == 2:
            os.kill(os.getpid(), 9)
        return n

    assert list(isolated.each([1, 2, 3], work)) == [1, isolated.Died("signal 9"), 3]
    assert list(isolated.each([5], lambda n: time.sleep(9), patience=0.3)) == [isolated.Died("no answer")]
