// SPDX-License-Identifier: 0BSD
//
// warp.h: folds over the 32 lanes of a warp.
//
// Maths      warp_sum ... return the fold of v over all lanes, the same bits in every lane: a butterfly, so the order of
//            additions depends on the lane count only. warp_max and warp_min keep NaN.
// Contract   All 32 lanes call it together. T is any type of 4 or 8 bytes that the GPU shuffles.
#pragma once

#include "../common/scalar.h"
#include "../common/vmath.h"

#ifdef __CUDACC__
#define AOT_DEVICE [[maybe_unused]] __device__ AOT_INLINE
#else
#define AOT_DEVICE [[maybe_unused]] AOT_INLINE
#endif

namespace AOT_NS {
namespace {

template <class T, class F>
AOT_DEVICE T warp_fold(T v, F f) {
#pragma unroll
  for (int mask = 16; mask > 0; mask /= 2) v = f(v, __shfl_xor_sync(0xffffffffu, v, mask));
  return v;
}

template <class T>
AOT_DEVICE T warp_sum(T v) {
  return warp_fold(v, [](T a, T b) { return a + b; });
}
template <class T>
AOT_DEVICE T warp_prod(T v) {
  return warp_fold(v, [](T a, T b) { return a * b; });
}
template <class T>
AOT_DEVICE T warp_max(T v) {
  return warp_fold(v, [](T a, T b) { return vmax(a, b); });
}
template <class T>
AOT_DEVICE T warp_min(T v) {
  return warp_fold(v, [](T a, T b) { return vmin(a, b); });
}
template <class T>
AOT_DEVICE T warp_and(T v) {
  return warp_fold(v, [](T a, T b) { return a & b; });
}
template <class T>
AOT_DEVICE T warp_or(T v) {
  return warp_fold(v, [](T a, T b) { return a | b; });
}

}  // namespace
}  // namespace AOT_NS
