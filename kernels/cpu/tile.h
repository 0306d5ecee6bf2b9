// SPDX-License-Identifier: 0BSD
//
// The register tile: the one multiply-add loop under GEMM, convolution, Winograd's product and
// attention.
//
// Maths       acc[m][n] += sum over k of A[m][k] * B[k][n], for MR rows and NV panels of 16
//             columns. Called again with other A and B (the taps of a convolution, the channel
//             blocks of a layout) it goes on adding into the same registers: a batch-reduce
//             product, never an im2col.
// Order       Within one call k runs upwards in each accumulator. A tile of fewer than four
//             accumulators, whose additions would wait for each other, runs kChains of them: chain
//             c sums k = c mod kChains, the k left over go to chain 0, and finish() adds the chains
//             in order. The order depends on MR, NV and K only.
// Layout      B: panel p at b + p * bP, its row k at + k * bK, 16 consecutive columns. A: row m at
//             a + rows(m), element k at + k * aK.
// Alignment   None needed; 64-byte rows of B run fastest.
// Registers   MR * NV * kPanel accumulators + NV * kPanel + 1 <= kRegisters. One more (7 x 4 with
//             AVX-512) is measured to be harmless, because k is not unrolled: unrolled, GCC hoists
//             the next loads and spills.
// Aliasing    A and B are only read; neither may be written by another thread meanwhile.
// Error       |error| <= K * 2^-24 * sum |A| |B| to first order, as for any recursive sum.
#pragma once

#include "extent.h"

namespace AOT_NS {
namespace {

/// Vectors in a panel of 16 columns.
constexpr int kPanel = kBlock / kLanes;

/// Arithmetic policy of a tile: f32 in, f32 sums. Other policies read kStep elements of A and B per
/// step of k.
struct DotF32 {
  typedef float A;
  typedef float B;
  typedef vf Acc;
  static constexpr int kStep = 1;

  static AOT_INLINE vf load_b(const float* b) { return load<vf>(b); }
  static AOT_INLINE vf load_b_first(const float* b, int n) { return load_first<vf>(b, n); }
  static AOT_INLINE vf splat_a(const float* a) { return splat<vf>(*a); }
  static AOT_INLINE vf mac(vf a, vf b, vf acc) { return madd(a, b, acc); }
};

/// Rows of A at equal distances: a matrix row, an output pixel.
struct EqualRows {
  ptrdiff_t stride;
  AOT_INLINE ptrdiff_t operator()(int m) const { return m * stride; }
};

/// Where a tile finds B. `valid` counts the columns that may be read in a tile with kTail; others
/// read all 16 * NV.
template <class T>
struct Panels {
  const T* b;
  ptrdiff_t bP, bK;
  ptrdiff_t valid;
};

/// How many of n columns lie in the vector that starts at column c: 0 .. kLanes.
AOT_INLINE int lanes_within(ptrdiff_t n, ptrdiff_t c) {
  const ptrdiff_t left = n - c;
  return static_cast<int>(left < 0 ? 0 : left < kLanes ? left : kLanes);
}

template <class Dot, int MR, int NV>
struct Tile {
  static constexpr int kVectors = NV * kPanel;
  static constexpr int kChains = MR * kVectors >= 4 ? 1 : MR * kVectors >= 2 ? 2 : 4;

  typename Dot::Acc acc[size_t(kChains)][size_t(MR)][size_t(kVectors)];

  AOT_INLINE void clear() {
#pragma GCC unroll 4
    for (int c = 0; c < kChains; ++c) {
#pragma GCC unroll 64
      for (int m = 0; m < MR; ++m) {
#pragma GCC unroll 64
        for (int n = 0; n < kVectors; ++n) acc[c][m][n] = typename Dot::Acc{};
      }
    }
  }

  /// One step of k into chain c.
  template <bool kTail, class Rows>
  AOT_INLINE void step(int c, const typename Dot::A* a, const Rows& rows,
                       const Panels<typename Dot::B>& p, const typename Dot::B* b) {
    typename Dot::Acc bv[size_t(kVectors)];
#pragma GCC unroll 64
    for (int n = 0; n < kVectors; ++n) {
      const int panel = n / kPanel, column = n % kPanel * kLanes;
      const typename Dot::B* at = b + panel * p.bP + column;
      if constexpr (kTail) {
        const int left = lanes_within(p.valid, n * kLanes);
        bv[n] = left == 0 ? typename Dot::Acc{} : Dot::load_b_first(at, left);
      } else {
        bv[n] = Dot::load_b(at);
      }
    }
#pragma GCC unroll 64
    for (int m = 0; m < MR; ++m) {
      const auto av = Dot::splat_a(a + rows(m));
#pragma GCC unroll 64
      for (int n = 0; n < kVectors; ++n) acc[c][m][n] = Dot::mac(av, bv[n], acc[c][m][n]);
    }
  }

  /// acc += A * B over K steps.
  template <bool kTail, class Rows>
  AOT_INLINE void add(const typename Dot::A* a, const Rows& rows, ptrdiff_t aK,
                      const Panels<typename Dot::B>& p, ptrdiff_t K) {
    const typename Dot::B* b = p.b;
    ptrdiff_t k = 0;
    if constexpr (kChains > 1) {
#pragma GCC unroll 1
      for (; k + kChains <= K; k += kChains) {
#pragma GCC unroll 4
        for (int c = 0; c < kChains; ++c) {
          step<kTail>(c, a + c * aK, rows, p, b + c * p.bK);
        }
        a += kChains * aK;
        b += kChains * p.bK;
      }
    }
#pragma GCC unroll 1
    for (; k < K; ++k) {
      step<kTail>(0, a, rows, p, b);
      a += aK;
      b += p.bK;
    }
  }

  /// Adds the chains up; the result is acc[0].
  AOT_INLINE void finish() {
#pragma GCC unroll 4
    for (int c = 1; c < kChains; ++c) {
#pragma GCC unroll 64
      for (int m = 0; m < MR; ++m) {
#pragma GCC unroll 64
        for (int n = 0; n < kVectors; ++n) acc[0][m][n] += acc[c][m][n];
      }
    }
  }

  /// Calls put(V, m, panel, l) for every vector of the tile: lanes l .. of a panel.
  template <class Put>
  AOT_INLINE void put_all(const Put& put) const {
#pragma GCC unroll 64
    for (int m = 0; m < MR; ++m) {
#pragma GCC unroll 64
      for (int n = 0; n < kVectors; ++n) put(acc[0][m][n], m, n / kPanel, n % kPanel * kLanes);
    }
  }

  /// As put_all, for the first `valid` columns only: whole vectors, then lane by lane with V =
  /// float. Rolled up through memory, because it runs once per row and its code would otherwise
  /// outweigh the tile's.
  template <class Put>
  AOT_INLINE void put_some(ptrdiff_t valid, const Put& put) const {
    typename Dot::Acc spilled[size_t(MR)][size_t(kVectors)];
    __builtin_memcpy(&spilled, &acc[0], sizeof spilled);
#pragma GCC unroll 1
    for (int m = 0; m < MR; ++m) {
#pragma GCC unroll 1
      for (int n = 0; n < kVectors; ++n) {
        const int left = lanes_within(valid, n * kLanes), panel = n / kPanel;
        const int l = n % kPanel * kLanes;
        if (left == kLanes) {
          put(spilled[m][n], m, panel, l);
        } else {
#pragma GCC unroll 1
          for (int i = 0; i < left; ++i) put(lane(spilled[m][n], i), m, panel, l + i);
        }
      }
    }
  }
};

}  // namespace
}  // namespace AOT_NS
