// SPDX-License-Identifier: 0BSD
//
// f32 matrix product, batched over two dimensions, with an epilogue in registers. M = 1 is the
// matrix-vector product.
//
// Maths       out[b][m][n] = epi(sum over k of A[b][m][k] * B[b][k][n]), b = b0 * B1 + b1; the sum
//             is 0 for K = 0.
// Descriptor  D names, each an Int<> or a run-time integer: B0 B1 M N K, the extents; aB0 aB1 aM
//             aK, the strides of A; bB0 bB1, the batch strides of B (0: shared); bP, from one panel
//             of 16 columns to the next; bK, from one row of a panel to the next; and `static
//             constexpr bool bPadded`.
// Layout      B packed [ceil(N/16)][K][16]: bP = K * 16, bK = 16, bPadded = true, columns from N on
//             may hold anything. B read in place from [K][N]: bP = 16, bK = the row pitch, bPadded
//             = false: nothing beyond column N is read.
// Alignment   None needed; 64-byte panel rows run fastest.
// Epilogue    epi(V x, int b, int m, int nb, int l): V is vf or float, its first lane column n = 16
//             * nb + l, the others n + 1 and on. Every column below N is passed exactly once and
//             none beyond, unless Epi::kPadded is true: then whole vectors only, to the end of the
//             last panel.
// Aliasing    The epilogue may write anything but A and B.
// Partition   Tiles over (b, group of NV panels, MR rows), the last fastest, in nt equal runs;
//             `parts`, where D names it, divides B0 * B1. The cut and the order of every sum depend
//             on the shape only. No barrier inside.
// Tile        At most MR rows x NV panels; sizes differ by at most one (tile.h has the register
//             rule). Measured best with AVX-512: 8 x 3 or 6 x 4, and 1 x 4 for M = 1. A pitch aM
//             that is a multiple of 4 KiB costs nothing up to MR = 8.
// Error       As tile.h.
#pragma once

#include "tile.h"

namespace AOT_NS {
namespace {

/// The definition, one element at a time, all on one thread.
template <class D, class Epi>
void gemm_ref(const D& d, const float* a, const float* b, const Epi& epi) {
  for (ptrdiff_t b0 = 0; b0 < extent(d.B0); ++b0) {
    for (ptrdiff_t b1 = 0; b1 < extent(d.B1); ++b1) {
      const float* ab = a + b0 * extent(d.aB0) + b1 * extent(d.aB1);
      const float* bb = b + b0 * extent(d.bB0) + b1 * extent(d.bB1);
      for (ptrdiff_t m = 0; m < extent(d.M); ++m) {
        for (ptrdiff_t n = 0; n < extent(d.N); ++n) {
          const float* column = bb + n / kBlock * extent(d.bP) + n % kBlock;
          float sum = 0.0f;
          for (ptrdiff_t k = 0; k < extent(d.K); ++k) {
            sum += ab[m * extent(d.aM) + k * extent(d.aK)] * column[k * extent(d.bK)];
          }
          epi(sum, static_cast<int>(b0 * extent(d.B1) + b1), static_cast<int>(m),
              static_cast<int>(n / kBlock), static_cast<int>(n % kBlock));
        }
      }
    }
  }
}

/// The tile at batch `batch`, row m0, panel p0; a and b point at its first row and first panel.
template <class D, int MR, int NV, class Epi>
AOT_NOINLINE void gemm_tile(const D& d, const float* a, const float* b, const Epi& epi, int batch,
                            int m0, int p0) {
  constexpr bool kRagged = may_be_ragged<decltype(D::N)>;
  const EqualRows rows{extent(d.aM)};
  const ptrdiff_t valid = extent(d.N) - ptrdiff_t{p0} * kBlock;
  const Panels<float> panels{b, extent(d.bP), extent(d.bK), valid};
  const Epi own = epi;  // which no store can reach
  const auto put = [&](auto x, int m, int panel, int l)
                       __attribute__((always_inline)) { own(x, batch, m0 + m, p0 + panel, l); };
  Tile<DotF32, MR, NV> tile;
  tile.clear();
  if (kRagged && valid < NV * kBlock) {
    tile.template add<!D::bPadded>(a, rows, extent(d.aK), panels, extent(d.K));
    tile.finish();
    if constexpr (Epi::kPadded) {
      tile.put_all(put);
    } else {
      tile.put_some(valid, put);
    }
  } else {
    tile.template add<false>(a, rows, extent(d.aK), panels, extent(d.K));
    tile.finish();
    tile.put_all(put);
  }
}

/// Thread tid's part of the product; see the top of this file.
template <class D, int MR, int NV, class Epi>
void gemm(const D& d, const float* a, const float* b, const Epi& epi, int tid, int nt) {
  typedef typename BlocksOf<decltype(D::N)>::type Blocks;
  const Tiles rows = tiles(extent(d.M), MR);
  const Tiles groups = tiles(ceil_div(extent(d.N), kBlock), NV);
  const ptrdiff_t B1 = extent(d.B1);
  const ptrdiff_t total = extent(d.B0) * B1 * groups.count * rows.count;
  const Range mine = share(total, tid, nt, quantum(d, total));
  if (mine.b == mine.e) return;
  Counter<ptrdiff_t, 4> at(mine, {B1, groups.count, rows.count});
  for (ptrdiff_t i = mine.b; i < mine.e; ++i, at.next()) {
    const ptrdiff_t b0 = at[0], b1 = at[1], g = at[2], t = at[3];
    const ptrdiff_t batch = b0 * B1 + b1, m0 = rows.begin(t), p0 = groups.begin(g);
    const float* ai = a + b0 * extent(d.aB0) + b1 * extent(d.aB1) + m0 * extent(d.aM);
    const float* bi = b + b0 * extent(d.bB0) + b1 * extent(d.bB1) + p0 * extent(d.bP);
    with_length<decltype(D::M), MR>(rows.length(t), [&](auto mr) {
      with_length<Blocks, NV>(groups.length(g), [&](auto nv) {
        gemm_tile<D, static_cast<int>(mr), static_cast<int>(nv)>(
            d, ai, bi, epi, static_cast<int>(batch), static_cast<int>(m0), static_cast<int>(p0));
      });
    });
  }
}

}  // namespace
}  // namespace AOT_NS
