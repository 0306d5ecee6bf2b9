// SPDX-License-Identifier: 0BSD
//
// image_bmp.h: BMP, device-independent bitmaps of Windows and OS/2.
//
// Format      BITMAPFILEHEADER and BITMAPCOREHEADER, BITMAPINFOHEADER or one of its successors, as
//             Microsoft documents them: 1, 4 or 8 bits a pixel with a palette, 16, 24 or 32 bits of
//             colour, with masks or without, rows from the bottom up or from the top down.
//             Run lengths are not decoded. An alpha channel is dropped.
// Hostility   rows that the data do not hold make the picture broken; see image_picture.h.
#pragma once

#include "image_picture.h"

namespace AOT_NS {
namespace {
namespace image {

struct Bmp {
  Size size;
  bool top_down;
  int bits;           // a pixel
  int64_t row;        // bytes
  int64_t pixels;     // where they begin
  int64_t palette;    // where it begins
  int64_t entry;      // bytes of one color of it
  int64_t colors;     // how many it has
  uint32_t masks[3];  // red, green, blue
};

/// The masks of 16 and 32 bits: given behind the 40 bytes of the plain header, or the usual ones.
[[maybe_unused]] inline void bmp_masks(Bmp& b, Reader& r, bool given) {
  const uint32_t usual[2][3] = {{0x7C00, 0x3E0, 0x1F}, {0xFF0000, 0xFF00, 0xFF}};
  for (int k = 0; k < 3; ++k) b.masks[k] = given ? r.little(4) : usual[b.bits == 32][k];
}

/// The fields of a header of 40 bytes or more; false: of a kind that is not decoded.
[[maybe_unused]] inline bool bmp_info(Bmp& b, Reader& r, int64_t header) {
  b.size.width = static_cast<int32_t>(r.little(4));
  const int64_t height = static_cast<int32_t>(r.little(4));
  b.top_down = height < 0;
  b.size.height = b.top_down ? -height : height;
  r.skip(2);
  b.bits = static_cast<int>(r.little(2));
  const uint32_t coding = r.little(4);
  r.skip(12);
  b.colors = r.little(4);
  r.skip(4);
  const bool masked = coding == 3 || coding == 6;
  if (coding != 0 && !(masked && (b.bits == 16 || b.bits == 32))) return false;
  bmp_masks(b, r, masked);
  b.entry = 4;
  b.palette = 14 + header;
  return true;
}

[[maybe_unused]] inline bool bmp_header(Reader r, Bmp& b) {
  b = {};
  r.skip(10);
  b.pixels = r.little(4);
  const int64_t header = r.little(4);
  if (header == 12) {
    b.size.width = r.little(2);
    b.size.height = r.little(2);
    r.skip(2);
    b.bits = static_cast<int>(r.little(2));
    b.entry = 3;
    b.palette = 26;
    bmp_masks(b, r, false);
  } else if (header < 40 || header > 256 || !bmp_info(b, r, header)) {
    return false;
  }
  const bool indexed = b.bits == 1 || b.bits == 4 || b.bits == 8;
  if (!indexed && b.bits != 16 && b.bits != 24 && b.bits != 32) return false;
  const int64_t most = indexed ? 1 << b.bits : 0;
  if (b.colors == 0 || b.colors > most) b.colors = most;
  if (r.ended || !allowed(b.size, b.bits, r.size, 1)) return false;
  b.row = (b.size.width * b.bits + 31) / 32 * 4;
  return b.pixels + b.row * b.size.height <= r.size;
}

/// The bits of `value` under `mask`, as a byte.
[[maybe_unused]] inline uint8_t bmp_channel(uint32_t value, uint32_t mask) {
  if (mask == 0) return 0;
  const int low = __builtin_ctz(mask);
  return static_cast<uint8_t>(uint64_t{(value & mask) >> low} * 255 / (mask >> low));
}

[[maybe_unused]] inline Color bmp_pixel(const Bmp& b, Reader r, const uint8_t* row, int64_t x) {
  if (b.bits > 8) {
    const int64_t bytes = b.bits / 8;
    Reader p{row + bytes * x, bytes};
    const uint32_t v = p.little(static_cast<int>(bytes));
    if (b.bits == 24) {
      return {static_cast<uint8_t>(v >> 16), static_cast<uint8_t>(v >> 8 & 255),
              static_cast<uint8_t>(v & 255)};
    }
    return {bmp_channel(v, b.masks[0]), bmp_channel(v, b.masks[1]), bmp_channel(v, b.masks[2])};
  }
  const int each = 8 / b.bits;
  const int shift = (each - 1 - static_cast<int>(x % each)) * b.bits;
  const int64_t index = row[x / each] >> shift & ((1 << b.bits) - 1);
  if (index >= b.colors) return {0, 0, 0};
  r.at = b.palette + index * b.entry;
  const uint32_t v = r.little(3);
  return {static_cast<uint8_t>(v >> 16), static_cast<uint8_t>(v >> 8 & 255),
          static_cast<uint8_t>(v & 255)};
}

[[maybe_unused]] inline Size bmp_size(Reader r) {
  Bmp b;
  return bmp_header(r, b) ? b.size : kNone;
}

[[maybe_unused]] inline End bmp_decode(Reader r, Picture to, Scratch&) {
  Bmp b;
  if (!bmp_header(r, b)) return End::broken;
  for (int64_t y = 0; y < b.size.height; ++y) {
    const uint8_t* const row = r.data + b.pixels + y * b.row;
    const int64_t place = b.top_down ? y : b.size.height - 1 - y;
    for (int64_t x = 0; x < b.size.width; ++x) to.put(place, x, bmp_pixel(b, r, row, x));
  }
  return End::done;
}

}  // namespace image
}  // namespace
}  // namespace AOT_NS
