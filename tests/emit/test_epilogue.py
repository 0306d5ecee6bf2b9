# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Epilogue functors, run on vectors and on floats, against the interpreter of Defs."""

from __future__ import annotations

import ctypes
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from aotgen import targets
from aotgen.core import dtypes
from aotgen.emit.epilogue import PrintedFunctor, is_padded, print_epilogue
from aotgen.emit.text import Text
from aotgen.ir import expr, index, interpret
from aotgen.ir.define import Def, compute, source
from aotgen.ir.expr import E, cast, const, fn, guard, ix_value, select
from aotgen.ir.program import Buffer, Epilogue, Layout, Stmt, Tensor, packed, row_major
from tests.emit.harness import FLAGS, KERNELS, WARNINGS, Array

M, N = 5, 40  # rows, columns: two whole blocks of 16 and half of a third
_rng = np.random.default_rng(3)


class Given:
    """An epilogue over an accumulator ``[M, N]`` and what it should store."""

    def __init__(
        self,
        f: Callable[..., E],
        inputs: list[tuple[Def, Layout]],
        dtype: dtypes.DType = dtypes.f32,
        order: Callable[[Any, Any], tuple[Any, ...]] = lambda m, n: (m, n),
        layout: Layout | None = None,
    ) -> None:
        m, nb, lane = index.fresh_var(M, "m"), index.fresh_var((N + 15) // 16, "nb"), index.fresh_var(16, "l")
        row, col = index.var(m), index.var(nb) * 16 + index.var(lane)
        self.acc = source("acc", (M, N), dtypes.f32)
        self.data = {self.acc: _rng.standard_normal((M, N)).astype(np.float32)}
        self.tensors: dict[Def, Tensor] = {}
        for d, lay in inputs:
            self.tensors[d] = Tensor(Buffer(d.name, d.dtype, lay.size, "workspace"), lay)
            self.data[d] = (_rng.standard_normal([int(n) for n in d.shape]) * 3).astype(d.dtype.numpy)
        axes = order(*[index.fresh_var(1), index.fresh_var(2)])
        shape = (M, N) if axes[0].ext == 1 else (N, M)
        out = compute(shape, lambda *i: f(self.acc, *order(*i)), dtype)
        (self.want,) = interpret.evaluate([out], self.data).values()
        lay = layout or row_major(out.shape)
        out.name = "out"
        self.tensors[out] = Tensor(Buffer("out", dtype, lay.size, "workspace"), lay)
        self.out = out
        stmt = Stmt(out, tuple(map(index.ix, order(row, col))), f(self.acc, row, col))
        self.epilogue = Epilogue((m, nb, lane), self.acc, (stmt,), self.tensors)

    def positions(self, d: Def) -> Array:
        grid = np.indices(d.shape)
        axes = [index.fresh_var(int(n)) for n in d.shape]
        at = self.tensors[d].offset([index.var(a) for a in axes])
        return np.broadcast_to(at.evaluate(dict(zip(axes, grid, strict=True))), d.shape)


def _vector(name: str, dtype: dtypes.DType = dtypes.f32) -> Def:
    return source(name, (N,), dtype)


def _cases() -> dict[str, Given]:
    b, skip, t = _vector("b"), source("skip", (M, N), dtypes.f32), source("t", (N, M), dtypes.f32)
    blocked = packed((M, N), block_axis=1)
    idx, table, s = source("idx", (N,), dtypes.i32), source("table", (4,), dtypes.f32), source("s", (), dtypes.f32)
    row = row_major

    def silu(x: E) -> E:
        return x * fn("sigmoid", x)

    return {
        "bias_relu": Given(lambda a, m, n: fn("max", a[m, n] + b[n,], const(0.0, "f32")), [(b, row((N,)))]),
        "silu_skip_blocked": Given(
            lambda a, m, n: silu(a[m, n] + b[n,]) + skip[m, n],
            [(b, packed((N,), block_axis=0)), (skip, blocked)],
            layout=blocked,
        ),
        "transposed": Given(
            lambda a, m, n: fn("max", a[m, n] * s[()], const(-0.5, "f32")), [(s, row(()))], order=lambda m, n: (n, m)
        ),
        "strided_load": Given(lambda a, m, n: fn("tanh", a[m, n]) * t[n, m] - ix_value_f32(m), [(t, row((N, M)))]),
        "chosen": Given(
            lambda a, m, n: select(
                fn("and", a[m, n] < b[n,], fn("not", fn("isnan", a[m, n]))), fn("exp", a[m, n]), b[n,] / 3.0
            ),
            [(b, row((N,)))],
        ),
        "guarded": Given(
            lambda a, m, n: guard(expr.ge0(index.ix(m) - 2), a[m, n] + skip[index.ix(m) - 2, n], const(7.0, "f32")),
            [(skip, row((M, N)))],
        ),
        "quantised": Given(
            lambda a, m, n: cast(
                fn("max", fn("min", fn("rint", a[m, n] * 20.0), const(127.0, "f32")), const(-128.0, "f32")), "i8"
            ),
            [],
            dtypes.i8,
        ),
        "half": Given(lambda a, m, n: a[m, n] + b[n,], [(b, row((N,)))], dtypes.f16),
        "indirect": Given(
            lambda a, m, n: a[m, n] + table[index.indirect(idx[n,], 4),], [(idx, row((N,))), (table, row((4,)))]
        ),
    }


def ix_value_f32(m: Any) -> E:
    return cast(ix_value(index.ix(m), "i32"), "f32")


CASES = _cases()
PRINTED: dict[str, PrintedFunctor] = {
    n: print_epilogue(g.epilogue, targets.load("cpu").dialect) for n, g in CASES.items()
}


def _program() -> str:
    out = Text()
    for line in dict.fromkeys(i for p in PRINTED.values() for i in (*p.includes, "cpu/simd.h")):
        out.raw(f'#include "{line}"')
    space = out.block("namespace AOT_NS").block("namespace")
    for n, p in PRINTED.items():
        space.add(p.text(f"epi_{n}"))
    out.line("using namespace AOT_NS;")
    for n, p in PRINTED.items():
        body = out.block(f'extern "C" void run_{n}(const float* acc, void** b)')
        given = ", ".join(f"static_cast<{c}*>(b[{k}])" for k, (_, c, _) in enumerate(p.params))
        body.line(f"const epi_{n} epi{{{given}}};")
        loop = body.block(f"for (int m = 0; m < {M}; ++m)")
        wide = N if not p.text("x").render().count("kPadded = true") else 48
        whole = loop.block(f"for (int c = 0; c + kLanes <= {wide}; c += kLanes)")
        whole.line("epi(load<vf>(acc + m * 48 + c), m, c / 16, c % 16);")
        tail = loop.block(f"for (int c = {wide} / kLanes * kLanes; c < {wide}; ++c)")
        tail.line("epi(acc[m * 48 + c], m, c / 16, c % 16);")
    return out.render()


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder: Path = tmp_path_factory.mktemp("epilogues")
    (folder / "epi.cpp").write_text(_program(), encoding="ascii")
    done = subprocess.run(
        ["g++", *FLAGS, *WARNINGS, f"-I{KERNELS}", str(folder / "epi.cpp"), "-o", str(folder / "epi.so")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[:6000]
    return ctypes.CDLL(str(folder / "epi.so"))


@pytest.mark.parametrize("name", CASES)
def test_stores_what_the_interpreter_says(library: ctypes.CDLL, name: str) -> None:
    given, printed = CASES[name], PRINTED[name]
    acc = np.zeros((M, 48), np.float32)
    acc[:, :N] = given.data[given.acc]
    memory = {t.buffer: np.full(int(t.buffer.size) + 16, 77, t.dtype.numpy) for t in given.tensors.values()}
    for d, a in given.data.items():
        if d in given.tensors:
            memory[given.tensors[d].buffer][given.positions(d)] = a
    pointers = (ctypes.c_void_p * len(printed.params))(*(memory[t.buffer].ctypes.data for t, _, _ in printed.params))
    getattr(library, f"run_{name}")(ctypes.c_void_p(acc.ctypes.data), pointers)
    stored = memory[given.tensors[given.out].buffer]
    np.testing.assert_allclose(
        stored[given.positions(given.out)].astype(np.float64),
        given.want.astype(np.float64),
        rtol=0,
        atol=3e-6 if given.want.dtype == np.float32 else 2e-3,
    )
    assert (stored[int(given.tensors[given.out].buffer.size) :] == 77).all()


def test_which_form_is_printed() -> None:
    per_lane = {n for n, p in PRINTED.items() if not p.lanewise}
    assert per_lane == {"quantised", "half", "indirect"}
    assert is_padded(CASES["silu_skip_blocked"].epilogue)
    assert not is_padded(CASES["bias_relu"].epilogue)


def test_equal_chains_share_their_text() -> None:
    again = _cases()
    assert print_epilogue(again["bias_relu"].epilogue, targets.load("cpu").dialect).key == PRINTED["bias_relu"].key
    assert PRINTED["chosen"].key != PRINTED["bias_relu"].key


def test_a_transpose_is_only_a_store_stride() -> None:
    assert "store_strided(y + " in PRINTED["transposed"].text("epi").render()
