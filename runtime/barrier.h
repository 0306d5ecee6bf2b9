// SPDX-License-Identifier: 0BSD
//
// A barrier for the threads of one inference.
//
// Contract    wait(nt) returns in no thread before all nt threads have called it; what any of them
//             wrote before is then visible to all. nt is the same in every call. With nt = 1 it is
//             free. The object must outlive the last return: let a join follow.
// Method      Arrivals are counted; the last one resets the count and advances the phase, for which
//             the others spin: some thousands of pauses, then they give their time slice away, so
//             that more threads than cores make progress. No system call while everyone is running.
// Memory      One cache line for the count and one for the phase, so that arrivals do not disturb
//             those who wait.
#pragma once

#include <stdint.h>

#if defined(__linux__) || defined(__unix__) || defined(__APPLE__)
#include <sched.h>
#endif

#ifndef AOT_NS
#define AOT_NS aot
#endif

namespace AOT_NS {
namespace {

/// Tells the core that this is a spin loop.
inline void relax() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__) || defined(__ARM_ARCH_7A__)
  __asm__ __volatile__("yield");
#endif
}

/// Lets another thread run, where there is a scheduler.
inline void give_way() {
#if defined(__linux__) || defined(__unix__) || defined(__APPLE__)
  sched_yield();
#else
  relax();
#endif
}

constexpr int kSpins = 4096;

struct Barrier {
  alignas(64) int32_t arrived = 0;
  alignas(64) int32_t phase = 0;

  void wait(int nt) {
    if (nt == 1) return;
    const int32_t now = __atomic_load_n(&phase, __ATOMIC_RELAXED);
    if (__atomic_add_fetch(&arrived, 1, __ATOMIC_ACQ_REL) == nt) {
      __atomic_store_n(&arrived, 0, __ATOMIC_RELAXED);
      __atomic_store_n(&phase, now ^ 1, __ATOMIC_RELEASE);
      return;
    }
    for (int spins = 0; __atomic_load_n(&phase, __ATOMIC_ACQUIRE) == now;) {
      if (++spins < kSpins) {
        relax();
      } else {
        give_way();
      }
    }
  }
};

}  // namespace
}  // namespace AOT_NS
