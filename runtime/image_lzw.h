// SPDX-License-Identifier: 0BSD
//
// image_lzw.h: the run-length and the dictionary coding of TIFF (sections 9 and 13 of TIFF 6.0).
//
// Contract    each fills out[0..size), or says that the data are broken; what follows in the data
//             is not read.
// Hostility   every round of a loop takes bits from the data; data that end are broken.
#pragma once

#include "image_picture.h"

namespace AOT_NS {
namespace {
namespace image {

/// PackBits: a count of literal bytes, or of times that one byte is repeated.
[[maybe_unused]] inline bool unpack_bits(Reader r, uint8_t* out, int64_t size) {
  for (int64_t at = 0; at < size;) {
    const int head = r.byte();
    if (r.ended) return false;
    if (head == 128) continue;
    const bool repeats = head > 128;
    const int repeated = repeats ? r.byte() : 0;
    for (int k = repeats ? 257 - head : head + 1; k > 0 && at < size; --k) {
      out[at++] = static_cast<uint8_t>(repeats ? repeated : r.byte());
    }
    if (r.ended) return false;
  }
  return true;
}

/// A string of the dictionary: it stands in what has been made so far.
struct LzwString {
  int64_t at;
  int64_t length;
};
constexpr int kLzwStrings = 4096;

/// Codes of 9 to 12 bits, the highest bit first, which grow one code early.
struct LzwCodes {
  Reader r;
  uint32_t held = 0;
  int count = 0;

  explicit LzwCodes(const Reader& from) : r(from) {}

  int next(int width) {
    for (; count < width; count += 8) held = held << 8 | static_cast<uint32_t>(r.byte());
    count -= width;
    return static_cast<int>(held >> count & ((1u << width) - 1));
  }
};

/// `strings`: room for kLzwStrings. The string that a code adds is the one before it and one byte
/// more, which stand behind each other in `out`; so a code may stand for the string it adds.
[[maybe_unused]] inline bool unpack_lzw(const Reader& r, uint8_t* out, int64_t size,
                                        LzwString* strings) {
  const int kClear = 256, kEnd = 257;
  LzwCodes codes(r);
  int width = 9, known = kEnd + 1;
  LzwString last = {0, 0};
  for (int64_t at = 0; at < size;) {
    const int code = codes.next(width);
    if (codes.r.ended || code == kEnd) return false;
    if (code == kClear) {
      width = 9;
      known = kEnd + 1;
      last.length = 0;
      continue;
    }
    if (last.length > 0 && known < kLzwStrings) strings[known++] = {last.at, last.length + 1};
    if (code >= known) return false;
    last.length = code < kClear ? 1 : strings[code].length;
    const int64_t from = code < kClear ? 0 : strings[code].at, start = at;
    for (int64_t k = 0; k < last.length && at < size; ++k, ++at) {
      out[at] = code < kClear ? static_cast<uint8_t>(code) : out[from + k];
    }
    last.at = start;
    if (known >= (1 << width) - 1 && width < 12) ++width;
  }
  return true;
}

}  // namespace image
}  // namespace
}  // namespace AOT_NS
