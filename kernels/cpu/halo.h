// SPDX-License-Identifier: 0BSD
//
// Writing the constant border around stored data.
//
// Maths       p[offset of i] = value for every i in storage that lies outside the logical extent on
//             at least one axis; data inside is left alone.
// Layout      D names, for each of the four axes 0 .. 3 (outermost first, unused ones with extent 1
//             and no border): n, logical extent; b and a, elements before and after it; s, stride in
//             elements; and L, how many consecutive elements one index stands for (16 in a channel
//             block, else 1). p points at logical index 0.
// Alignment   None needed.
// Partition   Over the rows (axes 0 .. 2) of storage in nt equal runs; `parts`, where D
//             names it, divides them. No barrier inside.
// Error       Exact.
#pragma once

#include "extent.h"

namespace AOT_NS {
namespace {

/// Writes `count` runs of L elements, `stride` apart.
template <class T>
AOT_INLINE void fill_run(T* p, ptrdiff_t count, ptrdiff_t stride, ptrdiff_t L, T value) {
  if (stride == L) {
    for (ptrdiff_t i = 0; i < count * L; ++i) p[i] = value;
    return;
  }
  for (ptrdiff_t i = 0; i < count; ++i) {
    for (ptrdiff_t l = 0; l < L; ++l) p[i * stride + l] = value;
  }
}

template <class D, class T>
void fill_halo(const D& d, T* p, T value, int tid, int nt) {
  // A known zero would become a call of memset for every run of a few vectors, which costs more.
  __asm__("" : "+m"(value));
  const ptrdiff_t e0 = extent(d.b0) + extent(d.n0) + extent(d.a0);
  const ptrdiff_t e1 = extent(d.b1) + extent(d.n1) + extent(d.a1);
  const ptrdiff_t e2 = extent(d.b2) + extent(d.n2) + extent(d.a2);
  const ptrdiff_t b3 = extent(d.b3), n3 = extent(d.n3), a3 = extent(d.a3);
  const ptrdiff_t s3 = extent(d.s3), L = extent(d.L);
  const ptrdiff_t total = e0 * e1 * e2;
  const Range rows = share(total, tid, nt, quantum(d, total));
  for (ptrdiff_t row = rows.b; row < rows.e; ++row) {
    const ptrdiff_t i2 = row % e2 - extent(d.b2), i1 = row / e2 % e1 - extent(d.b1);
    const ptrdiff_t i0 = row / e2 / e1 - extent(d.b0);
    T* at = p + i0 * extent(d.s0) + i1 * extent(d.s1) + i2 * extent(d.s2) - b3 * s3;
    const bool inside = i0 >= 0 && i0 < extent(d.n0) && i1 >= 0 && i1 < extent(d.n1) && i2 >= 0 &&
                        i2 < extent(d.n2);
    if (inside) {
      fill_run(at, b3, s3, L, value);
      fill_run(at + (b3 + n3) * s3, a3, s3, L, value);
    } else {
      fill_run(at, b3 + n3 + a3, s3, L, value);
    }
  }
}

}  // namespace
}  // namespace AOT_NS
