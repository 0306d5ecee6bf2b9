// SPDX-License-Identifier: 0BSD
//
// What this CPU and its operating system support, as a set of bits.
//
// Contract    cpu_features() asks the machine every time (about 100 ns on x86); callers keep the
//             answer. Names are those of Linux' /proc/cpuinfo. A bit is set only if the operating system also saves the registers involved.
// Source      Intel SDM volume 2, CPUID leaves 1, 7 and 7.1; XCR0 bits of volume 1, chapter 13.
// Why         __builtin_cpu_supports needs a symbol of libgcc that other toolchains do not have.
#pragma once

#include <stdint.h>

#ifndef AOT_NS
#define AOT_NS aot
#endif

namespace AOT_NS {
namespace {

enum : uint32_t {
  kCpuSse42 = 1u << 0,
  kCpuAvx = 1u << 1,
  kCpuAvx2 = 1u << 2,
  kCpuFma = 1u << 3,
  kCpuF16c = 1u << 4,
  kCpuBmi2 = 1u << 5,
  kCpuAvx512f = 1u << 6,
  kCpuAvx512bw = 1u << 7,
  kCpuAvx512dq = 1u << 8,
  kCpuAvx512vl = 1u << 9,
  kCpuAvx512cd = 1u << 10,
  kCpuAvx512vnni = 1u << 11,
  kCpuAvx512bf16 = 1u << 12,
  kCpuAvxvnni = 1u << 13,
  kCpuAsimd = 1u << 14,  // AArch64 Advanced SIMD (NEON)
  kCpuSsse3 = 1u << 15,
  kCpuPopcnt = 1u << 16,
  kCpuCx16 = 1u << 17,
  kCpuMovbe = 1u << 18,
  kCpuBmi1 = 1u << 19
};

#if defined(__x86_64__) || defined(__i386__)

struct CpuId {
  uint32_t a, b, c, d;
};

inline CpuId cpuid(uint32_t leaf, uint32_t part) {
  CpuId r;
  __asm__ __volatile__("cpuid" : "=a"(r.a), "=b"(r.b), "=c"(r.c), "=d"(r.d) : "a"(leaf), "c"(part));
  return r;
}

/// Which register files the operating system saves.
inline uint32_t xcr0() {
  uint32_t low, high;
  __asm__ __volatile__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return low;
}

inline uint32_t pick(uint32_t word, int bit, uint32_t feature) {
  return (word >> bit & 1u) != 0 ? feature : 0u;
}

inline uint32_t cpu_features() {
  const uint32_t leaves = cpuid(0, 0).a;
  const CpuId one = cpuid(1, 0), seven = leaves >= 7 ? cpuid(7, 0) : CpuId{0, 0, 0, 0};
  const CpuId more = seven.a >= 1 ? cpuid(7, 1) : CpuId{0, 0, 0, 0};
  const bool saves = (one.c >> 27 & 1u) != 0;  // OSXSAVE: xgetbv may be executed
  const uint32_t files = saves ? xcr0() : 0u;
  uint32_t out = pick(one.c, 20, kCpuSse42) | pick(one.c, 9, kCpuSsse3) |
                 pick(one.c, 23, kCpuPopcnt) | pick(one.c, 13, kCpuCx16) |
                 pick(one.c, 22, kCpuMovbe) | pick(seven.b, 3, kCpuBmi1) |
                 pick(seven.b, 8, kCpuBmi2);
  if ((files & 0x6u) == 0x6u) {
    out |= pick(one.c, 28, kCpuAvx) | pick(seven.b, 5, kCpuAvx2) | pick(one.c, 12, kCpuFma) |
           pick(one.c, 29, kCpuF16c) | pick(more.a, 4, kCpuAvxvnni);
  }
  if ((files & 0xe6u) == 0xe6u) {
    out |= pick(seven.b, 16, kCpuAvx512f) | pick(seven.b, 17, kCpuAvx512dq) |
           pick(seven.b, 28, kCpuAvx512cd) | pick(seven.b, 30, kCpuAvx512bw) |
           pick(seven.b, 31, kCpuAvx512vl) | pick(seven.c, 11, kCpuAvx512vnni) |
           pick(more.a, 5, kCpuAvx512bf16);
  }
  return out;
}

#elif defined(__aarch64__)

inline uint32_t cpu_features() { return kCpuAsimd; }

#else

inline uint32_t cpu_features() { return 0u; }

#endif

}  // namespace
}  // namespace AOT_NS
