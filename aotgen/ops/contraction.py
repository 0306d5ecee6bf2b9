# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Contractions: MatMul, Gemm, Einsum and their integer forms.

A contraction is one ``sum`` Def; scaling, bias and requantisation are nodes after it, so that a target can replace just
the contraction by a template kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from aotgen.core import dtypes
from aotgen.core.dtypes import DType
from aotgen.core.errors import ModelError
from aotgen.ir import expr, index
from aotgen.ir.define import Def, compute, reduce_
from aotgen.ir.expr import E
from aotgen.ir.graph import Value
from aotgen.ir.index import Dim, Ix
from aotgen.ops.broadcast import along, broadcast, read
from aotgen.ops.builder import Builder
from aotgen.ops.registry import Ctx, expansion, lowering
from aotgen.ops.shorthand import Sub, same_dim

Read = Callable[[tuple[Ix, ...]], E]


def matmul_def(a: Def, b: Def, dtype: DType, read_a: Read, read_b: Read) -> Def:
    """``a @ b`` with NumPy's rules for 1-D operands and batch axes; ``read_*`` give an element as a compute value."""
    if not a.rank or not b.rank:
        raise ModelError("MatMul of a scalar")
    depth = same_dim(a.shape[-1], b.shape[-2] if b.rank > 1 else b.shape[0], "the summed axes of MatMul")
    batch_a, batch_b = a.shape[:-2], b.shape[:-2]
    batch = broadcast(batch_a, batch_b)
    rows: tuple[Dim, ...] = (a.shape[-2],) if a.rank > 1 else ()
    cols: tuple[Dim, ...] = (b.shape[-1],) if b.rank > 1 else ()

    def term(o: list[Ix], r: list[Ix]) -> E:
        at = o[: len(batch)]
        row = tuple(o[len(batch) : len(batch) + len(rows)])
        col = tuple(o[len(batch) + len(rows) :])
        x = read_a((*_aligned(batch_a, at), *row, r[0]))
        y = read_b((*_aligned(batch_b, at), r[0], *col))
        return x * y

    return reduce_("sum", (*batch, *rows, *cols), [depth], term, dtype)


def _aligned(batch: Sequence[Dim], at: Sequence[Ix]) -> tuple[Ix, ...]:
    """Where an operand with batch axes ``batch`` is read for the batch index ``at`` of the result."""
    return tuple(along(d, i) for d, i in zip(batch, at[len(at) - len(batch) :], strict=True))


@lowering("MatMul")
def matmul(ctx: Ctx, a: Def, b: Def) -> Def:
    return matmul_def(a, b, a.dtype, lambda i: a[i], lambda i: b[i])


@lowering("MatMulInteger")
def matmul_integer(ctx: Ctx, a: Def, b: Def, a_zero: Def | None = None, b_zero: Def | None = None) -> Def:
    """``(a - a_zero) @ (b - b_zero)`` in i32; zero points per tensor, per row of ``a`` or per column of ``b``."""
    return matmul_def(a, b, dtypes.i32, _centred(a, a_zero, True), _centred(b, b_zero, False))


def _centred(x: Def, zero: Def | None, rows: bool) -> Read:
    """Elements of ``x`` minus their zero point."""
    if zero is None:
        return lambda i: x[i]
    axis = -2 if rows and x.rank > 1 else -1
    if zero.rank == 1:
        broadcast(zero.shape, (x.shape[axis],))  # where extents are open, run checks it

    def element(i: tuple[Ix, ...]) -> E:
        if zero.rank == 0:
            return x[i] - zero[()]
        if zero.rank == 1:
            return x[i] - zero[along(zero.shape[0], i[axis])]
        return x[i] - read(zero, i)

    return element


@lowering("Requantize", domain="aotgen")
def requantize(ctx: Ctx, acc: Def, a_scale: Def, b_scale: Def, y_scale: Def, y_zero: Def) -> Def:
    """``saturate(round(acc * (a_scale * b_scale / y_scale)) + y_zero)`` in the type of ``y_zero``; operands broadcast.

    acc: i32. The factor is formed first, in f32, as onnxruntime does.
    """
    low, high = quantised_range(y_zero.dtype)
    parts = (acc, a_scale, b_scale, y_scale, y_zero)

    def f(*i: Ix) -> E:
        n, sa, sb, sy, z = (read(d, i) for d in parts)
        factor = expr.cast(sa, "f32") * expr.cast(sb, "f32") / expr.cast(sy, "f32")
        q = expr.fn("rint", expr.cast(n, "f32") * factor) + expr.cast(z, "f32")
        q = expr.fn("min", expr.fn("max", q, expr.const(low, "f32")), expr.const(high, "f32"))
        return expr.cast(q, "i32")

    return compute(broadcast(*(d.shape for d in parts)), f, y_zero.dtype)


def quantised_range(t: DType) -> tuple[int, int]:
    """Smallest and largest value of an integer storage type."""
    return (0, (1 << t.bits) - 1) if t.kind == "u" else (-(1 << (t.bits - 1)), (1 << (t.bits - 1)) - 1)


@expansion("QLinearMatMul")
def qlinear_matmul(
    ctx: Ctx,
    builder: Builder,
    a: Value,
    a_scale: Value,
    a_zero: Value,
    b: Value,
    b_scale: Value,
    b_zero: Value,
    y_scale: Value,
    y_zero: Value,
) -> Value:
    sub = Sub(ctx, builder)
    if any(v.dtype.is_float for v in (a, b, y_zero)):
        return _qlinear_floats(sub, (a, a_scale, a_zero), (b, b_scale, b_zero), y_scale, y_zero)

    def per_row(v: Value) -> Value:
        return sub.reshape(v, [*v.shape, 1]) if len(v.shape) == 1 and v.shape[0] != 1 else v

    acc = sub("MatMulInteger", a, b, a_zero, b_zero)
    out = sub(
        "Requantize", acc, per_row(a_scale), b_scale, per_row(y_scale), per_row(y_zero), domain="aotgen"
    )
    if len(out.shape) == len(acc.shape):
        return sub.sized(out, dict(enumerate(acc.shape)), "a product with quantisation parameters")
    return sub.reshape(out, acc.shape)


def _qlinear_floats(
    sub: Sub, a: tuple[Value, Value, Value], b: tuple[Value, Value, Value], y_scale: Value, y_zero: Value
) -> Value:
    """QLinearMatMul where a type is an 8-bit float: dequantised to f32, multiplied, quantised."""
    sides = []
    for (x, scale, zero), axis in ((a, -2), (b, -1)):
        axis = axis if len(x.shape) > 1 else -1
        sides.append(sub("DequantizeLinear", x, sub.cast(scale, dtypes.f32), zero, axis=axis))
    y = sub("MatMul", *sides)
    axis = -2 if len(y.shape) > 1 else -1
    return sub("QuantizeLinear", y, sub.cast(y_scale, dtypes.f32), y_zero, axis=axis)  # type: ignore[no-any-return]


@expansion("Gemm")
def gemm(ctx: Ctx, builder: Builder, a: Value, b: Value, c: Value | None = None) -> Value:
    """``alpha * a' @ b' + beta * c`` for 2-D operands."""
    sub = Sub(ctx, builder)
    if len(a.shape) != 2 or len(b.shape) != 2:
        raise ModelError(f"Gemm takes 2-D operands, got {a.type} and {b.type}")
    a = sub.transpose(a, [1, 0]) if ctx.attr_int("transA", 0) else a
    b = sub.transpose(b, [1, 0]) if ctx.attr_int("transB", 0) else b
    y = _scaled(sub, sub("MatMul", a, b), ctx.attr_float("alpha", 1.0))
    beta = ctx.attr_float("beta", 1.0)
    if c is None or beta == 0.0:
        return y
    return sub.sized(sub("Add", y, _scaled(sub, c, beta)), dict(enumerate(y.shape)), "Gemm's sum with its third operand")


@expansion("FusedMatMul", domain="com.microsoft")
def fused_matmul(ctx: Ctx, builder: Builder, a: Value, b: Value) -> Value:
    """onnxruntime's ``alpha * a' @ b'``: the last two axes swapped for ``trans``, the row axis moved in front of the batch
    axes before that for ``transBatch``."""
    sub = Sub(ctx, builder)
    sides = []
    for v, side in ((a, "A"), (b, "B")):
        rank = len(v.shape)
        order = list(range(rank))
        if rank > 2 and ctx.attr_int(f"transBatch{side}", 0):
            order = [*order[1:-1], 0, order[-1]]
        if rank > 1 and ctx.attr_int(f"trans{side}", 0):
            order[-2:] = order[:-3:-1]
        sides.append(sub.transpose(v, order))
    return _scaled(sub, sub("MatMul", *sides), ctx.attr_float("alpha", 1.0))


def _scaled(sub: Sub, x: Value, factor: float) -> Value:
    return x if factor == 1.0 else sub("Mul", x, sub.scalar(factor, x.dtype))


# -- Einsum: pair by pair, each pair a (batched) MatMul or a broadcast product. An index is an int; ellipsis axes are
#    negative ints, counted from the right.


@expansion("Einsum")
def einsum(ctx: Ctx, builder: Builder, *inputs: Value) -> Value:
    sub = Sub(ctx, builder)
    terms, out = _parse(ctx.attr_str("equation"), inputs)
    operands = [
        _own(sub, x, t, [*out, *(k for j, u in enumerate(terms) if j != n for k in u)])
        for n, (x, t) in enumerate(zip(inputs, terms, strict=True))
    ]
    x, left = operands[0]
    for n, (y, right) in enumerate(operands[1:], 1):
        later = {*out, *(k for _, u in operands[n + 1 :] for k in u)}
        x, left = _pair(sub, x, left, y, right, later)
    missing = [k for k in out if k not in left]
    if missing:
        raise ModelError("an output index of the einsum is in no operand")
    return _own(sub, x, left, out, exact=True)[0]


def _parse(equation: str, inputs: Sequence[Value]) -> tuple[list[list[int]], list[int]]:
    """Index lists of the operands and of the output."""
    text = equation.replace(" ", "")
    lhs, arrow, rhs = text.partition("->")
    words = lhs.split(",")
    if len(words) != len(inputs):
        raise ModelError(f"einsum '{equation}' names {len(words)} operands, {len(inputs)} are given")
    terms = []
    for word, v in zip(words, inputs, strict=True):
        letters = word.replace("...", "")
        extra = len(v.shape) - len(letters)
        if not (letters.isalpha() or not letters) or extra < 0 or (extra > 0 and "..." not in word):
            raise ModelError(f"einsum term '{word}' does not describe {v.type}")
        head, _, tail = word.partition("...")
        terms.append([*map(ord, head), *(k - extra for k in range(extra)), *map(ord, tail)])
    dots = sorted({k for t in terms for k in t if k < 0})
    if arrow:
        head, _, tail = rhs.partition("...")
        return terms, [*map(ord, head), *(dots if "..." in rhs else ()), *map(ord, tail)]
    flat = [k for t in terms for k in t if k >= 0]
    return terms, [*dots, *sorted(k for k in set(flat) if flat.count(k) == 1)]


def _own(
    sub: Sub, x: Value, term: Sequence[int], keep: Sequence[int], exact: bool = False
) -> tuple[Value, list[int]]:
    """``x`` with repeated indices taken on the diagonal and those not in ``keep`` summed away. ``exact``: the result
    has exactly the axes of ``keep``, in that order."""
    target = list(keep) if exact else [k for k in dict.fromkeys(term) if k in keep]
    if list(term) == target:
        return x, target
    if sorted(term) == sorted(target) and len(set(term)) == len(term):
        return sub.transpose(x, [list(term).index(k) for k in target]), target
    return sub("Einsum1", x, domain="aotgen", term=list(term), out=target), target


@lowering("Einsum1", domain="aotgen")
def einsum_one(ctx: Ctx, x: Def) -> Def:
    """One-operand einsum: diagonals, transposition and sums. ``term``, ``out``: indices of input and output axes."""
    term, out = ctx.attr_ints("term"), ctx.attr_ints("out")
    extent: dict[int, Dim] = {}
    for k, d in zip(term, x.shape, strict=True):
        extent[k] = same_dim(extent[k], d, "a repeated einsum index") if extent.get(k, 1) != 1 else d
    summed = [k for k in dict.fromkeys(term) if k not in out]

    def value(o: list[Ix], r: list[Ix]) -> E:
        at = dict(zip([*out, *summed], [*o, *r], strict=True))
        return x[tuple(index.ix(0) if d == 1 else at[k] for k, d in zip(term, x.shape, strict=True))]

    shape = [extent[k] for k in out]
    if not summed:
        return compute(shape, lambda *o: value(list(o), []), x.dtype)
    return reduce_("sum", shape, [extent[k] for k in summed], value, x.dtype)


def _pair(
    sub: Sub, x: Value, left: list[int], y: Value, right: list[int], later: set[int]
) -> tuple[Value, list[int]]:
    """The product of two operands, summed over the shared indices that nothing needs later."""
    size_x, size_y = dict(zip(left, x.shape, strict=True)), dict(zip(right, y.shape, strict=True))
    shared = [k for k in left if k in size_y]
    # A shared index of extent 1 on one side only broadcasts: it cannot be summed by a MatMul.
    summed = [k for k in shared if k not in later and (size_x[k] == 1) == (size_y[k] == 1)]
    stretched = [k for k in shared if k not in later and k not in summed]
    batch = [k for k in shared if k not in summed]
    rows, cols = [k for k in left if k not in shared], [k for k in right if k not in shared]
    a = sub.transpose(x, [left.index(k) for k in [*batch, *rows, *summed]])
    b = sub.transpose(y, [right.index(k) for k in [*batch, *summed, *cols]])
    of_batch_a, of_batch_b = [size_x[k] for k in batch], [size_y[k] for k in batch]
    of_rows, of_cols = [size_x[k] for k in rows], [size_y[k] for k in cols]
    depth = index.prod_dims([same_dim(size_x[k], size_y[k], "a shared einsum index") for k in summed])
    out_batch = broadcast(of_batch_a, of_batch_b)
    if summed:
        a = sub.reshape(a, [*of_batch_a, index.prod_dims(of_rows), depth])
        b = sub.reshape(b, [*of_batch_b, depth, index.prod_dims(of_cols)])
        z = sub.reshape(sub("MatMul", a, b), [*out_batch, *of_rows, *of_cols])
    else:
        z = sub(
            "Mul",
            sub.reshape(a, [*of_batch_a, *of_rows, *[1] * len(cols)]),
            sub.reshape(b, [*of_batch_b, *[1] * len(rows), *of_cols]),
        )
    order = [*batch, *rows, *cols]
    return _own(sub, z, order, [k for k in order if k not in stretched]) if stretched else (z, order)
