# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The shapes that nests take: which loop is the vector, what is merged, cut and clipped, and how long it takes."""

from __future__ import annotations

import time

import nests
import numpy as np
import test_nest as ops

from aotgen.core import dtypes
from aotgen.ir import index
from aotgen.ir.define import compute, reduce_, source
from aotgen.ir.program import LANES
from aotgen.lower import schedule

F = dtypes.f32


def prepared(*outputs, layouts=nests.plain, simd_min=16):
    return [schedule.prepare(n, simd_min) for n in nests.lower(outputs, layouts)]


def test_a_row_kernel_has_its_row_as_the_vector():
    (n,) = prepared(ops.softmax(ops.x_(32, 768), 1))
    assert [s.lane in s.folds if s.folds else s.lane in s.inner for s in n.stages] == [True] * 3
    assert [v.ext for v in n.outer] == [32]


def test_a_column_reduction_is_spread():
    (n,) = prepared(ops.softmax(ops.x_(4, 768, 64), 1))
    for s in n.stages:
        assert s.lane is s.inner[-1]
        assert s.lane.ext.const() <= LANES
    assert all(t.shape[-1] in (16, 32, 64) for t in n.temps)


def test_pooling_in_blocks_has_the_channel_as_the_vector():
    x = ops.x_(1, 64, 56, 56)
    (n,) = prepared(ops.pool("max", x, (28, 28), 3, 2, 1, -ops.INF), layouts=nests.blocked)
    (s,) = n.stages
    assert s.lane.ext == 16
    assert {b.var for b in s.bounds} == set(s.folds)
    assert nests.guards([n]) == nests.divisions([n]) == 0


def test_pooling_of_a_ragged_block_has_two_constant_forms():
    x = ops.x_(1, 24, 56, 56)
    (n,) = prepared(ops.pool("max", x, (28, 28), 3, 2, 1, -ops.INF), layouts=nests.blocked)
    assert [s.lane.ext for s in n.stages] == [16, 8]
    assert all(s.cond is not None for s in n.stages)


def test_a_short_window_is_never_the_vector():
    x = ops.x_(1, 3, 8, 8)
    (n,) = prepared(ops.pool("max", x, (8, 8), 3, 1, 1, -ops.INF))
    assert all(s.lane not in s.folds for s in n.stages)


def test_channels_of_less_than_a_block_are_the_vector_rather_than_the_batch():
    for batch in (1, index.dim("batch")):
        x = ops.x_(batch, 12, 24, 24)
        (n,) = prepared(ops.pool("sum", x, (12, 12), 2, 2, 0, 0.0), layouts=nests.blocked)
        assert [s.lane.ext for s in n.stages] == [12]


def test_elementwise_is_one_flat_loop_in_any_dense_layout():
    x = ops.x_(2, 64, 20, 20)
    y = compute(x.shape, lambda *i: x[i] + 1.0)
    blocked = lambda d: nests.packed(d.shape, block_axis=1)
    for layout in (nests.plain, blocked):
        (n,) = prepared(y, layouts=layout)
        assert [v.ext for v in n.outer] == [50]
        assert [v.ext for v in n.stages[0].loops] == [1024]


def test_pad_is_three_plain_pieces_and_a_condition():
    x = ops.x_(2, 3, 20, 40)
    (n,) = prepared(ops.pad(x, (0, 0, 1, 2), (0, 0, 1, 4)))
    assert [(s.cond is None, s.lane is None) for s in n.stages].count((False, False)) >= 1
    assert len(n.stages) <= 4
    assert nests.guards([n]) == 0


def test_concat_of_rows_stays_flat():
    xs = [ops.x_(k, 768, name=f"x{k}") for k in (3, 4, 5)]
    (n,) = prepared(ops.concat(xs, 0))
    assert [len(s.loops) for s in n.stages] == [1] * 3
    assert nests.guards([n]) == nests.divisions([n]) == 0


def test_split_heads_moves_whole_heads():
    x = ops.x_(8, 128, 768)
    (n,) = prepared(ops.transpose(ops.reshape(x, (8, 128, 12, 64)), (0, 2, 1, 3)))
    assert nests.divisions([n]) == 0
    assert n.stages[0].lane.ext == 64


def test_columns_of_a_product_are_the_vector():
    a, b = ops.x_(64, 128, name="a"), ops.x_(128, 512, name="b")
    y = reduce_("sum", (64, 512), (128,), lambda o, r: a[o[0], r[0]] * b[r[0], o[1]])
    (n,) = prepared(y)
    assert n.stages[0].lane in n.stages[0].inner
    c = ops.x_(512, 128, name="c")
    z = reduce_("sum", (64, 512), (128,), lambda o, r: a[o[0], r[0]] * c[o[1], r[0]])
    (n,) = prepared(z)
    assert n.stages[0].lane in n.stages[0].folds


def test_open_rows():
    n, c = index.dim("N"), index.dim("C", 1, 4096)
    (k,) = prepared(ops.softmax(source("x", (n, c), F), 1))
    assert [s.lane is not None for s in k.stages] == [True] * 3
    (k,) = prepared(compute((n, c), lambda i, j, x=source("x", (n, c), F): x[i, j] + 1.0))
    assert len(k.outer) == 1
    assert len(k.stages) == 1


def test_a_few_points_are_written_out():
    (n,) = prepared(ops.softmax(ops.x_(100, 3), 1))
    (s,) = n.stages
    assert not n.temps and s.loops == (s.lane,) and len(s.stmts) == 3
    (n,) = prepared(ops.softmax(ops.x_(100, 7), 1))
    assert len(n.stages) == 3


def test_open_rows_may_be_short():
    n, c, long = index.dim("N"), index.dim("C"), index.dim("L", 17)
    x = source("x", (n, c), F)
    (k,) = prepared(ops.softmax(x, 1))
    assert k.short is not None and [s.lane is s.inner[-1] for s in k.short.nest.stages] == [True] * 3
    assert all(t.size in (32, 16 * 32) for t in k.short.nest.temps)
    (k,) = prepared(ops.softmax(source("x", (n, long), F), 1))
    assert k.short is None
    few = index.dim("F", 0, 1)
    (k,) = prepared(ops.softmax(source("x", (2, few), F), 1))
    assert k.short is None  # nothing is left to find out
    (k,) = prepared(reduce_("sum", (n,), (c,), lambda o, r: x[o[0], r[0]]))
    assert k.short is None  # a sum costs no more than its loads
    (k,) = prepared(ops.softmax(x, 0))
    assert k.short is None  # columns: neighbours are in other rows


def test_short_rows_compute_the_same():
    n, c = index.dim("N"), index.dim("C")
    x = source("x", (n, c), F)
    rng = np.random.default_rng(0)
    for rows, length in ((1, 3), (63, 8), (64, 16), (130, 5)):
        (k,) = nests.check([ops.softmax(x, 1)], {x: rng.standard_normal((rows, length)).astype(np.float32)}, dims={"N": rows, "C": length})
        assert k.short is None  # the last of the steps: the short way round


def test_a_kernel_takes_milliseconds():
    start, count = time.process_time(), 0
    for k in range(4):
        cases = [ops.softmax(ops.x_(32, 768 + k), 1), ops.norm_case(8, 128, 768 + k)[-1],
                 ops.pool("max", ops.x_(1, 64, 56, 56 + k), (28, 28), 3, 2, 1, -ops.INF),
                 ops.transpose(ops.reshape(ops.x_(8, 128 + k, 768), (8, 128 + k, 12, 64)), (0, 2, 1, 3))]  # fmt: skip
        for y in cases:
            count += len(prepared(y))
    assert (time.process_time() - start) / count < 0.03  # a few ms on an idle machine


def test_same_text_every_time():
    def text():
        return [nests.dump(n) for n in prepared(ops.norm_case(32, 128)[-1])]

    assert text() == text()
