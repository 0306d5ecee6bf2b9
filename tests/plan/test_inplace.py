# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""In-place reuse: taken where each element is read for the last time where it is written, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

from aotgen.core import dtypes
from aotgen.ir import expr, index
from aotgen.ir.define import source
from aotgen.ir.program import Loop, LoopNest, Stage, Stmt, Tensor
from aotgen.plan.inplace import take_over
from aotgen.plan.memory import plan_memory
from tests.emit.programs import add, gemm, nest, program, relu, tensor

X, Y = tensor("x", (6, 32), "input"), tensor("y", (6, 32), "output")


def buffers(steps: object) -> int:
    merged = take_over(program([X], [Y], steps))  # type: ignore[arg-type]
    return len(plan_memory(merged).offsets)


def shifted(dst: Tensor, src: Tensor, di: int = 0, dj: int = 0, transpose: bool = False) -> LoopNest:
    """``dst[i, j] = src[i + di, j + dj]`` or ``src[j, i]``, where that exists."""
    axes = [index.fresh_var(n, "o") for n in (dst.shape[0] - di, dst.shape[1] - dj)]  # type: ignore[operator]
    i, j = map(index.var, axes)
    a, b = source("a", src.shape, src.dtype), source("b", dst.shape, dst.dtype)
    load = a[j, i] if transpose else a[i + di, j + dj]
    return LoopNest("shift", tuple(axes[:1]), (Stage((axes[1],), (Stmt(b, (i, j), load),)),), {a: src, b: dst})


def test_chain_of_pointwise_steps_is_one_buffer() -> None:
    t = [tensor(f"t{k}", (6, 32)) for k in range(5)]
    chain = [nest(f"n{k}", b, [a], relu) for k, (a, b) in enumerate(zip([X, *t], [*t, Y], strict=True))]
    assert buffers(chain) == 1


def test_residual_takes_one_of_its_operands() -> None:
    a, b, c = (tensor(n, (6, 32)) for n in "abc")
    assert (
        buffers([nest("a", a, [X], relu), nest("b", b, [X], relu), nest("c", c, [a, b], add), nest("y", Y, [c], relu)])
        == 2
    )


def test_not_while_the_operand_is_needed_later() -> None:
    a, b = tensor("a", (6, 32)), tensor("b", (6, 32))
    assert buffers([nest("a", a, [X], relu), nest("b", b, [a], relu), nest("y", Y, [a, b], add)]) == 2


def test_not_for_other_offsets() -> None:
    for kwargs in ({"di": 1}, {"dj": 1}):
        a, b = tensor("a", (6, 32)), tensor("b", (6, 32))
        assert buffers([nest("a", a, [X], relu), shifted(b, a, **kwargs), nest("y", Y, [b], relu)]) == 2  # type: ignore[arg-type]
    a, b = tensor("a", (8, 8)), tensor("b", (8, 8))
    assert buffers([shifted(a, X), shifted(b, a, transpose=True), shifted(Y, b)]) == 2


def test_not_for_other_sizes_or_types() -> None:
    a, b = tensor("a", (6, 32)), tensor("b", (6, 32), dtype="i32")
    merged = [
        nest("a", a, [X], relu),
        nest("b", b, [a], lambda v: expr.cast(v, "i32")),
        nest("y", Y, [b], lambda v: expr.cast(v, "f32")),
    ]
    assert buffers(merged) == 2
    c = tensor("c", (7, 32))
    assert buffers([nest("a", a, [X], relu), shifted(c, a), shifted(Y, c)]) == 2


def test_not_when_a_later_stage_reads_again() -> None:
    a, b = tensor("a", (6, 32)), tensor("b", (6, 32))
    i, j, k = (index.fresh_var(n, "o") for n in (6, 32, 32))
    da, db, dy = (source(n, (6, 32), dtypes.f32) for n in "aby")
    first = Stage((j,), (Stmt(db, (index.var(i), index.var(j)), da[index.var(i), index.var(j)]),))
    second = Stage((k,), (Stmt(dy, (index.var(i), index.var(k)), da[index.var(i), index.var(k)]),))
    two = LoopNest("two", (i,), (first, second), {da: a, db: b, dy: Y})
    assert buffers([nest("a", a, [X], relu), two, nest("y", Y, [b], relu)]) == 2
    swapped = replace(two, stages=(second, first))  # the other read comes before the store, but elsewhere in the row
    assert buffers([nest("a", a, [X], relu), swapped, nest("y", Y, [b], relu)]) == 2


def test_not_for_a_fold_that_stores_at_every_point() -> None:
    a, b = tensor("a", (6, 32)), tensor("b", (6, 32))
    i, j, r = (index.fresh_var(n, "o") for n in (6, 32, 3))
    da, db = source("a", (6, 32), dtypes.f32), source("b", (6, 32), dtypes.f32)
    at = (index.var(i), index.var(j))
    again = LoopNest("again", (i,), (Stage((j,), (Stmt(db, at, da[at] + da[at]),), folds=(r,)),), {da: a, db: b})
    assert buffers([nest("a", a, [X], relu), again, nest("y", Y, [b], relu)]) == 2


def test_carried_buffers_stay_apart() -> None:
    s, t = tensor("s", (6, 32)), tensor("t", (6, 32))
    loop = Loop("loop", 3, None, None, (nest("n", t, [s], relu),), ((s, t),))
    assert buffers([nest("s", s, [X], relu), loop, nest("y", Y, [s], relu)]) == 2


def test_a_kernel_never_writes_over_its_operands() -> None:
    case = gemm()
    (step,) = case.program.steps
    merged = take_over(case.program).steps[0]
    assert [t.buffer for t in merged.operands] == [t.buffer for t in step.operands]  # type: ignore[union-attr]
