// SPDX-License-Identifier: 0BSD
//
// image_vp8.h: a key frame of VP8 (RFC 6386): macroblocks of 16 x 16 pixels, predicted and corrected.
//
// Hostility   a frame ends as soon as more bits were taken than there are.
// Memory      the three planes with a border, and what each macroblock leaves to those below it and
//             to the loop filter.
#pragma once

#include "image_vp8_filter.h"

namespace AOT_NS {
namespace {
namespace image {

/// Samples with a border: a row above and a column to the left, and 4 columns more to the right.
struct Vp8Plane {
  uint8_t* data;
  int64_t stride;

  uint8_t* at(int64_t y, int64_t x) const { return data + (y + 1) * stride + x + 1; }
};

/// What a macroblock leaves: to the one below it, and to the filter.
struct Vp8Block {
  uint8_t filled[9];  // does the last subblock of each column have coefficients? 4 Y, 2 U, 2 V, Y2
  uint8_t modes[4];   // of the lowest subblocks
  uint8_t segment;
  bool subblocks;
  bool corrected;  // it has coefficients, or subblocks
};

struct Vp8 {
  Vp8Frame f;
  int64_t down, across;  // in macroblocks
  Vp8Plane planes[3];
  Vp8Block* blocks;
  Vp8Bits modes;
  Vp8Bits parts[8];
};

/// One macroblock at a time.
struct Vp8Macroblock {
  Vp8& v;
  int64_t y, x;
  Vp8Block none = {};
  Vp8Block* own;
  const Vp8Block* above;
  Vp8Block left;  // as above, of the macroblock to the left: its right side
  int mode = 0, chroma = 0;
  uint8_t sub[16] = {};
  int coefficients[25][16] = {};

  Vp8Macroblock(Vp8& of, int64_t row) : v(of), y(row), x(0), own(nullptr), above(nullptr), left() {}

  void begin(int64_t column) {
    x = column;
    own = v.blocks + y * v.across + x;
    above = y > 0 ? own - v.across : &none;
    __builtin_memset(coefficients, 0, sizeof coefficients);
  }

  /// The modes; false: there are coefficients.
  bool read_modes() {
    Vp8Bits& b = v.modes;
    const Vp8Frame& f = v.f;
    if (f.segmented && f.mapped) {
      const int high = b.bit(f.segment_tree[0]);
      own->segment = static_cast<uint8_t>(2 * high + b.bit(f.segment_tree[1 + high]));
    }
    const bool skipped = f.skips && b.bit(f.skip) != 0;
    const int8_t whole[8] = {-kSub, 2, 4, 6, -kDc, -kV, -kH, -kTm};
    const uint8_t whole_p[4] = {145, 156, 163, 128};
    mode = b.leaf(whole, whole_p);
    own->subblocks = mode == kSub;
    read_submodes();
    const int8_t small[6] = {-kDc, 2, -kV, 4, -kH, -kTm};
    const uint8_t small_p[3] = {142, 114, 183};
    chroma = b.leaf(small, small_p);
    return skipped;
  }

  void read_submodes() {
    const int8_t tree[18] = {-kSubDc, 2,    -kSubTm, 4,    -kSubV, 6,    8,  12,   -kSubH,
                             10,      -kRd, -kVr,    -kLd, 14,     -kVl, 16, -kHd, -kHu};
    const uint8_t same[4] = {kSubDc, kSubV, kSubH, kSubTm};
    for (int k = 0; k < 16; ++k) {
      const int a = k < 4 ? above->modes[k] : sub[k - 4];
      const int l = k % 4 == 0 ? left.modes[k / 4] : sub[k - 1];
      const int got =
          mode != kSub ? same[mode] : v.modes.leaf(tree, kVp8SubModes + (a * 10 + l) * 9);
      sub[k] = static_cast<uint8_t>(got);
    }
    for (int k = 0; k < 4; ++k) {
      own->modes[k] = sub[12 + k];
      left.modes[k] = sub[4 * k + 3];
    }
  }

  /// The steps of quantisation of DC or AC of a plane: 0 Y, 1 Y2, 2 U and V.
  int step(int plane, bool ac) const {
    const Vp8Frame& f = v.f;
    int index = f.step[0];
    if (f.segmented) index = f.segment_step[own->segment] + (f.absolute ? 0 : index);
    const int of[3][2] = {{1, 0}, {2, 3}, {4, 5}};
    const int which = of[plane][ac ? 1 : 0];
    index += which == 0 ? 0 : f.step[which];
    index = index < 0 ? 0 : index > 127 ? 127 : index;
    const int found = ac ? kVp8AcSteps[index] : kVp8DcSteps[index];
    if (plane == 1) return !ac ? 2 * found : found * 155 / 100 < 8 ? 8 : found * 155 / 100;
    return plane == 2 && !ac && found > 132 ? 132 : found;
  }

  /// How large a coefficient is that is not 0; p: the probabilities at its place.
  static int magnitude(Vp8Bits& b, const uint8_t* p) {
    if (b.bit(p[2]) == 0) return 1;
    if (b.bit(p[3]) == 0) return b.bit(p[4]) == 0 ? 2 : 3 + b.bit(p[5]);
    const uint8_t extra[6][12] = {{159},
                                  {165, 145},
                                  {173, 148, 140},
                                  {176, 155, 140, 135},
                                  {180, 157, 141, 134, 130},
                                  {254, 254, 243, 230, 196, 177, 153, 140, 133, 130, 129}};
    const int base[6] = {5, 7, 11, 19, 35, 67};
    const int high = b.bit(p[6]);
    const int category = high == 0 ? b.bit(p[7]) : 2 + 2 * b.bit(p[8]);
    const int kind = high == 0 ? category : category + b.bit(p[category == 2 ? 9 : 10]);
    int more = 0;
    for (const uint8_t* q = extra[kind]; *q != 0; ++q) more = 2 * more + b.bit(*q);
    return base[kind] + more;
  }

  /// The coefficients of a subblock from `first` on; false: there are none. `kind` is 0 for Y after
  /// Y2, 1 for Y2, 2 for U and V, 3 for Y alone; `near`: how many of its neighbours have some.
  bool read_block(Vp8Bits& b, int kind, int first, int near, int* to) const {
    const uint8_t bands[16] = {0, 1, 2, 3, 6, 4, 5, 6, 6, 6, 6, 6, 6, 6, 6, 7};
    const uint8_t zigzag[16] = {0, 1, 4, 8, 5, 2, 3, 6, 9, 12, 13, 10, 7, 11, 14, 15};
    const int plane = kind == 3 ? 0 : kind;
    const int steps[2] = {step(plane, false), step(plane, true)};
    bool after_zero = false;
    for (int k = first; k < 16; ++k) {
      const uint8_t* const p = v.f.tokens + ((kind * 8 + bands[k]) * 3 + near) * 11;
      if (!after_zero && b.bit(p[0]) == 0) return k > first;
      after_zero = b.bit(p[1]) == 0;
      near = 0;
      if (after_zero) continue;
      const int size = magnitude(b, p);
      near = size > 1 ? 2 : 1;
      const int value = (b.flag() != 0 ? -size : size) * steps[k > 0 ? 1 : 0];
      to[zigzag[k]] = static_cast<int16_t>(value);
    }
    return true;
  }

  /// All coefficients: Y2 if there is one, then those of Y, U and V.
  void read_tokens() {
    Vp8Bits& b = v.parts[y % v.f.parts];
    const bool second = mode != kSub;
    own->corrected = !second;
    if (second) {
      int* const dc = coefficients[24];
      const int near = above->filled[8] + left.filled[8];
      own->filled[8] = left.filled[8] = read_block(b, 1, 0, near, dc) ? 1 : 0;
      vp8_spread(dc);
      for (int k = 0; k < 16; ++k) coefficients[k][0] = static_cast<int16_t>(dc[k]);
    } else {
      own->filled[8] = above->filled[8];
    }
    for (int k = 0; k < 24; ++k) {
      const bool luma = k < 16;
      const int wide = luma ? 4 : 2, at = luma ? k : k % 4, from = luma ? 0 : k < 20 ? 4 : 6;
      uint8_t& side = left.filled[from + at / wide];
      uint8_t& low = own->filled[from + at % wide];
      const int up = at < wide ? above->filled[from + at % wide] : low;
      const int kind = !luma ? 2 : second ? 0 : 3;
      low = side = read_block(b, kind, kind == 0 ? 1 : 0, up + side, coefficients[k]) ? 1 : 0;
      if (low != 0 || coefficients[k][0] != 0) own->corrected = true;
    }
  }

  /// No coefficients: what counts for the neighbours.
  void skip_tokens() {
    const bool second = mode != kSub;
    for (int k = 0; k < 8; ++k) own->filled[k] = left.filled[k] = 0;
    own->filled[8] = second ? uint8_t{0} : above->filled[8];
    if (second) left.filled[8] = 0;
    own->corrected = !second;
  }

  void draw() {
    const Vp8Plane& luma = v.planes[0];
    uint8_t* const at = luma.at(16 * y, 16 * x);
    const int64_t stride = luma.stride;
    if (mode != kSub) vp8_square(at, stride, 16, mode, y > 0, x > 0);
    uint8_t corner[4];  // above and to the right of the macroblock, and of its right subblocks
    for (int k = 0; k < 4; ++k)
      corner[k] = at[-stride + (y > 0 && x + 1 == v.across ? 15 : 16 + k)];
    for (int k = 0; k < 16; ++k) {
      uint8_t* const to = at + k / 4 * 4 * stride + k % 4 * 4;
      if (mode == kSub) vp8_subblock(to, stride, sub[k], k % 4 == 3 ? corner : to + 4 - stride);
      vp8_add(coefficients[k], to, stride);
    }
    for (int p = 1; p < 3; ++p) {
      uint8_t* const small = v.planes[p].at(8 * y, 8 * x);
      const int64_t wide = v.planes[p].stride;
      vp8_square(small, wide, 8, chroma, y > 0, x > 0);
      for (int k = 0; k < 4; ++k) {
        vp8_add(coefficients[12 + 4 * p + k], small + k / 2 * 4 * wide + k % 2 * 4, wide);
      }
    }
  }
};

/// Where the parts are: the first behind the start, then the sizes of the others but the last.
[[maybe_unused]] inline bool vp8_parts(Vp8& v, Reader r, int64_t first) {
  r.skip(10);
  if (first > r.left()) return false;
  v.modes.begin({r.data + r.at, first});
  vp8_header(v.f, v.modes);
  r.skip(first);
  Reader sizes = r;
  r.skip(3 * (v.f.parts - 1));
  for (int k = 0; k < v.f.parts; ++k) {
    const int64_t size = k + 1 < v.f.parts ? int64_t{sizes.little(3)} : r.left();
    if (sizes.ended || size > r.left()) return false;
    v.parts[k].begin({r.data + r.at, size});
    r.skip(size);
  }
  return true;
}

/// Planes whose border is as section 12 has it: 127 above, 129 to the left.
[[maybe_unused]] inline bool vp8_room(Vp8& v, Scratch& scratch) {
  v.down = (v.f.size.height + 15) / 16;
  v.across = (v.f.size.width + 15) / 16;
  v.blocks = scratch.take<Vp8Block>(v.down * v.across);
  for (int p = 0; p < 3; ++p) {
    const int64_t n = p == 0 ? 16 : 8;
    v.planes[p].stride = n * v.across + 5;
    v.planes[p].data = scratch.take<uint8_t>(v.planes[p].stride * (n * v.down + 1));
    if (v.planes[p].data == nullptr || v.blocks == nullptr) return false;
    __builtin_memset(v.planes[p].data, 127, static_cast<size_t>(v.planes[p].stride));
    for (int64_t y = 0; y < n * v.down; ++y) *v.planes[p].at(y, -1) = 129;
  }
  return true;
}

[[maybe_unused]] inline void vp8_smooth_all(const Vp8& v) {
  if (v.f.level == 0) return;
  for (int64_t k = 0; k < v.down * v.across; ++k) {
    const Vp8Block& block = v.blocks[k];
    const int64_t y = k / v.across, x = k % v.across;
    const Vp8Strength s = vp8_strength(v.f, block.segment, block.subblocks);
    for (int p = 0; s.level > 0 && p < (v.f.simple ? 1 : 3); ++p) {
      const int n = p == 0 ? 16 : 8;
      vp8_smooth(v.planes[p].at(n * y, n * x), v.planes[p].stride, n, v.f.simple, x > 0, y > 0,
                 block.corrected, s);
    }
  }
}

/// The planes of the frame in r.
[[maybe_unused]] inline End vp8_decode(Vp8& v, Reader r, Scratch& scratch) {
  int64_t first = 0;
  v.f.size = vp8_start(r, first);
  if (v.f.size.height < 0 || !vp8_parts(v, r, first)) return End::broken;
  if (!vp8_room(v, scratch)) return End::no_memory;
  for (int64_t y = 0; y < v.down; ++y) {
    Vp8Macroblock block(v, y);
    for (int64_t x = 0; x < v.across; ++x) {
      block.begin(x);
      if (block.read_modes()) {
        block.skip_tokens();
      } else {
        block.read_tokens();
      }
      if (v.modes.used_up() || v.parts[y % v.f.parts].used_up()) return End::broken;
      block.draw();
    }
  }
  vp8_smooth_all(v);
  return End::done;
}

}  // namespace image
}  // namespace
}  // namespace AOT_NS
