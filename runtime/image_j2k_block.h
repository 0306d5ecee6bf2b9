// SPDX-License-Identifier: 0BSD
//
// image_j2k_block.h: a block of coefficients of JPEG 2000, bit plane by bit plane (ITU-T T.800, annex
// D).
//
// Values      twice the coefficient, plus or minus the bit that would come next: with all passes,
//             half of it rounded towards 0 is exact, with fewer it lies in the middle of what is
//             left open.
// Hostility   the number of passes is bounded by the planes a coefficient may have.
#pragma once

#include "image_j2k_bits.h"

namespace AOT_NS {
namespace {
namespace image {

enum J2kStyle : int { kBypass = 1, kResets = 2, kTerminates = 4, kCausal = 8, kMarks = 32 };
enum J2kBand : int { kLl = 0, kHl = 1, kLh = 2, kHh = 3 };

/// Decodes into `values` [height, width], which are zero.
struct J2kBlockDecoder {
  static constexpr int kMost = 4096, kFlags = 6400;  // samples; those with a border around them
  enum : uint8_t { kThere = 1, kNegative = 2, kSeen = 4, kRefined = 8 };

  J2kCode code;
  int width, height, band, style;
  int32_t* values;
  int32_t one = 0;  // the bit at hand
  uint8_t flags[kFlags];

  J2kBlockDecoder(const uint8_t* data, int64_t size, int w, int h, int orientation, int styles,
                  int32_t* to)
      : code(data, size), width(w), height(h), band(orientation), style(styles), values(to) {
    __builtin_memset(flags, 0, static_cast<size_t>((width + 2) * (height + 2)));
  }

  uint8_t& flag(int y, int x) { return flags[(y + 1) * (width + 2) + x + 1]; }
  /// Does the row below count? Not behind the end of a stripe of a style that does not look ahead.
  bool looks_below(int y) const { return (style & kCausal) == 0 || y % 4 != 3; }
  int there(int y, int x) { return flag(y, x) & kThere; }
  /// What the neighbour adds to the guess of a sign.
  int sign(int y, int x) {
    const int f = flag(y, x);
    return (f & kThere) == 0 ? 0 : (f & kNegative) != 0 ? -1 : 1;
  }

  int zero_context(int y, int x) {
    const bool below = looks_below(y);
    int h = there(y, x - 1) + there(y, x + 1);
    int v = there(y - 1, x) + (below ? there(y + 1, x) : 0);
    const int d = there(y - 1, x - 1) + there(y - 1, x + 1) +
                  (below ? there(y + 1, x - 1) + there(y + 1, x + 1) : 0);
    if (band == kHh) {
      const int hv = h + v;
      if (d >= 3) return 8;
      if (d == 2) return hv >= 1 ? 7 : 6;
      const int more = hv >= 2 ? 2 : hv;
      return d == 1 ? 3 + more : more;
    }
    if (band == kHl) {
      const int was = h;
      h = v;
      v = was;
    }
    if (h == 2) return 8;
    if (h == 1) return v >= 1 ? 7 : d >= 1 ? 6 : 5;
    return v > 0 ? 2 + v : d >= 2 ? 2 : d;
  }

  void become_there(int y, int x) {
    const auto bounded = [](int v) { return v < -1 ? -1 : v > 1 ? 1 : v; };
    const int h = bounded(sign(y, x - 1) + sign(y, x + 1));
    const int v = bounded(sign(y - 1, x) + (looks_below(y) ? sign(y + 1, x) : 0));
    const bool turned = h < 0 || (h == 0 && v < 0);
    const int context = 9 + (h == 0 ? (v != 0 ? 1 : 0) : 3 + (turned ? -v : v));
    const bool negative = (code.bit(context) != 0) != turned;
    flag(y, x) = static_cast<uint8_t>(flag(y, x) | kThere | (negative ? kNegative : 0));
    const int32_t size = one + one / 2;
    values[y * width + x] = negative ? -size : size;
  }

  /// Where a neighbour is not zero, whether the coefficient is.
  void spread_pass(int y, int x) {
    const int context = there(y, x) != 0 ? 0 : zero_context(y, x);
    if (context == 0) return;
    if (code.bit(context) != 0) become_there(y, x);
    flag(y, x) = static_cast<uint8_t>(flag(y, x) | kSeen);
  }
  /// One bit more of what is not zero.
  void refine_pass(int y, int x) {
    uint8_t& f = flag(y, x);
    if ((f & kThere) == 0 || (f & kSeen) != 0) return;
    const int context = (f & kRefined) != 0 ? 16 : zero_context(y, x) != 0 ? 15 : 14;
    const bool up = code.bit(context) != 0;
    int32_t& value = values[y * width + x];
    value += up == (value > 0) ? one / 2 : -(one / 2);
    f = static_cast<uint8_t>(f | kRefined);
  }
  /// The rest of a column of a stripe; columns of zeros among zeros are told at once.
  void clean_column(int top, int x) {
    int y = top;
    const int end = top + 4 < height ? top + 4 : height;
    bool empty = end - top == 4;
    for (int k = top; k < end && empty; ++k) {
      empty = (flag(k, x) & (kThere | kSeen)) == 0 && zero_context(k, x) == 0;
    }
    if (empty) {
      if (code.bit(kJ2kRuns) == 0) return;
      y += 2 * code.bit(kJ2kPlain);
      y += code.bit(kJ2kPlain);
      become_there(y++, x);
    }
    for (; y < end; ++y) {
      if ((flag(y, x) & (kThere | kSeen)) == 0 && code.bit(zero_context(y, x)) != 0) {
        become_there(y, x);
      }
    }
  }

  void pass(int kind) {
    for (int top = 0; top < height; top += 4) {
      for (int x = 0; x < width; ++x) {
        if (kind == 2) clean_column(top, x);
        for (int y = top; kind < 2 && y < top + 4 && y < height; ++y) {
          if (kind == 0) {
            spread_pass(y, x);
          } else {
            refine_pass(y, x);
          }
        }
      }
    }
    if (kind < 2) return;
    for (int k = 0; k < (width + 2) * (height + 2); ++k)
      flags[k] = static_cast<uint8_t>(flags[k] & ~kSeen);
    if ((style & kMarks) != 0) {
      for (int k = 0; k < 4; ++k) code.bit(kJ2kPlain);
    }
  }

  /// `planes`: of bits, the highest of which has the last kind of pass only.
  void decode(int planes, int passes) {
    int kind = 2;
    for (int k = 0; k < passes && planes > 0; ++k) {
      one = int32_t{1} << planes;
      pass(kind);
      if ((style & kResets) != 0) code.reset();
      if (kind == 2) --planes;
      kind = (kind + 1) % 3;
    }
  }
};

}  // namespace image
}  // namespace
}  // namespace AOT_NS
