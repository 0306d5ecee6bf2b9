# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Type rules of If, Loop and Scan, and their execution by the Graph interpreter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graphs import close, f32

from aotgen.core import dtypes
from aotgen.core.errors import AotgenError, ModelError, UnsupportedError
from aotgen.ir.graph import Graph, TensorType, Value
from aotgen.ops.builder import Builder
from aotgen.ops.interp import run_graph

F32, I64, BOOL = dtypes.f32, dtypes.i64, dtypes.boolean


def tensor(dtype: Any, *shape: int) -> TensorType:
    return TensorType(dtype, shape)


def branch(parent: Builder, make: Any) -> Graph:
    b = Builder("branch", parent)
    return b.graph([make(b)])


def conditional(then: Any, other: Any) -> tuple[Builder, Value]:
    b = Builder("g")
    cond, x = b.input("cond", tensor(BOOL)), b.input("x", tensor(F32, 3))
    out, = b.node("If", [cond], {}, bodies={"then_branch": branch(b, lambda c: then(c, x)),
                                            "else_branch": branch(b, lambda c: other(c, x))})
    assert out is not None
    return b, out


@pytest.mark.parametrize("taken", [True, False])
def test_if(taken: bool) -> None:
    b, y = conditional(lambda c, x: c.op("Neg", [x]), lambda c, x: c.op("Add", [x, x]))
    assert y.type == tensor(F32, 3)
    x = f32(3)
    got = run_graph(b.graph([y]), {"cond": np.array(taken), "x": x})
    np.testing.assert_array_equal(got[y.name], -x if taken else x + x)


def test_if_refuses() -> None:
    with pytest.raises(ModelError, match="If"):
        conditional(lambda c, x: x, lambda c, x: c.op("Cast", [x], to=dtypes.i32.onnx))
    with pytest.raises(UnsupportedError, match="If"):
        conditional(lambda c, x: x, lambda c, x: c.op("Reshape", [x, c.constant(np.array([3, 1]))]))


def looped(limit: Value | None | int, cond: Any, stop: bool = False) -> tuple[Builder, tuple[Value, ...]]:
    """s += x, s is also collected; with ``stop`` it ends once s[0] reaches 4."""
    b = Builder("g")
    x = b.input("x", tensor(F32, 2))
    m = b.constant(np.array(limit, np.int64)) if isinstance(limit, int) else None
    start = b.constant(np.array(cond)) if cond is not None else None
    c = Builder("body", b)
    c.input("i", tensor(I64))
    go, s = c.input("go", tensor(BOOL)), c.input("s", tensor(F32, 2))
    new = c.op("Add", [s, x])
    if stop:
        first = c.op("Squeeze", [c.op("Slice", [new, *(c.constant(np.array([v])) for v in (0, 1))])])
        go = c.op("Less", [first, c.scalar(4.0, F32)])
    body = c.graph([go, new, c.op("Identity", [new])])
    zero = b.constant(np.zeros(2, np.float32))
    return b, b.node("Loop", [m, start, zero], {}, n=2, bodies={"body": body})  # type: ignore[return-value]


def test_loop_of_known_length() -> None:
    b, (last, kept) = looped(5, None)
    assert kept.type == tensor(F32, 5, 2) and last.type == tensor(F32, 2)
    x = f32(2)
    got = run_graph(b.graph([last, kept]), {"x": x})
    np.testing.assert_allclose(got[kept.name], np.cumsum([x] * 5, axis=0), rtol=1e-6)
    np.testing.assert_array_equal(got[last.name], got[kept.name][-1])


@pytest.mark.parametrize(("limit", "trips"), [(None, 4), (3, 3), (100, 4)])
def test_loop_until(limit: int | None, trips: int) -> None:
    b, (last, kept) = looped(limit, True, stop=True)
    extent = kept.shape[0]
    assert not isinstance(extent, int), "the trip count is data"
    got = run_graph(b.graph([last, kept]), {"x": np.ones(2, np.float32)})
    assert got[kept.name].shape == (trips, 2)


def test_loop_without_trips() -> None:
    b, (last, kept) = looped(7, False)
    got = run_graph(b.graph([last, kept]), {"x": f32(2)})
    assert got[kept.name].shape == (0, 2)
    np.testing.assert_array_equal(got[last.name], 0)
    b, (_, kept) = looped(0, True)
    assert kept.type == tensor(F32, 0, 2)


def test_loop_refuses_growing_values() -> None:
    b = Builder("g")
    x = b.input("x", tensor(F32, 2))
    c = Builder("body", b)
    c.input("i", tensor(I64))
    go, s = c.input("go", tensor(BOOL)), c.input("s", tensor(F32, 2))
    body = c.graph([go, c.op("Concat", [s, s], axis=0)])
    with pytest.raises(UnsupportedError, match="changes shape"):
        b.node("Loop", [b.constant(np.array(3)), None, x], {}, n=1, bodies={"body": body})


@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("flags", [(0, 0, 0), (1, 0, 0), (0, 1, 1), (1, 1, 1)])
def test_scan(axis: int, flags: tuple[int, int, int]) -> None:
    s, x, z = f32(2), f32(3, 4, 2), f32(4, 3)
    b = Builder("g")
    vs, vx, vz = (b.input(n, tensor(F32, *a.shape)) for n, a in (("s", s), ("x", x), ("z", z)))
    c = Builder("body", b)
    si, xi, zi = c.input("si", tensor(F32, 2)), c.input("xi", tensor(F32, 3, 2)), c.input("zi", tensor(F32, 3))
    so = c.op("Add", [si, c.op("ReduceSum", [xi, c.constant(np.array([0]))], keepdims=0)])
    yi = c.op("Add", [c.op("Mul", [xi, c.op("Unsqueeze", [zi, c.constant(np.array([1]))])]), si])
    t, y = b.node("Scan", [vs, vx, vz], {"num_scan_inputs": 2, "scan_input_axes": [1, 0], "scan_output_axes": [axis],
                  "scan_input_directions": list(flags[:2]), "scan_output_directions": [flags[2]]}, n=2,
                  bodies={"body": c.graph([so, yi])})
    assert t is not None and y is not None
    place = axis % 3
    shape = [3, 2]
    shape.insert(place, 4)
    assert y.type == tensor(F32, *shape)
    got = run_graph(b.graph([t, y]), {"s": s, "x": x, "z": z})
    state, kept = s.copy(), []
    for k in range(4):
        xs, zs = x[:, 3 - k if flags[0] else k], z[3 - k if flags[1] else k]
        kept.append(xs * zs[:, None] + state)
        state = state + xs.sum(0)
    want = np.stack(kept[::-1] if flags[2] else kept, place)
    close([got[t.name], got[y.name]], [state, want])


def test_scan_refuses() -> None:
    b = Builder("g")
    x = b.input("x", tensor(F32, 4, 2))
    c = Builder("body", b)
    with pytest.raises(AotgenError, match="Scan"):
        b.node("Scan", [x], {"num_scan_inputs": 1}, n=1, bodies={"body": c.graph([c.input("a", tensor(F32, 2)),
               c.input("b", tensor(F32, 2))])})
