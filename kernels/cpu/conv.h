// SPDX-License-Identifier: 0BSD
//
// f32 direct convolution in two dimensions (in one: H = 1), grouped, strided, dilated, with an
// epilogue in registers.
//
// Maths       out[n][o][h][w] = epi(sum over kh, kw, i of x[n][g * IC + i][h * SH + kh * DH][w * SW
//             + kw * DW] * weight[o][i][kh][kw]), g = o / OC; a batch-reduce product over taps and
//             channel blocks, never an im2col.
// Descriptor  D names, each an Int<> or a run-time integer: N images; G groups; IC OC channels of a
//             group, OC a multiple of 16 if G > 1; OH OW KH KW SH SW DH DW; and strides of x: xN;
//             xCB between blocks of IB channels; xC between channels of a block; xH xW. IB is 16
//             for NCHW16c, the number of channels for NCHW and NHWC; it divides IC or is all of G *
//             IC, but with G = 1 the last block may be partial.
// Layout      x points at the halo'd origin: every tap of every output is readable, so there is no
//             border code. Lanes of a channel block beyond the last channel are never read. Weights
//             [ceil(G*OC/16)][KH][KW][IC][16]; columns from G * OC on may hold anything.
// Alignment   None needed; 64-byte weight rows run fastest.
// Epilogue    epi(V v, int n, int cb, int h, int w, int l): V is vf or float, its first lane
//             channel 16 * cb + l. Every channel below G * OC is passed exactly once and none
//             beyond, unless Epi::kPadded is true: then whole vectors only, to the end of the last
//             block.
// Aliasing    The epilogue may write anything but x and weights.
// Partition   Tiles of neighbouring w and panels over (n, block of rows, group of panels, h, w),
//             the last fastest, in nt equal runs; `parts`, where D names it, divides N. Weights that fit a cache are passed once per
//             block of rows, so that threads part the rows; larger ones once per image, so that
//             threads part the channels. The cut and the order of every sum depend on the shape
//             only. No barrier inside.
// Tile        At most MR pixels x NV panels. Measured best with AVX-512: 7 x 4; 14 x 2 or 10 x 2
//             for 32 channels, 28 x 1 or 16 x 1 for 16. An image of width 1 wants its H and W
//             exchanged by the caller.
// Error       As tile.h with K = KH * KW * IC.
#pragma once

#include "tile.h"

namespace AOT_NS {
namespace {

/// Bytes of weights up to which rows, not channels, are the outer loop; and the bytes of x in a
/// block of rows.
constexpr ptrdiff_t kSmallWeights = 512 * 1024;
constexpr ptrdiff_t kRowBlock = 256 * 1024;

/// Offset in x of the first channel of group g.
template <class D>
AOT_INLINE ptrdiff_t conv_group_offset(const D& d, ptrdiff_t g) {
  const ptrdiff_t c = g * extent(d.IC), IB = extent(d.IB);
  return c / IB * extent(d.xCB) + c % IB * extent(d.xC);
}

/// The definition, one element at a time, all on one thread.
template <class D, class Epi>
void conv_ref(const D& d, const float* x, const float* w, const Epi& epi) {
  const ptrdiff_t IC = extent(d.IC), KH = extent(d.KH), KW = extent(d.KW), IB = extent(d.IB);
  const auto output = [&](ptrdiff_t n, ptrdiff_t o, ptrdiff_t h, ptrdiff_t v) {
    const float* xo = x + n * extent(d.xN) + conv_group_offset(d, o / extent(d.OC)) +
                      h * extent(d.SH) * extent(d.xH) + v * extent(d.SW) * extent(d.xW);
    const float* wo = w + o / kBlock * KH * KW * IC * kBlock + o % kBlock;
    float sum = 0.0f;
    for (ptrdiff_t kh = 0; kh < KH; ++kh) {
      for (ptrdiff_t kw = 0; kw < KW; ++kw) {
        const float* tap = xo + kh * extent(d.DH) * extent(d.xH) + kw * extent(d.DW) * extent(d.xW);
        for (ptrdiff_t i = 0; i < IC; ++i) {
          sum += tap[i / IB * extent(d.xCB) + i % IB * extent(d.xC)] *
                 wo[((kh * KW + kw) * IC + i) * kBlock];
        }
      }
    }
    epi(sum, static_cast<int>(n), static_cast<int>(o / kBlock), static_cast<int>(h),
        static_cast<int>(v), static_cast<int>(o % kBlock));
  };
  for (ptrdiff_t n = 0; n < extent(d.N); ++n) {
    for (ptrdiff_t o = 0; o < extent(d.G) * extent(d.OC); ++o) {
      for (ptrdiff_t h = 0; h < extent(d.OH); ++h) {
        for (ptrdiff_t v = 0; v < extent(d.OW); ++v) output(n, o, h, v);
      }
    }
  }
}

/// Adds every tap and channel to a tile; x at its first pixel and channel, w at its first panel.
template <bool kTail, class D, class T>
AOT_INLINE void conv_taps(const D& d, T& tile, const float* x, Panels<float> w) {
  const ptrdiff_t IC = extent(d.IC), IB = extent(d.IB), KH = extent(d.KH), KW = extent(d.KW);
  const ptrdiff_t xC = extent(d.xC), tap = extent(d.DW) * extent(d.xW);
  const EqualRows rows{extent(d.SW) * extent(d.xW)};
  // Taps along w that continue the channels at the same distance are one longer sum: IC = 1, or
  // NHWC without gaps.
  const bool folds = IC == 1 || (IC <= IB && tap == IC * xC);
  const ptrdiff_t steps = folds ? KW * IC : IC, stride = folds && IC == 1 ? tap : xC;
  const ptrdiff_t block = folds ? steps : IB;
  for (ptrdiff_t kh = 0; kh < KH; ++kh) {
    const float* xr = x + kh * extent(d.DH) * extent(d.xH);
    for (ptrdiff_t kw = 0; kw < (folds ? 1 : KW); ++kw) {
      const float* xb = xr + kw * tap;
      for (ptrdiff_t i = 0; i < steps; i += block) {
        const ptrdiff_t K = steps % block == 0 || steps - i > block ? block : steps - i;
        tile.template add<kTail>(xb, rows, stride, w, K);
        w.b += K * kBlock;
        xb += extent(d.xCB);
      }
    }
  }
}

/// The tile at image n, panel p0, row h, pixel w0; x and w point at its first pixel, channel and
/// panel.
template <class D, int MR, int NV, class Epi>
AOT_NOINLINE void conv_tile(const D& d, const float* x, const float* w, const Epi& epi, int n,
                            int p0, int h, int w0) {
  constexpr bool kRagged = may_be_ragged<decltype(D::OC)>;
  const ptrdiff_t valid = extent(d.G) * extent(d.OC) - ptrdiff_t{p0} * kBlock;
  const ptrdiff_t wP = extent(d.KH) * extent(d.KW) * extent(d.IC) * kBlock;
  const Epi own = epi;  // which no store can reach
  const auto put = [&](auto v, int m, int panel, int l)
                       __attribute__((always_inline)) { own(v, n, p0 + panel, h, w0 + m, l); };
  Tile<DotF32, MR, NV> tile;
  tile.clear();
  conv_taps<false>(d, tile, x, Panels<float>{w, wP, kBlock, valid});
  tile.finish();
  if constexpr (kRagged && !Epi::kPadded) {
    if (valid < NV * kBlock) {
      tile.put_some(valid, put);
      return;
    }
  }
  tile.put_all(put);
}

/// Rows of output in a block of rows: see Partition above.
template <class D>
AOT_INLINE ptrdiff_t conv_rows_of_block(const D& d) {
  const ptrdiff_t taps = extent(d.KH) * extent(d.KW) * extent(d.IC), OH = extent(d.OH);
  const ptrdiff_t row = extent(d.SH) * extent(d.OW) * extent(d.SW) * extent(d.G) * extent(d.IC);
  const ptrdiff_t bytes = static_cast<ptrdiff_t>(sizeof(float));
  if (OH == 0 || row == 0) return 1;
  if (taps * extent(d.G) * extent(d.OC) * bytes > kSmallWeights) return OH;
  const ptrdiff_t fit = kRowBlock / (row * bytes);
  return fit < 1 ? 1 : fit < OH ? fit : OH;
}

/// A walk over the tiles in the order of Partition above: an odometer, its last digit the pixel.
struct ConvWalk {
  ptrdiff_t OH;      // rows of output
  ptrdiff_t rows;    // rows of a block
  ptrdiff_t groups;  // groups of panels, of all channel groups
  ptrdiff_t pixels;  // tiles along w
  ptrdiff_t n, block, panel, row, pixel;

  AOT_INLINE ptrdiff_t first_row() const { return block * rows; }
  AOT_INLINE ptrdiff_t rows_here() const {
    const ptrdiff_t left = OH - first_row();
    return left < rows ? left : rows;
  }

  /// Puts a walk that has not begun at tile `index`. All blocks of rows but the last are equally high.
  AOT_INLINE void seek(ptrdiff_t index) {
    if (index == 0) return;
    const ptrdiff_t across = groups * pixels, in_image = index % (OH * across);
    n = index / (OH * across);
    block = in_image / (rows * across);
    const ptrdiff_t in_block = in_image - first_row() * across;
    panel = in_block / (rows_here() * pixels);
    row = in_block / pixels % rows_here();
    pixel = in_block % pixels;
  }

  AOT_INLINE void next() {
    if (++pixel < pixels) return;
    pixel = 0;
    if (++row < rows_here()) return;
    row = 0;
    if (++panel < groups) return;
    panel = 0;
    ++block;
    if (first_row() < OH) return;
    block = 0;
    ++n;
  }
};

/// Thread tid's part of the convolution; see the top of this file.
template <class D, int MR, int NV, class Epi>
void conv(const D& d, const float* x, const float* w, const Epi& epi, int tid, int nt) {
  typedef typename BlocksOf<decltype(D::OC)>::type Blocks;
  const ptrdiff_t panels_of_group = ceil_div(extent(d.OC), kBlock);
  const Tiles pixels = tiles(extent(d.OW), MR), panels = tiles(panels_of_group, NV);
  ConvWalk at{
      extent(d.OH), conv_rows_of_block(d), extent(d.G) * panels.count, pixels.count, 0, 0, 0, 0, 0};
  const ptrdiff_t total = extent(d.N) * at.OH * at.groups * at.pixels;
  const Range mine = share(total, tid, nt, quantum(d, total));
  if (mine.b == mine.e) return;
  at.seek(mine.b);
  for (ptrdiff_t i = mine.b; i < mine.e; ++i, at.next()) {
    const ptrdiff_t g = at.panel / panels.count, p = at.panel % panels.count;
    const ptrdiff_t p0 = g * panels_of_group + panels.begin(p);
    const ptrdiff_t h = at.first_row() + at.row, w0 = pixels.begin(at.pixel);
    const float* xi = x + at.n * extent(d.xN) + conv_group_offset(d, g) +
                      h * extent(d.SH) * extent(d.xH) + w0 * extent(d.SW) * extent(d.xW);
    const float* wi = w + p0 * extent(d.KH) * extent(d.KW) * extent(d.IC) * kBlock;
    with_length<decltype(D::OW), MR>(pixels.length(at.pixel), [&](auto mr) {
      with_length<Blocks, NV>(panels.length(p), [&](auto nv) {
        conv_tile<D, static_cast<int>(mr), static_cast<int>(nv)>(
            d, xi, wi, epi, static_cast<int>(at.n), static_cast<int>(p0), static_cast<int>(h),
            static_cast<int>(w0));
      });
    });
  }
}

}  // namespace
}  // namespace AOT_NS
