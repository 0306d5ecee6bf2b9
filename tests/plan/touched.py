# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What steps really touch, by brute force: every point of every loop, for each iteration of the outer loops."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from aotgen.ir import index
from aotgen.ir.expr import E
from aotgen.ir.index import Atom, Ix, ix
from aotgen.ir.program import Buffer, Copy, Fill, LoopNest, Stage, Step, Tensor

Dims = Mapping[Atom, int]
Touched = list[tuple[np.ndarray, np.ndarray, Buffer, bool]]  # outer iteration, first byte, buffer, written


def number(d: Any, dims: Dims) -> int:
    return int(ix(d).evaluate(dict(dims)))


def touched(step: Step, dims: Dims) -> Touched:
    """Every element that ``step`` touches, with the flat outer iteration that does."""
    if isinstance(step, LoopNest):
        return list(_nest(step, dims))
    if isinstance(step, Copy):
        at = np.arange(number(step.dst.layout.size, dims))
        return [(at, _bytes(t, at + number(t.base, dims)), t.buffer, w) for t, w in ((step.dst, True), (step.src, False))]
    assert isinstance(step, Fill), step
    return [_fill(step)]


def total(step: Step, dims: Dims) -> int:
    """Outer iterations."""
    if isinstance(step, LoopNest):
        return int(np.prod([number(v.ext, dims) for v in step.outer], dtype=int))
    if isinstance(step, Copy):
        return number(step.dst.layout.size, dims)
    assert isinstance(step, Fill)
    return int(np.prod(_storage(step)[:3]))


def shared(total: int, tid: int, nt: int, quantum: int) -> range:
    """``share`` of ``kernels/cpu/extent.h``."""
    units = -(-total // quantum)
    return range(units * tid // nt * quantum, min(units * (tid + 1) // nt * quantum, total))


def _bytes(t: Tensor, at: np.ndarray) -> np.ndarray:
    return at * t.dtype.bytes


# -- loop nests


def _nest(nest: LoopNest, dims: Dims) -> Iterator[tuple[np.ndarray, np.ndarray, Buffer, bool]]:
    for stage in nest.stages:
        loops = [*nest.outer, *stage.loops]
        sizes = [number(v.ext, dims) for v in loops]
        points = [g.reshape(-1) for g in np.indices(sizes)] if loops else []
        env: dict[Atom, Any] = {**dims, **{v: p + number(v.lo, dims) for v, p in zip(loops, points, strict=True)}}
        count = int(np.prod(sizes, dtype=int))
        flat = np.arange(count) // max(1, int(np.prod(sizes[len(nest.outer) :], dtype=int)))
        mask = np.ones(count, bool)
        for b in stage.bounds:
            for low in b.lows:
                mask &= np.broadcast_to(_at(low, env) <= env[b.var], count)
            for high in b.highs:
                mask &= np.broadcast_to(env[b.var] < _at(high, env), count)
        if stage.cond is not None:
            mask &= _holds(stage.cond, env, count)
        for d, idx, where, written in _accesses(stage, env, mask):
            if d in nest.tensors and where.any():
                t = nest.tensors[d]
                at = np.broadcast_to(_at(t.offset(idx), env), count)
                yield flat[where], _bytes(t, at[where]), t.buffer, written


def _accesses(stage: Stage, env: Mapping[Atom, Any], mask: np.ndarray) -> Iterator[tuple[Any, Any, np.ndarray, bool]]:
    for s in stage.stmts:
        yield s.target, s.index, mask, True
        for i in s.index:
            for a in i.walk():
                if a.kind == "ind":
                    yield from _loads(a.payload, env, mask)
        yield from _loads(s.value, env, mask)


def _loads(e: E, env: Mapping[Atom, Any], mask: np.ndarray) -> Iterator[tuple[Any, Any, np.ndarray, bool]]:
    """Loads of an expression where they are evaluated: a guard chooses one of its arms."""
    if e.op == "guard":
        holds = _holds(e.args[0], env, len(mask))
        yield from _loads(e.args[1], env, mask & holds)
        yield from _loads(e.args[2], env, mask & ~holds)
        return
    if e.op == "load":
        yield (*e.attr, mask, False)
        for i in e.attr[1]:
            for a in i.walk():
                if a.kind == "ind":
                    yield from _loads(a.payload, env, mask)
    for a in e.args:
        yield from _loads(a, env, mask)


def _holds(e: E, env: Mapping[Atom, Any], count: int) -> np.ndarray:
    if e.op == "ge0":
        return np.broadcast_to(np.asarray(_at(e.attr, env)) >= 0, count)
    if e.op == "const":
        return np.full(count, bool(e.attr))
    parts = [_holds(a, env, count) for a in e.args]
    if e.op == "not":
        return ~parts[0]
    return np.logical_and.reduce(parts) if e.op == "and" else np.logical_or.reduce(parts)


def _at(i: Ix, env: Mapping[Atom, Any]) -> Any:
    """An index at every point; one that is loaded is any value in its range."""
    loaded = [a for a in i.walk() if a.kind == "ind"]
    rng = np.random.default_rng(0)
    count = max((np.size(v) for v in env.values()), default=1)
    for a in loaded:
        lo = number(a.lo, {k: v for k, v in env.items() if np.ndim(v) == 0})
        ext = number(a.ext, {k: v for k, v in env.items() if np.ndim(v) == 0})
        env = {**env, a: rng.integers(lo, lo + max(ext, 1), count)}
    free = {a: index.fresh_var(1) for a in loaded}
    return i.subst({a: index.var(v) for a, v in free.items()}).evaluate({**env, **{free[a]: env[a] for a in loaded}})


# -- halos


def _storage(fill: Fill) -> list[int]:
    from aotgen.plan import halo

    rows = halo.rows(fill)
    assert not rows.outer
    desc = {k: int(v) for k, v in rows.desc}  # type: ignore[call-overload]
    return [desc[f"n{k}"] + desc[f"b{k}"] + desc[f"a{k}"] for k in range(4)]


def _fill(fill: Fill) -> tuple[np.ndarray, np.ndarray, Buffer, bool]:
    """As ``fill_halo`` of ``kernels/cpu/halo.h`` does it."""
    from aotgen.plan import halo

    desc = {k: int(v) for k, v in halo.rows(fill).desc}  # type: ignore[call-overload]
    grid = np.indices([*_storage(fill), desc["L"]])
    logical = [grid[k] - desc[f"b{k}"] for k in range(4)]
    outside = np.logical_or.reduce([(i < 0) | (i >= desc[f"n{k}"]) for k, i in enumerate(logical)])
    at = sum((i * desc[f"s{k}"] for k, i in enumerate(logical)), grid[4])
    e = _storage(fill)
    row = (grid[0] * e[1] + grid[1]) * e[2] + grid[2]
    t = fill.tensor
    start = number(t.base, {}) + number(t.layout.base, {})
    return row[outside], _bytes(t, at[outside] + start), t.buffer, True


def sets(step: Step, iterations: Sequence[int] | range, dims: Dims, offsets: Mapping[Buffer, int]) -> tuple[set[tuple[str, int]], set[tuple[str, int]]]:
    """Places read and written by some outer iterations: a byte of the arena, or of a buffer outside it. The first byte of an
    element stands for it; elements of different sizes that overlap still meet at multiples of 8."""
    read: set[tuple[str, int]] = set()
    written: set[tuple[str, int]] = set()
    chosen = np.asarray(list(iterations))
    for flat, at, buffer, writes in touched(step, dims):
        mine = at[np.isin(flat, chosen)]
        space, base = ("arena", offsets[buffer]) if buffer in offsets else (buffer.name, 0)
        size = buffer.dtype.bytes
        for k in range(size):
            (written if writes else read).update((space, int(b)) for b in np.unique(mine) + base + k)
    return read, written
