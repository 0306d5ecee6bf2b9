# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Library calls: one row per function of ``kernels/common/library.h``, ``selection.h`` and ``string_*.h`` and of
``runtime/image.h``, saying how its C++ arguments come from the call."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from aotgen.core import dtypes
from aotgen.core.errors import UnsupportedError
from aotgen.ir import index
from aotgen.ir.define import Call, Def
from aotgen.ir.index import Atom, Dim, ix
from aotgen.ir.program import Extents, LibraryCall, Step, Take, Tensor, row_major
from aotgen.lower.state import State

RANKED_BYTES = 16  # one entry of topk's heap: a value of at most 8 bytes and its index
EXTENTS = "extents"  # not a function: dims take the values of their argument
MAX_RANK = 8  # of selection.h's Sizes
STRING_OPS, STRING_NUMBERS = "string_ops.h", "string_numbers.h"

Params = Sequence[tuple[str, Any]]
Made = tuple[tuple[Atom, Dim | Tensor], ...]
Row = Callable[[Call, str, State, Mapping[Def, Tensor]], tuple[LibraryCall, Made]]


def lower_library(call: Call, state: State, tensors: Mapping[Def, Tensor]) -> list[Step]:
    """The steps of one library call: room for its scratch where nobody knows its size before the run, the function, then the
    extents it has counted. Raises UnsupportedError for a function that has no row."""
    origin = call.results[0].origin
    if call.name == EXTENTS:
        return [_extents(call, origin, state, tensors)]
    row = _ROWS.get(call.name)
    if row is None:
        raise UnsupportedError(f"there is no library function '{call.name}'", node=origin)
    step, made = row(call, origin, state, tensors)
    extents = [Extents(state.unique(f"{step.name}_extents"), made, origin)] if made else []
    return [*_room(step.scratch, origin, state), step, *extents]


def _room(scratch: Tensor | None, origin: str, state: State) -> list[Step]:
    if scratch is None or scratch.buffer.place != "pool":
        return []
    return [Take(state.unique(f"room_{scratch.buffer.name}"), scratch, scratch.layout.size, origin=origin)]


def lower_sequence(call: Call, state: State, tensors: Mapping[Def, Tensor]) -> LibraryCall:
    """The step of a function of sequence.h, whose arguments stand in the call as they are."""
    outs = tuple(tensors[d] for d in call.results)
    return LibraryCall(state.unique(call.name), call.name, "sequence.h", tuple(tensors[d] for d in call.args), outs,
                       tuple(call.params.items()), origin=call.results[0].origin)


def _extents(call: Call, origin: str, state: State, tensors: Mapping[Def, Tensor]) -> Extents:
    """Each dim is an element of the call's argument."""
    where = tensors[call.args[0]]
    made = tuple((a, Tensor(where.buffer, row_major(()), index.as_dim(where.offset([n])))) for n, a in enumerate(call.params["dims"]))
    return Extents(state.unique("extents"), made, origin)


def _made(call: Call) -> list[Atom]:
    """The dims of the results that no operand has, in order of first mention."""
    given = {a for d in call.args for n in d.shape for a in index.dims_of(n)}
    return list(dict.fromkeys(a for d in call.results for n in d.shape for a in index.dims_of(n) if a not in given))


def _selection(function: str, call: Call, origin: str, state: State, tensors: Mapping[Def, Tensor], params: Params,
               scratch: Dim = 0, made: Sequence[Atom] | None = None, header: str = "selection.h") -> tuple[LibraryCall, Made]:
    """A function that counts. ``made``: the dim of each of its counts in order; ``scratch``: bytes."""
    made = _made(call) if made is None else made
    counts = state.buffer(f"{function}_counts", dtypes.i64, row_major((max(len(made), 1),)), "workspace")
    heap = state.buffer(f"{function}_scratch", dtypes.u8, row_major((scratch,)), "workspace") if scratch != 0 else None
    outs = (*(tensors[d] for d in call.results), counts)
    extents = tuple((a, Tensor(counts.buffer, row_major(()), n)) for n, a in enumerate(made))
    step = LibraryCall(state.unique(function), function, header, tuple(tensors[d] for d in call.args), outs, tuple(params),
                       heap, origin)
    return step, extents


def _around(shape: Sequence[Dim], axis: int | None) -> Params:
    """A shape as [outer, n, inner] about ``axis``; without one all of it is n."""
    if axis is None:
        return (("outer", 1), ("n", index.prod_dims(shape)), ("inner", 1))
    return (("outer", index.prod_dims(shape[:axis])), ("n", shape[axis]), ("inner", index.prod_dims(shape[axis + 1 :])))


def _ranked(call: Call, origin: str) -> tuple[Dim, ...]:
    """The shape of the first operand, which ``Sizes`` must hold."""
    shape = call.args[0].shape
    if len(shape) > MAX_RANK:
        raise UnsupportedError(f"rank {len(shape)} is more than {MAX_RANK}", node=origin)
    return shape


def _topk(call: Call, origin: str, state: State, tensors: Mapping[Def, Tensor]) -> tuple[LibraryCall, Made]:
    """``topk(x, values, indices, outer, n, inner, k, largest)``, one heap of scratch: a single thread runs it."""
    x, axis = call.args[0], int(call.params["axis"])
    k, largest = call.results[0].shape[axis], ("largest", bool(call.params["largest"]))
    if _made(call):
        return _selection("topk_of", call, origin, state, tensors, (*_around(x.shape, axis), largest),
                          index.as_dim(ix(x.shape[axis]) * RANKED_BYTES))
    heap = state.buffer("heap", dtypes.u8, row_major((index.as_dim(ix(k) * RANKED_BYTES),)), "workspace")
    outs = tuple(tensors[d] for d in call.results)
    params = (*_around(x.shape, axis), ("k", k), largest)
    return LibraryCall(state.unique("topk"), "topk", "library.h", (tensors[x],), outs, params, heap, origin), ()


def _nonzero(call: Call, origin: str, state: State, tensors: Mapping[Def, Tensor]) -> tuple[LibraryCall, Made]:
    shape = _ranked(call, origin)
    params = (("n", index.prod_dims(shape)), ("rank", len(shape)), ("dims", (tuple(shape),)))
    return _selection("nonzero_of", call, origin, state, tensors, params)


def _compress(call: Call, origin: str, state: State, tensors: Mapping[Def, Tensor]) -> tuple[LibraryCall, Made]:
    x, condition = call.args
    params = (("length", condition.size), *_around(x.shape, call.params["axis"]))
    return _selection("compress_of", call, origin, state, tensors, params)


def _slice(call: Call, origin: str, state: State, tensors: Mapping[Def, Tensor]) -> tuple[LibraryCall, Made]:
    shape, axes = _ranked(call, origin), tuple(call.params["axes"])
    made = [index.dims_of(call.results[0].shape[a])[0] for a in axes]
    params = (("rank", len(shape)), ("dims", (tuple(shape),)), ("cut", len(axes)), ("axes", (axes,)))
    return _selection("slice_of", call, origin, state, tensors, params, made=made)


def _slice_along(call: Call, origin: str, state: State, tensors: Mapping[Def, Tensor]) -> tuple[LibraryCall, Made]:
    shape = _ranked(call, origin)
    made = [index.dims_of(n)[0] for n in call.results[0].shape]
    params = (("rank", len(shape)), ("dims", (tuple(shape),)), ("cut", call.args[1].shape[0]))
    return _selection("slice_along", call, origin, state, tensors, params, made=made)


def _nms(call: Call, origin: str, state: State, tensors: Mapping[Def, Tensor]) -> tuple[LibraryCall, Made]:
    scores, most = call.args[1], call.params["most"]
    batches, classes, n = scores.shape
    rows = ix(batches) * classes
    scratch = index.as_dim(rows * 8 + rows * most * 8 + ix(n) * RANKED_BYTES)
    params = (("batches", batches), ("classes", classes), ("n", n), ("most", most),
              ("use_score", bool(call.params["use_score"])), ("center", bool(call.params["center"])))
    return _selection("nms_of", call, origin, state, tensors, params, scratch)


def _unique(call: Call, origin: str, state: State, tensors: Mapping[Def, Tensor]) -> tuple[LibraryCall, Made]:
    around = _around(call.args[0].shape, call.params["axis"])
    params = (*around, ("sorted", bool(call.params["sorted"])))
    function, header = ("unique_texts", STRING_OPS) if call.args[0].dtype is dtypes.string else ("unique_of", "selection.h")
    return _selection(function, call, origin, state, tensors, params, index.as_dim(ix(around[1][1]) * 24), header=header)


def _drop_words(call: Call, origin: str, state: State, tensors: Mapping[Def, Tensor]) -> tuple[LibraryCall, Made]:
    params = tuple((name, d.shape[0]) for name, d in zip(("n", "count", "rows"), call.args, strict=True))
    return _selection("drop_words", call, origin, state, tensors, params, header=STRING_OPS)


def _each(header: str, more: Callable[[Call], Params] = lambda call: (), takes_pool: bool = False) -> Row:
    """The row of a function of the call's own name that goes through the ``n`` elements of its first operand."""

    def row(call: Call, origin: str, state: State, tensors: Mapping[Def, Tensor]) -> tuple[LibraryCall, Made]:
        ins, outs = (tuple(tensors[d] for d in side) for side in (call.args, call.results))
        params = (("n", call.args[0].size), *more(call))
        return LibraryCall(state.unique(call.name), call.name, header, ins, outs, params, None, origin, takes_pool), ()

    return row


def _separator(call: Call) -> Params:
    mark = call.params["delimiter"]
    return (("mark", mark), ("length", len(dtypes.encode(mark))), ("splits", call.params["maxsplit"]))


def _picture(call: Call) -> Params:
    height, width, _ = call.results[0].shape
    return (("height", height), ("width", width), ("order", call.params["order"]))


def _determinant(call: Call, origin: str, state: State, tensors: Mapping[Def, Tensor]) -> tuple[LibraryCall, Made]:
    """``determinant(x, y, batch, n, scratch)``, one matrix of scratch."""
    x, y = call.args[0], call.results[0]
    n = x.shape[-1]
    copy = state.buffer("matrix", dtypes.f64, row_major((n, n)), "workspace")
    params = (("batch", y.size), ("n", n))
    step = LibraryCall(state.unique("determinant"), "determinant", "linear.h", (tensors[x],), (tensors[y],), params, copy, origin)
    return step, ()


_ROWS: Mapping[str, Row] = {
    "topk": _topk,
    "nonzero": _nonzero,
    "compress": _compress,
    "slice": _slice,
    "slice_along": _slice_along,
    "nms": _nms,
    "unique": _unique,
    "determinant": _determinant,
    "concat_texts": _each(STRING_OPS, takes_pool=True),
    "map_texts": _each(STRING_OPS, lambda call: (("rows", call.args[1].shape[0]),), takes_pool=True),
    "drop_words": _drop_words,
    "count_parts": _each(STRING_OPS, _separator),
    "split_texts": _each(STRING_OPS, lambda call: (("width", call.results[0].shape[-1]), *_separator(call))),
    "match_texts": _each(STRING_OPS, lambda call: (("classes", call.args[2].shape[1]),)),
    "texts_of_numbers": _each(STRING_NUMBERS, takes_pool=True),
    "numbers_of_texts": _each(STRING_NUMBERS, lambda call: tuple((k, call.params[k]) for k in ("precision", "lowest"))),
    "integers_of_texts": _each(STRING_NUMBERS),
    "image_extents": _each("image.h"),
    "decode_image": _each("image.h", _picture, takes_pool=True),
}
