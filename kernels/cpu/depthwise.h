// SPDX-License-Identifier: 0BSD
//
// f32 depthwise convolution (one filter a channel), NCHW16c, with an epilogue in registers; the
// lanes are channels.
//
// Maths       out[n][c][h][w] = epi(sum over kh, kw of x[n][c][h * SH + kh * DH][w * SW + kw * DW]
//             * weight[c][kh][kw]).
// Descriptor  D names, each an Int<> or a run-time integer: N C OH OW KH KW SH SW DH DW, and
//             strides of x: xN; xCB between blocks of 16 channels; xH; xW (16 if dense). The fast
//             path wants KH to DW as Int<>.
// Layout      x points at the halo'd origin of the first channel block, 16 floats a pixel: every
//             tap of every output is readable. Weights [ceil(C/16)][KH][KW][16]. Lanes from C on
//             may hold anything: they are computed, never trapped, and reach the epilogue only if
//             it asks for them.
// Alignment   None needed; 64-byte pixels run fastest.
// Epilogue    epi(V v, int n, int cb, int h, int w, int l), channel 16 * cb + l: as in conv.h.
// Aliasing    The epilogue may write anything but x and weights.
// Method      A window of TH x TW outputs slides along a row: each input vector is loaded once and
//             added to every output it is a tap of. Filters of more than kUnrolledTaps taps and
//             run-time ones loop over the taps instead, with a load a tap and output.
// Partition   Windows over (n, channel block, h, w), the last fastest, in nt equal runs; sizes
//             differ by at most one. `parts`, where D names it, divides the (n, channel block)
//             pairs. No barrier inside.
// Tile        TH * TW accumulators, the weights if they fit, and one more in registers. Measured
//             best with AVX-512: 2 x 7 for 3x3, 1 x 14 or 2 x 7 for 5x5.
// Error       |error| <= KH * KW * 2^-24 * sum |x| |weight| to first order.
#pragma once

#include "tile.h"

namespace AOT_NS {
namespace {

/// Filters up to this size are unrolled.
constexpr long long kUnrolledTaps = 49;

/// The definition, one element at a time, all on one thread.
template <class D, class Epi>
void depthwise_ref(const D& d, const float* x, const float* w, const Epi& epi) {
  const auto output = [&](ptrdiff_t n, ptrdiff_t c, ptrdiff_t h, ptrdiff_t v) {
    const float* xo = x + n * extent(d.xN) + c / kBlock * extent(d.xCB) + c % kBlock +
                      h * extent(d.SH) * extent(d.xH) + v * extent(d.SW) * extent(d.xW);
    const float* wo = w + c / kBlock * extent(d.KH) * extent(d.KW) * kBlock + c % kBlock;
    float sum = 0.0f;
    for (ptrdiff_t kh = 0; kh < extent(d.KH); ++kh) {
      for (ptrdiff_t kw = 0; kw < extent(d.KW); ++kw) {
        sum += xo[kh * extent(d.DH) * extent(d.xH) + kw * extent(d.DW) * extent(d.xW)] *
               wo[(kh * extent(d.KW) + kw) * kBlock];
      }
    }
    epi(sum, static_cast<int>(n), static_cast<int>(c / kBlock), static_cast<int>(h),
        static_cast<int>(v), static_cast<int>(c % kBlock));
  };
  for (ptrdiff_t n = 0; n < extent(d.N); ++n) {
    for (ptrdiff_t c = 0; c < extent(d.C); ++c) {
      for (ptrdiff_t h = 0; h < extent(d.OH); ++h) {
        for (ptrdiff_t v = 0; v < extent(d.OW); ++v) output(n, c, h, v);
      }
    }
  }
}

/// Whether D's filter is known and small enough to be unrolled.
template <class D>
constexpr bool depthwise_unrolls =
    is_fixed<decltype(D::KH)> && is_fixed<decltype(D::KW)> && is_fixed<decltype(D::SH)> &&
    is_fixed<decltype(D::SW)> && is_fixed<decltype(D::DH)> && is_fixed<decltype(D::DW)> &&
    fixed_value<decltype(D::KH)> * fixed_value<decltype(D::KW)> <= kUnrolledTaps;

/// A filter unrolled: its weights stay in registers through a row of windows where they fit.
template <class D, int TH, int TW>
struct DepthwiseSlide {
  static constexpr int KH = static_cast<int>(fixed_value<decltype(D::KH)>);
  static constexpr int KW = static_cast<int>(fixed_value<decltype(D::KW)>);
  static constexpr int SH = static_cast<int>(fixed_value<decltype(D::SH)>);
  static constexpr int SW = static_cast<int>(fixed_value<decltype(D::SW)>);
  static constexpr int DH = static_cast<int>(fixed_value<decltype(D::DH)>);
  static constexpr int DW = static_cast<int>(fixed_value<decltype(D::DW)>);
  static constexpr int kRows = (TH - 1) * SH + (KH - 1) * DH + 1;
  static constexpr int kColumns = (TW - 1) * SW + (KW - 1) * DW + 1;
  static constexpr bool kHeld = KH * KW + TH * TW + 1 <= kRegisters;

  const float* w;
  vf held[size_t(kHeld ? KH * KW : 1)];

  explicit AOT_INLINE DepthwiseSlide(const float* weights) : w(weights) {
    if constexpr (kHeld) {
#pragma GCC unroll 128
      for (int k = 0; k < KH * KW; ++k) held[k] = load<vf>(w + k * kBlock);
    }
  }

  AOT_INLINE vf weight(int k) const {
    if constexpr (kHeld) {
      return held[k];
    } else {
      return load<vf>(w + k * kBlock);
    }
  }

  /// acc += the window at x: every input vector once, row by row, added to each output that it is a
  /// tap of.
  AOT_INLINE void add(const D& d, vf (&acc)[size_t(TH * TW)], const float* x) const {
    const ptrdiff_t xH = extent(d.xH), xW = extent(d.xW);
#pragma GCC unroll 128
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 128
      for (int c = 0; c < kColumns; ++c) {
        const vf v = load<vf>(x + r * xH + c * xW);
#pragma GCC unroll 128
        for (int th = 0; th < TH; ++th) {
          const int kh = r - th * SH;
          if (kh < 0 || kh % DH != 0 || kh / DH >= KH) continue;
#pragma GCC unroll 128
          for (int tw = 0; tw < TW; ++tw) {
            const int kw = c - tw * SW;
            if (kw < 0 || kw % DW != 0 || kw / DW >= KW) continue;
            acc[th * TW + tw] = madd(v, weight(kh / DH * KW + kw / DW), acc[th * TW + tw]);
          }
        }
      }
    }
  }
};

/// Any filter, tap by tap.
template <class D, int TH, int TW>
struct DepthwiseTaps {
  const float* w;

  explicit AOT_INLINE DepthwiseTaps(const float* weights) : w(weights) {}

  /// acc += the window at x.
  AOT_INLINE void add(const D& d, vf (&acc)[size_t(TH * TW)], const float* x) const {
    const ptrdiff_t xH = extent(d.xH), xW = extent(d.xW);
    const ptrdiff_t stepH = extent(d.SH) * xH, stepW = extent(d.SW) * xW;
    const float* at = w;
    for (ptrdiff_t kh = 0; kh < extent(d.KH); ++kh) {
      for (ptrdiff_t kw = 0; kw < extent(d.KW); ++kw) {
        const float* tap = x + kh * extent(d.DH) * xH + kw * extent(d.DW) * xW;
        const vf wv = load<vf>(at);
        at += kBlock;
#pragma GCC unroll 128
        for (int th = 0; th < TH; ++th) {
#pragma GCC unroll 128
          for (int tw = 0; tw < TW; ++tw) {
            acc[th * TW + tw] =
                madd(load<vf>(tap + th * stepH + tw * stepW), wv, acc[th * TW + tw]);
          }
        }
      }
    }
  }
};

/// Where a row of windows lies: image, channel block, first row and pixel, and how many windows.
struct WindowRow {
  int n, cb, h0, w0, count;
};

/// Passes one window of accumulators, lanes l .. of channel block at.cb, pixel w0 on, to the
/// epilogue.
template <class D, int TH, int TW, class Epi>
AOT_INLINE void depthwise_put(const D& d, const vf (&acc)[size_t(TH * TW)], const Epi& epi,
                              const WindowRow& at, int l, int w0) {
  constexpr bool kWhole = Epi::kPadded || !may_be_ragged<decltype(D::C)>;
  const int left = kWhole ? kLanes : lanes_within(extent(d.C) - ptrdiff_t{at.cb} * kBlock, l);
  if (left == kLanes) {
#pragma GCC unroll 128
    for (int th = 0; th < TH; ++th) {
#pragma GCC unroll 128
      for (int tw = 0; tw < TW; ++tw) epi(acc[th * TW + tw], at.n, at.cb, at.h0 + th, w0 + tw, l);
    }
    return;
  }
  vf spilled[size_t(TH * TW)];
  __builtin_memcpy(&spilled, &acc, sizeof spilled);
#pragma GCC unroll 1
  for (int t = 0; t < TH * TW; ++t) {
#pragma GCC unroll 1
    for (int i = 0; i < left; ++i) {
      epi(lane(spilled[t], i), at.n, at.cb, at.h0 + t / TW, w0 + t % TW, l + i);
    }
  }
}

/// A row of windows; x points at its first tap, w at the weights of its channel block.
template <class D, int TH, int TW, class Epi>
AOT_NOINLINE void depthwise_row(const D& desc, const float* x, const float* w, const Epi& epi,
                                const WindowRow& at) {
  // Copies, which no store can reach.
  const D d = desc;
  const WindowRow row = at;
  const Epi own = epi;
  const ptrdiff_t step = TW * extent(d.SW) * extent(d.xW);
#pragma GCC unroll 1
  for (int l = 0; l < kBlock; l += kLanes) {
    const typename Either<depthwise_unrolls<D>, DepthwiseSlide<D, TH, TW>,
                          DepthwiseTaps<D, TH, TW>>::type filter(w + l);
    const float* xl = x + l;
#pragma GCC unroll 1
    for (int i = 0; i < row.count; ++i) {
      vf acc[size_t(TH * TW)] = {};
      filter.add(d, acc, xl);
      depthwise_put<D, TH, TW>(d, acc, own, row, l, row.w0 + i * TW);
      xl += step;
    }
  }
}

/// Thread tid's part of the convolution; see the top of this file.
template <class D, int TH, int TW, class Epi>
void depthwise(const D& d, const float* x, const float* w, const Epi& epi, int tid, int nt) {
  const Tiles rows = tiles(extent(d.OH), TH), pixels = tiles(extent(d.OW), TW);
  const ptrdiff_t blocks = ceil_div(extent(d.C), kBlock);
  const ptrdiff_t total = extent(d.N) * blocks * rows.count * pixels.count;
  const Range mine = share(total, tid, nt, quantum(d, total));
  if (mine.b == mine.e) return;
  ptrdiff_t pixel = mine.b % pixels.count, row = mine.b / pixels.count % rows.count;
  ptrdiff_t rest = mine.b / pixels.count / rows.count;
  for (ptrdiff_t i = mine.b; i < mine.e;) {
    const ptrdiff_t n = rest / blocks, cb = rest % blocks;
    const ptrdiff_t h0 = rows.begin(row), w0 = pixels.begin(pixel);
    // Windows of one size that follow each other in this row, as far as they are this thread's.
    const ptrdiff_t same = (pixel < pixels.larger ? pixels.larger : pixels.count) - pixel;
    const ptrdiff_t count = same < mine.e - i ? same : mine.e - i;
    const float* xi = x + n * extent(d.xN) + cb * extent(d.xCB) + h0 * extent(d.SH) * extent(d.xH) +
                      w0 * extent(d.SW) * extent(d.xW);
    const float* wi = w + cb * extent(d.KH) * extent(d.KW) * kBlock;
    const WindowRow at{static_cast<int>(n), static_cast<int>(cb), static_cast<int>(h0),
                       static_cast<int>(w0), static_cast<int>(count)};
    with_length<decltype(D::OH), TH>(rows.length(row), [&](auto th) {
      with_length<decltype(D::OW), TW>(pixels.length(pixel), [&](auto tw) {
        depthwise_row<D, static_cast<int>(th), static_cast<int>(tw)>(d, xi, wi, epi, at);
      });
    });
    i += count;
    pixel += count;
    if (pixel < pixels.count) continue;
    pixel = 0;
    if (++row < rows.count) continue;
    row = 0;
    ++rest;
  }
}

}  // namespace
}  // namespace AOT_NS
