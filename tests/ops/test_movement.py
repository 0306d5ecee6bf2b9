# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Movement operators against onnxruntime and NumPy: edge shapes, clamping, open dims."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from check import check, ours, run_graph

from aotgen.core import dtypes
from aotgen.core.errors import ModelError
from aotgen.ir.graph import TensorType
from aotgen.ir.index import dim
from aotgen.ops.builder import Builder

BIG, SMALL = np.iinfo(np.int64).max, np.iinfo(np.int64).min


def grid(*shape: int, dtype: str = "float32") -> np.ndarray[Any, Any]:
    return np.arange(int(np.prod(shape))).reshape(shape).astype(dtype)


def i64(*values: int) -> np.ndarray[Any, Any]:
    return np.array(values, np.int64)


@pytest.mark.parametrize(
    "shape,to,attrs",
    [
        ((2, 3, 4), (4, 6), {}),
        ((2, 3, 4), (-1,), {}),
        ((2, 3, 4), (0, -1), {}),
        ((2, 3, 4), (0, 0, 2, 2), {}),
        ((1,), (), {}),
        ((), (1, 1), {}),
        ((6, 5), (2, 3, 5), {}),
        ((2, 1, 6, 5), (3, 4, 1, 5), {}),
        ((0, 3), (3, 0), {"allowzero": 1}),
        ((2, 0), (0, -1, 4), {}),
        ((4, 9), (6, 6), {}),
        ((1, 2, 1, 3), (2, 3, 1), {}),
    ],
    ids=str,
)
def test_reshape(shape: tuple[int, ...], to: tuple[int, ...], attrs: dict[str, int]) -> None:
    x = grid(*shape)
    want = None
    if 0 in shape and not attrs:
        want = [x.reshape(2, 0, 4)]
    check("Reshape", [x, i64(*to)], attrs, const_inputs=[1], expected=want)


def test_reshape_refuses_what_does_not_fit() -> None:
    for to in ((5,), (-1, -1), (0, 0, 0, 0), (4, -1, 5)):
        with pytest.raises(ModelError):
            ours("Reshape", [grid(2, 3), i64(*to)], {}, const_inputs=[1])
    assert ours("Reshape", [grid(2, 3), i64(6)], {})[0].shape == (6,)


@pytest.mark.parametrize("axis", [0, 1, 2, 3, -1, -3])
def test_flatten(axis: int) -> None:
    check("Flatten", [grid(2, 3, 4)], {"axis": axis})


@pytest.mark.parametrize(
    "shape,axes", [((1, 3, 1), None), ((1, 3, 1), [0]), ((1, 3, 1), [-1]), ((1, 1), [0, 1]), ((2, 0, 1), [2])]
)
def test_squeeze(shape: tuple[int, ...], axes: list[int] | None) -> None:
    check("Squeeze", [grid(*shape), *([] if axes is None else [i64(*axes)])], const_inputs=[1])


@pytest.mark.parametrize(
    "shape,axes", [((3,), [0]), ((3,), [1]), ((3, 2), [0, -1]), ((), [0]), ((2, 3), [3, 0]), ((0,), [1])]
)
def test_unsqueeze(shape: tuple[int, ...], axes: list[int]) -> None:
    check("Unsqueeze", [grid(*shape), i64(*axes)], const_inputs=[1])


@pytest.mark.parametrize("perm", [None, (0, 1, 2, 3), (3, 1, 0, 2), (0, 2, 1, 3)])
def test_transpose(perm: tuple[int, ...] | None) -> None:
    check("Transpose", [grid(2, 3, 4, 5)], {} if perm is None else {"perm": perm})


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "float16", "int64", "float64"])
def test_movement_keeps_the_dtype(dtype: str) -> None:
    x = grid(2, 3, dtype=dtype)
    for op, extra in (("Transpose", []), ("Expand", [i64(2, 2, 3)]), ("Tile", [i64(2, 1)])):
        assert ours(op, [x, *extra], {}, const_inputs=[1])[0].dtype == x.dtype


@pytest.mark.parametrize(
    "shape,to", [((3, 1), (2, 3, 4)), ((3, 4), (1,)), ((), (2, 2)), ((1, 4), (3, 1)), ((1,), (0,)), ((2, 3), ())]
)
def test_expand(shape: tuple[int, ...], to: tuple[int, ...]) -> None:
    check("Expand", [grid(*shape), i64(*to)], const_inputs=[1])


@pytest.mark.parametrize(
    "shape,repeats", [((2, 3), (2, 2)), ((2, 3), (1, 1)), ((3,), (0,)), ((1, 2), (3, 1)), ((2, 1, 2), (1, 4, 2))]
)
def test_tile(shape: tuple[int, ...], repeats: tuple[int, ...]) -> None:
    check("Tile", [grid(*shape), i64(*repeats)], const_inputs=[1])


SLICES = [
    (0, 5, 1),
    (1, BIG, 1),
    (-3, -1, 1),
    (-100, 3, 1),
    (2, 100, 1),
    (0, BIG, 2),
    (1, 8, 3),
    (-1, SMALL, -1),
    (BIG, -BIG, -1),
    (7, 2, -2),
    (5, 5, 1),
    (6, 2, 1),
    (2, 6, -1),
    (-1, -5, -2),
    (0, 1 << 31, 1),
    (9, 9, 1),
    (100, -100, -3),
    (-100, 100, 4),
]


@pytest.mark.parametrize("start,end,step", SLICES)
def test_slice(start: int, end: int, step: int) -> None:
    x = grid(2, 9, 3)
    check(
        "Slice",
        [x, i64(start), i64(end), i64(1), i64(step)],
        const_inputs=[1, 2, 3, 4],
        expected=[x[:, slice(start, None if end in (SMALL, -BIG) else end, step)]],
    )


def test_slice_several_axes() -> None:
    x = grid(4, 5, 6)
    check("Slice", [x, i64(1, 0), i64(3, 4)], const_inputs=[1, 2])
    check("Slice", [x, i64(1, -2), i64(3, BIG), i64(2, 0)], const_inputs=[1, 2, 3])
    check("Slice", [grid(0, 3), i64(0), i64(2), i64(0)], const_inputs=[1, 2, 3])


@pytest.mark.parametrize("sizes,axis", [([2, 4], 0), ([1, 0, 5], 0), ([6], 0), ([2, 1], -1)])
def test_split(sizes: list[int], axis: int) -> None:
    check("Split", [grid(6, 3), i64(*sizes)], {"axis": axis}, len(sizes), const_inputs=[1])


@pytest.mark.parametrize("extent,count", [(6, 3), (7, 3), (5, 2), (4, 1), (3, 3)])
def test_split_evenly(extent: int, count: int) -> None:
    check("Split", [grid(extent, 2)], {"num_outputs": count}, count)


@pytest.mark.parametrize("extents,axis", [((1, 2, 3), 0), ((2, 2), 1), ((3,), -1), ((0, 2, 0, 1), 1), ((0, 0), 0)])
def test_concat(extents: tuple[int, ...], axis: int) -> None:
    parts = [
        (np.arange(n * 3).reshape((n, 3) if axis == 0 else (3, n)) + 10 * k).astype(np.float32)
        for k, n in enumerate(extents)
    ]
    check("Concat", parts, {"axis": axis}, expected=[np.concatenate(parts, axis)])


@pytest.mark.parametrize("mode", ["constant", "edge", "reflect", "wrap"])
@pytest.mark.parametrize("pads", [(0, 1, 0, 2), (2, 0, 1, 0), (1, 2, 2, 3), (0, 0, 0, 0)], ids=str)
def test_pad(mode: str, pads: tuple[int, ...]) -> None:
    check(
        "Pad",
        [grid(3, 4), i64(*pads)],
        {"mode": mode},
        const_inputs=[1],
        expected=[np.pad(grid(3, 4), [(pads[0], pads[2]), (pads[1], pads[3])], mode)],
    )  # type: ignore[call-overload]


@pytest.mark.parametrize("mode", ["reflect", "wrap", "edge"])
def test_pad_further_than_the_axis(mode: str) -> None:
    x = grid(1, 3)
    check("Pad", [x, i64(0, 8, 0, 11)], {"mode": mode}, const_inputs=[1], expected=[np.pad(x, [(0, 0), (8, 11)], mode)])  # type: ignore[call-overload]


def test_pad_value_axes_and_negative() -> None:
    x = grid(3, 4)
    check("Pad", [x, i64(1, 0, 0, 2), np.array(7, np.float32)], const_inputs=[1])
    check("Pad", [x, i64(1, 0, 0, 2), np.array(-np.inf, np.float32)], const_inputs=[1, 2])
    check("Pad", [x, i64(-1, 1, 0, -2)], const_inputs=[1])
    check("Pad", [x, i64(1, 2), None, i64(-1)], const_inputs=[1, 3])
    check("Pad", [grid(3, 4, dtype="int32"), i64(0, 1, 0, 1), np.array(-5, np.int32)], const_inputs=[1, 2])
    check("Pad", [grid(2, 2, dtype="bool"), i64(0, 1, 0, 1)], const_inputs=[1])


@pytest.mark.parametrize("mode", ["DCR", "CRD"])
def test_depth_to_space(mode: str) -> None:
    check("DepthToSpace", [grid(2, 18, 2, 3)], {"blocksize": 3, "mode": mode})


def test_space_to_depth() -> None:
    check("SpaceToDepth", [grid(2, 3, 4, 6)], {"blocksize": 2})


@pytest.mark.parametrize("batch,time", [(1, 0), (0, 1)])
def test_reverse_sequence(batch: int, time: int) -> None:
    x = grid(4, 4, 2)
    check("ReverseSequence", [x, i64(1, 4, 2, 3)], {"batch_axis": batch, "time_axis": time})


@pytest.mark.parametrize("k", [None, 0, 1, -1, 3, -5])
@pytest.mark.parametrize("upper", [0, 1])
@pytest.mark.parametrize("known", [True, False])
def test_trilu(k: int | None, upper: int, known: bool) -> None:
    for shape in ((3, 4), (2, 4, 3), (0, 3)):
        check(
            "Trilu",
            [grid(*shape) + 1, None if k is None else np.array(k)],
            {"upper": upper},
            const_inputs=[1] if known else [],
        )


@pytest.mark.parametrize("to", [(2, 2), (5, 7), (3, 4), (6, 1)])
def test_center_crop_pad(to: tuple[int, int]) -> None:
    check("CenterCropPad", [grid(3, 4), i64(*to)], const_inputs=[1])


# -- open dims


def test_exporter_reshape_of_an_open_dim() -> None:
    """Shape, Gather, Unsqueeze, Concat, Reshape: the merge of heads in every transformer export."""
    b, n = Builder(), dim("N")
    x = b.input("x", TensorType(dtypes.f32, (2, n, 4, 8)))
    shape = b.op("Shape", [x])
    size = b.op("Gather", [shape, b.constant(np.array(1))], axis=0)
    parts = [b.constant(i64(2)), b.op("Unsqueeze", [size, b.constant(i64(0))]), b.constant(i64(-1))]
    y = b.op("Reshape", [x, b.op("Concat", parts, axis=0)])
    assert y.shape == (2, n, 32)
    assert [node.op for node in b.nodes] == ["Reshape"], "the shape arithmetic folded away"
    a = np.arange(2 * 5 * 32, dtype=np.float32).reshape(2, 5, 4, 8)
    np.testing.assert_array_equal(run_graph(b.graph([y]), {x: a})[0], a.reshape(2, 5, 32))


def test_slices_of_an_open_dim() -> None:
    b, n = Builder(), dim("N", 4, 64)
    x = b.input("x", TensorType(dtypes.f32, (n, 6)))

    def cut(start: int, end: int, step: int = 1) -> Any:
        return b.op("Slice", [x, *(b.constant(i64(v)) for v in (start, end, 0, step))])

    cases = {
        (1, BIG, 1): n - 1,
        (0, 4, 1): 4,
        (-3, BIG, 1): 3,
        (0, -1, 1): n - 1,
        (-1, SMALL, -1): n,
        (0, BIG, 2): (n + 1) // 2,
    }
    values = {k: cut(*k) for k in cases}
    assert {k: v.shape[0] for k, v in values.items()} == cases
    a = np.arange(54, dtype=np.float32).reshape(9, 6)
    for (start, end, step), got in zip(cases, run_graph(b.graph(list(values.values())), {x: a}), strict=True):
        np.testing.assert_array_equal(got, a[slice(start, None if end == SMALL else end, step)])


@pytest.mark.parametrize("start,end,step", [(0, 5, 1), (-3, BIG, 1), (1, -2, 2), (4, -1, 1), (-2, SMALL, -1), (6, 0, -2)])
def test_slices_of_open_axes(start: int, end: int, step: int) -> None:
    """Clamped where the run decides: an index map, not a call."""
    b = Builder()
    n = dim("N", 0, 64)
    x = b.input("y", TensorType(dtypes.f32, (n, 6)))
    y = b.op("Slice", [x, *(b.constant(i64(v)) for v in (start, end, 0, step))])
    assert y.shape[1] == 6 and not isinstance(y.shape[0], int)
    for rows in range(9):
        a = np.arange(rows * 6, dtype=np.float32).reshape(rows, 6)
        stop = None if end in (SMALL, BIG) else end
        np.testing.assert_array_equal(run_graph(b.graph([y]), {x: a})[0], a[start:stop:step])


@pytest.mark.parametrize("start,end,step", SLICES)
def test_slice_by_data(start: int, end: int, step: int) -> None:
    x = grid(2, 9)
    got = ours("Slice", [x, i64(start), i64(end), i64(1), i64(step)], {}, const_inputs=[3])[0]
    np.testing.assert_array_equal(got, x[:, slice(start, None if end in (SMALL, -BIG) else end, step)])


def test_concat_split_pad_tile_of_open_dims() -> None:
    b = Builder()
    n, p = dim("N"), dim("P")
    x, past = (b.input(k, TensorType(dtypes.f32, (2, d, 3))) for k, d in (("x", n), ("past", p)))
    both = b.op("Concat", [past, x], axis=1)
    padded = b.op("Pad", [x, b.constant(i64(0, 2, 0, 0, 1, 0))])
    edge = b.op("Pad", [x, b.constant(i64(0, 2, 0, 0, 1, 0))], mode="reflect")
    tiled = b.op("Tile", [x, b.constant(i64(1, 3, 1))])
    merged = b.op("Reshape", [both, b.constant(i64(-1, 3))])
    split = b.op("Reshape", [both, b.constant(i64(2, -1, 1, 3))])
    heads = b.op("Split", [tiled], n=3, axis=1)
    assert [v.shape for v in (both, padded, tiled, merged, split, heads[1])] == [
        (2, n + p, 3),
        (2, n + 3, 3),
        (2, 3 * n, 3),
        (2 * n + 2 * p, 3),
        (2, n + p, 1, 3),
        (2, n, 3),
    ]
    a, c = np.arange(24, dtype=np.float32).reshape(2, 4, 3), np.arange(12, dtype=np.float32).reshape(2, 2, 3)
    joined = np.concatenate([c, a], 1)
    outs = run_graph(b.graph([both, padded, edge, tiled, merged, split, *heads]), {x: a, past: c})
    wants = [
        joined,
        np.pad(a, [(0, 0), (2, 1), (0, 0)]),
        np.pad(a, [(0, 0), (2, 1), (0, 0)], "reflect"),
        np.tile(a, (1, 3, 1)),
        joined.reshape(-1, 3),
        joined.reshape(2, -1, 1, 3),
        a,
        a,
        a,
    ]
    for got, want in zip(outs, wants, strict=True):
        np.testing.assert_array_equal(got, want)


def test_head_split_leaves_no_division() -> None:
    b, n = Builder(), dim("N")
    x = b.input("x", TensorType(dtypes.f32, (n, 16, 768)))
    from aotgen.ir import define
    from aotgen.ops import registry

    y = b.op("Reshape", [x, b.constant(i64(0, 0, 12, 64))])
    node = b.nodes[-1]
    d = registry.lower_node(b.ctx(node), [define.source(v.name, v.shape, v.dtype) for v in node.inputs if v])[0]
    assert y.shape == (n, 16, 12, 64) and d is not None and d.expr is not None
    assert all(a.kind == "var" for i in d.expr.attr[1] for a in i.walk())
