// SPDX-License-Identifier: 0BSD
//
// image_pnm.h: PBM, PGM and PPM, as the manual pages of Netpbm describe them: P1 to P3 as text, P4
// to P6 as bytes.
//
// Scale       a sample of maxval m becomes round(255 sample / m), ties to even; in bytes, one above
//             m counts as m, in text it makes the picture broken.
// Hostility   samples that the data do not hold make the picture broken; see image_picture.h.
#pragma once

#include "image_picture.h"

namespace AOT_NS {
namespace {
namespace image {

struct Pnm {
  Size size;
  bool text;
  int channels;    // 1 or 3
  int64_t most;    // maxval; 0: bits, of which 1 is black
  int64_t pixels;  // where they begin
};

[[maybe_unused]] inline bool pnm_space(int c) { return c == ' ' || (c >= 9 && c <= 13); }

/// Passes over white space and comments.
[[maybe_unused]] inline void pnm_skip(Reader& r) {
  for (; r.at < r.size; ++r.at) {
    if (r.data[r.at] == '#') {
      while (r.at + 1 < r.size && r.data[r.at] != '\n' && r.data[r.at] != '\r') ++r.at;
    } else if (!pnm_space(r.data[r.at])) {
      return;
    }
  }
}

/// The next number; -1: there is none, or none that anything may be.
[[maybe_unused]] inline int64_t pnm_number(Reader& r) {
  pnm_skip(r);
  int64_t value = -1;
  for (; r.at < r.size && r.data[r.at] >= '0' && r.data[r.at] <= '9'; ++r.at) {
    value = (value < 0 ? 0 : value) * 10 + (r.data[r.at] - '0');
    if (value > kMostPixels) return -1;
  }
  return value;
}

[[maybe_unused]] inline bool pnm_header(Reader r, Pnm& p) {
  p = {};
  r.skip(1);
  const int kind = r.byte() - '0';
  p.text = kind <= 3;
  p.channels = kind % 3 == 0 ? 3 : 1;
  p.size.width = pnm_number(r);
  p.size.height = pnm_number(r);
  p.most = kind % 3 == 1 ? 0 : pnm_number(r);
  if (kind % 3 != 1 && (p.most < 1 || p.most > 65535)) return false;
  if (r.at >= r.size || !pnm_space(r.data[r.at])) return false;
  p.pixels = r.at + 1;
  const int64_t width = p.most == 0 ? 1 : p.text ? 8 : p.most > 255 ? 16 : 8;
  if (!allowed(p.size, width * p.channels, r.size - p.pixels, 1)) return false;
  const int64_t samples = p.size.height * p.size.width * p.channels;
  if (p.text) return r.size - p.pixels >= (p.most == 0 ? samples : 2 * samples - 1);
  if (p.most == 0) return r.size - p.pixels >= (p.size.width + 7) / 8 * p.size.height;
  return true;
}

/// The next sample as a byte; -1: there is none.
[[maybe_unused]] inline int pnm_sample(const Pnm& p, Reader& r, int64_t x) {
  if (p.most == 0) {
    if (!p.text) return (r.data[r.at + x / 8] >> (7 - x % 8) & 1) != 0 ? 0 : 255;
    pnm_skip(r);
    const int digit = r.byte() - '0';
    return r.ended || digit < 0 || digit > 1 ? -1 : digit != 0 ? 0 : 255;
  }
  const int64_t value = p.text ? pnm_number(r) : int64_t{r.big(p.most > 255 ? 2 : 1)};
  if (value < 0 || (p.text && value > p.most)) return -1;
  const int64_t scaled = (value < p.most ? value : p.most) * 255;
  const int64_t whole = scaled / p.most, rest = 2 * (scaled % p.most);
  return static_cast<int>(whole + (rest > p.most || (rest == p.most && whole % 2 != 0) ? 1 : 0));
}

[[maybe_unused]] inline Size pnm_size(Reader r) {
  Pnm p;
  return pnm_header(r, p) ? p.size : kNone;
}

[[maybe_unused]] inline End pnm_decode(Reader r, Picture to, Scratch&) {
  Pnm p;
  if (!pnm_header(r, p)) return End::broken;
  r.at = p.pixels;
  for (int64_t y = 0; y < p.size.height; ++y) {
    for (int64_t x = 0; x < p.size.width; ++x) {
      int v[3] = {};
      for (int k = 0; k < p.channels; ++k) v[k] = pnm_sample(p, r, x);
      for (int k = p.channels; k < 3; ++k) v[k] = v[0];
      if (v[0] < 0 || v[1] < 0 || v[2] < 0) return End::broken;
      to.put(y, x,
             {static_cast<uint8_t>(v[0]), static_cast<uint8_t>(v[1]), static_cast<uint8_t>(v[2])});
    }
    if (p.most == 0 && !p.text) r.skip((p.size.width + 7) / 8);
  }
  return End::done;
}

}  // namespace image
}  // namespace
}  // namespace AOT_NS
