// SPDX-License-Identifier: 0BSD
//
// image_vp8_bits.h: the arithmetic code of VP8, its trees and what a key frame's header says
// (RFC 6386, sections 7 to 10 and 19.2).
//
// Hostility   behind their end the data are zeros; used_up() says that more of them were taken than
//             the decoder looks ahead.
#pragma once

#include "image_picture.h"
#include "image_vp8_tables.h"

namespace AOT_NS {
namespace {
namespace image {

struct Vp8Bits {
  Reader r = {nullptr, 0};
  uint32_t value = 0;
  uint32_t range = 255;
  int shifted = 0;   // bits since the last byte
  int invented = 0;  // bytes behind the end

  void begin(const Reader& from) {
    *this = {};
    r = from;
    value = next() << 8;
    value |= next();
  }
  uint32_t next() {
    if (r.at < r.size) return static_cast<uint32_t>(r.byte());
    ++invented;
    return 0;
  }

  /// One bit, which is 0 with a probability of p / 256.
  int bit(int p) {
    const uint32_t split = 1 + (((range - 1) * static_cast<uint32_t>(p)) >> 8);
    const bool one = value >= split << 8;
    value -= one ? split << 8 : 0;
    range = one ? range - split : split;
    while (range < 128) {
      range <<= 1;
      value <<= 1;
      if (++shifted == 8) {
        shifted = 0;
        value |= next();
      }
    }
    return one ? 1 : 0;
  }
  int flag() { return bit(128); }
  int number(int bits) {
    int value_of = 0;
    while (bits-- > 0) value_of = 2 * value_of + flag();
    return value_of;
  }
  int with_sign(int bits) {
    const int size = number(bits);
    return flag() != 0 ? -size : size;
  }
  /// A number that may be left out: then 0.
  int maybe(int bits) { return flag() != 0 ? with_sign(bits) : 0; }

  /// A leaf of a tree: pairs of the next node, or of minus the leaf.
  int leaf(const int8_t* tree, const uint8_t* probabilities) {
    int at = 0;
    do {
      at = tree[at + bit(probabilities[at >> 1])];
    } while (at > 0);
    return -at;
  }

  bool used_up() const { return invented > 2; }
};

enum Vp8Mode : int { kDc, kV, kH, kTm, kSub };

/// What the header of a frame says.
struct Vp8Frame {
  Size size;
  bool segmented, mapped, absolute;
  int segment_step[4], segment_level[4];
  uint8_t segment_tree[3];
  bool simple;  // the kind of loop filter
  int level;    // of it
  int sharpness;
  bool adjusted;    // levels depend on what follows:
  int whole_delta;  // for every macroblock of a key frame
  int sub_delta;    // for those of subblocks
  int parts;        // of the tokens
  int step[6];      // the index for AC of Y; what those for DC of Y, Y2 and AC, DC and AC of UV add
  bool skips;
  int skip;  // the probability that a macroblock has tokens
  uint8_t tokens[1056];
};

[[maybe_unused]] inline void vp8_segments(Vp8Frame& f, Vp8Bits& b) {
  for (int k = 0; k < 3; ++k) f.segment_tree[k] = 255;
  f.segmented = b.flag() != 0;
  if (!f.segmented) return;
  f.mapped = b.flag() != 0;
  if (b.flag() != 0) {
    f.absolute = b.flag() != 0;
    for (int k = 0; k < 4; ++k) f.segment_step[k] = b.maybe(7);
    for (int k = 0; k < 4; ++k) f.segment_level[k] = b.maybe(6);
  }
  for (int k = 0; f.mapped && k < 3; ++k) {
    if (b.flag() != 0) f.segment_tree[k] = static_cast<uint8_t>(b.number(8));
  }
}

[[maybe_unused]] inline void vp8_filter_levels(Vp8Frame& f, Vp8Bits& b) {
  f.simple = b.flag() != 0;
  f.level = b.number(6);
  f.sharpness = b.number(3);
  f.adjusted = b.flag() != 0;
  if (!f.adjusted || b.flag() == 0) return;
  for (int k = 0; k < 8; ++k) {  // four for what a macroblock refers to, then four for its mode
    const int delta = b.maybe(6);
    if (k == 0) f.whole_delta = delta;
    if (k == 4) f.sub_delta = delta;
  }
}

/// The header of the frame, up to the first macroblock.
[[maybe_unused]] inline void vp8_header(Vp8Frame& f, Vp8Bits& b) {
  b.number(2);  // the colour space, and that no sum leaves a byte
  vp8_segments(f, b);
  vp8_filter_levels(f, b);
  f.parts = 1 << b.number(2);
  f.step[0] = b.number(7);
  for (int k = 1; k < 6; ++k) f.step[k] = b.maybe(4);
  b.flag();  // what later frames start from
  for (int k = 0; k < 1056; ++k) {
    f.tokens[k] = b.bit(kVp8Updates[k]) != 0 ? static_cast<uint8_t>(b.number(8)) : kVp8Tokens[k];
  }
  f.skips = b.flag() != 0;
  f.skip = f.skips ? b.number(8) : 0;
}

/// The uncompressed start of a key frame: its size, and of how many bytes the first part is.
[[maybe_unused]] inline Size vp8_start(Reader r, int64_t& first) {
  const uint32_t tag = r.little(3);
  first = tag >> 5;
  const bool known = (tag & 1) == 0 && (tag >> 1 & 7) <= 3 && (tag >> 4 & 1) == 1;
  if (!known || r.big(3) != 0x9D012A) return kNone;
  const int64_t width = r.little(2) & 0x3FFF, height = r.little(2) & 0x3FFF;
  const Size size = {height, width};
  // A macroblock of 256 pixels takes a bit and a half or more for its modes.
  return !r.ended && allowed(size, 8, r.size, 2048) ? size : kNone;
}

}  // namespace image
}  // namespace
}  // namespace AOT_NS
