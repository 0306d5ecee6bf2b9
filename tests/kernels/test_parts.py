# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""`parts` in a descriptor: which thread passes which output to the epilogue, for the kernels that may be cut so."""

from __future__ import annotations

import ctypes

import numpy as np
import pytest

from tests.kernels.harness import PRELUDE, isas, load

SOURCE = (
    PRELUDE
    + """
#include "conv.h"
#include "depthwise.h"
#include "gemm.h"
#include "halo.h"

// The epilogue writes who calls it: item is a batch item, an image, or a block of channels of an image.
struct Owner {
  static constexpr bool kPadded = true;
  int* owner; int tid; int inside;
  template <class V> AOT_INLINE void operator()(V, int b, int, int, int) const { owner[b] |= 1 << tid; }
  template <class V> AOT_INLINE void operator()(V, int n, int cb, int, int, int) const {
    owner[n * inside + (inside > 1 ? cb : 0)] |= 1 << tid;
  }
};
#define INT(NAME, VALUE) static constexpr Int<VALUE> NAME{}
struct Gemm {
  INT(B0, 2); INT(B1, 6); INT(M, 5); INT(N, 40); INT(K, 3); INT(aB0, 0); INT(aB1, 0); INT(aM, 3); INT(aK, 1);
  INT(bB0, 0); INT(bB1, 0); INT(bP, 48); INT(bK, 16);
  static constexpr bool bPadded = true;
  ptrdiff_t parts;
};
struct Conv {
  INT(N, 6); INT(G, 1); INT(IC, 1); INT(OC, 32); INT(OH, 5); INT(OW, 9); INT(KH, 1); INT(KW, 1); INT(SH, 1); INT(SW, 1);
  INT(DH, 1); INT(DW, 1); INT(IB, 1); INT(xN, 0); INT(xCB, 0); INT(xC, 0); INT(xH, 0); INT(xW, 0); INT(parts, 3);
};
struct Depthwise {
  INT(N, 3); INT(C, 32); INT(OH, 5); INT(OW, 9); INT(KH, 3); INT(KW, 3); INT(SH, 1); INT(SW, 1); INT(DH, 1); INT(DW, 1);
  INT(xN, 0); INT(xCB, 0); INT(xH, 0); INT(xW, 0); INT(parts, 6);
};
struct Halo {
  INT(n0, 1); INT(b0, 0); INT(a0, 0); INT(s0, 0); INT(n1, 4); INT(b1, 0); INT(a1, 0); INT(s1, 25);
  INT(n2, 3); INT(b2, 1); INT(a2, 1); INT(s2, 5); INT(n3, 3); INT(b3, 1); INT(a3, 1); INT(s3, 1); INT(L, 1); INT(parts, 2);
};
extern "C" {
void run_gemm(ptrdiff_t parts, const float* x, int* owner, int nt) {
  for (int t = 0; t < nt; ++t) gemm<Gemm, 2, 1>(Gemm{parts}, x, x, Owner{owner, t, 1}, t, nt);
}
void run_conv(ptrdiff_t, const float* x, int* owner, int nt) {
  for (int t = 0; t < nt; ++t) conv<Conv, 2, 1>(Conv{}, x, x, Owner{owner, t, 1}, t, nt);
}
void run_depthwise(ptrdiff_t, const float* x, int* owner, int nt) {
  for (int t = 0; t < nt; ++t) depthwise<Depthwise, 1, 2>(Depthwise{}, x, x, Owner{owner, t, 2}, t, nt);
}
void run_halo(ptrdiff_t, const float*, int* owner, int nt) {
  int stored[100];
  for (int t = 0; t < nt; ++t) {
    for (int& s : stored) s = 0;
    fill_halo(Halo{}, stored + 6, 1, t, nt);
    for (int i = 0; i < 100; ++i) owner[i / 25] |= stored[i] << t;
  }
}
}
"""
)


def shared(parts: int, tid: int, nt: int) -> range:
    return range(parts * tid // nt, parts * (tid + 1) // nt)


@pytest.mark.parametrize("isa", isas(), ids=lambda isa: isa.name)
@pytest.mark.parametrize(("kernel", "items", "parts"), [
    ("gemm", 12, 12), ("gemm", 12, 4), ("conv", 6, 3), ("depthwise", 6, 6), ("halo", 4, 2),
])  # fmt: skip
def test_threads_take_whole_parts(isa, kernel: str, items: int, parts: int) -> None:
    library = load(SOURCE, isa)
    x = np.zeros(4096, np.float32)
    for nt in (1, 2, 3, 5, 7):
        owner = np.zeros(items, np.int32)
        pointers = [ctypes.c_void_p(a.ctypes.data) for a in (x, owner)]
        getattr(library, f"run_{kernel}")(ctypes.c_ssize_t(parts), *pointers, ctypes.c_int(nt))
        want = np.zeros(items, np.int32)
        for tid in range(nt):
            for part in shared(parts, tid, nt):
                want[part * items // parts : (part + 1) * items // parts] = 1 << tid
        np.testing.assert_array_equal(owner, want)
