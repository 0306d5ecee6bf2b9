// SPDX-License-Identifier: 0BSD
//
// image_vp8_predict.h: what a block of VP8 is expected to be from its neighbours, and the inverse
// transforms of what it differs by (RFC 6386, sections 12 and 14).
//
// Planes      `at` points at a block inside a plane with a border: a row above the picture and a
//             column to the left of it.
#pragma once

#include "image_vp8_bits.h"

namespace AOT_NS {
namespace {
namespace image {

[[maybe_unused]] inline uint8_t vp8_byte(int value) {
  return static_cast<uint8_t>(value < 0 ? 0 : value > 255 ? 255 : value);
}

/// A square of n pixels a side, all alike: the mean of what is above and to the left, where these
/// are in the picture.
[[maybe_unused]] inline void vp8_mean(uint8_t* at, int64_t stride, int n, bool above, bool left) {
  int sum = 0;
  for (int k = 0; k < n; ++k) sum += (above ? at[k - stride] : 0) + (left ? at[k * stride - 1] : 0);
  const int count = n * ((above ? 1 : 0) + (left ? 1 : 0));
  const int mean = count == 0 ? 128 : (sum + count / 2) / count;
  for (int y = 0; y < n; ++y) __builtin_memset(at + y * stride, mean, static_cast<size_t>(n));
}

[[maybe_unused]] inline void vp8_square(uint8_t* at, int64_t stride, int n, int mode, bool above,
                                        bool left) {
  if (mode == kDc) return vp8_mean(at, stride, n, above, left);
  const int corner = at[-stride - 1];
  for (int y = 0; y < n; ++y) {
    uint8_t* const row = at + y * stride;
    const int side = row[-1];
    for (int x = 0; x < n; ++x) {
      const int top = at[x - stride];
      row[x] = mode == kV   ? static_cast<uint8_t>(top)
               : mode == kH ? static_cast<uint8_t>(side)
                            : vp8_byte(side + top - corner);
    }
  }
}

/// The modes of subblocks, as their tree numbers them.
enum Vp8SubMode : int { kSubDc, kSubTm, kSubV, kSubH, kLd, kRd, kVr, kVl, kHd, kHu };

/// Thirteen pixels around a subblock, from the lower left over the corner to the upper right.
struct Vp8Edge {
  int e[13];

  int two(int k) const { return (e[k] + e[k + 1] + 1) >> 1; }
  int three(int k) const { return (e[k - 1] + 2 * e[k] + e[k + 1] + 2) >> 2; }
  int first() const { return (e[1] + 3 * e[0] + 2) >> 2; }  // three, with the first repeated
  int last() const { return (e[11] + 3 * e[12] + 2) >> 2; }
};

/// Pixel (y, x) of a subblock in one of the modes that follow a direction. Lines of the same
/// direction meet the edge at the same place: in steps of whole pixels, or of halves.
[[maybe_unused]] inline int vp8_slanted(const Vp8Edge& e, int mode, int y, int x) {
  if (mode == kLd) return x + y == 6 ? e.last() : e.three(6 + x + y);
  if (mode == kRd) return e.three(4 + x - y);
  if (mode == kVr) {
    const int d = 2 * x - y;
    return d < -1 ? e.three(5 + d) : d % 2 == 0 ? e.two(4 + d / 2) : e.three(4 + (d + 1) / 2);
  }
  if (mode == kVl) {
    if (x == 3 && y >= 2) return e.three(8 + y);
    return y % 2 == 0 ? e.two(5 + x + y / 2) : e.three(6 + x + y / 2);
  }
  if (mode == kHd) {
    const int d = 2 * y - x;
    return d < -1 ? e.three(3 - d) : d % 2 == 0 ? e.two(3 - d / 2) : e.three(4 - (d + 1) / 2);
  }
  const int d = 2 * y + x;  // kHu
  if (d > 5) return e.e[0];
  return d == 5 ? e.first() : d % 2 == 0 ? e.two(2 - d / 2) : e.three(2 - d / 2);
}

/// A subblock of 4 x 4; `right`: the four pixels above and to the right of it.
[[maybe_unused]] inline void vp8_subblock(uint8_t* at, int64_t stride, int mode,
                                          const uint8_t* right) {
  if (mode == kSubDc) return vp8_mean(at, stride, 4, true, true);
  if (mode == kSubTm) return vp8_square(at, stride, 4, kTm, true, true);
  Vp8Edge e;
  for (int k = 0; k < 4; ++k) {
    e.e[3 - k] = at[k * stride - 1];
    e.e[5 + k] = at[k - stride];
    e.e[9 + k] = right[k];
  }
  e.e[4] = at[-stride - 1];
  for (int y = 0; y < 4; ++y) {
    for (int x = 0; x < 4; ++x) {
      const int value = mode == kSubV   ? e.three(5 + x)
                        : mode == kSubH ? (y == 3 ? e.first() : e.three(3 - y))
                                        : vp8_slanted(e, mode, y, x);
      at[y * stride + x] = static_cast<uint8_t>(value);
    }
  }
}

/// Four values `step` apart, transformed in place.
[[maybe_unused]] inline void vp8_transform(int* v, int step) {
  const auto cosine = [](int x) { return x + static_cast<int>((int64_t{x} * 20091) >> 16); };
  const auto sine = [](int x) { return static_cast<int>((int64_t{x} * 35468) >> 16); };
  const int a = v[0] + v[2 * step], b = v[0] - v[2 * step];
  const int c = sine(v[step]) - cosine(v[3 * step]), d = cosine(v[step]) + sine(v[3 * step]);
  v[0] = a + d;
  v[step] = b + c;
  v[2 * step] = b - c;
  v[3 * step] = a - d;
}

/// Adds what 16 coefficients stand for to a subblock.
[[maybe_unused]] inline void vp8_add(const int* coefficients, uint8_t* at, int64_t stride) {
  int v[16];
  for (int k = 0; k < 16; ++k) v[k] = coefficients[k];
  for (int x = 0; x < 4; ++x) vp8_transform(v + x, 4);
  for (int y = 0; y < 4; ++y) {
    vp8_transform(v + 4 * y, 1);
    for (int x = 0; x < 4; ++x) {
      uint8_t& to = at[y * stride + x];
      to = vp8_byte(to + ((v[4 * y + x] + 4) >> 3));
    }
  }
}

/// Y2: 16 coefficients become the DC of 16 subblocks.
[[maybe_unused]] inline void vp8_spread(int* v) {
  for (int pass = 0; pass < 2; ++pass) {
    const int step = pass == 0 ? 4 : 1, next = pass == 0 ? 1 : 4, shift = pass == 0 ? 0 : 3;
    for (int k = 0; k < 4; ++k) {
      int* const at = v + k * next;
      const int a = at[0] + at[3 * step], b = at[step] + at[2 * step];
      const int c = at[step] - at[2 * step], d = at[0] - at[3 * step];
      const int half = pass == 0 ? 0 : 3;
      at[0] = (a + b + half) >> shift;
      at[step] = (c + d + half) >> shift;
      at[2 * step] = (a - b + half) >> shift;
      at[3 * step] = (d - c + half) >> shift;
    }
  }
}

}  // namespace image
}  // namespace
}  // namespace AOT_NS
