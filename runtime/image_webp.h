// SPDX-License-Identifier: 0BSD
//
// image_webp.h: WebP (Google's container specification): the lossy kind, a key frame of VP8.
//
// Format      a file with one frame, plain or extended; alpha is dropped. The lossless kind and
//             animations are not decoded.
// Colour      chroma halfway between samples is 9, 3, 3 and 1 parts of 16 of the four around, and
//             YCbCr is ITU-R BT.601's in studio range, both rounded as other decoders round them.
#pragma once

#include "image_vp8.h"

namespace AOT_NS {
namespace {
namespace image {

/// The chunk with the frame; of no bytes: there is none.
[[maybe_unused]] inline Reader webp_frame(Reader r) {
  const Reader nothing{r.data, 0};
  r.skip(12);
  while (r.left() >= 8) {
    const uint32_t tag = r.big(4);
    const int64_t size = r.little(4);
    if (size > r.left()) return nothing;
    if (tag == 0x56503820) return {r.data + r.at, size};  // "VP8 "
    r.skip(size + size % 2);
  }
  return nothing;
}

/// A sample of a plane at half the size, at pixel (y, x) of a picture of this size.
[[maybe_unused]] inline int webp_between(const Vp8Plane& p, Size s, int64_t y, int64_t x) {
  const int64_t rows = (s.height + 1) / 2, columns = (s.width + 1) / 2;
  int64_t beyond = y % 2 == 0 ? y / 2 - 1 : y / 2 + 1, beside = x % 2 == 0 ? x / 2 - 1 : x / 2 + 1;
  if (beyond < 0 || beyond >= rows) beyond = y / 2;
  const uint8_t* const near = p.at(y / 2, 0);
  const uint8_t* const far = p.at(beyond, 0);
  const int n = near[x / 2], f = far[x / 2];
  if (beside < 0 || beside >= columns) return (3 * n + f + 2) >> 2;
  const int m = near[beside], g = far[beside];
  return (((n + m + f + g + 8 + 2 * (m + f)) >> 3) + n) >> 1;
}

[[maybe_unused]] inline Color webp_color(int y, int u, int v) {
  const auto part = [](int value, int of) { return (value * of) >> 8; };
  const auto whole = [](int value) { return vp8_byte(value >> 6); };
  const int light = part(y, 19077);
  return {whole(light + part(v, 26149) - 14234),
          whole(light - part(u, 6419) - part(v, 13320) + 8708),
          whole(light + part(u, 33050) - 17685)};
}

[[maybe_unused]] inline Size webp_size(Reader r) {
  int64_t first = 0;
  return vp8_start(webp_frame(r), first);
}

[[maybe_unused]] inline End webp_decode(Reader r, Picture to, Scratch& scratch) {
  Vp8* const v = scratch.take<Vp8>(1);
  if (v == nullptr) return End::no_memory;
  const End end = vp8_decode(*v, webp_frame(r), scratch);
  if (end != End::done) return end;
  for (int64_t y = 0; y < to.size.height; ++y) {
    const uint8_t* const row = v->planes[0].at(y, 0);
    for (int64_t x = 0; x < to.size.width; ++x) {
      const int u = webp_between(v->planes[1], to.size, y, x);
      to.put(y, x, webp_color(row[x], u, webp_between(v->planes[2], to.size, y, x)));
    }
  }
  return End::done;
}

}  // namespace image
}  // namespace
}  // namespace AOT_NS
