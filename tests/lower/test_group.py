# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Which Defs share a nest, and in which stages."""

from __future__ import annotations

import test_nest as ops

from aotgen.core import dtypes
from aotgen.ir import define, expr
from aotgen.ir.define import compute, reduce_, scatter, source
from aotgen.ir.expr import fn
from aotgen.lower.fuse import inline
from aotgen.lower.group import Limits, domain_of, groups, stage_plans

F = dtypes.f32


def grouped(outputs, keep=(), limits=Limits()):
    inline(outputs, [*outputs, *keep])
    return groups(define.topological(outputs), [*outputs, *keep], limits)


def stages(g):
    return [[d.red or "map" for d, _ in p.members] for p in stage_plans(g, domain_of(g))]


def test_softmax_is_one_group_in_three_stages():
    (g,) = grouped([ops.softmax(ops.x_(32, 128), 1)])
    assert stages(g) == [["max"], ["map", "sum"], ["map"]]


def test_layer_norm_gelu_add_is_one_group():
    (g,) = grouped([ops.norm_case(32, 128)[-1]])
    assert stages(g) == [["sum"], ["sum"], ["map"]]


def test_a_single_long_row_is_not_serialised():
    assert len(grouped([ops.softmax(ops.x_(1, 50000), 1)])) > 1


def test_two_reductions_of_one_input_share_a_stage():
    x = ops.x_(64, 128)
    a, b = (reduce_(k, (64,), (128,), lambda o, r: x[o[0], r[0]]) for k in ("max", "sum"))
    (g,) = grouped([a, b])
    assert stages(g) == [["max", "sum"]]


def test_a_transposed_read_of_a_reduction_shrinks_the_domain():
    x = ops.x_(64, 32, 16)
    s = reduce_("sum", (64, 32), (16,), lambda o, r: x[o[0], o[1], r[0]])
    t = reduce_("sum", (64,), (32,), lambda o, r: fn("exp", s[o[0], r[0]]))
    (g,) = grouped([t])
    assert len(domain_of(g).extents) == 1


def test_row_temporaries_are_limited():
    y = ops.softmax(ops.x_(64, 1024), 1)
    assert len(grouped([y], limits=Limits(row_bytes=1024))) > 1


def test_stages_are_limited():
    y = ops.x_(64, 128)
    for _ in range(6):
        y = ops.softmax(y, 1)
    found = grouped([y])
    assert len(found) > 1
    assert all(len(stages(g)) <= 8 for g in found)


def test_nothing_joins_across_a_call():
    x = ops.x_(64, 128)
    e = compute((64, 128), lambda i, j: fn("exp", x[i, j]))
    (c,) = define.call("library", "f", [e], [((64, 128), F)])
    y = compute((64, 128), lambda i, j: c[i, j] + e[i, j])
    assert grouped([y]) == [[e], [y]]


def test_scatter_is_alone():
    x, u, ids = ops.x_(64), ops.x_(64, name="u"), source("ids", (64,), dtypes.i64)
    s = scatter("set", x, (64,), lambda i: [expr.wrap_negative(ids[i], 64)], lambda i: u[i])
    y = compute((64,), lambda i: fn("exp", s[i]))
    assert grouped([y]) == [[s], [y]]


def test_same_result_every_time():
    first = [[d.red for d in g] for g in grouped([ops.norm_case(32, 128)[-1]])]
    assert first == [[d.red for d in g] for g in grouped([ops.norm_case(32, 128)[-1]])]
