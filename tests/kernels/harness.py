# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Builds small C++ programs against `kernels/` for every instruction set of the host and calls them.

A test writes a translation unit of `extern "C"` functions, `load` compiles it once per instruction set
(cached by the hash of all bytes that can change the result) and hands back a `ctypes.CDLL`. `Guarded` memory
lies between two pages that may not be touched, so a read or write outside an array ends the process instead
of going unseen.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import mmap
import os
import platform
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

KERNELS = Path(__file__).resolve().parents[2] / "kernels"
RUNTIME = KERNELS.parent / "runtime"
THREADS = (1, 2, 3)
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Wshadow", "-Werror")
FLAGS = ("-std=c++17", "-O3", "-fno-math-errno", "-fno-trapping-math")

# Opens a test program: the kernels, and how its epilogues record a value (plus one) and count the writes.
PRELUDE = """
#include "conv.h"
#include "depthwise.h"
#include "gemm.h"
using namespace aot;
// Without vectors a panel is 16 accumulators already: few rows and one panel keep the build short.
constexpr int rows_of(int n) { return kLanes > 1 || n < 3 ? n : 3; }
constexpr int panels_of(int n) { return kLanes > 1 ? n : 1; }
template <class V> AOT_INLINE void record(float* out, int* hits, V v) {
  store(out, v + splat<V>(1.0f));
  for (int i = 0; i < lanes_of<V>; ++i) ++hits[i];
}
"""

POISON = float("nan")


@dataclass(frozen=True)
class Isa:
    """An instruction set the host can run: a name, its compiler flags, and the CPU flags it needs."""

    name: str
    flags: tuple[str, ...]
    needs: frozenset[str]


_ISAS = (
    Isa(
        "avx512",
        ("-mavx512f", "-mavx512bw", "-mavx512dq", "-mavx512vl", "-mfma", "-mprefer-vector-width=512"),
        frozenset({"avx512f", "avx512bw", "avx512dq", "avx512vl", "fma"}),
    ),
    Isa("avx2", ("-mavx2", "-mfma"), frozenset({"avx2", "fma"})),
    Isa("scalar", ("-DAOT_SCALAR",), frozenset()),
)


@functools.cache
def _cpu_flags() -> frozenset[str]:
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return frozenset()
    lines = [line.partition(":")[2] for line in text.splitlines() if line.startswith("flags")]
    return frozenset(lines[0].split()) if lines else frozenset()


def isas() -> list[Isa]:
    """The instruction sets this host runs; off x86 the baseline of the compiler and the scalar form."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return [Isa("baseline", (), frozenset()), _ISAS[-1]]
    return [isa for isa in _ISAS if isa.needs <= _cpu_flags()]


@functools.cache
def _compiler() -> tuple[str, str]:
    """The C++ compiler and its version line."""
    path = os.environ.get("CXX") or shutil.which("g++") or shutil.which("c++") or "c++"
    version = subprocess.run([path, "--version"], capture_output=True, text=True, check=True)
    return path, version.stdout.splitlines()[0]


@functools.cache
def _headers() -> bytes:
    digest = hashlib.sha256()
    for path in sorted([*KERNELS.rglob("*.h"), *RUNTIME.rglob("*.h")]):
        digest.update(path.relative_to(KERNELS.parent).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.digest()


def compile_to(source: str, isa: Isa, suffix: str, flags: tuple[str, ...]) -> Path:
    """Compiles `source` and returns the output file; a failed build raises with the compiler's words."""
    compiler, version = _compiler()
    command = [*FLAGS, *WARNINGS, *isa.flags, *flags]
    key = hashlib.sha256("\0".join([version, *command, source]).encode() + _headers()).hexdigest()[:32]
    folder = Path(tempfile.gettempdir()) / f"aotgen-test-kernels-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    target = folder / f"{key}{suffix}"
    if target.exists():
        return target
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        text, built = Path(scratch) / "unit.cpp", Path(scratch) / f"unit{suffix}"
        text.write_text(source)
        include = [f"-I{p}" for p in (KERNELS / "cpu", KERNELS / "common", KERNELS, RUNTIME)]
        done = subprocess.run(
            [compiler, *command, *include, str(text), "-o", str(built)],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise AssertionError(f"{isa.name}: the compiler failed\n{done.stderr}")
        os.replace(built, target)
    return target


def load(source: str, isa: Isa) -> ctypes.CDLL:
    """`source` as a loaded shared library."""
    return ctypes.CDLL(str(compile_to(source, isa, ".so", ("-shared", "-fPIC"))))


def assembly(source: str, isa: Isa) -> str:
    """What the compiler makes of `source`, as text."""
    return compile_to(source, isa, ".s", ("-S",)).read_text()


_PROT_NONE = 0
_libc = ctypes.CDLL(None, use_errno=True)


class Guarded:
    """A float32 or int32 array of `count` elements between two pages that may not be touched.

    With `side` "end" it ends where the upper page begins, with "start" it starts where the lower one ends.
    `array` is filled with `fill` at first; `pointer` is its address.
    """

    def __init__(
        self, count: int, side: str = "end", fill: float = POISON, dtype: type[np.generic] = np.float32
    ) -> None:
        page, size = mmap.PAGESIZE, count * 4
        body = -(-max(size, 1) // page) * page
        self._map = mmap.mmap(-1, body + 2 * page)
        base = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        for guard in (base, base + page + body):
            if _libc.mprotect(ctypes.c_void_p(guard), ctypes.c_size_t(page), _PROT_NONE) != 0:
                raise OSError(ctypes.get_errno(), "mprotect")
        offset = page if side == "start" else page + body - size
        self.array: NDArray[Any] = np.frombuffer(self._map, dtype=dtype, count=count, offset=offset)
        self.array[:] = fill
        self.pointer = ctypes.c_void_p(base + offset)


def guarded_copy(values: NDArray[np.float32], side: str = "end") -> Guarded:
    """`values`, flattened, as float32 in guarded memory."""
    guarded = Guarded(values.size, side)
    guarded.array[:] = values.reshape(-1)
    return guarded


def integers(rng: np.random.Generator, *shape: int) -> NDArray[np.float32]:
    """float32 whole numbers small enough that every sum of products in these tests is exact in any order."""
    return rng.integers(-4, 5, size=shape).astype(np.float32)


def ceil_div(a: int, b: int) -> int:
    """ceil(a / b)."""
    return -(-a // b)


def check_outputs(
    out: Guarded, hits: Guarded, expected: NDArray[np.float32], valid: NDArray[np.bool_], what: str
) -> None:
    """`out` equals `expected` + 1 where `valid`, each element written once, and is untouched elsewhere."""
    got, count = out.array.reshape(expected.shape), hits.array.reshape(expected.shape)
    np.testing.assert_array_equal(count, valid.astype(np.int32), err_msg=f"{what}: times written")
    np.testing.assert_array_equal(got[valid], expected[valid] + 1, err_msg=what)
    assert np.isnan(got[~valid]).all(), f"{what}: wrote outside"
