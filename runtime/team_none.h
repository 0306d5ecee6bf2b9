// SPDX-License-Identifier: 0BSD
//
// A team of one: the caller's thread does everything.
//
// Contract    parallel(nt, f) calls f(tid, n, barrier) on n threads, tid = 0 .. n - 1, and returns
//             when all have. Here n is 1 whatever nt asks for. No allocation, no system call.
#pragma once

#include "barrier.h"

namespace AOT_NS {
namespace {

/// Threads used when the caller names no number.
inline int default_threads() { return 1; }

template <class F>
void parallel(int /*nt*/, F&& f) {
  Barrier barrier;
  f(0, 1, barrier);
}

}  // namespace
}  // namespace AOT_NS
