# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Hand-made Programs, one for each kind of step, with what they compute in NumPy."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from aotgen.core import dtypes
from aotgen.ir import expr, index
from aotgen.ir.define import Def, source
from aotgen.ir.expr import E
from aotgen.ir.graph import Constant
from aotgen.ir.index import Dim
from aotgen.ir.program import (
    Buffer,
    Copy,
    Epilogue,
    Fill,
    If,
    KernelCall,
    Layout,
    Loop,
    LoopNest,
    Packed,
    Port,
    Program,
    Stage,
    Step,
    Stmt,
    Tensor,
    packed,
    row_major,
)

Arrays = dict[str, np.ndarray]


@dataclass
class Case:
    """A Program, inputs for it, and its meaning."""

    program: Program
    inputs: Arrays
    meaning: Callable[[Arrays], Arrays]


def tensor(
    name: str, shape: Sequence[Dim], place: str = "workspace", dtype: str = "f32", layout: Layout | None = None
) -> Tensor:
    layout = layout or row_major(shape)
    return Tensor(Buffer(name, dtypes.of(dtype), layout.size, place), layout)


def nest(name: str, dst: Tensor, sources: Sequence[Tensor], f: Callable[..., E], origin: str = "") -> LoopNest:
    """``dst[i...] = f(source[i...], ...)``; a vector source is read along the last axis, a scalar everywhere."""
    axes = [index.fresh_var(index.ix(d), "o") for d in dst.shape]
    at = tuple(index.var(a) for a in axes)
    defs: list[Def] = [source(t.buffer.name, t.shape, t.dtype) for t in sources]
    y = source(dst.buffer.name, dst.shape, dst.dtype)
    value = f(*(d[at[len(at) - d.rank :]] if d.rank else d[()] for d in defs))
    lane = axes[-1] if axes else None
    stage = Stage((lane,) if lane else (), (Stmt(y, at, value),), lane=lane)
    tensors = {**dict(zip(defs, sources, strict=True)), y: dst}
    return LoopNest(name, tuple(axes[:-1]), (stage,), tensors, origin=origin or f"/{name}")


def relu(x: E) -> E:
    return expr.fn("max", x, expr.const(0.0, "f32"))


def add(x: E, y: E) -> E:
    return x + y


def program(
    inputs: Sequence[Tensor],
    outputs: Sequence[Tensor],
    steps: Sequence[Step],
    weights: Mapping[Tensor, np.ndarray] | None = None,
    dims: tuple[Any, ...] = (),
) -> Program:
    held = {t.buffer: Packed(Constant.of(a), t.layout) for t, a in (weights or {}).items()}
    ports = [tuple(Port(t.buffer.name, t) for t in side) for side in (inputs, outputs)]
    return Program("test", ports[0], ports[1], tuple(steps), held, dims)


def floats(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def pointwise() -> Case:
    x, y, b = tensor("x", (8, 40), "input"), tensor("y", (8, 40), "output"), tensor("bias", (40,), "const")
    t, u = tensor("t", (8, 40)), tensor("u", (8, 40))
    bias = np.arange(40, dtype=np.float32) - 20
    steps = [nest("add_bias", t, [x, b], add), nest("relu", u, [t], relu), nest("residual", y, [u, x], add)]
    return Case(
        program([x], [y], steps, {b: bias}),
        {"x": floats(8, 40)},
        lambda a: {"y": np.maximum(a["x"] + bias, 0) + a["x"]},
    )


def gemm(m: Dim = 19, dims: tuple[Any, ...] = ()) -> Case:
    """relu(x @ w + b): M may be open; N = 40 leaves a ragged block."""
    K, N = 33, 40
    x, y = tensor("x", (m, K), "input"), tensor("y", (m, N), "output")
    w = tensor("w", (K, N), "const", layout=packed((K, N), (1, 0), 1))
    b = tensor("b", (N,), "const")
    axes = (
        index.fresh_var(1, "b"),
        index.fresh_var(index.ix(m), "m"),
        index.fresh_var(3, "nb"),
        index.fresh_var(16, "l"),
    )
    row, col = index.var(axes[1]), index.var(axes[2]) * 16 + index.var(axes[3])
    acc, out, bias = source("acc", (m, N), dtypes.f32), source("y", (m, N), dtypes.f32), source("b", (N,), dtypes.f32)
    stmt = Stmt(out, (row, col), relu(acc[row, col] + bias[col]))
    epilogue = Epilogue(axes, acc, (stmt,), {out: y, bias: b})
    desc: tuple[tuple[str, Dim], ...] = (
        ("B0", 1),
        ("B1", 1),
        ("M", m),
        ("N", N),
        ("K", K),
        ("aB0", 0),
        ("aB1", 0),
        ("aM", K),
        ("aK", 1),
        ("bB0", 0),
        ("bB1", 0),
        ("bP", K * 16),
        ("bK", 16),
        ("bPadded", 1),
    )
    tiles = {"scalar": (1, 1), "sse4": (2, 1), "avx2": (4, 1), "avx512": (6, 2), "neon": (4, 1)}
    step = KernelCall("gemm+relu", "gemm", "gemm.h", tiles, desc, (x, w), epilogue, "/fc", 2 * 19 * K * N)
    weights = {w: floats(K, N, seed=1), b: floats(N, seed=2)}
    rows = m if isinstance(m, int) else 19
    return Case(
        program([x], [y], [step], weights, dims),
        {"x": floats(rows, K)},
        lambda a: {"y": np.maximum(a["x"] @ weights[w] + weights[b], 0)},
    )


def open_gemm() -> Case:
    n = index.dim("rows in", 1, 64)
    return gemm(n, tuple(index.dims_of(n)))


def open_chain() -> Case:
    """Open workspace: slots whose sizes are computed at run time."""
    n = index.dim("N", 1, 100)
    x, y = tensor("x", (n, 24), "input"), tensor("y", (n, 24), "output")
    s, t = tensor("s", (n, 24)), tensor("t", (n, 24))
    steps = [nest("relu", s, [x], relu), nest("both", t, [s, x], add), nest("sum", y, [s, t], add)]
    return Case(
        program([x], [y], steps, dims=tuple(index.dims_of(n))),
        {"x": floats(7, 24)},
        lambda a: {"y": 2 * np.maximum(a["x"], 0) + a["x"]},
    )


def branch() -> Case:
    x, c, y = tensor("x", (4, 16), "input"), tensor("c", (), "input", "bool"), tensor("y", (4, 16), "output")
    r, t = tensor("r", (4, 16)), tensor("t", (4, 16))
    step = If("if", c, (nest("relu", t, [x], relu), nest("twice", r, [t, t], add)), (Copy("same", r, x),), "/if")
    return Case(
        program([x, c], [y], [step, nest("after", y, [r, x], add)]),
        {"x": floats(4, 16), "c": np.array(True)},
        lambda a: {"y": (2 * np.maximum(a["x"], 0) if a["c"] else a["x"]) + a["x"]},
    )


def loop(swapped: bool = True) -> Case:
    """``trips`` times s = s + x while the count of trips so far is below 5."""
    x, n, y = tensor("x", (4, 16), "input"), tensor("trips", (), "input", "i64"), tensor("y", (4, 16), "output")
    s, t = tensor("s", (4, 16)), tensor("next", (4, 16))
    k, go = tensor("k", (), dtype="i64"), tensor("go", (), dtype="bool")
    true = tensor("true", (), "const", "bool")
    body: list[Step] = [nest("accumulate", t, [s, x], add), nest("test", go, [k], lambda i: i < 4)]
    if not swapped:
        body.append(Copy("carry", s, t))
    step = Loop("loop", n, go, k, tuple(body), ((s, t),) if swapped else (), "/loop")
    steps = [Copy("start", s, x), Copy("go", go, true), step, nest("end", y, [s], relu)]
    return Case(
        program([x, n], [y], steps, {true: np.array(True)}),
        {"x": floats(4, 16), "trips": np.array(3, np.int64)},
        lambda a: {"y": np.maximum(a["x"] * np.float32(1 + min(max(int(a["trips"]), 0), 5)), 0)},
    )


def border() -> Case:
    """A window of two over a halo of -1 that a Fill step writes, in NCHW16c with a ragged block."""
    shape = (2, 20, 5, 6)
    x, y = tensor("x", shape, "input"), tensor("y", shape, "output")
    h = tensor("h", shape, layout=packed(shape, block_axis=1, halo=((0, 0), (0, 0), (1, 0), (2, 1)), fill=-1.0))
    axes = [index.fresh_var(d, "o") for d in shape]
    n, c, i, j = (index.var(a) for a in axes)
    d, out = source("h", shape, dtypes.f32), source("y", shape, dtypes.f32)
    stmt = Stmt(out, (n, c, i, j), d[n, c, i - 1, j - 2] + d[n, c, i, j + 1])
    window = LoopNest("window", tuple(axes[:3]), (Stage((axes[3],), (stmt,), lane=axes[3]),), {d: h, out: y})

    def meaning(a: Arrays) -> Arrays:
        p = np.pad(a["x"], ((0, 0), (0, 0), (1, 0), (2, 1)), constant_values=-1)
        return {"y": p[:, :, :-1, :6] + p[:, :, 1:, 3:]}

    return Case(
        program([x], [y], [Fill("border", h), nest("pack", h, [x], relu), window]), {"x": abs(floats(*shape))}, meaning
    )


def scratch() -> Case:
    """Rows reversed through a table of 20 kB, more than a thread keeps on its stack; and a copy shared by threads."""
    shape, width = (6, 5000), 5000
    x, y = tensor("x", shape, "input"), tensor("y", shape, "output")
    s = tensor("s", shape)
    i, j, k = (index.fresh_var(n, "o") for n in (6, width, width))
    row, a, b = source("row", (width,), dtypes.f32), source("x", shape, dtypes.f32), source("s", shape, dtypes.f32)
    at = index.var(i), index.var(j), index.var(k)
    first = Stage((j,), (Stmt(row, (at[1],), a[at[0], at[1]] + a[at[0], at[1]]),), lane=j)
    second = Stage((k,), (Stmt(b, (at[0], at[2]), row[width - 1 - at[2]]),), lane=k)
    reverse = LoopNest("reverse", (i,), (first, second), {a: x, b: s}, temps=(row,))
    steps = [reverse, Copy("out", y, s)]
    return Case(program([x], [y], steps), {"x": floats(*shape)}, lambda a: {"y": 2 * a["x"][:, ::-1]})


CASES: Mapping[str, Callable[[], Case]] = {
    "pointwise": pointwise,
    "gemm": gemm,
    "open_gemm": open_gemm,
    "open_chain": open_chain,
    "branch": branch,
    "loop": loop,
    "loop_copied": lambda: loop(False),
    "border": border,
    "scratch": scratch,
}
