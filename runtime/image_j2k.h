// SPDX-License-Identifier: 0BSD
//
// image_j2k.h: JPEG 2000 (ITU-T T.800): a codestream, plain or in the boxes of JP2.
//
// Format      1 to 4 components of up to 16 bits, all alike and none sampled less often; any tiles,
//             precincts, layers and order of packets; both wavelets. Grey of one or two components,
//             RGB of three or four; alpha is dropped, more than 8 bits are rounded to 8.
//             Not: palettes, sYCC, what single components or tiles do otherwise, blocks in several
//             parts.
// Hostility   every tile takes a part of the data, every packet a byte of its tile. A picture has at
//             most 65536 pixels for a byte.
// Memory      one tile at a time: its coefficients, and what there is to know of its blocks.
#pragma once

#include "image_j2k_packet.h"

namespace AOT_NS {
namespace {
namespace image {

/// SIZ: the sizes of picture and tiles, and what the components are.
[[maybe_unused]] inline bool j2k_sizes(J2k& j, Reader r, int64_t bytes) {
  r.skip(2);
  j.all.x1 = r.big(4);
  j.all.y1 = r.big(4);
  j.all.x0 = r.big(4);
  j.all.y0 = r.big(4);
  const int64_t width = r.big(4), height = r.big(4);
  j.tile.x0 = r.big(4);
  j.tile.y0 = r.big(4);
  j.tile.x1 = j.tile.x0 + width;
  j.tile.y1 = j.tile.y0 + height;
  j.parts = static_cast<int>(r.big(2));
  for (int k = 0; k < j.parts && !r.ended; ++k) {
    const int depth = r.byte() + 1;
    if ((k > 0 && depth != j.depth) || r.big(2) != 0x0101) return false;
    j.depth = depth;
  }
  const bool fits = j.tile.x0 <= j.all.x0 && j.tile.x1 > j.all.x0 && j.tile.y0 <= j.all.y0 &&
                    j.tile.y1 > j.all.y0 && j.all.x1 < int64_t{1} << 31 &&
                    j.all.y1 < int64_t{1} << 31;
  if (r.ended || !fits || j.parts < 1 || j.parts > 4 || j.depth > 16) return false;
  j.across = (j.all.x1 - j.tile.x0 + width - 1) / width;
  j.down = (j.all.y1 - j.tile.y0 + height - 1) / height;
  return allowed({j.all.height(), j.all.width()}, 8, bytes, 65536) && j.across <= 65535 &&
         j.down <= 65535 && j.across * j.down <= 65535;
}

/// COD: how everything is coded.
[[maybe_unused]] inline bool j2k_coding(J2k& j, Reader r) {
  const int style = r.byte();
  j.marked = (style & 6) != 0;
  j.order = r.byte();
  j.layers = static_cast<int>(r.big(2));
  j.mixed = r.byte() == 1;
  j.levels = r.byte();
  j.block_x = r.byte() + 2;
  j.block_y = r.byte() + 2;
  j.style = r.byte();
  j.reversible = r.byte() == 1;
  if (r.ended || j.order > 4 || j.layers < 1 || j.levels > 32 || style > 7) return false;
  if (j.block_x > 10 || j.block_y > 10 || j.block_x + j.block_y > 12) return false;
  for (int k = 0; k <= j.levels; ++k) {
    j.precincts[k] = static_cast<uint8_t>((style & 1) != 0 ? r.byte() : 0xFF);
    if (k > 0 && ((j.precincts[k] & 15) == 0 || j.precincts[k] >> 4 == 0)) return false;
  }
  const int known = kResets | kCausal | kMarks | 16;  // 16 only helps to find errors
  return !r.ended && (j.style & ~known) == 0 && (!j.mixed || j.parts >= 3);
}

/// QCD: the steps of quantisation, or the planes of what is not quantised.
[[maybe_unused]] inline bool j2k_steps(J2k& j, Reader r) {
  const int style = r.byte();
  j.guard = style >> 5;
  j.derived = (style & 31) == 1;
  if ((style & 31) > 2) return false;
  const bool plain = (style & 31) == 0;
  for (int k = 0; k < 97 && r.left() > 0; ++k) {
    j.steps[k] = static_cast<uint16_t>(plain ? r.big(1) >> 3 << 11 : r.big(2));
  }
  return !r.ended;
}

/// The main header; r moves behind it. Without `bytes` of data, none.
[[maybe_unused]] inline bool j2k_header(J2k& j, Reader& r) {
  bool known[3] = {};
  const int64_t bytes = r.size;
  j = {};
  if (r.big(2) != 0xFF4F) return false;
  for (;;) {
    const uint32_t marker = r.big(2);
    if (r.ended) return false;
    if (marker == 0xFF90) {
      r.at -= 2;
      return known[0] && known[1] && known[2];
    }
    const int64_t size = r.big(2);
    if (r.ended || size < 2 || size - 2 > r.left()) return false;
    const Reader held{r.data + r.at, size - 2};
    r.skip(size - 2);
    const bool passed =
        marker == 0xFF64 || marker == 0xFF55 || marker == 0xFF57 || marker == 0xFF63;
    if (marker == 0xFF51 && !known[0]) {
      known[0] = j2k_sizes(j, held, bytes);
    } else if (marker == 0xFF52 && known[0]) {
      known[1] = j2k_coding(j, held);
    } else if (marker == 0xFF5C) {
      known[2] = j2k_steps(j, held);
    } else if (!passed) {
      return false;
    }
  }
}

/// The parts of each tile, as a list for each.
struct J2kParts {
  struct Part {
    Reader data;
    int64_t next;
  };
  Part* parts;
  int64_t* first;
  int64_t* last;
  int64_t* bytes;
};

/// Finds them; false: broken. `at` holds no more parts than SOT and SOD take of the data.
[[maybe_unused]] inline bool j2k_find(const J2k& j, Reader r, J2kParts& p) {
  const int64_t tiles = j.across * j.down;
  for (int64_t k = 0; k < tiles; ++k) p.first[k] = p.last[k] = -1;
  for (int64_t n = 0; r.left() >= 14 && r.big(2) == 0xFF90; ++n) {
    const int64_t start = r.at - 2;
    r.skip(2);
    const int64_t t = r.big(2), said = r.big(4);
    const int64_t size = said == 0 ? r.size - start : said;
    r.skip(2);
    if (t >= tiles || size < 14 || size > r.size - start) return false;
    uint32_t marker = r.big(2);
    for (; marker == 0xFF58 || marker == 0xFF64; marker = r.big(2)) r.skip(int64_t{r.big(2)} - 2);
    const int64_t rest = start + size - r.at;
    if (marker != 0xFF93 || r.ended || rest < 0) return false;
    p.parts[n] = {{r.data + r.at, rest}, -1};
    (p.last[t] < 0 ? p.first[t] : p.parts[p.last[t]].next) = n;
    p.last[t] = n;
    p.bytes[t] += rest;
    r.skip(rest);
  }
  for (int64_t k = 0; k < tiles; ++k) {
    if (p.first[k] < 0) return false;
  }
  return true;
}

/// All packets of a tile, part after part.
[[maybe_unused]] inline bool j2k_packets(J2kTile& t, const J2kParts& p, int64_t tile) {
  int64_t part = p.first[tile];
  Reader r = p.parts[part].data;
  const auto read = [&](const J2kPlace& place, int layer) {
    while (r.left() == 0 && p.parts[part].next >= 0) {
      part = p.parts[part].next;
      r = p.parts[part].data;
    }
    return t.packet(place, layer, r);
  };
  const int order = t.j.order;
  for (int64_t from = 0; from < t.count;) {
    int64_t to = from + 1;  // those whose packets of one layer come before all of the next
    while (to < t.count && (order == 0 || (order == 1 && t.places[to].r == t.places[from].r))) ++to;
    for (int layer = 0; layer < t.j.layers; ++layer) {
      for (int64_t k = from; k < to; ++k) {
        if (!read(t.places[k], layer)) return false;
      }
    }
    from = to;
  }
  return true;
}

/// What a coefficient is, given the value that the decoder of blocks left.
[[maybe_unused]] inline void j2k_scaled(int32_t value, float, int32_t& to) { to = value / 2; }
[[maybe_unused]] inline void j2k_scaled(int32_t value, float step, float& to) {
  to = static_cast<float>(value) * step;
}

/// Half a step of a band, and how many planes its coefficients have.
struct J2kScale {
  float step;
  int planes;
};
[[maybe_unused]] inline J2kScale j2k_scale(const J2k& j, int r, int band) {
  const uint16_t word = j.steps[j.derived || r == 0 ? 0 : 3 * (r - 1) + band];
  const int above = j.derived && r > 1 ? r - 1 : 0;
  const int exponent = (word >> 11) - above;
  const int gain = band == kLl ? 0 : band == kHh ? 2 : 1;
  const float whole = 1.0f + static_cast<float>(word & 2047) / 2048.0f;
  return {__builtin_ldexpf(whole, j.depth + gain - exponent) * 0.5f, j.guard + exponent - 1};
}

/// The coefficients of a precinct in a band, to where `to` has the band.
template <class T>
[[maybe_unused]] inline End j2k_fill(J2kTile& t, const J2kPlace& p, int b, T* to, int32_t* values) {
  const int band = p.r > 0 ? 1 + b : kLl;
  const J2kCut& cut = p.cuts[b];
  const J2kScale scale = j2k_scale(t.j, p.r, band);
  const J2kArea all = j2k_area(t.j, t.area, p.r, band);
  for (int64_t k = 0; k < cut.across * cut.down; ++k) {
    const J2kBlock& block = cut.blocks[k];
    if (block.passes == 0) continue;
    const int planes = scale.planes - block.zeros;
    if (planes < 1 || planes > 30) return End::broken;
    Scratch one(t.scratch.pool);
    uint8_t* const data = one.take<uint8_t>(block.size + 1);
    if (data == nullptr) return End::no_memory;
    int64_t size = 0;
    for (const J2kPiece* q = block.first; q != nullptr; q = q->next) {
      __builtin_memcpy(data + size, q->data, static_cast<size_t>(q->size));
      size += q->size;
    }
    const int w = static_cast<int>(block.area.width()), h = static_cast<int>(block.area.height());
    __builtin_memset(values, 0, sizeof(int32_t) * static_cast<size_t>(w * h));
    J2kBlockDecoder decoder(data, size, w, h, band, t.j.style, values);
    decoder.decode(planes, block.passes);
    T* const corner = to + (block.area.y0 - all.y0) * t.area.width() + block.area.x0 - all.x0;
    for (int at = 0; at < w * h; ++at) {
      j2k_scaled(values[at], scale.step, corner[at / w * t.area.width() + at % w]);
    }
  }
  return End::done;
}

[[maybe_unused]] inline int j2k_rounded(int32_t v) { return v; }
[[maybe_unused]] inline int j2k_rounded(float v) {
  const float bounded = v < -1e6f ? -1e6f : v > 1e6f ? 1e6f : v;
  return static_cast<int>(__builtin_rintf(bounded));
}
[[maybe_unused]] inline void j2k_unmixed(int32_t* v) {
  const int64_t green = v[0] - ((int64_t{v[1]} + v[2]) >> 2);
  const int64_t red = green + v[2], blue = green + v[1];
  v[0] = static_cast<int32_t>(red);
  v[1] = static_cast<int32_t>(green);
  v[2] = static_cast<int32_t>(blue);
}
[[maybe_unused]] inline void j2k_unmixed(float* v) {
  const float y = v[0], b = v[1], r = v[2];
  v[0] = y + j2k_times(r, 1.402f);
  v[1] = y - j2k_times(b, 0.34413f) - j2k_times(r, 0.71414f);
  v[2] = y + j2k_times(b, 1.772f);
}

/// A sample as a byte: of more than 8 bits the higher ones, rounded.
[[maybe_unused]] inline uint8_t j2k_byte(int64_t v, int depth) {
  if (depth <= 8) return static_cast<uint8_t>(v << (8 - depth));
  const int64_t rounded = (v + (1 << (depth - 9))) >> (depth - 8);
  return static_cast<uint8_t>(rounded > 255 ? 255 : rounded);
}

/// The pixels of a tile.
template <class T>
[[maybe_unused]] inline void j2k_put(const J2kTile& t, T* const* planes, Picture& to) {
  const int used = t.j.parts < 3 ? 1 : 3, depth = t.j.depth;
  for (int64_t y = 0; y < t.area.height(); ++y) {
    for (int64_t x = 0; x < t.area.width(); ++x) {
      T v[3] = {};
      uint8_t byte[3] = {};
      for (int k = 0; k < used; ++k) v[k] = planes[k][y * t.area.width() + x];
      if (t.j.mixed) j2k_unmixed(v);
      for (int k = 0; k < used; ++k) {
        const int64_t most = (1 << depth) - 1,
                      raised = int64_t{j2k_rounded(v[k])} + (1 << (depth - 1));
        const int64_t whole = raised < 0 ? 0 : raised > most ? most : raised;
        byte[k] = j2k_byte(whole, depth);
      }
      for (int k = used; k < 3; ++k) byte[k] = byte[0];
      to.put(t.area.y0 + y - t.j.all.y0, t.area.x0 + x - t.j.all.x0, {byte[0], byte[1], byte[2]});
    }
  }
}

/// A tile whose packets have been read.
template <class T>
[[maybe_unused]] inline End j2k_draw(J2kTile& t, Picture& to) {
  const int64_t width = t.area.width(), height = t.area.height();
  T* planes[4] = {};
  for (int k = 0; k < t.j.parts; ++k) planes[k] = t.room<T>(width * height);
  T* const line = t.room<T>(width > height ? width : height);
  int32_t* const values = t.room<int32_t>(J2kBlockDecoder::kMost);
  if (t.refused) return End::no_memory;
  for (int64_t n = 0; n < t.count; ++n) {
    const J2kPlace& p = t.places[n];
    for (int b = 0; b < (p.r > 0 ? 3 : 1); ++b) {
      const J2kArea low = p.r > 0 ? j2k_area(t.j, t.area, p.r - 1, kLl) : J2kArea{};
      const int band = p.r > 0 ? 1 + b : kLl;
      const int64_t right = (band & kHl) != 0 ? low.width() : 0;
      const int64_t down = (band & kLh) != 0 ? low.height() : 0;
      const End end = j2k_fill(t, p, b, planes[p.part] + down * width + right, values);
      if (end != End::done) return end;
    }
  }
  for (int k = 0; k < t.j.parts; ++k) {
    for (int r = 1; r <= t.j.levels; ++r)
      j2k_join(planes[k], width, j2k_area(t.j, t.area, r, kLl), line);
  }
  j2k_put(t, planes, to);
  return End::done;
}

/// The codestream in a file: all of it, or the content of a box; of no bytes: there is none, or one
/// whose samples are not colours.
[[maybe_unused]] inline Reader j2k_stream(Reader r) {
  if (r.begins("\xFF\x4F", 2)) return r;
  const Reader nothing{r.data, 0};
  int64_t end = r.size;
  while (r.left() >= 8) {
    const int64_t start = r.at;
    int64_t size = r.big(4);
    const uint32_t type = r.big(4);
    if (size == 1) {
      if (r.big(4) != 0) return nothing;
      size = r.big(4);
    }
    if (size == 0) size = r.size - start;
    end = start + size;
    if (r.ended || r.at > end || end > r.size) return nothing;
    if (type == 0x6A703263) return {r.data + r.at, end - r.at};  // jp2c
    if (type == 0x70636C72) return nothing;                      // pclr
    if (type == 0x636F6C72 && r.left() >= 7 && r.data[r.at] == 1 && r.data[r.at + 6] == 18) {
      return nothing;  // colr: sYCC
    }
    if (type != 0x6A703268) r.at = end;  // jp2h holds boxes
  }
  return nothing;
}

[[maybe_unused]] inline Size j2k_size(Reader r) {
  J2k j;
  Reader stream = j2k_stream(r);
  return j2k_header(j, stream) ? Size{j.all.height(), j.all.width()} : kNone;
}

[[maybe_unused]] inline End j2k_decode(Reader from, Picture to, Scratch& scratch) {
  Reader r = j2k_stream(from);
  J2k j;
  if (!j2k_header(j, r)) return End::broken;
  const int64_t tiles = j.across * j.down;
  J2kParts parts = {scratch.take<J2kParts::Part>(r.size / 14 + 1), scratch.take<int64_t>(tiles),
                    scratch.take<int64_t>(tiles), scratch.take<int64_t>(tiles)};
  const bool room = parts.parts != nullptr && parts.first != nullptr && parts.last != nullptr;
  if (!room || parts.bytes == nullptr) return End::no_memory;
  if (!j2k_find(j, r, parts)) return End::broken;
  for (int64_t k = 0; k < tiles; ++k) {
    Scratch own(scratch.pool);
    J2kTile tile(j, own, j.area(k));
    if (!tile.make_places(parts.bytes[k])) return End::broken;
    if (tile.refused) return End::no_memory;
    tile.sort();
    if (!j2k_packets(tile, parts, k)) return tile.refused ? End::no_memory : End::broken;
    const End end = j.reversible ? j2k_draw<int32_t>(tile, to) : j2k_draw<float>(tile, to);
    if (end != End::done) return end;
  }
  return End::done;
}

}  // namespace image
}  // namespace
}  // namespace AOT_NS
