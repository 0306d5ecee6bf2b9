// SPDX-License-Identifier: 0BSD
//
// image_j2k_bits.h: the two codes of JPEG 2000 (ITU-T T.800): the arithmetic one of its blocks (annex
// C), and the bits and tag trees of its packet headers (annex B.10).
//
// Hostility   behind its end the arithmetic code goes on with ones, as the standard has it; bits of
//             packet headers behind the end are zeros, and the Reader remembers it.
#pragma once

#include "image_picture.h"

namespace AOT_NS {
namespace {
namespace image {

/// A state of the arithmetic code's estimate: the width of the less likely symbol, the states after
/// the more and the less likely one, and whether these then change places (table C.2).
struct J2kState {
  uint16_t width;
  uint8_t more, less, turns;
};
constexpr J2kState kJ2kStates[47] = {
    {0x5601, 1, 1, 1},   {0x3401, 2, 6, 0},   {0x1801, 3, 9, 0},   {0x0AC1, 4, 12, 0},
    {0x0521, 5, 29, 0},  {0x0221, 38, 33, 0}, {0x5601, 7, 6, 1},   {0x5401, 8, 14, 0},
    {0x4801, 9, 14, 0},  {0x3801, 10, 14, 0}, {0x3001, 11, 17, 0}, {0x2401, 12, 18, 0},
    {0x1C01, 13, 20, 0}, {0x1601, 29, 21, 0}, {0x5601, 15, 14, 1}, {0x5401, 16, 14, 0},
    {0x5101, 17, 15, 0}, {0x4801, 18, 16, 0}, {0x3801, 19, 17, 0}, {0x3401, 20, 18, 0},
    {0x3001, 21, 19, 0}, {0x2801, 22, 19, 0}, {0x2401, 23, 20, 0}, {0x2201, 24, 21, 0},
    {0x1C01, 25, 22, 0}, {0x1801, 26, 23, 0}, {0x1601, 27, 24, 0}, {0x1401, 28, 25, 0},
    {0x1201, 29, 26, 0}, {0x1101, 30, 27, 0}, {0x0AC1, 31, 28, 0}, {0x09C1, 32, 29, 0},
    {0x08A1, 33, 30, 0}, {0x0521, 34, 31, 0}, {0x0441, 35, 32, 0}, {0x02A1, 36, 33, 0},
    {0x0221, 37, 34, 0}, {0x0141, 38, 35, 0}, {0x0111, 39, 36, 0}, {0x0085, 40, 37, 0},
    {0x0049, 41, 38, 0}, {0x0025, 42, 39, 0}, {0x0015, 43, 40, 0}, {0x0009, 44, 41, 0},
    {0x0005, 45, 42, 0}, {0x0001, 45, 43, 0}, {0x5601, 46, 46, 0}};

/// The contexts of a block: zeros (0 to 8), signs (9 to 13), further bits (14 to 16), runs, others.
constexpr int kJ2kRuns = 17, kJ2kPlain = 18;

struct J2kCode {
  const uint8_t* data;
  int64_t size;
  int64_t at = 0;
  uint32_t value = 0;
  uint32_t range = 0x8000;
  int count = 0;
  uint8_t states[19];
  uint8_t likely[19];

  J2kCode(const uint8_t* from, int64_t bytes) : data(from), size(bytes) {
    reset();
    value = byte(0) << 16;
    load();
    value <<= 7;
    count -= 7;
  }
  void reset() {
    for (int k = 0; k < 19; ++k) states[k] = likely[k] = 0;
    states[0] = 4;
    states[kJ2kRuns] = 3;
    states[kJ2kPlain] = 46;
  }
  uint32_t byte(int64_t k) const { return k < size ? data[k] : 0xFFu; }

  void load() {
    const bool full = byte(at) == 0xFF;
    if (full && byte(at + 1) > 0x8F) {
      value += 0xFF00;
      count = 8;
      return;
    }
    ++at;
    value += byte(at) << (full ? 9 : 8);
    count = full ? 7 : 8;
  }
  int bit(int context) {
    const J2kState& s = kJ2kStates[states[context]];
    const uint32_t width = s.width;
    range -= width;
    const bool low = value >> 16 < width;
    if (!low) {
      value -= width << 16;
      if ((range & 0x8000) != 0) return likely[context];
    }
    const bool less = low != (range < width);  // the larger part is always the likely one's
    if (low) range = width;
    const int got = less ? 1 - likely[context] : likely[context];
    if (less && s.turns != 0) likely[context] = static_cast<uint8_t>(1 - likely[context]);
    states[context] = less ? s.less : s.more;
    do {
      if (count == 0) load();
      range <<= 1;
      value <<= 1;
      --count;
    } while ((range & 0x8000) == 0);
    return got;
  }
};

/// The bits of a packet's header; behind a byte of ones comes one bit less.
struct J2kBits {
  Reader& r;
  int held = 0;
  int count = 0;

  explicit J2kBits(Reader& from) : r(from) {}

  int bit() {
    if (count == 0) {
      count = held == 0xFF ? 7 : 8;
      held = r.byte();
    }
    return held >> --count & 1;
  }
  int number(int bits) {
    int value = 0;
    while (bits-- > 0) value = 2 * value + bit();
    return value;
  }
  void end() {
    if (held == 0xFF) r.byte();
  }
  /// How many passes of a block a packet has.
  int passes() {
    if (bit() == 0) return 1;
    if (bit() == 0) return 2;
    int more = number(2);
    if (more < 3) return 3 + more;
    more = number(5);
    return more < 31 ? 6 + more : 37 + number(7);
  }
};

/// A tree of minima over `across` x `down` leaves, told bit by bit: of each node what it is at least.
struct J2kNode {
  J2kNode* up;
  int32_t least;
  bool known;
};

struct J2kTree {
  J2kNode* leaves;

  /// How many nodes there are.
  static int64_t nodes(int64_t across, int64_t down) {
    int64_t total = across * down;
    while (across * down > 1) {
      across = (across + 1) / 2;
      down = (down + 1) / 2;
      total += across * down;
    }
    return total;
  }
  /// Takes as many zeroed nodes.
  void make(J2kNode* from, int64_t across, int64_t down) {
    leaves = from;
    while (across * down > 1) {
      J2kNode* const next = from + across * down;
      for (int64_t y = 0; y < down; ++y) {
        for (int64_t x = 0; x < across; ++x) {
          from[y * across + x].up = next + y / 2 * ((across + 1) / 2) + x / 2;
        }
      }
      across = (across + 1) / 2;
      down = (down + 1) / 2;
      from = next;
    }
  }
  /// Is the leaf less than `bound`?
  bool below(J2kBits& bits, int64_t leaf, int32_t bound) const {
    J2kNode* path[40];
    int depth = 0;
    for (J2kNode* n = leaves + leaf; n != nullptr; n = n->up) path[depth++] = n;
    int32_t least = 0;
    while (depth-- > 0) {
      J2kNode& n = *path[depth];
      if (n.least < least) n.least = least;
      while (n.least < bound && !n.known) {
        if (bits.bit() != 0) {
          n.known = true;
        } else {
          ++n.least;
        }
      }
      least = n.least;
    }
    return leaves[leaf].known && leaves[leaf].least < bound;
  }
};

}  // namespace image
}  // namespace
}  // namespace AOT_NS
