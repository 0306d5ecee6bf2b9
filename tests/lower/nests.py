# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Defs through fusion, grouping, nests and every transformation of them, interpreted at each step."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from aotgen.core import dtypes
from aotgen.ir import define, index, interpret
from aotgen.ir.define import Def
from aotgen.ir.program import Buffer, Layout, LoopNest, Tensor, packed, row_major
from aotgen.lower import fuse, group, interpret_nest, nest, schedule
from aotgen.lower.loops import collapse, order, split, substitute
from aotgen.lower.orient import orient
from aotgen.lower.segment import clip, segment
from aotgen.lower.unroll import written_out

Layouts = Callable[[Def], Layout]


def one_softmax_a_nest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nests of three stages at most, whatever their size, so that small models have many steps."""
    groups = group.groups

    def apart(
        defs: Sequence[Def], materialised: Collection[Def] = (), limits: group.Limits = group.Limits()
    ) -> list[list[Def]]:
        return groups(defs, materialised, replace(limits, stages=3, small=0, min_outer=1))

    monkeypatch.setattr(group, "groups", apart)


def plain(d: Def) -> Layout:
    return row_major(d.shape)


def blocked(d: Def) -> Layout:
    """NCHW16c with a halo of one pixel for rank 4, plain otherwise."""
    return packed(d.shape, block_axis=1, halo=((0, 0), (0, 0), (1, 1), (1, 1))) if d.rank == 4 else plain(d)


def lower(outputs: Sequence[Def], layouts: Layouts = plain, materialised: Sequence[Def] = ()) -> list[LoopNest]:
    """The nests of ``outputs``, before any transformation."""
    keep = [*outputs, *materialised]
    fuse.inline(outputs, keep)
    defs = define.topological(outputs)
    groups = group.groups(defs, keep)
    home = {d: n for n, g in enumerate(groups) for d in g}
    stored = {*keep, *(d for d in defs if d.is_source or d.red == "scatter")}
    stored |= {r for d in defs for r in d.reads() if home.get(r) != home.get(d)}
    tensors = {}
    for n, d in enumerate(x for x in defs if x in stored):
        layout = layouts(d)
        tensors[d] = Tensor(Buffer(d.name or f"b{n}", d.dtype, layout.size, "workspace"), layout)
    return [x for n, g in enumerate(groups) for x in nest.lower(g, tensors, f"k{n}")]


def _sizes(d: Def, dims: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(int(index.ix(n).evaluate({a: dims[a.name] for a in index.dims_of(n)})) for n in d.shape)


def _offsets(t: Tensor, dims: Mapping[str, int], shape: Sequence[int]) -> np.ndarray:
    axes = [index.fresh_var(n) for n in shape]
    at = t.offset([index.var(a) for a in axes])
    env = {a: g for a, g in zip(axes, np.indices(shape), strict=True)}
    env |= {a: dims[a.name] for a in at.walk() if a.kind == "dim"}
    return np.broadcast_to(at.evaluate(env), shape)


def execute(nests: Sequence[LoopNest], feeds: Mapping[Def, np.ndarray], outputs: Sequence[Def],
            dims: Mapping[str, int]) -> list[np.ndarray]:  # fmt: skip
    """Run nests on memory that starts out as NaN or a pattern, so that what is not written shows."""
    memory: dict[Buffer, np.ndarray] = {}
    where = {d: t for n in nests for d, t in n.tensors.items()}
    for d, t in where.items():
        size = int(index.ix(t.buffer.size).evaluate({a: dims[a.name] for a in index.dims_of(t.buffer.size)}))
        memory.setdefault(t.buffer, np.full(size, np.nan if d.dtype.is_float else 77).astype(d.dtype.numpy))
        if d in feeds:
            memory[t.buffer][_offsets(t, dims, feeds[d].shape)] = feeds[d]
    for n in nests:
        interpret_nest.run(n, memory, dims)
    return [memory[where[d].buffer][_offsets(where[d], dims, _sizes(d, dims))] for d in outputs]


def steps(nests: Sequence[LoopNest], simd_min: int = 16) -> list[tuple[str, list[LoopNest]]]:
    """The nests after each transformation, cumulatively, and as ``prepare`` makes them."""

    def clipped(n: LoopNest) -> LoopNest:
        return replace(n, stages=tuple(c for s in n.stages for c in clip(s)))

    def segmented(n: LoopNest) -> LoopNest:
        return replace(n, stages=tuple(c for s in n.stages for c in segment(s)))

    out = [("lowered", list(nests))]
    for name, f in (("split", split), ("order", order), ("collapse", collapse), ("unroll", written_out),
                    ("orient", lambda n: orient(n, simd_min)), ("clip", clipped), ("segment", segmented)):  # fmt: skip
        out.append((name, [f(n) for n in out[-1][1]]))
    out.append(("prepare", [schedule.prepare(n, simd_min) for n in nests]))
    out.append(("short rows", [turned(n) for n in out[-1][1]]))
    return out


def turned(n: LoopNest) -> LoopNest:
    """The other way round, where there is one, with one thread's rows being all: as a printer runs short rows."""
    if n.short is None:
        return n
    short = n.short.nest
    assert short.strip is not None
    rows, (first,) = index.ix(n.outer[0].ext or 1), short.outer
    strip = index.fresh_var((rows + short.strip.block - 1) // short.strip.block, "strip")
    env = {first: index.var(strip) * short.strip.block, short.strip.end: rows}
    return replace(short, outer=(strip,), stages=tuple(substitute(s, env) for s in short.stages), strip=None)


def check(outputs: Sequence[Def], feeds: Mapping[Def, np.ndarray], layouts: Layouts = plain,
          dims: Mapping[str, int] | None = None, simd_min: int = 4, rtol: float = 2e-5) -> list[LoopNest]:  # fmt: skip
    """Assert that every step computes what the Defs mean; returns the prepared nests. ``simd_min`` is small so that small
    shapes take the same paths as large ones."""
    dims = dict(dims or {})
    want = interpret.evaluate(outputs, feeds, dims=dims)
    nests = lower(outputs, layouts)
    seen = set()
    for name, current in steps(nests, simd_min):
        text = "".join(map(dump, current))
        if text in seen:  # this step changed nothing
            continue
        seen.add(text)
        got = execute(current, feeds, outputs, dims)
        for d, g in zip(outputs, got, strict=True):
            np.testing.assert_allclose(g, want[d], rtol=rtol, atol=1e-5, err_msg=f"{name}: {d!r}")
    return current


def dump(n: LoopNest) -> str:
    loops = [*n.outer, *(v for s in n.stages for v in s.loops)]
    return repr(n) + repr([(v.name, v.lo, v.ext) for v in loops])


def guards(nests: Sequence[LoopNest]) -> int:
    """How many guards are left inside values."""
    return sum(e.op == "guard" for n in nests for s in n.stages for st in s.stmts for e in _nodes(st.value))


def divisions(nests: Sequence[LoopNest]) -> int:
    from aotgen.lower.loops import divided, polynomials

    return sum(len(divided(polynomials(n, s))) for n in nests for s in n.stages)


def _nodes(e, seen=None):
    seen = {} if seen is None else seen
    if e not in seen:
        seen[e] = None
        for a in e.args:
            _nodes(a, seen)
    return list(seen)


def random(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal(shape).astype(np.float32)


f32 = dtypes.f32
