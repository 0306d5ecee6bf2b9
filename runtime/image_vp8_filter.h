// SPDX-License-Identifier: 0BSD
//
// image_vp8_filter.h: the loop filter of VP8, which smooths the edges of blocks once all of them are
// there (RFC 6386, section 15).
#pragma once

#include "image_vp8_predict.h"

namespace AOT_NS {
namespace {
namespace image {

/// How strongly the edges of a macroblock are smoothed.
struct Vp8Strength {
  int level;     // 0: not at all
  int interior;  // the largest difference beside an edge
  int sharp;     // the difference from which a neighbour of the edge counts as an edge too
};

[[maybe_unused]] inline Vp8Strength vp8_strength(const Vp8Frame& f, int segment, bool subblocks) {
  const auto bounded = [](int v) { return v < 0 ? 0 : v > 63 ? 63 : v; };
  int level = f.level;
  if (f.segmented) level = f.segment_level[segment] + (f.absolute ? 0 : level);
  level = bounded(level);
  if (f.adjusted) level = bounded(level + f.whole_delta + (subblocks ? f.sub_delta : 0));
  int interior = level;
  if (f.sharpness > 0) {
    interior >>= f.sharpness > 4 ? 2 : 1;
    if (interior > 9 - f.sharpness) interior = 9 - f.sharpness;
  }
  return {level, interior < 1 ? 1 : interior, level >= 40 ? 2 : level >= 15 ? 1 : 0};
}

/// Pixels across an edge: k = 0 is the first behind it, -1 the last before.
struct Vp8Across {
  uint8_t* at;
  int64_t step;

  int operator()(int k) const { return at[k * step]; }
  int differ(int a, int b) const {
    const int d = (*this)(a) - (*this)(b);
    return d < 0 ? -d : d;
  }
  static int bounded(int v) { return v < -128 ? -128 : v > 127 ? 127 : v; }
  int around(int k) const { return (*this)(k)-128; }
  void add(int k, int v) { at[k * step] = static_cast<uint8_t>(bounded(around(k) + v) + 128); }

  bool near(int limit) const { return 2 * differ(-1, 0) + differ(-2, 1) / 2 <= limit; }
  bool smooth(int limit) const {
    return differ(-4, -3) <= limit && differ(-3, -2) <= limit && differ(-2, -1) <= limit &&
           differ(3, 2) <= limit && differ(2, 1) <= limit && differ(1, 0) <= limit;
  }
  bool sharp(int limit) const { return differ(-2, -1) > limit || differ(1, 0) > limit; }

  /// The step over the edge; with `outer` the pixels next to it are looked at too.
  int rise(bool outer) const {
    return bounded((outer ? bounded(around(-2) - around(1)) : 0) + 3 * (around(0) - around(-1)));
  }
  int adjust(bool outer) {
    const int w = rise(outer), a = bounded(w + 4) >> 3, b = bounded(w + 3) >> 3;
    add(0, -a);
    add(-1, b);
    return a;
  }
  void within(bool is_sharp) {
    const int a = (adjust(is_sharp) + 1) >> 1;
    if (is_sharp) return;
    add(1, -a);
    add(-2, a);
  }
  void between(bool is_sharp) {
    if (is_sharp) {
      adjust(true);
      return;
    }
    const int w = rise(true);
    for (int k = 0; k < 3; ++k) {
      const int a = bounded((9 * (3 - k) * w + 63) >> 7);
      add(k, -a);
      add(-1 - k, a);
    }
  }
};

/// An edge of `count` pixels `along` apart; pixels across it are `step` apart.
[[maybe_unused]] inline void vp8_edge(uint8_t* at, int64_t along, int64_t step, int count,
                                      bool simple, bool outer, Vp8Strength s) {
  const int limit = 2 * (s.level + (outer ? 2 : 0)) + s.interior;
  for (int k = 0; k < count; ++k) {
    Vp8Across pixels = {at + k * along, step};
    if (!pixels.near(limit)) continue;
    if (simple) {
      pixels.adjust(true);
    } else if (pixels.smooth(s.interior)) {
      if (outer) {
        pixels.between(pixels.sharp(s.sharp));
      } else {
        pixels.within(pixels.sharp(s.sharp));
      }
    }
  }
}

/// A square of n pixels a side: the edges to its left and above, where there are, and those within.
[[maybe_unused]] inline void vp8_smooth(uint8_t* at, int64_t stride, int n, bool simple, bool left,
                                        bool above, bool within, Vp8Strength s) {
  if (left) vp8_edge(at, stride, 1, n, simple, true, s);
  for (int k = 4; within && k < n; k += 4) vp8_edge(at + k, stride, 1, n, simple, false, s);
  if (above) vp8_edge(at, 1, stride, n, simple, true, s);
  for (int k = 4; within && k < n; k += 4) {
    vp8_edge(at + k * stride, 1, stride, n, simple, false, s);
  }
}

}  // namespace image
}  // namespace
}  // namespace AOT_NS
