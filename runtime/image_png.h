// SPDX-License-Identifier: 0BSD
//
// image_png.h: PNG (ISO/IEC 15948, the W3C's Portable Network Graphics).
//
// Format      every colour type and bit depth, with Adam7 or without. Alpha and transparency are
//             dropped; of 16 bits the higher 8 are kept; other chunks are passed over.
// Checks      the CRC of the header and the palette, the checksum of the compressed pixels.
// Memory      the filtered rows of the whole picture, whose size follows from the header and which
//             that many bytes of data can encode.
#pragma once

#include "image_inflate.h"

namespace AOT_NS {
namespace {
namespace image {

struct Png {
  Size size;
  int depth;  // bits of a sample
  int type;   // 0 grey, 2 colour, 3 palette, 4 grey and alpha, 6 colour and alpha
  int channels;
  bool interlaced;
  int64_t palette;  // where it begins, or 0
  int64_t colors;   // how many it has
  int64_t pixels;   // where the first chunk of pixels begins
};

/// One of the seven pictures of Adam7, or the only one: every dy-th row from y on, and so for x.
struct PngPass {
  int y, x, dy, dx;

  Size of(Size s) const { return {(s.height - y + dy - 1) / dy, (s.width - x + dx - 1) / dx}; }
};

[[maybe_unused]] inline PngPass png_pass(const Png& p, int k) {
  const PngPass passes[8] = {{0, 0, 8, 8}, {0, 4, 8, 8}, {4, 0, 8, 4}, {0, 2, 4, 4},
                             {2, 0, 4, 2}, {0, 1, 2, 2}, {1, 0, 2, 1}, {0, 0, 1, 1}};
  return passes[p.interlaced ? k : 7];
}

[[maybe_unused]] inline int64_t png_row(const Png& p, int64_t width) {
  return (width * p.depth * p.channels + 7) / 8;
}

/// Bytes of all rows, each with its filter.
[[maybe_unused]] inline int64_t png_bytes(const Png& p) {
  int64_t total = 0;
  for (int k = 0; k < (p.interlaced ? 7 : 1); ++k) {
    const Size s = png_pass(p, k).of(p.size);
    if (s.width > 0) total += s.height * (1 + png_row(p, s.width));
  }
  return total;
}

/// Do the `count` bytes from r on have the CRC that follows them?
[[maybe_unused]] inline bool png_sums(Reader r, int64_t count) {
  uint32_t crc = 0xFFFFFFFFu;
  for (int64_t k = 0; k < count; ++k) {
    crc ^= static_cast<uint32_t>(r.byte());
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ ((crc & 1) != 0 ? 0xEDB88320u : 0);
  }
  return (crc ^ 0xFFFFFFFFu) == r.big(4) && !r.ended;
}

constexpr uint32_t png_tag(const char (&name)[5]) {
  uint32_t tag = 0;
  for (int k = 0; k < 4; ++k) tag = tag << 8 | static_cast<uint8_t>(name[k]);
  return tag;
}

/// The fields of IHDR, of a kind that exists.
[[maybe_unused]] inline bool png_fields(Reader& r, Png& p) {
  const int channels[7] = {1, 0, 3, 1, 2, 0, 4};
  if (r.big(4) != 13 || !png_sums(r, 17) || r.big(4) != png_tag("IHDR")) return false;
  p.size.width = r.big(4);
  p.size.height = r.big(4);
  p.depth = r.byte();
  p.type = r.byte();
  const bool plain = r.byte() == 0 && r.byte() == 0;
  const int interlace = r.byte();
  r.skip(4);
  if (p.type > 6 || !plain || interlace > 1) return false;
  p.channels = channels[p.type];
  p.interlaced = interlace == 1;
  const bool small = p.depth == 1 || p.depth == 2 || p.depth == 4;
  const bool usual = p.depth == 8 || (p.depth == 16 && p.type != 3);
  return p.channels > 0 && (usual || (small && (p.type == 0 || p.type == 3)));
}

[[maybe_unused]] inline bool png_header(Reader r, Png& p) {
  const int64_t most = 1032;  // what DEFLATE makes of a byte
  p = {};
  r.skip(8);
  if (!png_fields(r, p) || !allowed(p.size, p.depth * p.channels, r.size, most)) return false;
  if (png_bytes(p) / most > r.size) return false;
  for (;;) {
    const int64_t at = r.at, count = r.big(4);
    const Reader whole = r;
    const uint32_t tag = r.big(4);
    if (r.ended) return false;
    if (tag == png_tag("IDAT")) {
      p.pixels = at;
      return p.type != 3 || p.palette != 0;
    }
    if (tag == png_tag("PLTE")) {
      if (count > 768 || count % 3 != 0 || !png_sums(whole, 4 + count)) return false;
      p.palette = r.at;
      p.colors = count / 3;
    }
    r.skip(count + 4);
  }
}

/// The bytes of chunks of pixels that follow each other.
struct PngPixels {
  Reader r;
  int64_t left = 0;
  bool first = true;
  bool ended = false;

  explicit PngPixels(const Reader& from) : r(from) {}

  int byte() {
    while (left == 0 && !ended) {
      if (!first) r.skip(4);
      first = false;
      left = r.big(4);
      ended = r.big(4) != png_tag("IDAT") || r.ended;
    }
    if (ended) return 0;
    --left;
    const int value = r.byte();
    ended = r.ended;
    return value;
  }
};

/// Of left, above and upper left, that which is nearest to their gradient.
[[maybe_unused]] inline int png_nearest(int a, int b, int c) {
  const int pa = b > c ? b - c : c - b, pb = a > c ? a - c : c - a;
  const int pc = a + b > 2 * c ? a + b - 2 * c : 2 * c - a - b;
  return pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
}

/// Undoes the filter of a row, in place; `above`: the row before it, or null. Bytes of the same
/// sample are `step` apart. false: there is no such filter.
[[maybe_unused]] inline bool png_unfilter(int filter, uint8_t* row, const uint8_t* above,
                                          int64_t count, int64_t step) {
  if (filter > 4) return false;
  for (int64_t k = 0; k < count; ++k) {
    const int a = k >= step ? row[k - step] : 0;
    const int b = above != nullptr ? above[k] : 0;
    const int c = k >= step && above != nullptr ? above[k - step] : 0;
    const int guess = filter == 1   ? a
                      : filter == 2 ? b
                      : filter == 3 ? (a + b) / 2
                      : filter == 4 ? png_nearest(a, b, c)
                                    : 0;
    row[k] = static_cast<uint8_t>(row[k] + guess);
  }
  return true;
}

[[maybe_unused]] inline Color png_pixel(const Png& p, const Reader& r, const uint8_t* row,
                                        int64_t x) {
  const int v = sample_of(row, x * p.channels, p.depth);
  if (p.type == 3) {
    if (v >= p.colors) return {0, 0, 0};
    const uint8_t* const c = r.data + p.palette + 3 * v;
    return {c[0], c[1], c[2]};
  }
  if (p.type == 0 || p.type == 4) {
    const uint8_t grey = static_cast<uint8_t>(p.depth < 8 ? v * 255 / ((1 << p.depth) - 1) : v);
    return {grey, grey, grey};
  }
  return {static_cast<uint8_t>(v),
          static_cast<uint8_t>(sample_of(row, x * p.channels + 1, p.depth)),
          static_cast<uint8_t>(sample_of(row, x * p.channels + 2, p.depth))};
}

/// The rows of one pass from `rows` on, which moves behind them.
[[maybe_unused]] inline bool png_rows(const Png& p, const Reader& r, PngPass pass, uint8_t*& rows,
                                      Picture& to) {
  const Size s = pass.of(p.size);
  const int64_t count = png_row(p, s.width), bits = p.depth * p.channels;
  const uint8_t* above = nullptr;
  for (int64_t y = 0; s.width > 0 && y < s.height; ++y) {
    uint8_t* const row = rows + 1;
    if (!png_unfilter(rows[0], row, above, count, bits < 8 ? 1 : bits / 8)) return false;
    for (int64_t x = 0; x < s.width; ++x) {
      to.put(pass.y + y * pass.dy, pass.x + x * pass.dx, png_pixel(p, r, row, x));
    }
    above = row;
    rows = row + count;
  }
  return true;
}

[[maybe_unused]] inline Size png_size(Reader r) {
  Png p;
  return png_header(r, p) ? p.size : kNone;
}

[[maybe_unused]] inline End png_decode(Reader r, Picture to, Scratch& scratch) {
  Png p;
  if (!png_header(r, p)) return End::broken;
  const int64_t bytes = png_bytes(p);
  uint8_t* rows = scratch.take<uint8_t>(bytes);
  if (rows == nullptr) return End::no_memory;
  r.at = p.pixels;
  PngPixels pixels(r);
  if (!inflate(pixels, rows, bytes)) return End::broken;
  for (int k = 0; k < (p.interlaced ? 7 : 1); ++k) {
    if (!png_rows(p, r, png_pass(p, k), rows, to)) return End::broken;
  }
  return End::done;
}

}  // namespace image
}  // namespace
}  // namespace AOT_NS
