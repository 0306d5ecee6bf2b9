// SPDX-License-Identifier: 0BSD
//
// image_jpeg_pixels.h: from the coefficients of a JPEG picture to its pixels, bit for bit as the
// decoders do that most programs use.
//
// Transform   the inverse DCT of Loeffler, Ligtenberg and Moschytz (Practical fast 1-D DCT
//             algorithms with 11 multiplications, 1989) in fixed point: constants of 13 bits, 2
//             bits kept between columns and rows.
// Upsampling  by 2: pixels are 1/4 and 3/4 of the way between samples, halves rounded down and up
//             in turn, as ImageDecoder asks; across only where a component is wider than two
//             samples. By more: repeated.
// Colour      YCbCr of ITU-R BT.601 in full range (JFIF 1.02), in fixed point of 16 bits.
#pragma once

#include "image_jpeg_bits.h"

namespace AOT_NS {
namespace {
namespace image {

/// Eight values `step` apart, transformed in place and rounded to 2^-shift.
[[maybe_unused]] inline void jpeg_transform(int64_t* v, int step, int shift) {
  const int64_t half = int64_t{1} << (shift - 1);
  const auto at = [&](int k) -> int64_t& { return v[k * step]; };
  const int64_t turn = (at(2) + at(6)) * 4433;
  const int64_t a = turn - at(6) * 15137, b = turn + at(2) * 6270;
  const int64_t sum = (at(0) + at(4)) * 8192, difference = (at(0) - at(4)) * 8192;
  const int64_t even[4] = {sum + b, difference + a, difference - a, sum - b};

  const int64_t o7 = at(7), o5 = at(5), o3 = at(3), o1 = at(1);
  const int64_t all = (o7 + o3 + o5 + o1) * 9633;
  const int64_t outer = -(o7 + o1) * 7373, inner = -(o5 + o3) * 20995;
  const int64_t left = all - (o7 + o3) * 16069, right = all - (o5 + o1) * 3196;
  const int64_t odd[4] = {o1 * 12299 + outer + right, o3 * 25172 + inner + left,
                          o5 * 16819 + inner + right, o7 * 2446 + outer + left};
  for (int k = 0; k < 4; ++k) {
    at(k) = (even[k] + odd[k] + half) >> shift;
    at(7 - k) = (even[k] - odd[k] + half) >> shift;
  }
}

[[maybe_unused]] inline uint8_t jpeg_byte(int64_t value) {
  return static_cast<uint8_t>(value < 0 ? 0 : value > 255 ? 255 : value);
}

/// A block of coefficients as 8 rows of samples.
[[maybe_unused]] inline void jpeg_samples(const int16_t* block, const uint16_t* steps, uint8_t* to,
                                          int64_t stride) {
  int64_t v[64];
  for (int k = 0; k < 64; ++k) v[k] = int64_t{block[k]} * steps[k];
  for (int x = 0; x < 8; ++x) jpeg_transform(v + x, 8, 11);
  for (int y = 0; y < 8; ++y) {
    jpeg_transform(v + 8 * y, 1, 18);
    for (int x = 0; x < 8; ++x) to[y * stride + x] = jpeg_byte(v[8 * y + x] + 128);
  }
}

/// Row y of the picture of one component, as wide as the picture.
struct JpegRow {
  const JpegPart& p;
  int h, v;  // pixels a sample stands for
  const uint8_t* near;
  const uint8_t* far;  // the row of samples next to the pixels, beyond `near`
  int64_t y;

  JpegRow(const Jpeg& j, const JpegPart& part, int64_t row)
      : p(part), h(j.h / part.h), v(j.v / part.v), near(part.row(row / v)), far(near), y(row) {
    if (v == 2) far = part.row(row / 2 + (row % 2 == 0 ? -1 : 1));
  }

  bool smooth_across() const { return h == 2 && v <= 2 && p.width > 2; }
  bool smooth_down() const { return v == 2 && (h == 1 || smooth_across()); }

  /// Sample k, four times it where rows are mixed.
  int mixed(int64_t k) const { return smooth_down() ? 3 * near[k] + far[k] : near[k]; }

  uint8_t pixel(int64_t x) const {
    const int64_t k = x / h;
    const bool second = x % 2 != 0;
    if (!smooth_across()) {
      if (!smooth_down()) return near[k];
      return static_cast<uint8_t>((mixed(k) + (y % 2 == 0 ? 1 : 2)) >> 2);
    }
    const int64_t next = second ? k + 1 : k - 1;
    const bool edge = next < 0 || next >= p.width;
    const int sum = 3 * mixed(k) + mixed(edge ? k : next);
    if (smooth_down()) return static_cast<uint8_t>((sum + (second ? 7 : 8)) >> 4);
    return static_cast<uint8_t>((sum + (second ? 2 : 1)) >> 2);
  }
};

/// Are the three components red, green and blue? By the markers, else by their names.
[[maybe_unused]] inline bool jpeg_is_rgb(const Jpeg& j) {
  if (j.jfif) return false;
  if (j.adobe >= 0) return j.adobe == 0;
  return j.parts[0].id == 'R' && j.parts[1].id == 'G' && j.parts[2].id == 'B';
}

[[maybe_unused]] inline Color jpeg_color(int y, int cb, int cr) {
  const int b = cb - 128, r = cr - 128;
  return {jpeg_byte(y + ((91881 * r + 32768) >> 16)),
          jpeg_byte(y + ((-22554 * b - 46802 * r + 32768) >> 16)),
          jpeg_byte(y + ((116130 * b + 32768) >> 16))};
}

/// Everything behind the last scan.
[[maybe_unused]] inline void jpeg_finish(const Jpeg& j, Picture& to) {
  for (int c = 0; c < j.count; ++c) {
    const JpegPart& p = j.parts[c];
    for (int64_t y = 0; y < p.down; ++y) {
      for (int64_t x = 0; x < p.across; ++x) {
        uint8_t* const at = p.samples + (8 * y * p.stride + x) * 8;
        jpeg_samples(p.block(y, x), p.steps, at, 8 * p.stride);
      }
    }
  }
  const bool rgb = j.count == 3 && jpeg_is_rgb(j);
  for (int64_t y = 0; y < j.size.height; ++y) {
    const JpegRow rows[3] = {
        {j, j.parts[0], y}, {j, j.parts[j.count - 1 < 1 ? 0 : 1], y}, {j, j.parts[j.count - 1], y}};
    for (int64_t x = 0; x < j.size.width; ++x) {
      const uint8_t v = rows[0].pixel(x);
      if (j.count == 1) {
        to.put(y, x, v);
      } else if (rgb) {
        to.put(y, x, {v, rows[1].pixel(x), rows[2].pixel(x)});
      } else {
        to.put(y, x, jpeg_color(v, rows[1].pixel(x), rows[2].pixel(x)));
      }
    }
  }
}

}  // namespace image
}  // namespace
}  // namespace AOT_NS
