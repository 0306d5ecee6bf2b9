# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Regions under the thread sanitizer, with every step shared: conditions, counters, carried values, trips, extents that steps make,
memory of the pool, and arena bytes handed on inside a body and across its edges."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from aotgen.plan import alone, team
from tests.conformance import run
from tests.conformance.cases import Case
from tests.e2e.harness import expected, normal, parsed
from tests.e2e.test_control_flow import NESTED
from tests.e2e.test_run_time_shapes import BRANCHES, GROWING, IN_EACH_OTHER, TRIPS, WHILE, newer
from tests.lower.nests import one_softmax_a_nest

Arrays = dict[str, np.ndarray]

# Items that are turned around in each trip, a branch by parity of the counter, a condition that the body makes, a value carried
# and one collected; softmaxes before, inside and after take over each other's bytes.
WIDE = """g (float[12,18,18] x, float lim, int64 trips) => (float[12,18,18] y, float[t,12,18] z) <bool on = {1}, int64[1] last = {2}> {
    p = Softmax<axis = 1>(x) q = Softmax<axis = 2>(p) r = Add(p, q)
    s, z = Loop(trips, on, r) <body = b (int64 i, bool c, float[12,18,18] v) => (bool d, float[12,18,18] w, float[12,18] m) {
        a = Softmax<axis = 2>(v) t = Transpose<perm = [0,2,1]>(a) e = Softmax<axis = 2>(t) even = Cast<to = 9>(i)
        w = If(even) <
            then_branch = th () => (float[12,18,18] f) { g0 = Softmax<axis = 1>(e) f = Sub(g0, v) },
            else_branch = el () => (float[12,18,18] h) { k0 = Transpose<perm = [0,2,1]>(e) k1 = Softmax<axis = 1>(k0) h = Add(k1, a) }>
        m = ReduceMax<keepdims = 0>(w, last) total = ReduceSum<keepdims = 0>(w) d = Less(total, lim) }>
    u = Softmax<axis = 1>(s) y = Add(u, q) }"""

# How much there is decides every step that follows.
FOUND = """g (float[300,24] x, float[300] k) => (float[n,24] y, float[n] z) <float zero = {0}, int64[1] one = {1}> {
    c = Greater(k, zero) e = Compress<axis = 0>(x, c) a = Softmax<axis = 1>(e) b = Softmax<axis = 1>(a) y = Add(a, b)
    z = ReduceSum<keepdims = 0>(y, one) }"""


def number(value: float, dtype: type = np.int64) -> np.ndarray:
    return np.array(value, dtype)


MODELS: dict[str, tuple[onnx.ModelProto, list[Arrays]]] = {
    "wide": (newer(WIDE), [{"x": normal(12, 18, 18), "lim": number(lim, np.float32), "trips": number(n)}
                           for lim, n in ((1e9, 5), (-1e9, 5), (1e9, 1))]),
    "found": (newer(FOUND), [{"x": normal(300, 24), "k": normal(300, seed=1)}]),
    "nested": (parsed(NESTED), [{"x0": np.abs(normal(4)), "lim": number(lim, np.float32)} for lim in (0.5, 1e9)]),
    "branches": (newer(BRANCHES), [{"x": normal(2, 4), "c": np.array(c)} for c in (True, False)]),
    "growing": (newer(GROWING), [{"x": normal(1, 4), "n": number(5)}]),
    "while": (newer(WHILE), [{"x": normal(1, 4), "lim": number(40, np.float32)}]),
    "trips": (newer(TRIPS), [{"x": normal(4), "n": number(n)} for n in (1, 40)]),
    "in_each_other": (newer(IN_EACH_OTHER), [{"x": normal(1, 4), "c": np.array(c), "n": number(4)} for c in (True, False)]),
}  # fmt: skip


def case(name: str) -> Case:
    """The model as a conformance case: expected outputs are onnxruntime's."""
    model, feeds = MODELS[name]
    outs = [o.name for o in model.graph.output]
    data = [([f[i.name] for i in model.graph.input], [expected(model, f)[n] for n in outs]) for f in feeds]
    return Case(name, "region", model, data, 1e-3, 1e-4)


@pytest.fixture
def all_shared(monkeypatch: pytest.MonkeyPatch) -> None:
    one_softmax_a_nest(monkeypatch)
    monkeypatch.setattr(team, "BARRIER", 1e9)
    monkeypatch.setattr(alone, "choose", lambda program, barriers: frozenset())


@pytest.mark.usefixtures("all_shared")
def test_regions_do_not_race() -> None:
    outcomes = run.run_some([case(name) for name in MODELS], "static", "thread")
    assert {o.case: (o.how, o.why) for o in outcomes} == {name: (run.PASS, "") for name in MODELS}


def test_regions_as_they_are_shared_do_not_race() -> None:
    """Loops of small steps are one thread's work."""
    outcomes = run.run_some([case(name) for name in MODELS], "static", "thread")
    assert {o.case: (o.how, o.why) for o in outcomes} == {name: (run.PASS, "") for name in MODELS}


@pytest.mark.usefixtures("all_shared")
def test_a_condition_changed_too_early_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tests above rely on: no trip waits before its body runs."""
    from aotgen.emit import steps
    from aotgen.plan import barriers

    for module in (steps, barriers):
        monkeypatch.setattr(module, "waits_each_trip", lambda loop: False)
    made = barriers.plan_barriers
    monkeypatch.setattr(barriers, "plan_barriers", lambda *a, **k: barriers.Sharing({}, made(*a, **k).shares))
    (outcome,) = run.run_some([case("wide")], "static", "thread")
    assert outcome.how == run.CRASH
    assert "data race" in outcome.why
