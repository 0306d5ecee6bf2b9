// SPDX-License-Identifier: 0BSD
//
// image_j2k_wavelet.h: the inverse wavelet transforms of JPEG 2000 (ITU-T T.800, annex F): the
// reversible one of integers, 5 and 3 long, and that of floats, 9 and 7 long.
//
// Layout      the low half of a line stands before its high half; the transform interleaves them.
#pragma once

#include "image_picture.h"

namespace AOT_NS {
namespace {
namespace image {

/// The element of a line that stands for place k, mirrored at both ends.
template <class T>
[[maybe_unused]] inline T j2k_mirrored(const T* v, int64_t k, int64_t n) {
  if (k < 0) k = -k;
  return v[k >= n ? 2 * (n - 1) - k : k];
}

/// Every second element from `first` on changes by its neighbours.
template <class T, class F>
[[maybe_unused]] inline void j2k_lift(T* v, int64_t n, int64_t first, const F& by) {
  for (int64_t k = first; k < n; k += 2) {
    v[k] = by(v[k], j2k_mirrored(v, k - 1, n), j2k_mirrored(v, k + 1, n));
  }
}

/// A product that is rounded by itself, even where a machine can multiply and add at once: so that
/// all of them make the same pixels.
[[maybe_unused]] inline float j2k_times(float a, float b) {
  const volatile float product = a * b;
  return product;
}

/// A line whose first place is even or, with `odd`, odd.
[[maybe_unused]] inline void j2k_line(int32_t* v, int64_t n, bool odd) {
  if (n == 1) {
    if (odd) v[0] /= 2;
    return;
  }
  const auto sum = [](int32_t a, int32_t b) { return int64_t{a} + b; };
  j2k_lift(v, n, odd ? 1 : 0, [&](int32_t x, int32_t a, int32_t b) {
    return static_cast<int32_t>(x - ((sum(a, b) + 2) >> 2));
  });
  j2k_lift(v, n, odd ? 0 : 1, [&](int32_t x, int32_t a, int32_t b) {
    return static_cast<int32_t>(x + (sum(a, b) >> 1));
  });
}
[[maybe_unused]] inline void j2k_line(float* v, int64_t n, bool odd) {
  if (n == 1) {
    if (odd) v[0] *= 0.5f;
    return;
  }
  const int64_t low = odd ? 1 : 0, high = 1 - low;
  // The standard's K, and as its inverse the number that the decoders in use have, not 0.812893.
  const float scale = 1.230174105f, inverse = 0.812866211f;
  for (int64_t k = 0; k < n; ++k) v[k] *= k % 2 == low ? scale : inverse;
  const float steps[4] = {0.443506852f, 0.882911075f, -0.052980118f, -1.586134342f};
  for (int s = 0; s < 4; ++s) {
    const float step = steps[s];
    j2k_lift(v, n, s % 2 == 0 ? low : high,
             [&](float x, float a, float b) { return x - j2k_times(step, a + b); });
  }
}

/// The samples of one resolution: places [x0, x1) x [y0, y1), rows `stride` apart.
struct J2kArea {
  int64_t x0, y0, x1, y1;

  int64_t width() const { return x1 - x0; }
  int64_t height() const { return y1 - y0; }
};

/// n elements `step` apart, of which those at even places come first.
template <class T>
[[maybe_unused]] inline void j2k_along(T* at, int64_t step, int64_t n, int64_t first, T* line) {
  const bool odd = first % 2 != 0;
  const int64_t lows = (n + (odd ? 0 : 1)) / 2;
  for (int64_t k = 0; k < n; ++k) {
    const bool high = (k % 2 != 0) != odd;
    line[k] = at[(high ? lows + k / 2 : k / 2) * step];
  }
  j2k_line(line, n, odd);
  for (int64_t k = 0; k < n; ++k) at[k * step] = line[k];
}

/// The four bands of a resolution become its samples; `line`: room for the longer side.
template <class T>
[[maybe_unused]] inline void j2k_join(T* at, int64_t stride, const J2kArea& a, T* line) {
  for (int64_t y = 0; y < a.height(); ++y) j2k_along(at + y * stride, 1, a.width(), a.x0, line);
  for (int64_t x = 0; x < a.width(); ++x) j2k_along(at + x, stride, a.height(), a.y0, line);
}

}  // namespace image
}  // namespace
}  // namespace AOT_NS
