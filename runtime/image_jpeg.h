// SPDX-License-Identifier: 0BSD
//
// image_jpeg.h: JPEG (ITU-T T.81, ISO/IEC 10918-1): markers, frames and what they hold.
//
// Format      8 bits a sample, Huffman codes, sequential (SOF0, SOF1) or progressive (SOF2), scans
//             of one or more components, restarts; grey, YCbCr or RGB; components sampled a whole
//             number of times less often than the most detailed.
// Errors      strict: what T.81 forbids or a file that has no EOI is broken.
// Memory      all coefficients and samples. Every block takes a bit at least of the data.
#pragma once

#include "image_jpeg_pixels.h"
#include "image_jpeg_scan.h"

namespace AOT_NS {
namespace {
namespace image {

enum JpegMarker : int {
  kSof0 = 0xC0,
  kSof2 = 0xC2,
  kDht = 0xC4,
  kJpg = 0xC8,
  kDac = 0xCC,
  kSof15 = 0xCF,
  kRst0 = 0xD0,
  kSoi = 0xD8,
  kEoi = 0xD9,
  kSos = 0xDA,
  kDqt = 0xDB,
  kDri = 0xDD,
  kApp0 = 0xE0,
  kApp14 = 0xEE
};

/// The next marker and what it holds; `marker` is -1 at the end of the data.
struct JpegSegment {
  int marker;
  Reader held;
};

[[maybe_unused]] inline JpegSegment jpeg_segment(Reader& r) {
  const Reader nothing{r.data, 0};
  for (;;) {
    int marker = r.byte();
    while (marker != 0xFF && !r.ended) marker = r.byte();
    while (marker == 0xFF && !r.ended) marker = r.byte();
    if (r.ended) return {-1, nothing};
    if (marker == kEoi) return {marker, nothing};
    if (marker <= 1 || (marker >= kRst0 && marker <= kSoi)) continue;  // these hold nothing
    const int64_t size = r.big(2);
    if (r.ended || size < 2 || size - 2 > r.left()) return {-1, nothing};
    const Reader held{r.data + r.at, size - 2};
    r.skip(size - 2);
    return {marker, held};
  }
}

[[maybe_unused]] inline bool jpeg_is_frame(int marker) {
  return marker >= kSof0 && marker <= kSof15 && marker != kDht && marker != kJpg && marker != kDac;
}

/// The layout of the components, once the frame has named them.
[[maybe_unused]] inline bool jpeg_layout(Jpeg& j, int64_t bytes) {
  int64_t blocks = 0;
  for (int c = 0; c < j.count; ++c) {
    j.h = j.parts[c].h > j.h ? j.parts[c].h : j.h;
    j.v = j.parts[c].v > j.v ? j.parts[c].v : j.v;
  }
  for (int c = 0; c < j.count; ++c) {
    JpegPart& p = j.parts[c];
    if (j.h % p.h != 0 || j.v % p.v != 0) return false;
    p.width = (j.size.width * p.h + j.h - 1) / j.h;
    p.height = (j.size.height * p.v + j.v - 1) / j.v;
    p.across = (p.width + 7) / 8;
    p.down = (p.height + 7) / 8;
    p.stride = (p.across + p.h - 1) / p.h * p.h;
    p.rows = (p.down + p.v - 1) / p.v * p.v;
    blocks += p.across * p.down;
  }
  return blocks / 8 <= bytes;
}

/// SOF; false: broken, or of a kind that is not decoded.
[[maybe_unused]] inline bool jpeg_frame(Jpeg& j, const JpegSegment& s, int64_t bytes) {
  Reader r = s.held;
  if (s.marker > kSof2 || j.count != 0) return false;
  j.progressive = s.marker == kSof2;
  const int precision = r.byte();
  j.size.height = r.big(2);
  j.size.width = r.big(2);
  const int count = r.byte();
  if (precision != 8 || (count != 1 && count != 3)) return false;
  for (int c = 0; c < count; ++c) {
    JpegPart& p = j.parts[c];
    p.id = r.byte();
    const int sampling = r.byte();
    p.h = count == 1 ? 1 : sampling >> 4;
    p.v = count == 1 ? 1 : sampling & 15;
    p.table = r.byte();
    if (p.h < 1 || p.h > 4 || p.v < 1 || p.v > 4 || p.table > 3) return false;
    for (int k = 0; k < c; ++k) {
      if (j.parts[k].id == p.id) return false;
    }
  }
  j.count = count;
  return !r.ended && allowed(j.size, 1, bytes, kMostPixels) && jpeg_layout(j, bytes);
}

/// DQT: tables of 8 or 16 bits in the order of the zigzag.
[[maybe_unused]] inline bool jpeg_steps(Jpeg& j, Reader r) {
  while (r.left() > 0) {
    const int head = r.byte(), table = head & 15;
    if (head >> 4 > 1 || table > 3) return false;
    for (int k = 0; k < 64; ++k) {
      j.steps[table][kZigzag[k]] = static_cast<uint16_t>(r.big(head >> 4 == 0 ? 1 : 2));
    }
    j.has_steps[table] = true;
  }
  return !r.ended;
}

[[maybe_unused]] inline bool jpeg_codes(Jpeg& j, Reader r) {
  while (r.left() > 0) {
    const int head = r.byte();
    if (head >> 4 > 1 || (head & 15) > 3) return false;
    if (!j.codes[head >> 4][head & 15].make(r)) return false;
  }
  return !r.ended;
}

/// Room for all coefficients and samples.
[[maybe_unused]] inline bool jpeg_room(Jpeg& j, Scratch& scratch) {
  for (int c = 0; c < j.count; ++c) {
    JpegPart& p = j.parts[c];
    p.blocks = scratch.take<int16_t>(64 * p.stride * p.rows);
    p.samples = scratch.take<uint8_t>(64 * p.stride * p.rows);
    if (p.blocks == nullptr || p.samples == nullptr) return false;
  }
  return true;
}

/// A scan, from its header to the next marker.
[[maybe_unused]] inline bool jpeg_scan(Jpeg& j, const Reader& header, Reader& r) {
  JpegScan scan(j, r);
  if (j.count == 0 || !scan.header(header) || !scan.take_steps() || !scan.tells_more())
    return false;
  if (!scan.run_units()) return false;
  r.at = scan.bits.r.at;
  return true;
}

/// What a marker other than those of frames and scans says.
[[maybe_unused]] inline bool jpeg_table(Jpeg& j, const JpegSegment& s) {
  Reader r = s.held;
  switch (s.marker) {
    case kDqt:
      return jpeg_steps(j, r);
    case kDht:
      return jpeg_codes(j, r);
    case kDri:
      j.interval = static_cast<int>(r.big(2));
      return !r.ended;
    case kDac:
      return false;
    case kApp0:
      j.jfif = j.jfif || r.begins("JFIF\0", 5);
      return true;
    case kApp14:
      if (r.begins("Adobe", 5) && r.size >= 12) j.adobe = r.data[11];
      return true;
    default:
      return true;
  }
}

[[maybe_unused]] inline Size jpeg_size(Reader r) {
  const int64_t bytes = r.size;
  r.skip(2);
  for (;;) {
    const JpegSegment s = jpeg_segment(r);
    if (s.marker < 0 || s.marker == kEoi || s.marker == kSos) return kNone;
    if (!jpeg_is_frame(s.marker)) continue;
    Reader held = s.held;
    held.skip(1);
    const int64_t height = held.big(2), width = held.big(2);
    Size size = {height, width};
    return s.marker <= kSof2 && allowed(size, 1, bytes, 512) ? size : kNone;
  }
}

[[maybe_unused]] inline End jpeg_decode(Reader r, Picture to, Scratch& scratch) {
  Jpeg* const j = scratch.take<Jpeg>(1);
  if (j == nullptr) return End::no_memory;
  const int64_t bytes = r.size;
  j->adobe = -1;
  r.skip(2);
  for (;;) {
    const JpegSegment s = jpeg_segment(r);
    if (s.marker < 0) return End::broken;
    if (s.marker == kEoi) break;
    if (jpeg_is_frame(s.marker)) {
      if (!jpeg_frame(*j, s, bytes)) return End::broken;
      if (!jpeg_room(*j, scratch)) return End::no_memory;
    } else if (s.marker == kSos) {
      if (!jpeg_scan(*j, s.held, r)) return End::broken;
    } else if (!jpeg_table(*j, s)) {
      return End::broken;
    }
  }
  for (int c = 0; c < j->count; ++c) {
    if (j->parts[c].known[0] == 0) return End::broken;
  }
  if (j->count == 0) return End::broken;
  jpeg_finish(*j, to);
  return End::done;
}

}  // namespace image
}  // namespace
}  // namespace AOT_NS
