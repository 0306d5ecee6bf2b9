# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""C entry points over library.h; each thread's part runs in turn."""

from __future__ import annotations

LIBRARY_PROBE = r"""
struct HalfKey { float operator()(uint16_t h) const { return h2f(h); } };
#define TOPK(NAME, T, KEY)                                                                            \
  extern "C" size_t topk_bytes_##NAME(long k, int nt) { return topk_scratch_bytes<T, KEY>(k, nt); }   \
  extern "C" void topk_##NAME(const T* x, T* v, int64_t* i, long outer, long n, long inner, long k,   \
                              int largest, int nt, void* scratch) {                                   \
    for (int tid = 0; tid < nt; ++tid)                                                                \
      topk<T, KEY>(x, v, i, outer, n, inner, k, largest != 0, tid, nt, scratch);                      \
  }
TOPK(float32, float, PlainKey) TOPK(float64, double, PlainKey) TOPK(int64, int64_t, PlainKey)
TOPK(uint8, uint8_t, PlainKey) TOPK(float16, uint16_t, HalfKey)
extern "C" int64_t nonzero(const float* x, long n, const int64_t* dims, int rank,
                           int64_t* counts, int64_t* y, int nt) {
  int64_t total = 0;
  for (int tid = 0; tid < nt; ++tid) total += counts[tid] = nonzero_count(x, n, tid, nt);
  for (int tid = 0; tid < nt; ++tid) nonzero_write(x, n, dims, rank, counts, y, tid, nt);
  return total;
}
extern "C" int64_t compress_f(const float* x, const uint8_t* c, long m, float* y, long outer,
                              long n, long inner, int nt) {
  for (int tid = 0; tid < nt; ++tid) compress(x, c, m, y, outer, n, inner, tid, nt);
  return compress_count(c, m, n);
}
extern "C" size_t nms_bytes(const NmsProblem* p, int nt) { return nms_scratch_bytes(*p, nt); }
extern "C" int64_t nms(const NmsProblem* p, int64_t* y, int nt, void* scratch) {
  for (int tid = 0; tid < nt; ++tid) nms_select(*p, tid, nt, scratch);
  for (int tid = 0; tid < nt; ++tid) nms_write(*p, y, tid, nt, scratch);
  return nms_count(*p, scratch);
}
"""
