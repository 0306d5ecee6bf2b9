# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Library calls: one row per function of ``kernels/common/library.h``, saying how its C++ arguments come from the call."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from aotgen.core import dtypes
from aotgen.core.errors import UnsupportedError
from aotgen.ir import index
from aotgen.ir.define import Call, Def
from aotgen.ir.index import ix
from aotgen.ir.program import LibraryCall, Tensor, row_major
from aotgen.lower.state import State

RANKED_BYTES = 16  # one entry of topk's heap: a value of at most 8 bytes and its index

Row = Callable[[Call, str, State, Mapping[Def, Tensor]], LibraryCall]


def lower_library(call: Call, state: State, tensors: Mapping[Def, Tensor]) -> LibraryCall:
    """The step of one library call. Raises UnsupportedError for a function that has no row."""
    origin = call.results[0].origin
    row = _ROWS.get(call.name)
    if row is None:
        raise UnsupportedError(f"the size of its result depends on input data ('{call.name}')", node=origin,
                               hint="give the operand that decides the size as a constant")
    return row(call, origin, state, tensors)


def _topk(call: Call, origin: str, state: State, tensors: Mapping[Def, Tensor]) -> LibraryCall:
    """``topk(x, values, indices, outer, n, inner, k, largest)``, one heap of scratch: a single thread runs it."""
    x, axis, k = call.args[0], int(call.params["axis"]), call.params["k"]
    heap = state.buffer("heap", dtypes.u8, row_major((index.as_dim(ix(k) * RANKED_BYTES),)), "workspace")
    params = (("outer", index.prod_dims(x.shape[:axis])), ("n", x.shape[axis]), ("inner", index.prod_dims(x.shape[axis + 1:])),
              ("k", k), ("largest", bool(call.params["largest"])))
    outs = tuple(tensors[d] for d in call.results)
    return LibraryCall(state.unique("topk"), "topk", "library.h", (tensors[x],), outs, params, heap, origin)


_ROWS: Mapping[str, Row] = {"topk": _topk}
