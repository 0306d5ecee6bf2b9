// SPDX-License-Identifier: 0BSD
//
// image_picture.h: what all decoders of images share: bytes that are read, pixels that are written,
// working memory, and what size a picture may have.
//
// Contract    A decoder has two halves. The header says the size, without memory; the pixels are
//             then written into room of that size, every one of them or the picture is broken.
// Hostility   No byte outside the data is read, whatever they say: a Reader gives zeros behind its
//             end and remembers it. A size must be one that as many bytes can encode, so that a
//             few bytes do not ask for gigabytes.
// Memory      from the run's pool through Scratch, given back when the decoder is done.
#pragma once

#include "pool.h"

namespace AOT_NS {
namespace {
namespace image {

constexpr int64_t kMostPixels = int64_t{1} << 28;

enum class End { done, broken, no_memory };

/// Of a picture; without one it is {-1, -1}.
struct Size {
  int64_t height;
  int64_t width;
};
constexpr Size kNone = {-1, -1};

/// Is it a size a picture may have, made of at least `bits` bits a pixel in `bytes`, of which each
/// becomes at most `ratio`?
[[maybe_unused]] inline bool allowed(Size s, int64_t bits, int64_t bytes, int64_t ratio) {
  if (s.height <= 0 || s.width <= 0 || s.height > kMostPixels || s.width > kMostPixels)
    return false;
  if (s.height * s.width > kMostPixels || bytes < 0) return false;
  const int64_t least = (s.height * s.width * bits + 7) / 8;
  return (least + ratio - 1) / ratio <= bytes;
}

/// Bytes one after another.
struct Reader {
  const uint8_t* data;
  int64_t size;
  int64_t at = 0;
  bool ended = false;  // something behind the last byte was asked for

  int byte() {
    if (at < 0 || at >= size) {
      ended = true;
      return 0;
    }
    return data[at++];
  }
  void skip(int64_t count) { at = count > size - at ? size : at + count; }
  int64_t left() const { return at < size ? size - at : 0; }

  uint32_t number(int bytes, bool big) {
    uint32_t value = 0;
    for (int k = 0; k < bytes; ++k) {
      const uint32_t next = static_cast<uint32_t>(byte());
      value = big ? value << 8 | next : value | next << (8 * k);
    }
    return value;
  }
  uint32_t big(int bytes) { return number(bytes, true); }
  uint32_t little(int bytes) { return number(bytes, false); }

  bool begins(const char* text, int64_t count) const {
    if (size < count) return false;
    for (int64_t k = 0; k < count; ++k) {
      if (data[k] != static_cast<uint8_t>(text[k])) return false;
    }
    return true;
  }
};

struct Color {
  uint8_t r, g, b;
};

/// The lightness that ITU-R BT.601 gives a colour, in fixed point.
[[maybe_unused]] inline uint8_t lightness(Color c) {
  return static_cast<uint8_t>((19595u * c.r + 38470u * c.g + 7471u * c.b + 0x8000u) >> 16);
}

enum Order : int { kRgb = 0, kBgr = 1, kGrey = 2 };

/// Where pixels go: [height, width, 3], or [height, width, 1] where the order is kGrey.
struct Picture {
  uint8_t* data;
  Size size;
  int order;

  void put(int64_t y, int64_t x, Color c) {
    const int64_t at = y * size.width + x;
    if (order == kGrey) {
      data[at] = lightness(c);
      return;
    }
    uint8_t* const to = data + 3 * at;
    to[0] = order == kRgb ? c.r : c.b;
    to[1] = c.g;
    to[2] = order == kRgb ? c.b : c.r;
  }
  void put(int64_t y, int64_t x, uint8_t grey) { put(y, x, Color{grey, grey, grey}); }
};

/// Sample k of a row, the higher 8 bits of it where it has 16 and
/// they come first.
[[maybe_unused]] inline int sample_of(const uint8_t* row, int64_t k, int depth) {
  if (depth >= 8) return row[depth / 8 * k];
  const int each = 8 / depth;
  return row[k / each] >> ((each - 1 - k % each) * depth) & ((1 << depth) - 1);
}

/// Working memory.
struct Scratch {
  Pool& pool;
  Block* chain = nullptr;

  explicit Scratch(Pool& from) : pool(from) {}
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { give_chain(pool, chain); }

  /// `count` elements, all zero; null: refused.
  template <class T>
  T* take(int64_t count) {
    const int64_t bytes = count * static_cast<int64_t>(sizeof(T));
    Block* const block = take_block(pool, bytes);
    if (block == nullptr) return nullptr;
    block->next = chain;
    chain = block;
    __builtin_memset(data_of(block), 0, static_cast<size_t>(bytes));
    return static_cast<T*>(data_of(block));
  }
};

}  // namespace image
}  // namespace
}  // namespace AOT_NS
