// SPDX-License-Identifier: 0BSD
//
// A team from the compiler's OpenMP runtime. Without -fopenmp it is a team of one.
//
// Contract    parallel(nt, f) calls f(tid, n, barrier) on n threads, tid = 0 .. n - 1, and returns
//             when all have; n <= nt is what OpenMP grants (1 inside another parallel region).
#pragma once

#include "barrier.h"

#if defined(_OPENMP)
#include <omp.h>
#endif

namespace AOT_NS {
namespace {

/// Threads used when the caller names no number: OMP_NUM_THREADS, else the processors.
inline int default_threads() {
#if defined(_OPENMP)
  return omp_get_max_threads();
#else
  return 1;
#endif
}

template <class F>
void parallel(int nt, F&& f) {
  Barrier barrier;
#if defined(_OPENMP)
  if (nt > 1) {
#pragma omp parallel num_threads(nt)
    f(omp_get_thread_num(), omp_get_num_threads(), barrier);
    return;
  }
#endif
  (void)nt;
  f(0, 1, barrier);
}

}  // namespace
}  // namespace AOT_NS
