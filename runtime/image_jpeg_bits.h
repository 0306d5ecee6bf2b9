// SPDX-License-Identifier: 0BSD
//
// image_jpeg_bits.h: the entropy-coded bits of JPEG (ITU-T T.81, annexes C and F) and what a frame
// is made of.
//
// Hostility   behind the last bit before a marker there are zeros; short() says that some of them
//             were used. Codes that no table has become 0 and are remembered in `broken`.
#pragma once

#include "image_picture.h"

namespace AOT_NS {
namespace {
namespace image {

/// A Huffman table: symbols in the order of their codes, and a table of the codes of few bits.
struct JpegCode {
  static constexpr int kFast = 9;
  bool known;
  uint16_t fast[1 << kFast];  // by the next bits: length << 8 | symbol, or 0
  int32_t end[17];            // by length: the first code that is too large
  int32_t from[17];           // by length: what to add to a code to find its symbol
  uint8_t symbols[256];

  /// As DHT lists it; false: more codes than there can be.
  bool make(Reader& r) {
    uint8_t counts[17] = {};
    int32_t total = 0, code = 0;
    for (int k = 1; k < 17; ++k) counts[k] = static_cast<uint8_t>(r.byte());
    for (int k = 1; k < 17; ++k) total += counts[k];
    if (total > 256) return false;
    for (int k = 0; k < total; ++k) symbols[k] = static_cast<uint8_t>(r.byte());
    __builtin_memset(fast, 0, sizeof fast);
    int32_t at = 0;
    for (int length = 1; length < 17; ++length) {
      from[length] = at - code;
      for (int k = 0; k < counts[length]; ++k) remember(code++, length, symbols[at++]);
      end[length] = code;
      if (code > 1 << length) return false;
      code *= 2;
    }
    known = true;
    return !r.ended;
  }

  void remember(int32_t code, int length, int symbol) {
    const int spare = kFast - length;
    for (int32_t k = 0; spare >= 0 && k < 1 << spare; ++k) {
      const int32_t at = (code << spare) + k;
      if (at < 1 << kFast) fast[at] = static_cast<uint16_t>(length << 8 | symbol);
    }
  }
};

/// Bits up to the next marker, the highest of each byte first.
struct JpegBits {
  Reader r;
  uint64_t held = 0;
  int count = 0;         // bits held
  int64_t invented = 0;  // the last ones of them, which no data have
  bool broken = false;

  explicit JpegBits(const Reader& from) : r(from) {}

  void fill() {
    for (; count <= 48; count += 8) {
      const bool more = r.at < r.size;
      const bool stuffed = more && r.data[r.at] == 0xFF;
      if (!more || (stuffed && (r.at + 1 >= r.size || r.data[r.at + 1] != 0))) {
        held <<= 8;
        invented += 8;
        continue;
      }
      held = held << 8 | r.data[r.at];
      r.at += stuffed ? 2 : 1;
    }
  }
  int bits(int n) {
    if (count < n) fill();
    count -= n;
    return static_cast<int>(held >> count & ((uint64_t{1} << n) - 1));
  }

  int symbol(const JpegCode& code) {
    if (count < 16) fill();
    const int quick = code.fast[held >> (count - JpegCode::kFast) & ((1 << JpegCode::kFast) - 1)];
    if (quick != 0) {
      count -= quick >> 8;
      return quick & 255;
    }
    for (int length = JpegCode::kFast + 1; length < 17; ++length) {
      const int32_t value = static_cast<int32_t>(held >> (count - length) & ((1u << length) - 1));
      if (value < code.end[length]) {
        count -= length;
        return code.symbols[(value + code.from[length]) & 255];
      }
    }
    broken = true;
    return 0;
  }

  /// A number of n bits, of which the smaller half stands for negative ones.
  int number(int n) {
    if (n == 0) return 0;
    const int value = bits(n);
    return value < 1 << (n - 1) ? value - (1 << n) + 1 : value;
  }

  bool used_up() const { return count < invented; }

  /// Begins again behind the next marker, which must be the restart marker `k`.
  bool restart(int k) {
    held = 0;
    count = 0;
    invented = 0;
    while (r.at + 1 < r.size && (r.data[r.at] != 0xFF || r.data[r.at + 1] == 0xFF)) ++r.at;
    if (r.at + 1 >= r.size || r.data[r.at + 1] != 0xD0 + k) return false;
    r.at += 2;
    return true;
  }
};

/// A component: its blocks of coefficients, then its samples.
struct JpegPart {
  int id;
  int h, v;               // samples of it where the most detailed has the frame's h and v
  int64_t width, height;  // in samples
  int64_t across, down;   // in blocks
  int64_t stride, rows;   // in blocks, up to whole units of all components
  int table;              // of quantisation
  int dc, ac;             // codes, in the scan at hand
  int last;               // the DC coefficient before
  uint8_t known[64];      // of each coefficient: 1 + the lowest bit known; 0: nothing
  uint16_t steps[64];     // of quantisation, as they were when the component began
  int16_t* blocks;
  uint8_t* samples;

  int16_t* block(int64_t y, int64_t x) const { return blocks + 64 * (y * stride + x); }
  const uint8_t* row(int64_t y) const {
    const int64_t at = y < 0 ? 0 : y >= height ? height - 1 : y;
    return samples + at * 8 * stride;
  }
};

struct Jpeg {
  Size size;
  bool progressive;
  int count;     // components
  int h, v;      // the largest of any component
  int interval;  // units between restarts; 0: none
  bool jfif;
  int adobe;  // the transform it names; -1: none
  JpegPart parts[3];
  uint16_t steps[4][64];  // tables of quantisation, in natural order
  bool has_steps[4];
  JpegCode codes[2][4];  // DC, AC
};

/// Where the k-th coefficient of the zigzag is.
constexpr uint8_t kZigzag[64] = {0,  1,  8,  16, 9,  2,  3,  10, 17, 24, 32, 25, 18, 11, 4,  5,
                                 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13, 6,  7,  14, 21, 28,
                                 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51,
                                 58, 59, 52, 45, 38, 31, 39, 46, 53, 60, 61, 54, 47, 55, 62, 63};

}  // namespace image
}  // namespace
}  // namespace AOT_NS
