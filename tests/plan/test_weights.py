# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The blob: packing through layouts, sharing, header, one constant in memory at a time."""

from __future__ import annotations

import io
import itertools
import struct
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from aotgen.core import dtypes
from aotgen.core.errors import UnsupportedError
from aotgen.ir import index
from aotgen.ir.graph import Constant
from aotgen.ir.program import Buffer, Copy, Layout, Packed, Program, Tensor, packed, row_major
from aotgen.plan.weights import HEADER, MAGIC, contents, pack, plan_weights, write_blob


def reference(array: np.ndarray, layout: Layout) -> np.ndarray:
    """One element at a time, by ``Layout.offset``."""
    out = np.zeros(int(index.ix(layout.size).const() or 0), array.dtype)
    for at in itertools.product(*map(range, array.shape)):
        out[layout.offset(at).const()] = array[at]
    return out


@pytest.mark.parametrize(
    "layout",
    [
        row_major((3, 4, 5)),
        packed((3, 4, 5), (2, 0, 1)),
        packed((3, 4, 5), block_axis=0),
        packed((33, 5), (1, 0), 1),
        packed((33, 5), (0, 1), 0),
        packed((32, 2, 3), block_axis=0),
        packed((5, 40), block_axis=1, block=8),
        packed((2, 20, 3, 4), block_axis=1, halo=((0, 0), (0, 0), (1, 1), (2, 0))),
        packed((), ()),
        packed((3, 4), halo=((1, 0), (0, 2))),
        Layout((3, 4), (0, 1), 4),
    ],
    ids=str,
)
def test_pack_is_the_layout(layout: Layout) -> None:
    shape = tuple(int(d) for d in layout.shape)  # type: ignore[arg-type]
    array = np.arange(1, 1 + int(np.prod(shape)), dtype=np.float32).reshape(shape)
    if layout.strides and layout.strides[0] == 0:
        array = np.broadcast_to(array[:1], shape)
    np.testing.assert_array_equal(pack(array, layout), reference(array, layout))


def const(
    name: str, array: np.ndarray, constant: Constant | None = None, dtype: Any = None, layout: Layout | None = None
) -> tuple[Tensor, Packed]:
    layout = layout or row_major(array.shape)
    buffer = Buffer(name, dtype or dtypes.of(array.dtype), layout.size, "const")
    return Tensor(buffer, layout), Packed(constant or Constant.of(array), layout)


def blob_of(*rows: tuple[Tensor, Packed]) -> tuple[Any, bytes, int]:
    out = Tensor(Buffer("y", dtypes.f32, 1, "output"), row_major((1,)))
    program = Program("t", (), (), tuple(Copy(t.buffer.name, out, t) for t, _ in rows), {t.buffer: p for t, p in rows})
    plan = plan_weights(program)
    file = io.BytesIO()
    fingerprint = write_blob(plan, file)
    return plan, file.getvalue(), fingerprint


def test_blob_layout_header_and_sharing() -> None:
    a = np.arange(5, dtype=np.float32)
    shared = Constant.of(a)
    rows = [
        const("a", a, shared),
        const("b", np.arange(40, dtype=np.int8)),
        const("a2", a, shared),
        const("a3", a, shared, layout=packed((5,), block_axis=0)),
    ]
    plan, data, fingerprint = blob_of(*rows)
    assert plan.shared == 1 and plan.offsets[rows[0][0].buffer] == plan.offsets[rows[2][0].buffer] == HEADER
    assert len(data) == plan.size and all(at % 64 == 0 for at in plan.offsets.values())
    assert struct.unpack_from("<IIQQ", data) == (MAGIC, 1, plan.size, fingerprint) and not any(data[24:64])
    at = plan.offsets[rows[1][0].buffer]
    assert data[at : at + 40] == bytes(range(40))
    changed = blob_of(const("a", a + 1), *rows[1:])
    assert changed[2] != fingerprint


def test_no_weights_no_blob() -> None:
    plan, data, _ = blob_of()
    assert plan.size == 0 and len(data) == HEADER


@pytest.mark.parametrize("dtype", ["bf16", "f16", "i4", "u8", "bool", "c64", "f8e4m3fn"])
def test_element_types_are_stored_as_they_are(dtype: str) -> None:
    row = dtypes.of(dtype)
    array = np.array([1, 0, 1, 1]).astype(row.numpy)
    tensor, packed_ = const("a", array)
    data = contents(tensor.buffer, packed_)
    assert len(data) == 4 * row.bytes
    np.testing.assert_array_equal(np.frombuffer(data, row.numpy), array)


def test_what_no_blob_can_hold() -> None:
    n = index.dim("N")
    tensor, packed_ = const("shape", np.zeros(2, np.int64))
    with pytest.raises(UnsupportedError, match="cannot be stored"):
        contents(tensor.buffer, replace(packed_, constant=Constant.of_dims((n, 3), (2,), dtypes.i64)))
    text, held = const("text", np.array(["a", "b"], object))
    with pytest.raises(UnsupportedError, match="string"):
        contents(text.buffer, held)


def test_one_constant_in_memory_at_a_time() -> None:
    import tracemalloc

    def make(k: int) -> tuple[Tensor, Packed]:
        shape = (1 << 20,)
        constant = Constant(dtypes.f32, shape, lambda: np.full(shape, k, np.float32))
        layout = row_major(shape)
        return Tensor(Buffer(f"w{k}", dtypes.f32, shape[0], "const"), layout), Packed(constant, layout)

    class Sink(io.RawIOBase):
        at = end = 0

        def write(self, data: Any) -> int:
            self.at += len(data)
            return len(data)

        def tell(self) -> int:
            return self.at

        def seek(self, to: int, whence: int = 0) -> int:
            self.at = to
            return to

    rows = [make(k) for k in range(8)]
    out = Tensor(Buffer("y", dtypes.f32, 1, "output"), row_major((1,)))
    program = Program("t", (), (), tuple(Copy("c", out, t) for t, _ in rows), {t.buffer: p for t, p in rows})
    tracemalloc.start()
    write_blob(plan_weights(program), Sink())  # type: ignore[arg-type]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20 << 20  # a few copies of one, never all eight
