// SPDX-License-Identifier: 0BSD
//
// image_tiff.h: TIFF, revision 6.0, the first picture of a file.
//
// Format      either byte order; strips of whole or of separate samples, as they are, in PackBits,
//             LZW or Deflate, with the horizontal predictor or without; grey and palettes of 1 to 8
//             bits, grey and RGB of 8 and 16 bits, of which the higher 8 are kept. Further samples
//             are dropped. The picture is turned as its orientation says.
// Hostility   offsets and counts are held against the data before they are used. All strips
//             together hold no more than the data can encode.
// Memory      one strip of each plane.
#pragma once

#include "image_inflate.h"
#include "image_lzw.h"

namespace AOT_NS {
namespace {
namespace image {

/// Values of a field: `count` of `width` bytes each from `at` on; a field that is missing has none.
struct TiffField {
  int64_t at;
  int64_t count;
  int width;
};

struct Tiff {
  Size size;  // as stored
  bool big;
  int depth;        // bits of a sample
  int samples;      // of a pixel
  int photometric;  // 0 grey from white, 1 grey from black, 2 RGB, 3 palette
  int coding;
  bool planes;  // samples lie in planes of their own
  bool predicted;
  int orientation;
  int64_t strip;  // rows
  TiffField offsets, counts, colors;

  int64_t row() const { return (size.width * depth * (planes ? 1 : samples) + 7) / 8; }
  int used() const { return photometric == 2 ? 3 : 1; }
  bool turned() const { return orientation > 4; }
};

[[maybe_unused]] inline int64_t tiff_value(const Tiff& t, Reader r, const TiffField& f, int64_t k) {
  if (k >= f.count) return -1;
  r.at = f.at + k * f.width;
  const int64_t value = r.number(f.width, t.big);
  return r.ended ? -1 : value;
}

/// The first value of a field, or what stands for it where it is missing.
[[maybe_unused]] inline int tiff_first(const Tiff& t, const Reader& r, const TiffField& f,
                                       int otherwise) {
  if (f.count == 0) return otherwise;
  const int64_t value = tiff_value(t, r, f, 0);
  return value > 65535 ? -1 : static_cast<int>(value);
}

enum TiffTag : int {
  kWidth = 256,
  kHeight = 257,
  kBits = 258,
  kCompression = 259,
  kPhotometric = 262,
  kFillOrder = 266,
  kOffsets = 273,
  kOrientation = 274,
  kSamples = 277,
  kRows = 278,
  kCounts = 279,
  kPlanar = 284,
  kPredictor = 317,
  kColorMap = 320,
  kSampleFormat = 339
};

/// The field of the directory at `where` with this tag, if it holds unsigned integers.
[[maybe_unused]] inline TiffField tiff_field(const Tiff& t, Reader r, int64_t where, int tag) {
  r.at = where;
  const int64_t entries = r.number(2, t.big);
  for (int64_t k = 0; k < entries && !r.ended; ++k) {
    r.at = where + 2 + 12 * k;
    const bool found = static_cast<int>(r.number(2, t.big)) == tag;
    const int type = static_cast<int>(r.number(2, t.big));
    const int64_t count = r.number(4, t.big);
    if (!found || (type != 1 && type != 3 && type != 4)) continue;
    const int width = type == 1 ? 1 : type == 3 ? 2 : 4;
    const int64_t at = count * width <= 4 ? r.at : int64_t{r.number(4, t.big)};
    if (r.ended || at + count * width > r.size) return {0, 0, 1};
    return {at, count, width};
  }
  return {0, 0, 1};
}

/// Is it of a kind that is decoded?
[[maybe_unused]] inline bool tiff_known(const Tiff& t) {
  const bool small = t.depth == 1 || t.depth == 2 || t.depth == 4;
  const bool grey = t.photometric == 0 || t.photometric == 1;
  const bool depth = t.depth == 8 || (t.depth == 16 && t.photometric != 3) ||
                     (small && t.photometric != 2 && (t.samples == 1 || t.planes));
  const bool coding =
      t.coding == 1 || t.coding == 5 || t.coding == 8 || t.coding == 32773 || t.coding == 32946;
  return depth && coding && (grey || t.photometric == 2 || t.photometric == 3) &&
         t.samples >= t.used() && t.samples <= 8 && (!t.predicted || t.depth == 8) &&
         t.orientation >= 1 && t.orientation <= 8;
}

/// The fields of the directory at `where`.
[[maybe_unused]] inline bool tiff_fields(Tiff& t, const Reader& r, int64_t where) {
  const auto field = [&](int tag) { return tiff_field(t, r, where, tag); };
  const auto first = [&](int tag, int otherwise) {
    return tiff_first(t, r, field(tag), otherwise);
  };
  t.size = {tiff_value(t, r, field(kHeight), 0), tiff_value(t, r, field(kWidth), 0)};
  t.samples = first(kSamples, 1);
  t.depth = first(kBits, 1);
  t.coding = first(kCompression, 1);
  t.photometric = first(kPhotometric, -1);
  t.planes = first(kPlanar, 1) == 2 && t.samples > 1;
  const bool coded = t.coding == 5 || t.coding == 8 || t.coding == 32946;
  t.predicted = coded && first(kPredictor, 1) == 2;  // others never are, whatever they say
  t.orientation = first(kOrientation, 1);
  t.offsets = field(kOffsets);
  t.counts = field(kCounts);
  t.colors = field(kColorMap);
  const TiffField bits = field(kBits);
  for (int64_t k = 1; k < bits.count && k < t.samples; ++k) {
    if (tiff_value(t, r, bits, k) != t.depth) return false;
  }
  const TiffField rows = field(kRows);
  t.strip = rows.count > 0 ? tiff_value(t, r, rows, 0) : t.size.height;
  if (t.strip > t.size.height) t.strip = t.size.height;
  return first(kFillOrder, 1) == 1 && first(kSampleFormat, 1) == 1 &&
         (!coded || first(kPredictor, 1) <= 2);
}

[[maybe_unused]] inline bool tiff_header(Reader r, Tiff& t) {
  t = {};
  t.big = r.byte() == 'M';
  r.skip(3);
  if (!tiff_fields(t, r, r.number(4, t.big)) || !tiff_known(t) || t.strip <= 0) return false;
  const int64_t ratio = t.coding == 1 ? 1 : t.coding == 32773 ? 64 : t.coding == 5 ? 2048 : 1032;
  const int64_t bits = t.depth * t.samples;
  if (!allowed(t.size, bits, r.size, ratio)) return false;
  const int64_t strips = (t.size.height + t.strip - 1) / t.strip * (t.planes ? t.samples : 1);
  const bool counted = t.counts.count >= strips || (t.coding == 1 && t.counts.count == 0);
  return t.row() * t.size.height / ratio <= r.size && t.offsets.count >= strips && counted &&
         (t.photometric != 3 || t.colors.count >= int64_t{3} << t.depth);
}

/// `size` bytes of strip k into `out`.
[[maybe_unused]] inline bool tiff_strip(const Tiff& t, const Reader& r, int64_t k, uint8_t* out,
                                        int64_t size, LzwString* strings) {
  const int64_t from = tiff_value(t, r, t.offsets, k);
  const int64_t count = t.counts.count == 0 ? size : tiff_value(t, r, t.counts, k);
  if (from < 0 || count < 0 || from > r.size || count > r.size - from) return false;
  Reader strip{r.data + from, count};
  if (t.coding == 5) return unpack_lzw(strip, out, size, strings);
  if (t.coding == 32773) return unpack_bits(strip, out, size);
  if (t.coding != 1) return inflate(strip, out, size);
  if (count < size) return false;
  __builtin_memcpy(out, strip.data, static_cast<size_t>(size));
  return true;
}

/// Each sample is told as what it is more than the one of the same kind before it.
[[maybe_unused]] inline void tiff_add_up(const Tiff& t, uint8_t* row) {
  const int64_t step = t.planes ? 1 : t.samples;
  for (int64_t k = step; k < t.row(); ++k) row[k] = static_cast<uint8_t>(row[k] + row[k - step]);
}

/// Pixel x of a row, whose planes are `plane` bytes apart.
[[maybe_unused]] inline Color tiff_pixel(const Tiff& t, const Reader& r, const uint8_t* row,
                                         int64_t plane, int64_t x) {
  int v[3] = {};
  for (int k = 0; k < t.used(); ++k) {
    const uint8_t* const from = t.planes ? row + k * plane : row;
    const int64_t at = t.planes ? x : x * t.samples + k;
    v[k] = sample_of(from + (t.depth == 16 && !t.big ? 1 : 0), at, t.depth);
  }
  if (t.photometric == 3) {
    const int index = v[0];
    const auto entry = [&](int k) {
      return tiff_value(t, r, t.colors, (k << t.depth) + index) >> 8;
    };
    for (int k = 0; k < 3; ++k) v[k] = static_cast<int>(entry(k));
  } else if (t.photometric < 2) {
    const int scaled = t.depth < 8 ? v[0] * 255 / ((1 << t.depth) - 1) : v[0];
    v[0] = v[1] = v[2] = t.photometric == 0 ? 255 - scaled : scaled;
  }
  return {static_cast<uint8_t>(v[0]), static_cast<uint8_t>(v[1]), static_cast<uint8_t>(v[2])};
}

/// A pixel to its place in the picture, turned as the orientation says.
[[maybe_unused]] inline void tiff_put(const Tiff& t, int64_t y, int64_t x, Color c, Picture& to) {
  const int o = t.orientation;
  if (o == 3 || o == 4 || o == 6 || o == 7) y = t.size.height - 1 - y;
  if (o == 2 || o == 3 || o == 7 || o == 8) x = t.size.width - 1 - x;
  if (t.turned()) {
    to.put(x, y, c);
  } else {
    to.put(y, x, c);
  }
}

[[maybe_unused]] inline Size tiff_size(Reader r) {
  Tiff t;
  if (!tiff_header(r, t)) return kNone;
  return t.turned() ? Size{t.size.width, t.size.height} : t.size;
}

[[maybe_unused]] inline End tiff_decode(Reader r, Picture to, Scratch& scratch) {
  Tiff t;
  if (!tiff_header(r, t)) return End::broken;
  const int64_t row = t.row(), plane = t.strip * row, strips = (t.size.height - 1) / t.strip + 1;
  const int planes = t.planes ? t.used() : 1;
  uint8_t* const rows = scratch.take<uint8_t>(plane * planes + 1);
  LzwString* const strings = scratch.take<LzwString>(t.coding == 5 ? kLzwStrings : 0);
  if (rows == nullptr || strings == nullptr) return End::no_memory;
  for (int64_t k = 0; k < strips; ++k) {
    const int64_t top = k * t.strip, rest = t.size.height - top;
    const int64_t height = rest < t.strip ? rest : t.strip;
    for (int p = 0; p < planes; ++p) {
      uint8_t* const out = rows + p * plane;
      if (!tiff_strip(t, r, p * strips + k, out, height * row, strings)) return End::broken;
      for (int64_t y = 0; t.predicted && y < height; ++y) tiff_add_up(t, out + y * row);
    }
    for (int64_t y = 0; y < height; ++y) {
      for (int64_t x = 0; x < t.size.width; ++x) {
        tiff_put(t, top + y, x, tiff_pixel(t, r, rows + y * row, plane, x), to);
      }
    }
  }
  return End::done;
}

}  // namespace image
}  // namespace
}  // namespace AOT_NS
