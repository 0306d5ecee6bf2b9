// SPDX-License-Identifier: 0BSD
//
// linear.h: linear algebra on small dense matrices.
//
// Shapes      [batch, n, n], row-major and dense.
// Threads     every function takes (tid, nt) and is called by one thread.
// Memory      no allocation; `scratch` holds one matrix.
// Aliasing    inputs, outputs and scratch do not overlap.
#pragma once

#include "traits.h"

namespace AOT_NS {
namespace {

// Maths       Gaussian elimination with partial pivoting: the product of the pivots, negated for
//             every exchange of rows. Of an empty matrix: 1.
// Error       backward stable: n rounding errors, times the growth of the pivots.
AOT_FN double eliminated(double* a, ptrdiff_t n) {
  double product = 1.0;
  for (ptrdiff_t k = 0; k < n; ++k) {
    ptrdiff_t best = k;
    for (ptrdiff_t i = k + 1; i < n; ++i) {
      if (__builtin_fabs(a[i * n + k]) > __builtin_fabs(a[best * n + k])) best = i;
    }
    if (best != k) {
      product = -product;
      for (ptrdiff_t j = k; j < n; ++j) {
        const double moved = a[k * n + j];
        a[k * n + j] = a[best * n + j];
        a[best * n + j] = moved;
      }
    }
    const double pivot = a[k * n + k];
    product *= pivot;
    if (pivot == 0.0) return product;
    for (ptrdiff_t i = k + 1; i < n; ++i) {
      const double factor = a[i * n + k] / pivot;
      for (ptrdiff_t j = k; j < n; ++j) a[i * n + j] -= factor * a[k * n + j];
    }
  }
  return product;
}

[[maybe_unused]] inline void determinant(const double* x, double* y, ptrdiff_t batch, ptrdiff_t n,
                                         int, int, double* scratch) {
  for (ptrdiff_t b = 0; b < batch; ++b) {
    for (ptrdiff_t i = 0; i < n * n; ++i) scratch[i] = x[b * n * n + i];
    y[b] = eliminated(scratch, n);
  }
}

}  // namespace
}  // namespace AOT_NS
