# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Where threads wait: where bytes may meet, and nowhere else; what one thread does alone; regions and pool buffers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest

from aotgen.core import dtypes
from aotgen.ir import index
from aotgen.ir.define import source
from aotgen.ir.index import Dim
from aotgen.ir.program import (
    Buffer,
    Copy,
    Extents,
    Fill,
    If,
    LibraryCall,
    Loop,
    LoopNest,
    Program,
    Stage,
    Step,
    Stmt,
    Swap,
    Take,
    Tensor,
    packed,
    row_major,
)
from aotgen.plan import alone, plan, team
from aotgen.plan.barriers import Sharing, plan_barriers
from aotgen.plan.memory import plan_memory
from tests.emit.programs import add, nest, program, relu, tensor

ROWS, WIDTH = 64, 1000  # a row is a unit of work; large enough to be shared


@pytest.fixture
def dear(monkeypatch: pytest.MonkeyPatch) -> None:
    """A barrier that costs more than any coarseness."""
    monkeypatch.setattr(team, "BARRIER", 1e9)


def rows(name: str, place: str = "workspace", shape: Sequence[Dim] = (ROWS, WIDTH)) -> Tensor:
    return tensor(name, shape, place)


def shared(*steps: Step) -> Sharing:
    p = Program("t", (), (), steps, {})
    return plan_barriers(p, plan_memory(p))


X, Y = rows("x", "input"), rows("y", "output")


def transposed(name: str, dst: Tensor, src: Tensor, items: bool = False) -> LoopNest:
    """``dst[..., j, i] = src[..., i, j]`` as a nest over everything but the last axis; ``items``: rank 3."""
    axes = [index.fresh_var(index.ix(d), "o") for d in dst.shape]
    at = tuple(map(index.var, axes))
    back = (at[0], at[2], at[1]) if items else (at[1], at[0])
    d, y = source("s", src.shape, src.dtype), source("d", dst.shape, dst.dtype)
    return LoopNest(name, tuple(axes[:-1]), (Stage((axes[-1],), (Stmt(y, at, d[back]),), lane=axes[-1]),), {d: src, y: dst})


# ---------------------------------------------------------------------------------------------------- the slab test


def test_steps_over_the_same_rows_need_none() -> None:
    a, b = rows("a"), rows("b")
    found = shared(nest("first", a, [X], relu), nest("second", b, [a], relu), nest("third", Y, [b, a], add))
    assert not found.barriers
    assert {s.parts for s in found.shares.values()} == {ROWS}


def test_a_step_that_reads_across_rows_waits() -> None:
    square = [tensor(n, (256, 256), place) for n, place in (("a", "workspace"), ("b", "workspace"), ("c", "output"))]
    x = tensor("x", (256, 256), "input")
    first, turn, last = (nest("first", square[0], [x], relu), transposed("turn", square[1], square[0]),
                         nest("last", square[2], [square[1]], relu))  # fmt: skip
    assert shared(first, turn, last).barriers == {turn: "reads first"}


def test_a_transpose_inside_items_is_cut_by_items() -> None:
    a, b, c = (rows(n, shape=s) for n, s in (("a", (32, 8, 24)), ("b", (32, 24, 8)), ("c", (32, 24, 8))))
    x = tensor("x", (32, 8, 24), "input")
    steps = nest("first", a, [x], relu), transposed("turn", b, a, True), nest("last", c, [b], relu)
    found = shared(*steps)
    assert not found.barriers
    assert [found.shares[s].parts for s in steps] == [32, 32, 32]
    assert [found.shares[s].quantum(n) for s, n in zip(steps, (256, 768, 768), strict=True)] == [8, 24, 24]


@pytest.mark.usefixtures("dear")
def test_every_step_since_the_last_barrier_counts() -> None:
    """The second agrees with the first and the third with the second; but the third meets the first elsewhere."""
    a, b = rows("a", shape=(64, 64)), rows("b", shape=(64, 64))
    x, y = rows("x", "input", (64, 64)), rows("y", "output", (64, 64))
    first, second = nest("first", a, [x], relu), nest("second", b, [x], relu)
    both = transposed("both", y, a)
    later = LoopNest("later", both.outer, both.stages, {**both.tensors})
    assert shared(first, second, later).barriers == {later: "reads first"}


@pytest.mark.usefixtures("dear")
def test_a_later_step_makes_all_coarser() -> None:
    """The third step needs whole items, and with it the second, and with it the first."""
    a, b, c = (rows(n, shape=s) for n, s in (("a", (8, 16, 32)), ("b", (8, 16, 32)), ("c", (8, 32, 16))))
    x = tensor("x", (8, 16, 32), "input")
    first, second = nest("first", a, [x], relu), nest("second", b, [a], relu)
    assert [s.parts for s in shared(first, second).shares.values()] == [128, 128]
    found = shared(first, second, transposed("third", c, b, True))
    assert not found.barriers
    assert [s.parts for s in found.shares.values()] == [8, 8, 8]


def test_few_large_parts_are_no_bargain() -> None:
    """Three items on two threads cost a third more time than a barrier."""
    shapes = (3, 2000, 40), (3, 40, 2000)
    a, b = rows("a", shape=shapes[0]), rows("b", shape=shapes[1])
    turn = transposed("turn", b, a, True)
    assert turn in shared(nest("first", a, [tensor("x", shapes[0], "input")], relu), turn).barriers


@pytest.mark.usefixtures("dear")
def test_bytes_handed_on_within_the_arena() -> None:
    """``b`` takes the bytes of ``a``: harmless where rows lie in the same places, and not where they are twice as long."""
    for width, waits in ((WIDTH, False), (2 * WIDTH, True)):
        a, b = rows("a"), rows("b", shape=(ROWS * WIDTH // width, width))
        x = rows("x2", "input", b.shape)
        y = rows("y2", "output", b.shape)
        steps = (nest("first", a, [X], relu), nest("out", Y, [a], relu), nest("reuse", b, [x], relu), nest("end", y, [b], relu))
        p = Program("t", (), (), steps, {})
        memory = plan_memory(p)
        assert memory.overlap(a.buffer, b.buffer)
        assert memory.distance(a.buffer, b.buffer) == 0
        plan_barriers(p, memory)
        assert bool(plan_barriers(p, memory).barriers) == waits
        # The same rows, but a cache line further on: a row ends in what another thread still reads.
        moved = replace(memory, offsets={**memory.offsets, b.buffer: memory.offsets[b.buffer] + 64})
        assert list(plan_barriers(p, moved).barriers) == [steps[2]]


def test_open_rows_are_cut_by_the_open_dim() -> None:
    n = index.dim("n", 1, 500)
    a, b = rows("a", shape=(n, WIDTH)), rows("b", shape=(n, WIDTH))
    x = tensor("x", (n, WIDTH), "input")
    steps = nest("first", a, [x], relu), nest("second", b, [a], relu)
    p = Program("t", (), (), steps, {}, tuple(index.dims_of(n)))
    found = plan_barriers(p, plan_memory(p))
    assert not found.barriers
    assert found.shares[steps[0]].parts == n


def test_open_arena_bytes_wait() -> None:
    """Where a slot lies is known at run time only: what takes it over waits."""
    n = index.dim("n", 1, 500)
    a, b = rows("a", shape=(n, WIDTH)), rows("b", shape=(n, WIDTH))
    x, y, z = (tensor(k, (n, WIDTH), place) for k, place in (("x", "input"), ("y", "output"), ("z", "output")))
    steps = (nest("first", a, [x], relu), nest("out", y, [a], relu), nest("reuse", b, [x], relu), nest("end", z, [b], relu))
    p = Program("t", (), (), steps, {}, tuple(index.dims_of(n)))
    memory = plan_memory(p)
    assert memory.overlap(a.buffer, b.buffer)
    assert steps[2] in plan_barriers(p, memory).barriers


# ---------------------------------------------------------------------------------------------------- other steps


@pytest.mark.usefixtures("dear")
def test_large_copies_are_cut_like_what_they_follow() -> None:
    a, b = rows("a"), rows("b")
    steps = nest("first", a, [X], relu), Copy("same", b, a), nest("last", Y, [b], relu)
    found = shared(*steps)
    assert not found.barriers
    assert found.shares[steps[1]].quantum(ROWS * WIDTH) == WIDTH


def test_a_halo_and_what_it_surrounds_do_not_meet() -> None:
    shape = (1, 32, 20, 20)
    layout = packed(shape, block_axis=1, halo=((0, 0), (0, 0), (1, 1), (1, 1)))
    h = tensor("h", shape, layout=layout)
    x, y = tensor("x", shape, "input"), tensor("y", shape, "output")
    border = Fill("border", h)
    inside = nest("inside", h, [x], relu)
    axes = [index.fresh_var(d, "o") for d in shape]
    n, c, i, j = map(index.var, axes)
    d, out = source("h", shape, dtypes.f32), source("y", shape, dtypes.f32)
    stage = Stage((axes[3],), (Stmt(out, (n, c, i, j), d[n, 31 - c, i - 1, j + 1]),), lane=axes[3])
    window = LoopNest("window", tuple(axes[:3]), (stage,), {d: h, out: y})
    found = shared(border, inside, window)
    assert list(found.barriers) == [window]


@dataclass(frozen=True, slots=True, eq=False)
class Novel:
    """A step kind nobody has told the planner about."""

    name: str
    origin: str = ""


def test_what_is_unknown_waits() -> None:
    a = rows("a")
    first, call = nest("first", a, [X], relu), LibraryCall("call", "f", "h.h", (a,), (Y,))
    assert shared(first, call).barriers == {call: "reads first"}
    after = nest("after", rows("b"), [Y], relu)
    assert shared(first, call, after).barriers == {call: "reads first", after: "reads call"}
    assert shared(first, Novel("novel")).barriers == {}  # type: ignore[arg-type]


def test_extents_are_read_by_every_thread() -> None:
    n, count = index.dim("n", 0, 9), tensor("count", (), dtype="i64")
    make = LibraryCall("count", "f", "h.h", (X,), (count,), scratch=tensor("s", (8,)))
    (atom,) = index.dims_of(n)
    learn = Extents("learn", ((atom, count),))
    clobber = LibraryCall("clobber", "f", "h.h", (X,), (count,), scratch=tensor("s", (8,)))
    found = shared(make, learn, clobber)
    assert found.barriers == {learn: "reads count", clobber: "overwrites what learn reads"}
    assert not alone.choose(program([], [], [learn]), {})


def test_buffers_of_the_pool() -> None:
    """Behind the barrier of a Take threads ask where it is: it must not be moved before all have."""
    a, b = (Tensor(Buffer(n, dtypes.f32, 64, "pool"), row_major((64,))) for n in "ab")
    take, swap = Take("take", a, 64), Swap("swap", a, b)
    assert shared(take, swap).barriers == {swap: "moves what take took"}
    again = Take("again", a, 128)
    assert shared(take, again).barriers == {again: "moves what take took"}
    fill = LibraryCall("fill", "f", "h.h", (X,), (a,))
    assert shared(take, fill).barriers == {}
    use = LibraryCall("use", "f", "h.h", (a,), (Y,))
    assert shared(take, fill, use).barriers == {use: "reads fill"}


# ---------------------------------------------------------------------------------------------------- regions


def test_regions_wait_on_both_edges() -> None:
    c, r, z = tensor("c", (), dtype="bool"), rows("r"), rows("z", "output")
    clobber = Copy("clobber", c, tensor("k", (), "const", "bool"))
    branch = If("if", c, (clobber,), (nest("other", r, [X], relu),))
    after = nest("after", z, [X], relu)
    found = shared(Copy("set", c, tensor("k", (), "const", "bool")), branch, after)
    assert found.barriers[branch] == "reads set"
    assert found.barriers[after] == "end of region"
    assert clobber in found.barriers  # a slow thread may still be reading the condition


def loop(width: int, trips: Dim | Tensor = 10, **more: object) -> tuple[Loop, list[Step]]:
    s, t = tensor("s", (4, width)), tensor("t", (4, width))
    body = [nest("grow", t, [s, s], add), nest("back", s, [t], relu)]
    return Loop("loop", trips, None, None, tuple(body), **more), body  # type: ignore[arg-type]


def choose(*steps: Step) -> frozenset[Step]:
    p = Program("t", (), (), steps, {})
    return alone.choose(p, plan_barriers(p, plan_memory(p)).barriers)


def test_a_loop_of_small_steps_is_one_threads_work() -> None:
    step, body = loop(16)
    assert choose(step) >= {step}
    p = plan(Program("t", (), (), (step,), {}))
    assert not p.barriers
    assert all(p.share(s).alone for s in (step, *body))


def test_a_loop_of_large_steps_is_shared() -> None:
    step, _ = loop(1 << 16)
    assert step not in choose(step)


def test_what_every_thread_must_follow_is_not_left_to_one() -> None:
    s, t = tensor("s", (4, 16)), tensor("t", (4, 16))
    swapped, _ = loop(16, carried=((s, t),))
    assert swapped not in choose(swapped)
    (ran,) = index.dims_of(index.dim("ran", 0, 10))
    counted, _ = loop(16, ran=ran)
    assert counted not in choose(counted)


# ---------------------------------------------------------------------------------------------------- one thread


def test_small_steps_run_on_one_thread_without_barriers() -> None:
    t = [tensor(f"t{k}", (16, 16)) for k in range(6)]
    steps = [transposed(f"n{k}", b, a) for k, (a, b) in enumerate(zip(t, t[1:], strict=False))]
    found = plan(program([t[0]], [t[-1]], steps))
    assert not found.barriers
    assert all(found.share(s).alone for s in found.program.steps)


def test_a_large_step_among_small_ones_is_shared() -> None:
    small = [tensor(f"t{k}", (16, 16)) for k in range(5)]
    big, y = tensor("big", (512, 512)), tensor("y", (16, 16), "output")
    head = [transposed(f"h{k}", b, a) for k, (a, b) in enumerate(zip(small[:3], small[1:3], strict=False))]
    wide = nest("wide", big, [tensor("x", (512, 512), "input")], relu)
    d, out = source("d", big.shape, big.dtype), source("o", y.shape, y.dtype)
    i, j = index.fresh_var(16), index.fresh_var(16)
    corner = LoopNest("corner", (i,), (Stage((j,), (Stmt(out, (index.var(i), index.var(j)), d[index.var(j), index.var(i)]),)),),
                      {d: big, out: y})  # fmt: skip
    found = plan(Program("t", (), (), (*head, wide, corner), {}))
    assert not found.share(wide).alone
    assert "reads wide" in found.barriers[corner]
