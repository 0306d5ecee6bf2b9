# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""gemm.h against its reference loop and NumPy on every instruction set, and what its hot loop compiles to.

Operands are small whole numbers, so every sum is exact in float32 whatever its order: results are compared
for equality. Whatever a kernel may not read holds NaN or lies behind a guard page; every output counts how
often it was written.
"""

from __future__ import annotations

import ctypes
import itertools
import re

import numpy as np
import pytest
from harness import (
    POISON,
    PRELUDE,
    THREADS,
    Guarded,
    Isa,
    assembly,
    ceil_div,
    check_outputs,
    guarded_copy,
    integers,
    isas,
    load,
)

EDGES = (1, 7, 8, 9, 15, 16, 17, 31, 33, 127)
ISAS = isas()

GEMM = (
    PRELUDE
    + """
template <bool P> struct Run {
  ptrdiff_t B0, B1, M, N, K, aB0, aB1, aM, aK, bB0, bB1, bP, bK;
  static constexpr bool bPadded = P;
};
template <int M_, int N_, int K_, int PITCH> struct Fixed {
  static constexpr Int<1> B0{}, B1{};
  static constexpr Int<M_> M{};
  static constexpr Int<N_> N{};
  static constexpr Int<K_> K{};
  static constexpr Int<0> aB0{}, aB1{}, bB0{}, bB1{};
  static constexpr Int<PITCH> aM{};
  static constexpr Int<1> aK{};
  static constexpr Int<K_ * 16> bP{};
  static constexpr Int<16> bK{};
  static constexpr bool bPadded = true;
};
template <bool W> struct Out {
  static constexpr bool kPadded = W;
  float* out; int* hits; ptrdiff_t batch, row;
  template <class V> AOT_INLINE void operator()(V v, int b, int m, int nb, int l) const {
    const ptrdiff_t i = b * batch + m * row + nb * 16 + l;
    record(out + i, hits + i, v);
  }
};
template <class D, int MR, int NV, class E>
void call(const D& d, const float* a, const float* b, const E& e, int nt) {
  if (nt == 0) return gemm_ref(d, a, b, e);
  for (int t = 0; t < nt; ++t) gemm<D, rows_of(MR), panels_of(NV)>(d, a, b, e, t, nt);
}
extern "C" {
#define DYNAMIC(NAME, MR, NV, P, W)                                                       \\
  void NAME(const ptrdiff_t* p, const float* a, const float* b, float* o, int* h, int nt) { \\
    const Run<P> d{p[0], p[1], p[2], p[3], p[4], p[5], p[6],                              \\
                   p[7], p[8], p[9], p[10], p[11], p[12]};                                \\
    call<Run<P>, MR, NV>(d, a, b, Out<W>{o, h, p[13], p[14]}, nt);                        \\
  }
DYNAMIC(dynamic_8x3, 8, 3, true, false)
DYNAMIC(dynamic_1x8, 1, 8, true, true)
DYNAMIC(in_place_4x2, 4, 2, false, false)
DYNAMIC(in_place_2x1, 2, 1, false, true)
#define FIXED(M, N, K, MR, NV, W)                                                         \\
  void fixed_##M##_##N##_##K(const ptrdiff_t* p, const float* a, const float* b, float* o, \\
                             int* h, int nt) {                                            \\
    typedef Fixed<M, N, K, K + 3> D;                                                      \\
    call<D, MR, NV>(D{}, a, b, Out<W>{o, h, p[13], p[14]}, nt);                           \\
  }
@FIXED@
}
"""
)

# M, N, K, MR, NV, whole vectors only
FIXED_GEMMS = (
    (1, 1, 1, 8, 3, "false"),
    (1, 127, 33, 1, 8, "false"),
    (7, 16, 9, 8, 3, "true"),
    (8, 33, 17, 8, 3, "false"),
    (9, 31, 15, 7, 4, "false"),
    (16, 127, 8, 6, 4, "true"),
    (17, 48, 31, 14, 2, "false"),
    (33, 7, 127, 8, 3, "false"),
    (127, 80, 7, 8, 3, "false"),
    (15, 17, 0, 8, 3, "false"),
)


def gemm_library(isa: Isa) -> ctypes.CDLL:
    fixed = "\n".join(f"FIXED({', '.join(map(str, shape))})" for shape in FIXED_GEMMS)
    return load(GEMM.replace("@FIXED@", fixed), isa)


def pack_columns(b: np.ndarray) -> np.ndarray:
    """[..., K, N] as [..., ceil(N/16), K, 16], NaN in the columns from N on."""
    *batch, k, n = b.shape
    panels = ceil_div(n, 16)
    padded = np.full((*batch, k, panels * 16), POISON, np.float32)
    padded[..., :n] = b
    return np.moveaxis(padded.reshape(*batch, k, panels, 16), -2, -3)


def run_gemm(
    library: ctypes.CDLL,
    name: str,
    a: np.ndarray,
    b: np.ndarray,
    *,
    packed: bool,
    whole: bool,
    side: str = "end",
) -> None:
    """Checks kernel `name`: a [B0,B1,M,K] and b [B0,B1,K,N] or [1,1,K,N] (shared) on 1, 2 and 3 threads."""
    b0, b1, m, k = a.shape
    n = b.shape[-1]
    pitch, columns = k + 3, ceil_div(n, 16) * 16
    held = np.full((b0, b1, m, pitch), POISON, np.float32)
    held[..., :k] = a
    flat = held.reshape(-1)[: held.size - 3]  # the guard page follows the last element of A
    packed_b = pack_columns(b) if packed else b
    one = packed_b[0, 0].size
    shared = b.shape[0] == 1
    b_strides = (0, 0) if shared else (b1 * one, one)
    params = (b0, b1, m, n, k, b1 * m * pitch, m * pitch, pitch, 1, *b_strides)
    params += (k * 16, 16) if packed else (16, n)
    row = columns if whole else n + 5
    params += (m * row, row)
    expected = np.full((b0, b1, m, row), 0, np.float32)
    expected[..., :n] = (a.astype(np.float64) @ b).astype(np.float32)
    ga, gb = guarded_copy(flat, side), guarded_copy(packed_b, side)
    for nt in (0, *THREADS):
        out, hits = Guarded(expected.size, side), Guarded(expected.size, side, 0, np.int32)
        arguments = (ctypes.c_ssize_t * len(params))(*params)
        library[name](arguments, ga.pointer, gb.pointer, out.pointer, hits.pointer, nt)
        what = f"{name} {a.shape} {b.shape} nt={nt}"
        if whole and nt:  # lanes from N on are written too, with anything
            assert (hits.array == 1).all(), what
            np.testing.assert_array_equal(
                out.array.reshape(expected.shape)[..., :n], expected[..., :n] + 1, err_msg=what
            )
        else:
            check_outputs(out, hits, expected, np.broadcast_to(np.arange(row) < n, expected.shape), what)


@pytest.mark.parametrize("isa", ISAS, ids=lambda isa: isa.name)
def test_gemm_of_run_time_extents(isa: Isa) -> None:
    rng, library = np.random.default_rng(1), gemm_library(isa)
    for i, (m, n) in enumerate(itertools.product(EDGES, EDGES)):
        k = EDGES[(i * 7 + i // 10) % 10] if i else 0
        a, b = integers(rng, 1, 1, m, k), integers(rng, 1, 1, k, n)
        side = "start" if i % 3 == 0 else "end"
        run_gemm(library, "dynamic_8x3", a, b, packed=True, whole=False, side=side)
        if i % 2 == 0:
            run_gemm(library, "in_place_4x2", a, b, packed=False, whole=False, side=side)
        if i % 3 == 0:
            run_gemm(library, "dynamic_1x8", a, b, packed=True, whole=True, side=side)
            run_gemm(library, "in_place_2x1", a, b, packed=False, whole=True, side=side)


@pytest.mark.parametrize("isa", ISAS, ids=lambda isa: isa.name)
def test_gemm_of_fixed_extents(isa: Isa) -> None:
    rng, library = np.random.default_rng(2), gemm_library(isa)
    for m, n, k, _, _, whole in FIXED_GEMMS:
        a, b = integers(rng, 1, 1, m, k), integers(rng, 1, 1, k, n)
        run_gemm(library, f"fixed_{m}_{n}_{k}", a, b, packed=True, whole=whole == "true")


@pytest.mark.parametrize("isa", ISAS, ids=lambda isa: isa.name)
@pytest.mark.parametrize("shared", [True, False])
def test_gemm_batches(isa: Isa, shared: bool) -> None:
    rng, library = np.random.default_rng(3), gemm_library(isa)
    for m, n, k in ((9, 17, 15), (1, 33, 8), (17, 16, 31)):
        a = integers(rng, 2, 3, m, k)
        b = integers(rng, *((1, 1) if shared else (2, 3)), k, n)
        run_gemm(library, "dynamic_8x3", a, b, packed=True, whole=False)
        run_gemm(library, "in_place_4x2", a, b, packed=False, whole=False)


@pytest.mark.parametrize("isa", ISAS, ids=lambda isa: isa.name)
def test_gemm_is_bit_identical_for_any_number_of_threads(isa: Isa) -> None:
    rng, library = np.random.default_rng(4), gemm_library(isa)
    for m, n, k in ((31, 127, 33), (1, 15, 127)):
        a, b = (rng.standard_normal(shape).astype(np.float32) for shape in ((m, k), (k, n)))
        ga, gb, results = guarded_copy(a), guarded_copy(pack_columns(b)), set()
        for nt in (1, 2, 3, 5):
            out, hits = Guarded(m * n), Guarded(m * n, fill=0, dtype=np.int32)
            params = (1, 1, m, n, k, 0, 0, k, 1, 0, 0, k * 16, 16, 0, n)
            arguments = (ctypes.c_ssize_t * len(params))(*params)
            library.dynamic_8x3(arguments, ga.pointer, gb.pointer, out.pointer, hits.pointer, nt)
            np.testing.assert_allclose(out.array.reshape(m, n), a.astype(np.float64) @ b + 1, atol=1e-4)
            results.add(out.array.tobytes())
        assert len(results) == 1


HOT = (
    PRELUDE
    + """
struct D {
  static constexpr Int<1> B0{}, B1{};
  static constexpr Int<@ROWS@> M{};
  static constexpr Int<768> N{}, K{}, aM{};
  static constexpr Int<0> aB0{}, aB1{}, bB0{}, bB1{};
  static constexpr Int<1> aK{};
  static constexpr Int<768 * 16> bP{};
  static constexpr Int<16> bK{};
  static constexpr bool bPadded = true;
};
struct Out {
  static constexpr bool kPadded = false;
  float* out;
  template <class V> AOT_INLINE void operator()(V v, int, int m, int nb, int l) const {
    store(out + m * 768 + nb * 16 + l, at_least(v, splat<V>(0.0f)));
  }
};
extern "C" void hot(const float* a, const float* b, float* out) {
  gemm<D, @TILE@>(D{}, a, b, Out{out}, 0, 1);
}
"""
)


@pytest.mark.parametrize(
    ("isa", "mr", "nv"),
    [
        (isa, *tile)
        for isa in ISAS
        for tile in {"avx512": [(8, 3), (6, 4), (14, 2)], "avx2": [(6, 1)]}.get(isa.name, [])
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_hot_loop_holds_its_tile_in_registers(isa: Isa, mr: int, nv: int) -> None:
    lines = assembly(HOT.replace("@TILE@", f"{mr}, {nv}").replace("@ROWS@", str(6 * mr)), isa).splitlines()
    loops = []
    for end, line in enumerate(lines):
        jump = re.match(r"\s+j\w+\s+(\.L\d+)", line)
        if jump and f"{jump[1]}:" in lines[:end]:
            loops.append(lines[lines.index(f"{jump[1]}:") : end])
    vectors = mr * nv * (1 if isa.name == "avx512" else 2)
    hot = [loop for loop in loops if sum("vfmadd" in line for line in loop) == vectors]
    assert hot, f"no loop of {vectors} multiply-adds"
    body = "\n".join(min(hot, key=len))
    assert not re.search(r"[yz]mm\d+, -?\d*\(%r[sb]p\)|\(%r[sb]p\), %[yz]mm", body), (
        "an accumulator lives in memory"
    )
    assert "vaddss" not in body and not re.search(r"vbroadcastss\s+%xmm", body), (
        "A is not broadcast from memory"
    )
