// SPDX-License-Identifier: 0BSD
//
// image_j2k_packet.h: how a tile of JPEG 2000 is cut up, and the packets that fill its blocks (ITU-T
// T.800, annexes A and B).
//
// Names       a place is what one packet of every layer is about: a precinct of a resolution of a
//             component, of up to three bands.
// Hostility   a packet takes a byte at least, so a tile has no more places than bytes.
#pragma once

#include "image_j2k_block.h"
#include "image_j2k_wavelet.h"

namespace AOT_NS {
namespace {
namespace image {

/// What the main header says: SIZ, COD and QCD.
struct J2k {
  J2kArea all;           // on the reference grid
  J2kArea tile;          // the first one, before it is cut
  int64_t across, down;  // tiles
  int parts;             // components
  int depth;             // bits of a sample
  int order;             // of packets
  int layers;
  bool mixed;            // a colour transform
  int levels;            // of the wavelet transform
  int block_x, block_y;  // of a block, as powers of 2
  int style;             // of blocks
  bool reversible;
  bool marked;            // markers may stand before packets
  uint8_t precincts[33];  // of each resolution, as powers of 2: the high half down
  int guard;
  bool derived;        // steps, from the first
  uint16_t steps[97];  // LL, then HL, LH and HH of each level

  J2kArea area(int64_t t) const {
    const int64_t x = tile.x0 + t % across * tile.width(), y = tile.y0 + t / across * tile.height();
    const auto most = [](int64_t a, int64_t b) { return a > b ? a : b; };
    const auto least = [](int64_t a, int64_t b) { return a < b ? a : b; };
    return {most(x, all.x0), most(y, all.y0), least(x + tile.width(), all.x1),
            least(y + tile.height(), all.y1)};
  }
};

[[maybe_unused]] inline int64_t j2k_up(int64_t v, int shift) {
  return (v + (int64_t{1} << shift) - 1) >> shift;
}

/// Resolution r of a tile; with a band, that of the resolution's own transform.
[[maybe_unused]] inline J2kArea j2k_area(const J2k& j, const J2kArea& tile, int r, int band) {
  const int shift = j.levels - r + (band != kLl ? 1 : 0);
  const int64_t half = band != kLl ? int64_t{1} << (shift - 1) : 0;
  const int64_t x = (band & kHl) != 0 ? half : 0, y = (band & kLh) != 0 ? half : 0;
  return {j2k_up(tile.x0 - x, shift), j2k_up(tile.y0 - y, shift), j2k_up(tile.x1 - x, shift),
          j2k_up(tile.y1 - y, shift)};
}

struct J2kPiece {
  const uint8_t* data;
  int64_t size;
  J2kPiece* next;
};

struct J2kBlock {
  J2kArea area;  // in its band
  int zeros;     // planes without a bit
  int length;    // bits that a length has, without those for the passes
  int passes;
  int64_t size;
  int64_t coming;  // bytes of the packet at hand
  J2kPiece* first;
  J2kPiece* last;
};

/// A precinct in one band.
struct J2kCut {
  int64_t across, down;
  J2kBlock* blocks;
  J2kTree included, zeros;
};

struct J2kPlace {
  int r, part;
  int64_t k, y, x;  // which of its resolution; where on the reference grid
  J2kCut cuts[3];
};

struct J2kTile {
  const J2k& j;
  Scratch& scratch;
  J2kArea area;
  J2kPlace* places = nullptr;
  int64_t count = 0;
  bool refused = false;  // memory
  J2kPiece* free = nullptr;
  int64_t free_count = 0;

  J2kTile(const J2k& of, Scratch& memory, const J2kArea& where)
      : j(of), scratch(memory), area(where) {}

  template <class T>
  T* room(int64_t n) {
    T* const made = scratch.take<T>(n);
    refused = refused || made == nullptr;
    return made;
  }

  /// The grid of precincts that resolution r touches, in units of their sizes.
  J2kArea grid(int r) const {
    const J2kArea a = j2k_area(j, area, r, kLl);
    const int x = j.precincts[r] & 15, y = j.precincts[r] >> 4;
    if (a.width() <= 0 || a.height() <= 0) return {0, 0, 0, 0};
    return {a.x0 >> x, a.y0 >> y, j2k_up(a.x1, x), j2k_up(a.y1, y)};
  }

  /// The blocks of a precinct in a band.
  void cut(J2kCut& c, int r, int band, int64_t px, int64_t py) {
    const int less = r > 0 ? 1 : 0;
    const int wide = (j.precincts[r] & 15) - less, high = (j.precincts[r] >> 4) - less;
    J2kArea a = j2k_area(j, area, r, band);
    const auto least = [](int64_t p, int64_t q) { return p < q ? p : q; };
    const auto most = [](int64_t p, int64_t q) { return p > q ? p : q; };
    a = {most(a.x0, px << wide), most(a.y0, py << high), least(a.x1, (px + 1) << wide),
         least(a.y1, (py + 1) << high)};
    if (a.width() <= 0 || a.height() <= 0) return;
    const int bx = j.block_x < wide ? j.block_x : wide, by = j.block_y < high ? j.block_y : high;
    const int64_t x0 = a.x0 >> bx, y0 = a.y0 >> by;
    c.across = j2k_up(a.x1, bx) - x0;
    c.down = j2k_up(a.y1, by) - y0;
    const int64_t nodes = J2kTree::nodes(c.across, c.down);
    c.blocks = room<J2kBlock>(c.across * c.down);
    J2kNode* const tree = room<J2kNode>(2 * nodes);
    if (refused) return;
    c.included.make(tree, c.across, c.down);
    c.zeros.make(tree + nodes, c.across, c.down);
    for (int64_t k = 0; k < c.across * c.down; ++k) {
      const int64_t x = x0 + k % c.across, y = y0 + k / c.across;
      c.blocks[k].length = 3;
      c.blocks[k].area = {most(a.x0, x << bx), most(a.y0, y << by), least(a.x1, (x + 1) << bx),
                          least(a.y1, (y + 1) << by)};
    }
  }

  /// All places; false: more than so many bytes can fill.
  bool make_places(int64_t bytes) {
    for (int r = 0; r <= j.levels; ++r) {
      const J2kArea g = grid(r);
      if (g.width() > bytes || g.height() > bytes) return false;
      count += g.width() * g.height() * j.parts;
      if (count > bytes) return false;
    }
    if (count * j.layers > bytes) return false;
    places = room<J2kPlace>(count);
    int64_t n = 0;
    for (int r = 0; r <= j.levels; ++r) {
      const J2kArea g = grid(r);
      for (int64_t k = 0; k < g.width() * g.height() * j.parts && !refused; ++k) {
        place(places[n++], r, k, g);
      }
    }
    return true;
  }
  void place(J2kPlace& p, int r, int64_t k, const J2kArea& g) {
    const int64_t all = g.width() * g.height();
    p.r = r;
    p.part = static_cast<int>(k / all);
    p.k = k % all;
    const int64_t px = g.x0 + p.k % g.width(), py = g.y0 + p.k / g.width();
    p.x = px << ((j.precincts[r] & 15) + j.levels - r);
    p.y = py << ((j.precincts[r] >> 4) + j.levels - r);
    if (p.x < area.x0) p.x = area.x0;
    if (p.y < area.y0) p.y = area.y0;
    for (int b = 0; b < (r > 0 ? 3 : 1); ++b) cut(p.cuts[b], r, r > 0 ? 1 + b : kLl, px, py);
  }

  /// Does the packet of a come before that of b?
  bool before(const J2kPlace& a, const J2kPlace& b) const {
    const int64_t keys[5][5][2] = {
        {{a.r, b.r}, {a.part, b.part}, {a.k, b.k}, {0, 0}, {0, 0}},
        {{a.r, b.r}, {a.part, b.part}, {a.k, b.k}, {0, 0}, {0, 0}},
        {{a.r, b.r}, {a.y, b.y}, {a.x, b.x}, {a.part, b.part}, {a.k, b.k}},
        {{a.y, b.y}, {a.x, b.x}, {a.part, b.part}, {a.r, b.r}, {a.k, b.k}},
        {{a.part, b.part}, {a.y, b.y}, {a.x, b.x}, {a.r, b.r}, {a.k, b.k}}};
    for (const auto& key : keys[j.order]) {
      if (key[0] != key[1]) return key[0] < key[1];
    }
    return false;
  }
  void sift(int64_t at, int64_t n) {
    for (int64_t child = 2 * at + 1; child < n; child = 2 * at + 1) {
      if (child + 1 < n && before(places[child], places[child + 1])) ++child;
      if (!before(places[at], places[child])) return;
      const J2kPlace was = places[at];
      places[at] = places[child];
      places[child] = was;
      at = child;
    }
  }
  void sort() {
    for (int64_t k = count / 2; k-- > 0;) sift(k, count);
    for (int64_t n = count - 1; n > 0; --n) {
      const J2kPlace last = places[n];
      places[n] = places[0];
      places[0] = last;
      sift(0, n);
    }
  }

  bool add(J2kBlock& b, const uint8_t* data, int64_t size) {
    if (free_count == 0) {
      free = room<J2kPiece>(free_count = 256);
      if (refused) return false;
    }
    J2kPiece* const piece = free++;
    --free_count;
    *piece = {data, size, nullptr};
    (b.first == nullptr ? b.first : b.last->next) = piece;
    b.last = piece;
    b.size += size;
    return true;
  }

  /// The header's share of a block: how many bytes follow of it, or -1: the block has none here.
  int64_t read_block(J2kBits& bits, const J2kCut& c, int64_t k, int layer, const Reader& r) const {
    J2kBlock& b = c.blocks[k];
    const bool fresh = b.passes == 0;
    if (!(fresh ? c.included.below(bits, k, layer + 1) : bits.bit() != 0)) return -1;
    if (fresh) {
      while (!r.ended && b.zeros < 64 && !c.zeros.below(bits, k, b.zeros + 1)) ++b.zeros;
    }
    const int passes = bits.passes();
    while (bits.bit() != 0 && b.length < 32) ++b.length;
    int more = 0;
    while (passes >> (more + 1) != 0) ++more;
    b.passes += passes;
    int64_t size = 0;
    for (int n = b.length + more; n > 0; --n) size = 2 * size + bits.bit();
    return size;
  }

  /// A packet: what its header says of each block, then the bytes; false: broken, or no memory.
  bool packet(const J2kPlace& p, int layer, Reader& r) {
    const auto marker = [&](int second, int64_t size) {
      const bool there = j.marked && r.left() >= size && r.data[r.at] == 0xFF;
      if (there && r.data[r.at + 1] == second) r.skip(size);
    };
    marker(0x91, 6);
    J2kBits bits(r);
    const bool filled = bits.bit() != 0;
    for (const J2kCut& c : p.cuts) {
      for (int64_t k = 0; filled && k < c.across * c.down; ++k) {
        c.blocks[k].coming = read_block(bits, c, k, layer, r);
        if (r.ended) return false;
      }
    }
    bits.end();
    marker(0x92, 2);
    for (const J2kCut& c : p.cuts) {
      for (int64_t k = 0; filled && k < c.across * c.down; ++k) {
        const int64_t size = c.blocks[k].coming;
        if (size > r.left() || (size > 0 && !add(c.blocks[k], r.data + r.at, size))) return false;
        if (size > 0) r.skip(size);
      }
    }
    return !r.ended;
  }
};

}  // namespace image
}  // namespace
}  // namespace AOT_NS
