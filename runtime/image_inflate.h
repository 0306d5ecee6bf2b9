// SPDX-License-Identifier: 0BSD
//
// image_inflate.h: the zlib format (RFC 1950) and DEFLATE (RFC 1951), into memory of known size.
//
// Contract    inflate(from, out, size) writes exactly `size` bytes, or says that the data are
//             broken. A checksum is compared where the stream ends with the last byte; a stream
//             that goes on is cut off. `From` has byte() and `ended`, as image_picture.h's Reader.
// Hostility   every round of every loop takes bits from the data or makes a byte, and data that
//             end are broken; distances never reach before the first byte made.
#pragma once

#include "image_picture.h"

namespace AOT_NS {
namespace {
namespace image {

/// A canonical prefix code: symbols by length, then by value; and a table of those of few bits.
struct PrefixCode {
  static constexpr int kFast = 9;
  uint16_t fast[1 << kFast];  // by the next bits: length << 9 | symbol, or 0
  uint16_t count[16];
  uint16_t symbol[288];

  /// From the length of each symbol's code; false: they leave no code, or more than one bit unused.
  bool make(const uint8_t* lengths, int n, bool may_be_single) {
    __builtin_memset(this, 0, sizeof *this);
    for (int s = 0; s < n; ++s) ++count[lengths[s]];
    const bool single = may_be_single && n - count[0] <= 1;
    count[0] = 0;
    int room = 1, from[16] = {}, next[16] = {}, code = 0;
    for (int length = 1; length < 16; ++length) {
      room = 2 * room - count[length];
      if (room < 0) return false;
      from[length] = from[length - 1] + count[length - 1];
      code = (code + count[length - 1]) << 1;
      next[length] = code;
    }
    for (int s = 0; s < n; ++s) {
      const int length = lengths[s];
      if (length == 0) continue;
      symbol[from[length]++] = static_cast<uint16_t>(s);
      remember(next[length]++, length, s);
    }
    return room == 0 || single;
  }

  /// Bits come lowest first, those of a code highest first.
  void remember(int code, int length, int s) {
    if (length > kFast) return;
    int turned = 0;
    for (int k = 0; k < length; ++k) turned |= (code >> k & 1) << (length - 1 - k);
    for (int at = turned; at < 1 << kFast; at += 1 << length) {
      fast[at] = static_cast<uint16_t>(length << 9 | s);
    }
  }
};

template <class From>
struct Inflater {
  From& from;
  uint8_t* out;
  int64_t size;
  int64_t at = 0;
  uint32_t held = 0;  // bits not yet used, the next one lowest
  int count = 0;      // how many
  bool cut = false;   // the stream has more bytes than there is room for
  PrefixCode literals;
  PrefixCode distances;

  Inflater(From& source, uint8_t* to, int64_t room) : from(source), out(to), size(room) {}

  void need(int bits) {
    for (; count < bits; count += 8) held |= static_cast<uint32_t>(from.byte()) << count;
  }
  uint32_t bits(int n) {
    need(n);
    const uint32_t value = held & ((1u << n) - 1);
    drop(n);
    return value;
  }
  void drop(int n) {
    held >>= n;
    count -= n;
  }

  /// The next symbol; -1: the bits are none. Looks at up to 15 bits: a checksum follows the last.
  int next(const PrefixCode& code) {
    need(15);
    const int quick = code.fast[held & ((1 << PrefixCode::kFast) - 1)];
    if (quick != 0) {
      drop(quick >> 9);
      return quick & 511;
    }
    int value = 0, first = 0, index = 0;
    for (int length = 1; length < 16; ++length) {
      value = value << 1 | static_cast<int>(held >> (length - 1) & 1);
      const int some = code.count[length];
      if (value - first < some) {
        drop(length);
        return code.symbol[index + value - first];
      }
      index += some;
      first = (first + some) << 1;
    }
    return -1;
  }

  /// A block as it is; false: broken.
  bool stored() {
    drop(count % 8);
    const int64_t length = bits(16);
    if (length != (bits(16) ^ 0xFFFF)) return false;
    cut = length > size - at;
    for (int64_t k = cut ? size - at : length; k > 0 && !from.ended; --k) {
      out[at++] = static_cast<uint8_t>(bits(8));
    }
    return !from.ended;
  }

  /// The codes that RFC 1951 fixes.
  void fixed() {
    uint8_t lengths[288];
    for (int s = 0; s < 288; ++s) {
      lengths[s] = static_cast<uint8_t>(s < 144 ? 8 : s < 256 ? 9 : s < 280 ? 7 : 8);
    }
    literals.make(lengths, 288, false);
    for (int s = 0; s < 30; ++s) lengths[s] = 5;
    distances.make(lengths, 30, false);
  }

  /// The codes that a block describes.
  bool described() {
    const uint8_t order[19] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    uint8_t lengths[320] = {};
    const int literal = 257 + static_cast<int>(bits(5)), distance = 1 + static_cast<int>(bits(5));
    const int given = 4 + static_cast<int>(bits(4));
    if (literal > 286 || distance > 30) return false;
    for (int k = 0; k < given; ++k) lengths[order[k]] = static_cast<uint8_t>(bits(3));
    if (!literals.make(lengths, 19, false)) return false;
    for (int k = 0; k < literal + distance;) {
      const int s = next(literals);
      if (s < 0 || from.ended || (s == 16 && k == 0)) return false;
      const int base = s < 16    ? 1
                       : s == 18 ? 11
                                 : 3,
                extra = s < 16    ? 0
                        : s == 16 ? 2
                        : s == 17 ? 3
                                  : 7;
      const int some = base + static_cast<int>(bits(extra));
      const uint8_t value = static_cast<uint8_t>(s < 16 ? s : s == 16 ? lengths[k - 1] : 0);
      if (k + some > literal + distance) return false;
      for (int j = 0; j < some; ++j) lengths[k++] = value;
    }
    return lengths[256] != 0 && literals.make(lengths, literal, false) &&
           distances.make(lengths + literal, distance, true);
  }

  /// Literals and copies up to the end of a block, or of the room.
  bool coded() {
    while (!cut) {
      const int s = next(literals);
      if (s < 0 || from.ended) return false;
      if (s == 256) return true;
      if (s > 256) {
        if (!copied(s)) return false;
      } else if (at < size) {
        out[at++] = static_cast<uint8_t>(s);
      } else {
        cut = true;
      }
    }
    return true;
  }

  bool copied(int s) {
    if (s > 285) return false;
    const int group = s < 265 || s == 285 ? 0 : (s - 261) / 4;
    const int base = s < 265 ? s - 254 : s == 285 ? 258 : (((s - 261) % 4 + 4) << group) + 3;
    int64_t length = base + static_cast<int>(bits(group));
    const int d = next(distances);
    if (d < 0 || d > 29) return false;
    const int extra = d < 4 ? 0 : d / 2 - 1;
    const int64_t start = d < 4 ? d + 1 : ((d % 2 + 2) << extra) + 1;
    const int64_t distance = start + static_cast<int64_t>(bits(extra));
    if (distance > at || from.ended) return false;
    cut = length > size - at;
    if (cut) length = size - at;
    for (int64_t k = 0; k < length; ++k, ++at) out[at] = out[at - distance];
    return true;
  }

  /// Adler-32 of what was made is what the stream says.
  bool sums() {
    uint32_t a = 1, b = 0, want = 0;
    for (int64_t k = 0; k < size; ++k) {
      a = (a + out[k]) % 65521;
      b = (b + a) % 65521;
    }
    drop(count % 8);
    for (int k = 0; k < 4; ++k) want = want << 8 | bits(8);
    return !from.ended && want == (b << 16 | a);
  }

  bool run() {
    const uint32_t method = bits(8), flags = bits(8);
    if ((method & 15) != 8 || (method << 8 | flags) % 31 != 0 || (flags & 32) != 0) return false;
    for (bool last = false; !last;) {
      last = bits(1) != 0;
      const uint32_t kind = bits(2);
      if (kind == 1) fixed();
      if (kind == 3 || (kind == 2 && !described()) || from.ended) return false;
      if (!(kind == 0 ? stored() : coded())) return false;
      if (cut) return true;
    }
    return at == size && sums();
  }
};

template <class From>
[[maybe_unused]] inline bool inflate(From& from, uint8_t* out, int64_t size) {
  Inflater<From> made(from, out, size);
  return made.run();
}

}  // namespace image
}  // namespace
}  // namespace AOT_NS
