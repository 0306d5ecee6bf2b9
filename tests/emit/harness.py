# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Defs -> loop nests -> C++ -> a shared library -> arrays, and the same by the interpreter of Defs.

All cases of a test file go into one translation unit, compiled once with every warning an error.
"""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aotgen.emit import names
from aotgen.emit.loops import print_nest
from aotgen.emit.printed import PrintedKernel
from aotgen.emit.text import Text
from aotgen.ir import define, index, interpret
from aotgen.ir.define import Def
from aotgen.ir.index import Dim
from aotgen.ir.program import Buffer, Layout, LoopNest, Tensor, row_major
from aotgen.lower import fuse, group, nest, schedule
from aotgen.targets.base import Dialect

Array = NDArray[Any]
KERNELS = Path(__file__).resolve().parents[2] / "kernels"
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Wshadow", "-Werror")
FLAGS = (
    "-std=c++17",
    "-O2",
    "-fPIC",
    "-shared",
    "-fopenmp-simd",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-march=native",
)


@dataclass
class Case:
    """``outputs`` to compute from ``feeds``; ``layouts`` of any Defs that are not row-major; ``prepared``: nests go through
    ``lower.schedule``; ``nests``: made by hand instead."""

    outputs: list[Def]
    feeds: dict[Def, Array]
    layouts: dict[Def, Layout] = field(default_factory=dict)
    dims: dict[str, int] = field(default_factory=dict)
    prepared: bool = True
    tolerance: float = 2e-6
    want: list[Array] = field(default_factory=list)
    nests: list[LoopNest] = field(default_factory=list)
    tensors: dict[Def, Tensor] = field(default_factory=dict)
    kernels: list[PrintedKernel] = field(default_factory=list)

    def lower(self) -> None:
        """Fill ``want``, ``nests`` and ``tensors``. The reference runs first: inlining changes Defs in place."""
        for n, d in enumerate((*self.feeds, *self.outputs)):
            d.name = d.name or f"v{n}"
        self.want = list(interpret.evaluate(self.outputs, self.feeds, dims=self.dims).values())
        if self.nests:
            return
        fuse.inline(self.outputs, self.layouts.keys())
        groups = [list(g) for g in group.groups(self.outputs, self.layouts.keys())]
        home = {d: n for n, g in enumerate(groups) for d in g}
        order = define.topological(self.outputs)
        crossing = {p for d in order for p in d.reads() if home.get(p) != home.get(d) or p.is_source}
        for d in order:
            if d in crossing or d in self.outputs or d.red == "scatter":
                self.tensors[d] = self.tensor(d)
        made = [n for g in groups for n in nest.lower(g, self.tensors, "loops")]
        self.nests = [schedule.prepare(n) if self.prepared else n for n in made]

    def tensor(self, d: Def) -> Tensor:
        layout = self.layouts.get(d, row_major(d.shape))
        return Tensor(Buffer(d.name or "value", d.dtype, layout.size, "workspace"), layout)

    def extent(self, d: Dim) -> int:
        i = index.ix(d)
        return int(i.evaluate({a: self.dims[a.name] for a in index.dims_of(i)}))

    def positions(self, t: Tensor) -> Array:
        """Storage offset of every element."""
        grid = np.indices([self.extent(d) for d in t.shape])
        axes = define.axes_for(t.shape)
        at = t.offset([index.var(a) for a in axes])
        env: dict[Any, Any] = dict(zip(axes, grid, strict=True))
        env |= {a: self.dims[a.name] for a in at.walk() if a.kind == "dim"}
        return np.broadcast_to(at.evaluate(env), [self.extent(d) for d in t.shape])


def render(cases: Mapping[str, Case], dialect: Dialect, head: Sequence[str], wrap: Callable[..., None]) -> str:
    """The translation unit: kernels with equal keys once, and an entry point per case. ``wrap(text, kernel, name, args)``
    writes the call of one kernel."""
    out, seen = Text(), {}
    includes = dict.fromkeys(i for c in cases.values() for k in c.kernels for i in k.includes)
    for line in (*head, *(f'#include "{i}"' for i in includes)):
        out.raw(line)
    space = out.block("namespace AOT_NS").block("namespace")
    dims = sorted({names.member(d) for c in cases.values() for d in c.dims})
    space.block("struct Dims", "};").line(" ".join(f"int {d};" for d in dims) or "int none;")
    for case in cases.values():
        for k in case.kernels:
            if k.key not in seen:
                seen[k.key] = f"k{len(seen)}"
                space.add(k.text(seen[k.key]))
    out.line("using namespace AOT_NS;")
    for name, case in cases.items():
        body = out.block(f'extern "C" void run_{name}(void** b, int nt, void* scratch)')
        body.line("(void)nt; (void)scratch;")
        body.line("Dims d{};").line("(void)d;")
        for n, v in case.dims.items():
            body.line(f"d.{names.member(n)} = {v};")
        buffers = _buffers(case)
        for k in case.kernels:
            args = ["d"] if k.dims else []
            args += [f"static_cast<{c}*>(b[{buffers.index(t.buffer)}]) + {case.extent(t.base)}" for t, c, _ in k.params]
            wrap(body, k, seen[k.key], [*args, *(["scratch"] if k.scratch != 0 else [])])
    return out.render()


def call_threads(text: Any, kernel: PrintedKernel, name: str, args: Sequence[str]) -> None:
    """Every thread in turn."""
    text.block("for (int tid = 0; tid < nt; ++tid)").line(kernel.launch(name, args))


def _buffers(case: Case) -> list[Buffer]:
    return list(dict.fromkeys(t.buffer for n in case.nests for t in n.tensors.values()))


def build(
    cases: Mapping[str, Case],
    dialect: Dialect,
    folder: Path,
    extra: Sequence[str] = (),
    head: Sequence[str] = (),
    wrap: Callable[..., None] = call_threads,
) -> ctypes.CDLL:
    for case in cases.values():
        if not case.want:
            case.lower()
        case.kernels = [print_nest(n, dialect) for n in case.nests]
    source = folder / "cases.cpp"
    source.write_text(render(cases, dialect, head, wrap), encoding="ascii")
    target = folder / "cases.so"
    done = subprocess.run(
        ["g++", *FLAGS, *WARNINGS, *extra, f"-I{KERNELS}", str(source), "-o", str(target)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[:6000]
    return ctypes.CDLL(str(target))


def run(lib: ctypes.CDLL, name: str, case: Case, threads: int) -> list[Array]:
    """Contents of the case's outputs."""
    memory = {b: np.full(case.extent(b.size) + 64, 99, b.dtype.numpy) for b in _buffers(case)}
    for d, a in case.feeds.items():
        if d in case.tensors:
            t = case.tensors[d]
            memory[t.buffer][case.positions(t)] = a
    pointers = (ctypes.c_void_p * len(memory))(*(m.ctypes.data for m in memory.values()))
    scratch = np.zeros(1 << 22, np.uint8)
    getattr(lib, f"run_{name}")(pointers, threads, ctypes.c_void_p(scratch.ctypes.data))
    for b, m in memory.items():
        assert (m[case.extent(b.size) :] == np.asarray(99).astype(b.dtype.numpy)).all(), f"{name} wrote past {b}"
    return [memory[case.tensors[d].buffer][case.positions(case.tensors[d])] for d in case.outputs]


def check(lib: ctypes.CDLL, name: str, case: Case) -> None:
    """Equal for integers, within ``tolerance`` of the largest magnitude for floats, NaN where NaN; same bits for any
    number of threads."""
    got = run(lib, name, case, 1)
    for other, first in zip(run(lib, name, case, 3), got, strict=True):
        assert other.tobytes() == first.tobytes()
    for g, w in zip(got, case.want, strict=True):
        if w.dtype.kind in "biu":
            np.testing.assert_array_equal(g, w)
        else:
            g, w = g.astype(np.float64), w.astype(np.float64)
            scale = np.abs(w[np.isfinite(w)]).max(initial=1e-30)
            np.testing.assert_allclose(g, w, rtol=0, atol=case.tolerance * scale)
