// SPDX-License-Identifier: 0BSD
//
// image_jpeg_scan.h: one scan of a JPEG picture (ITU-T T.81, F.2 sequential and G.2 progressive):
// bits become coefficients.
//
// Hostility   a scan ends as soon as it has used a bit that the data do not have. A progressive
//             scan may only tell what is not yet known, so there are no more of them than bits of
//             coefficients, however small each is.
#pragma once

#include "image_jpeg_bits.h"

namespace AOT_NS {
namespace {
namespace image {

struct JpegScan {
  Jpeg& j;
  JpegBits bits;
  JpegPart* parts[3] = {};
  int count = 0;
  int first = 0, last = 63;  // coefficients
  int high = 0, low = 0;     // bits known before, and afterwards
  int run = 0;               // blocks that still end here

  JpegScan(Jpeg& of, const Reader& from) : j(of), bits(from) {}

  void put(int16_t* block, int k, int value) const {
    block[kZigzag[k]] = static_cast<int16_t>(value * (1 << low));
  }

  /// The DC coefficient, whole or without its low bits.
  void dc(JpegPart& p, int16_t* block) {
    const int size = bits.symbol(j.codes[0][p.dc]);
    if (size > 15) {
      bits.broken = true;
      return;
    }
    p.last = static_cast<int16_t>(p.last + bits.number(size));
    put(block, 0, p.last);
  }

  /// Coefficients from k on, each behind a run of zeros.
  void ac(JpegPart& p, int16_t* block, int k) {
    if (run > 0) {
      --run;
      return;
    }
    const JpegCode& code = j.codes[1][p.ac];
    for (; k <= last; ++k) {
      const int symbol = bits.symbol(code), zeros = symbol >> 4, size = symbol & 15;
      if (size == 0 && zeros < 15) {
        if (zeros > 0 && !j.progressive) break;
        run = (1 << zeros) + (zeros > 0 ? bits.bits(zeros) : 0) - 1;
        break;
      }
      k += zeros;
      if (size > 0 && k > last) bits.broken = true;
      if (size > 0 && k <= last) put(block, k, bits.number(size));
    }
  }

  /// One bit more of a coefficient that is not zero.
  void refine(int16_t& value) {
    if (bits.bits(1) == 0 || (value & (1 << low)) != 0) return;
    value = static_cast<int16_t>(value + (value < 0 ? -(1 << low) : 1 << low));
  }

  /// One bit more of each coefficient, and those that become other than zero by it.
  void refine_ac(JpegPart& p, int16_t* block) {
    const JpegCode& code = j.codes[1][p.ac];
    int k = first;
    for (; run == 0 && k <= last; ++k) {
      const int symbol = bits.symbol(code);
      int zeros = symbol >> 4, fresh = 0;
      if ((symbol & 15) > 1) bits.broken = true;
      if ((symbol & 15) != 0) {
        fresh = bits.bits(1) != 0 ? 1 : -1;
      } else if (zeros < 15) {
        run = (1 << zeros) + (zeros > 0 ? bits.bits(zeros) : 0);
        break;
      }
      for (; k <= last; ++k) {
        int16_t& value = block[kZigzag[k]];
        if (value != 0) {
          refine(value);
        } else if (zeros-- == 0) {
          break;
        }
      }
      if (fresh != 0 && k > last) bits.broken = true;
      if (fresh != 0 && k <= last) put(block, k, fresh);
    }
    if (run == 0) return;
    for (; k <= last; ++k) {
      if (block[kZigzag[k]] != 0) refine(block[kZigzag[k]]);
    }
    --run;
  }

  void block(JpegPart& p, int64_t y, int64_t x) {
    int16_t* const at = p.block(y, x);
    if (!j.progressive) {
      dc(p, at);
      ac(p, at, 1);
    } else if (first > 0) {
      if (high == 0) {
        ac(p, at, first);
      } else {
        refine_ac(p, at);
      }
    } else if (high == 0) {
      dc(p, at);
    } else if (bits.bits(1) != 0) {
      at[0] = static_cast<int16_t>(at[0] | 1 << low);
    }
  }

  /// The blocks of unit (y, x): one of a single component, else all of a square of pixels.
  void unit(int64_t y, int64_t x) {
    if (count == 1) return block(*parts[0], y, x);
    for (int c = 0; c < count; ++c) {
      JpegPart& p = *parts[c];
      for (int k = 0; k < p.h * p.v; ++k) block(p, y * p.v + k / p.h, x * p.h + k % p.h);
    }
  }

  /// All units; false: broken.
  bool run_units() {
    const bool alone = count == 1;
    const int64_t down = alone ? parts[0]->down : (j.size.height - 1) / (8 * j.v) + 1;
    const int64_t across = alone ? parts[0]->across : (j.size.width - 1) / (8 * j.h) + 1;
    int64_t done = 0;
    for (int64_t y = 0; y < down; ++y) {
      for (int64_t x = 0; x < across; ++x, ++done) {
        if (j.interval > 0 && done > 0 && done % j.interval == 0 &&
            !restart(static_cast<int>((done / j.interval - 1) % 8))) {
          return false;
        }
        unit(y, x);
        if (bits.broken || bits.used_up()) return false;
      }
    }
    return true;
  }

  bool restart(int k) {
    for (int c = 0; c < count; ++c) parts[c]->last = 0;
    run = 0;
    return bits.restart(k);
  }

  /// Does the scan tell what is not known yet, and follow what is? Notes that it is known.
  bool tells_more() {
    const int before = high == 0 ? 0 : high + 1;
    for (int c = 0; c < count; ++c) {
      for (int k = first; k <= last; ++k) {
        if (parts[c]->known[k] != before) return false;
        parts[c]->known[k] = static_cast<uint8_t>(low + 1);
      }
    }
    return true;
  }

  /// Are the numbers of a progressive scan such as T.81 allows?
  bool allowed_band() const {
    const bool band = first == 0 ? last == 0 : count == 1 && first <= last && last < 64;
    return band && low <= 13 && (high == 0 || high == low + 1);
  }

  /// Every table that the scan uses is there.
  bool has_codes() const {
    for (int c = 0; c < count; ++c) {
      const bool dc = first == 0 && high == 0, ac = last > 0;
      if (dc && !j.codes[0][parts[c]->dc].known) return false;
      if (ac && !j.codes[1][parts[c]->ac].known) return false;
    }
    return true;
  }

  /// The header of the scan, as SOS holds it.
  bool header(Reader r) {
    count = r.byte();
    if (count < 1 || count > j.count) return false;
    int blocks = 0;
    JpegPart* before = nullptr;
    for (int c = 0; c < count; ++c) {
      const int id = r.byte(), tables = r.byte();
      JpegPart* part = nullptr;
      for (int k = 0; k < j.count; ++k) {
        if (j.parts[k].id == id) part = &j.parts[k];
      }
      if (part == nullptr || (before != nullptr && part <= before)) return false;
      part->dc = tables >> 4 & 3;
      part->ac = tables & 3;
      part->last = 0;
      blocks += part->h * part->v;
      parts[c] = before = part;
    }
    if (j.progressive) {
      first = r.byte();
      last = r.byte();
      const int both = r.byte();
      high = both >> 4;
      low = both & 15;
      if (!allowed_band()) return false;
    }
    return !r.ended && (count == 1 || blocks <= 10) && has_codes();
  }

  /// A component is scaled by the table that there is when it first comes, which is with its DC.
  bool take_steps() {
    for (int c = 0; c < count; ++c) {
      JpegPart& p = *parts[c];
      if (p.known[0] != 0) continue;
      if (first > 0 || !j.has_steps[p.table]) return false;
      __builtin_memcpy(p.steps, j.steps[p.table], sizeof p.steps);
    }
    return true;
  }
};

}  // namespace image
}  // namespace
}  // namespace AOT_NS
