# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The arena: no overlap of what lives together, close to the bound, regions, open dims."""

from __future__ import annotations

import random

import pytest

from aotgen.core import dtypes
from aotgen.ir import index
from aotgen.ir.program import Buffer, Copy, If, Loop, Program, Step, Tensor, row_major
from aotgen.plan import memory, order
from aotgen.plan.liveness import bytes_of, live_ranges, max_live
from aotgen.plan.memory import offsets_at, plan_memory
from aotgen.plan.placement import place


def buffer(name: str, size: object = 16, place: str = "workspace", dtype: str = "f32") -> Tensor:
    shape = size if isinstance(size, tuple) else (size,)
    layout = row_major(shape)  # type: ignore[arg-type]
    return Tensor(Buffer(name, dtypes.of(dtype), layout.size, place), layout)


def copy(dst: Tensor, src: Tensor) -> Copy:
    return Copy(f"{src.buffer.name}->{dst.buffer.name}", dst, src)


def program(*steps: Step, dims: tuple[index.Atom, ...] = ()) -> Program:
    return Program("t", (), (), steps, {}, dims)


X, Y = buffer("x", place="input"), buffer("y", place="output")


def check_no_overlap(
    offsets: dict[Buffer, int], spans: dict[Buffer, tuple[int, int]], sizes: dict[Buffer, int]
) -> None:
    items = list(offsets)
    for n, a in enumerate(items):
        for b in items[:n]:
            together = spans[a][0] <= spans[b][1] and spans[b][0] <= spans[a][1]
            apart = offsets[a] + sizes[a] <= offsets[b] or offsets[b] + sizes[b] <= offsets[a]
            assert apart or not together, (a, b)


@pytest.mark.parametrize("seed", range(12))
def test_random_lifetimes_fit_closely(seed: int) -> None:
    rng = random.Random(seed)
    spans, sizes = {}, {}
    for k in range(rng.choice([5, 40, 150])):
        b = buffer(f"b{k}").buffer
        start = rng.randrange(100)
        spans[b] = (start, start + rng.randrange(1, 12))
        sizes[b] = 64 * rng.choice([1, 3, 8, 50, rng.randrange(1, 200)])
    offsets, size = place(spans, sizes)
    check_no_overlap(offsets, spans, sizes)
    bound = max_live(spans, sizes)
    assert bound <= size <= max(1.10 * bound, bound + 4096)
    assert size == max(offsets[b] + sizes[b] for b in offsets)
    assert all(at % 64 == 0 for at in offsets.values())
    assert place(spans, sizes) == (offsets, size)  # deterministic


def test_chain_needs_two_buffers() -> None:
    t = [buffer(f"t{k}", 1000) for k in range(6)]
    plan = plan_memory(program(copy(t[0], X), *(copy(b, a) for a, b in zip(t, t[1:], strict=False)), copy(Y, t[-1])))
    assert plan.size == plan.bound == 2 * bytes_of(t[0].buffer)


def test_branches_share_but_not_with_the_result() -> None:
    c, r, a, b = buffer("c", (), dtype="bool"), buffer("r", 100), buffer("a", 100), buffer("b", 100)
    branch = If("if", c, (copy(a, X), copy(r, a)), (copy(b, X), copy(r, b)))
    plan = plan_memory(program(copy(c, X), branch, copy(Y, r)))
    assert plan.overlap(a.buffer, b.buffer)
    assert not plan.overlap(r.buffer, b.buffer) and not plan.overlap(r.buffer, a.buffer)


def test_loop_keeps_what_the_next_trip_reads() -> None:
    before, s, t, u = (buffer(n, 100) for n in ("before", "s", "t", "u"))
    loop = Loop("loop", 3, None, None, (copy(t, before), copy(u, t), copy(s, u)), ((s, s),))
    spans = live_ranges(program(copy(before, X), copy(s, X), loop, copy(Y, s)))
    assert spans[before.buffer] == (0, 6)  # read each trip: alive to the end of the loop
    assert spans[t.buffer] == (3, 4) and spans[u.buffer] == (4, 5)  # anew each trip
    read_first = Loop("loop", 3, None, None, (copy(s, t), copy(t, X)))
    spans = live_ranges(program(read_first, copy(Y, s)))
    assert spans[t.buffer] == (0, 3)  # read before written: carried by storage
    assert spans[s.buffer] == (0, 4)  # used after


def test_open_sizes_never_overlap_and_are_tight_at_the_bound() -> None:
    n, m = index.dim("N", 1, 64), index.dim("M", 1, 20)
    atoms = [a for d in (n, m) for a in index.dims_of(d)]
    rng = random.Random(3)
    shapes = [(n, 8), (n, 64), (m, 40), (n, m), (n * m, 3), (100,), (n + 5, 7)]
    t = [X, *(buffer(f"t{k}", rng.choice(shapes)) for k in range(40))]
    steps = [copy(b, rng.choice(t[max(0, k - 4) : k + 1])) for k, b in enumerate(t[1:])]
    plan = plan_memory(program(*steps, copy(Y, t[-1]), dims=tuple(atoms)))
    assert plan.is_open and plan.exact and plan.size <= max(1.1 * plan.bound, plan.bound + 4096)
    for values in ((64, 20), (1, 1), (64, 1), (1, 20), (13, 7)):
        dims = dict(zip(atoms, values, strict=True))
        sizes = {b: int(index.ix(bytes_of(b)).evaluate(dims)) for b in plan.spans}
        offsets, size = offsets_at(plan, dims)
        check_no_overlap(offsets, dict(plan.spans), sizes)
        assert size == max(offsets[b] + sizes[b] for b in offsets)
        for a in offsets:
            for b in offsets:
                if not plan.overlap(a, b):
                    assert offsets[a] + sizes[a] <= offsets[b] or offsets[b] + sizes[b] <= offsets[a]
        if values == (64, 20):
            assert size <= plan.size


def test_unbounded_dim_is_said_to_be_a_guess() -> None:
    n = index.dim("M")
    t = buffer("t", (n,))
    plan = plan_memory(program(copy(t, X), copy(Y, t), dims=tuple(index.dims_of(n))))
    assert not plan.exact and "open dims" in memory.summary(plan)


def test_reorder_only_when_clearly_better() -> None:
    big = [buffer(f"big{k}", 10000) for k in range(3)]
    small = [buffer(f"small{k}", 16) for k in range(3)]
    wide = program(
        *(copy(b, X) for b in big), *(copy(s, b) for s, b in zip(small, big, strict=True)), *(copy(Y, s) for s in small)
    )
    better = order.reorder(wide)
    assert better is not wide
    assert plan_memory(better).size < 0.5 * plan_memory(wide).size
    done: set[Buffer] = {X.buffer}
    for step in better.steps:
        assert isinstance(step, Copy) and step.src.buffer in done
        done.add(step.dst.buffer)
    assert [s.name for s in better.steps if s.dst is Y] == ["small0->y", "small1->y", "small2->y"]  # type: ignore[union-attr]
    assert order.reorder(better) is better
