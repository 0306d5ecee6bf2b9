# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Short forms for writing expansions: each adds ordinary nodes that carry the expanded node's name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from aotgen.core import dtypes
from aotgen.core.dtypes import DType
from aotgen.core.errors import ModelError
from aotgen.ir import facts, index
from aotgen.ir.graph import Constant, Graph, Value
from aotgen.ir.index import Dim, Ix
from aotgen.ops.builder import Builder
from aotgen.ops.registry import Ctx


class Sub:
    """Adds the nodes that one node stands for. ``sub("Add", a, b)`` is the sum; ``n`` asks for several outputs."""

    def __init__(self, ctx: Ctx, builder: Builder) -> None:
        self.ctx, self.builder, self.origin = ctx, builder, ctx.node.origin

    def child(self, name: str) -> Sub:
        """The same for a body of this node."""
        return Sub(self.ctx, Builder(name, self.builder))

    def __call__(
        self,
        op: str,
        *inputs: Value | None,
        n: int = 1,
        domain: str = "",
        bodies: Mapping[str, Graph] | None = None,
        **attrs: Any,
    ) -> Any:
        out = self.builder.node(op, inputs, attrs, n=n, domain=domain, origin=self.origin, bodies=bodies)
        return out[0] if n == 1 else out

    def asked(self, *values: Value | None) -> tuple[Value | None, ...]:
        """``values`` as the node's outputs: those it names, None for the unused."""
        return tuple(v if self.ctx.wants(k) else None for k, v in enumerate(values[:max(1, self.ctx.n_outputs)]))

    # -- constants
    def scalar(self, value: float, dtype: DType) -> Value:
        return self.builder.scalar(value, dtype)

    def ints(self, values: Sequence[Dim]) -> Value:
        """A 1-D i64 tensor of extents or indices, open dims allowed."""
        return self.builder.constant(
            Constant.of_dims(tuple(map(index.as_dim, values)), (len(values),), dtypes.i64)
        )

    def filled(self, value: float, shape: Sequence[Dim], dtype: DType) -> Value:
        """``shape`` copies of one number, never materialised here."""
        return self("Expand", self.scalar(value, dtype), self.ints(shape))  # type: ignore[no-any-return]

    # -- movement
    def reshape(self, x: Value, shape: Sequence[Dim]) -> Value:
        """``x`` with another shape of the same size; ``x`` itself when nothing changes."""
        if tuple(map(index.as_dim, shape)) == x.shape:
            return x
        return self("Reshape", x, self.ints(shape), allowzero=1)  # type: ignore[no-any-return]

    def sized(self, x: Value, extents: Mapping[int, Dim], what: str) -> Value:
        """``x`` with axes assumed to be as long as ``extents`` says (``ops.sized``); ``x`` itself where they are."""
        at = {a % len(x.shape): index.as_dim(d) for a, d in extents.items()}
        at = {a: d for a, d in at.items() if x.shape[a] != d}
        if not at:
            return x
        return self("Sized", x, self.ints(list(at.values())), domain="aotgen", at=list(at), what=what)  # type: ignore[no-any-return]

    def transpose(self, x: Value, perm: Sequence[int]) -> Value:
        if list(perm) == list(range(len(perm))):
            return x
        return self("Transpose", x, perm=list(perm))  # type: ignore[no-any-return]

    def slice(self, x: Value, axis: int, start: Dim, stop: Dim) -> Value:
        """``x[start:stop]`` along ``axis``, both non-negative and within the extent."""
        if index.ix(start) == 0 and index.ix(stop) == index.ix(x.shape[axis]):
            return x
        return self("Slice", x, self.ints([start]), self.ints([stop]), self.ints([axis]))  # type: ignore[no-any-return]

    def pieces(self, x: Value, axis: int, count: int) -> list[Value]:
        """``x`` cut into ``count`` equal slices along ``axis``."""
        size = index.ix(x.shape[axis]) // count
        x = self.sized(x, {axis: size * count}, f"an axis cut into {count} equal parts")
        return [self.slice(x, axis, size * k, size * (k + 1)) for k in range(count)]

    def select(self, x: Value, axis: int, k: int) -> Value:
        """``x[k]`` along ``axis``, which disappears."""
        part = self.slice(x, axis, k, k + 1)
        return self.reshape(part, [d for a, d in enumerate(part.shape) if a != axis])

    def concat(self, parts: Sequence[Value], axis: int) -> Value:
        return parts[0] if len(parts) == 1 else self("Concat", *parts, axis=axis)

    def cast(self, x: Value, dtype: DType) -> Value:
        return x if x.dtype is dtype else self("Cast", x, to=dtype.onnx)

    def steps(self, count: Dim) -> Value:
        """0, 1, ... ``count`` - 1 as i64."""
        n = index.as_dim(count)
        if isinstance(n, int):
            return self.builder.constant(np.arange(n, dtype=np.int64))
        end = self.reshape(self.ints([n]), [])
        return self("Range", self.scalar(0, dtypes.i64), end, self.scalar(1, dtypes.i64))  # type: ignore[no-any-return]


def same_dim(a: Dim, b: Dim, what: str) -> Dim:
    """The extent two axes share, assumed equal where nobody knows; a known extent wins over an open one. Raises ModelError
    when they differ."""
    a, b = index.as_dim(a), index.as_dim(b)
    if isinstance(a, int) and isinstance(b, int) and a != b:
        raise ModelError(f"{what}: extents {a} and {b} differ")
    facts.assume_equal(a, b)
    return b if isinstance(a, Ix) and isinstance(b, int) else a
