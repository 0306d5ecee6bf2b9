# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The table of constant strings: every string of every constant, in one array of the library's source. Bytes alone could go
into the weights blob, but not pointers to them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from aotgen.core import dtypes
from aotgen.ir.program import Buffer, Packed, Program
from aotgen.plan.weights import constants_used, pack, storage_size


@dataclass(frozen=True, slots=True)
class TextsPlan:
    """``offsets``: where in the table each const buffer of strings starts (equal constants share one place); ``pieces``: what
    lies one behind the other; ``count``: how many strings there are."""

    offsets: Mapping[Buffer, int]
    pieces: tuple[Packed, ...]
    count: int

    def contents(self) -> Iterator[bytes]:
        """The strings in order; one, empty, where all constants are."""
        if sum(1 for p in self.pieces if p.layout.size != 0) == 0:
            yield b""
        for packed in self.pieces:
            array = np.asarray(packed.constant.load(), object).reshape(packed.constant.shape)
            yield from (dtypes.encode(t) if isinstance(t, str) else b"" for t in pack(array, packed.layout))


def plan_texts(program: Program) -> TextsPlan:
    """Place the constant strings that the steps use, in order of first use."""
    offsets: dict[Buffer, int] = {}
    pieces: list[Packed] = []
    known: dict[object, int] = {}
    at = 0
    for buffer in constants_used(program):
        if buffer.dtype is not dtypes.string:
            continue
        packed = program.weights[buffer]
        key = (id(packed.constant), packed.layout)
        if key not in known:
            known[key] = at
            pieces.append(packed)
            at += storage_size(buffer)
        offsets[buffer] = known[key]
    return TextsPlan(offsets, tuple(pieces), max(at, 1) if pieces else 0)
