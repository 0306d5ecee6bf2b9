# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The slab test against brute force: windows hold what parts touch, and no two threads of a plan meet between barriers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from aotgen import driver
from aotgen.core.options import CompileOptions
from aotgen.ir import index
from aotgen.ir.index import Atom
from aotgen.ir.program import If, Loop, LoopNest, Program, Step
from aotgen.lower import assemble
from aotgen.plan import barriers, inplace, order, shares, slab, team
from aotgen.plan.memory import offsets_at, plan_memory
from tests.e2e.harness import literal, parsed
from tests.lower.nests import one_softmax_a_nest
from tests.plan.touched import number, sets, shared, total, touched

# Shapes are small, so that everything can be enumerated; what is tested is where threads meet, not whether it pays.
MODELS = {
    "softmax_chain": "g (float[6,12] x) => (float[6,12] y) { a = Softmax<axis = -1>(x) b = Softmax<axis = -1>(a) "
                     "m = ReduceMax<axes = [1], keepdims = 1>(b) y = Sub(b, m) }",
    "softmax_columns": "g (float[4,6,5] x) => (float[4,6,5] y) { a = Relu(x) b = Softmax<axis = 1>(a) y = Softmax<axis = 2>(b) }",
    "softmax_outside": "g (float[4,6,5] x) => (float[4,6,5] y) { a = Softmax<axis = 2>(x) y = Softmax<axis = 0>(a) }",
    "transposed_items": "g (float[8,4,6] x) => (float[8,6,4] y) { a = Softmax<axis = -1>(x) t = Transpose<perm = [0,2,1]>(a) "
                        "y = Softmax<axis = -1>(t) }",
    "transposed": "g (float[8,6] x) => (float[6,8] y) { a = Softmax<axis = -1>(x) t = Transpose<perm = [1,0]>(a) "
                  "y = Softmax<axis = -1>(t) }",
    "shrinking": "g (float[7,12] x) => (float[7] y) { a = Softmax<axis = 1>(x) b = ReduceSum<keepdims = 0>(a, one) "
                 "c = Softmax<axis = 0>(b) y = Relu(c) }",
    "pooled": "g (float[2,3,8,8] x) => (float[2,3,4,4] y) { a = AveragePool<kernel_shape = [3,3], pads = [1,1,1,1]>(x) "
              "b = MaxPool<kernel_shape = [3,3], strides = [2,2], pads = [1,1,1,1]>(a) y = Softmax<axis = -1>(b) }",
    "joined": "g (float[4,3,16] x, float[4,2,16] z) => (float[4,5,16] y) { a = Softmax<axis = 2>(x) b = Softmax<axis = 1>(z) "
              "c = Concat<axis = 1>(a, b) y = Softmax<axis = -1>(c) }",
    "split": "g (float[6,8] x) => (float[6,4] y, float[6,4] z) { a = Softmax<axis = 1>(x) p, q = Split<axis = 1>(a) "
             "y = Softmax<axis = 1>(p) z = Softmax<axis = 0>(q) }",
    "gathered": "g (float[6,8] x, int64[5] i) => (float[5,8] y) { a = Softmax<axis = 1>(x) b = Gather<axis = 0>(a, i) "
                "y = Softmax<axis = 1>(b) }",
    "gathered_inside": "g (float[6,8] x, int64[5] i) => (float[6,5] y) { a = Softmax<axis = 1>(x) b = Gather<axis = 1>(a, i) "
                       "y = Softmax<axis = 1>(b) }",
    "residual": "g (float[4,6,5] x) => (float[4,6,5] y) { a = Softmax<axis = 1>(x) b = Softmax<axis = 2>(a) c = Add(a, b) "
                "d = Softmax<axis = 1>(c) y = Add(d, c) }",
    "regrouped": "g (float[6,4,16] x) => (float[3,8,16] y) <int64[3] s = {3, 8, 16}> { a = Softmax<axis = 2>(x) r = Reshape(a, s) "
                 "y = Softmax<axis = 1>(r) }",
    "summed": "g (float[6,9] x) => (float[6,9] y) { a = Softmax<axis = 1>(x) b = CumSum(a, axis) y = Softmax<axis = 1>(b) }",
    "contracted": "g (float[4,5,6] x, float[4,6,3] w) => (float[4,5,3] y) { a = Softmax<axis = 2>(x) b = MatMul(a, w) "
                  "y = Softmax<axis = 1>(b) }",
}  # fmt: skip
OPEN = {
    "open_rows": ("g (float[n,12] x) => (float[n,12] y) { a = Softmax<axis = -1>(x) y = Softmax<axis = -1>(a) }", {"n": (1, 40)}, {"n": 7}),
    "open_items": ("g (float[n,4,m] x) => (float[n,m,4] y) { a = Softmax<axis = -1>(x) t = Transpose<perm = [0,2,1]>(a) "
                   "y = Softmax<axis = -1>(t) }", {"n": (1, 40), "m": (1, 20)}, {"n": 5, "m": 6}),
}  # fmt: skip


@pytest.fixture(autouse=True)
def many_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small nests, and a barrier that costs more than anything."""
    one_softmax_a_nest(monkeypatch)
    monkeypatch.setattr(team, "BARRIER", 1e9)


def plain(text: str, dims: dict[str, tuple[int, int]] | None = None) -> Program:
    """A model as loop nests alone: no kernel has a rule."""
    known = literal("one", np.array([1])), literal("axis", np.array([1]))
    body = text.replace(" {", f" <{', '.join(known)}> {{", 1) if ">{" not in text and "<int64" not in text else text
    graph = driver.import_graph(parsed(body), CompileOptions(open_dims=tuple((dims or {}).items())))
    return assemble.lower(graph, {}).program


def planned(text: str, dims: dict[str, tuple[int, int]] | None = None):
    """The Program in its final order, its arena, and how it is shared."""
    program = inplace.take_over(order.reorder(plain(text, dims)))
    memory = plan_memory(program)
    return program, memory, barriers.plan_barriers(program, memory)


def values(program: Program, dims: dict[str, int]) -> dict[Atom, int]:
    return {a: dims[a.name] for a in program.dims}


def all_parts(n: int) -> list[int]:
    return [k for k in range(1, n + 1) if n % k == 0]


@pytest.mark.parametrize("name", MODELS)
def test_windows_hold_what_parts_touch(name: str) -> None:
    for step in plain(MODELS[name]).walk():
        if isinstance(step, LoopNest):
            check_windows(step, all_parts(total(step, {})), {})


@pytest.mark.parametrize("name", OPEN)
def test_windows_of_open_dims_hold_at_run_time(name: str) -> None:
    text, ranges, dims = OPEN[name]
    program = plain(text, ranges)
    at = values(program, dims)
    for step in program.walk():
        found = [slab.cut(step, n) for n in slab.cuts(step)]
        assert found
        assert all(c is not None for c in found)
        check_windows(step, slab.cuts(step), at)


def check_windows(step: Step, parts: Sequence[index.Dim], dims: dict[Atom, int]) -> None:
    accesses = touched(step, dims)
    for n in parts:
        cut = slab.cut(step, n)
        if cut is None:
            continue
        each = total(step, dims) // number(n, dims)
        for flat, at, buffer, writes in accesses:
            inside = np.zeros(len(at), bool)
            for w in cut.windows(buffer):
                start = number(w.stride, dims) * (flat // each)
                fits = (at >= start + number(w.low, dims)) & (at + buffer.dtype.bytes <= start + number(w.high, dims))
                inside |= fits & (w.writes or not writes)
            assert inside.all(), (step.name, n, buffer)


@pytest.mark.parametrize("name", MODELS)
def test_no_two_threads_meet_between_barriers(name: str) -> None:
    program, memory, plan = planned(MODELS[name])
    check_plan(program.steps, plan, {}, dict(memory.offsets))


@pytest.mark.parametrize("name", OPEN)
def test_no_two_threads_meet_at_open_dims(name: str) -> None:
    text, ranges, dims = OPEN[name]
    program, memory, plan = planned(text, ranges)
    at = values(program, dims)
    check_plan(program.steps, plan, at, offsets_at(memory, at)[0])


def check_plan(steps: Sequence[Step], plan: barriers.Sharing, dims: dict[Atom, int], offsets) -> None:
    phase: list[Step] = []
    for step in steps:
        assert not isinstance(step, If | Loop)
        phase = [step] if step in plan.barriers else [*phase, step]
        for threads, old in itertools.product((2, 3, 5), phase[:-1]):
            check_pair(old, step, threads, plan, dims, offsets)


def check_pair(old: Step, new: Step, threads: int, plan: barriers.Sharing, dims: dict[Atom, int], offsets) -> None:
    first, second = ([sets(s, mine(s, tid, threads, plan, dims), dims, offsets) for tid in range(threads)] for s in (old, new))
    for (a, (read, written)), (b, (reads, writes)) in itertools.product(enumerate(first), enumerate(second)):
        if a != b:
            met = (written & (reads | writes)) | (read & writes)
            assert not met, (old.name, new.name, threads, sorted(met)[:3])


def mine(step: Step, tid: int, threads: int, plan: barriers.Sharing, dims: dict[Atom, int]) -> range:
    share, n = plan.shares.get(step, shares.ALL), total(step, dims)
    if share.alone:
        return range(n if tid == 0 else 0)
    return shared(n, tid, threads, number(share.quantum(n), dims))


# How many barriers stand in each: what the test proves, and what it must not.
@pytest.mark.parametrize(("name", "count"), [
    ("softmax_chain", 0), ("softmax_columns", 0), ("softmax_outside", 1), ("transposed_items", 0), ("transposed", 1),
    ("shrinking", 2), ("joined", 0), ("gathered", 1), ("gathered_inside", 0), ("residual", 0), ("regrouped", 0),
])  # fmt: skip
def test_barriers_that_remain(name: str, count: int) -> None:
    _, _, plan = planned(MODELS[name])
    assert len(plan.barriers) == count, plan.barriers


@pytest.mark.parametrize("seed", range(30))
def test_random_chains(seed: int) -> None:
    """Rows, columns, transposes, residuals and regroupings in any order."""
    program, memory, plan = planned(random_chain(np.random.default_rng(seed)))
    check_plan(program.steps, plan, {}, dict(memory.offsets))
    for step in program.steps:
        if isinstance(step, LoopNest):
            check_windows(step, all_parts(total(step, {})), {})


def random_chain(rng: np.random.Generator) -> str:
    shape, seen, lines, shapes = [4, 6, 2], ["x"], [], {}
    start = list(shape)
    shapes["x"] = tuple(shape)
    kinds: list[Callable[[str, str], tuple[str, list[int]]]] = [
        lambda to, x: (f"{to} = Softmax<axis = {rng.integers(3)}>({x})", shape),
        lambda to, x: (f"{to} = Relu({x})", shape),
        lambda to, x: (f"{to} = Add({x}, {rng.choice([s for s in seen if shapes[s] == tuple(shape)])})", shape),
        lambda to, x: (f"{to} = Transpose<perm = [0,2,1]>({x})", [shape[0], shape[2], shape[1]]),
        lambda to, x: (f"{to} = Transpose<perm = [1,0,2]>({x})", [shape[1], shape[0], shape[2]]),
        lambda to, x: (f"{to} = LRN<size = 3>({x})", shape),
    ]  # fmt: skip
    for n in range(7):
        line, shape = kinds[rng.integers(len(kinds))](f"v{n}", seen[-1])
        lines.append(line)
        seen.append(f"v{n}")
        shapes[f"v{n}"] = tuple(shape)
    lines.append(f"y = Softmax<axis = {rng.integers(3)}>({seen[-1]})")
    return f"g (float[{','.join(map(str, start))}] x) => (float[{','.join(map(str, shape))}] y) {{ {' '.join(lines)} }}"
