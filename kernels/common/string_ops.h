// SPDX-License-Identifier: 0BSD
//
// string_ops.h: ONNX operators on strings: StringConcat, StringNormalizer, StringSplit,
// RegexFullMatch, Unique.
//
// Shapes      dense and row-major; n is the number of elements.
// Threads     functions that take (tid, nt) do that thread's share. Those that make text take the
//             run's Pool instead: thread 0 calls them. Results do not depend on nt.
// Memory      text that exists is pointed at, new text comes from the pool. A function that makes
//             text returns whether the pool had room; where it had not, the text is empty.
// UTF-8       a byte that starts no code point stands for itself and has no case and no width.
// Aliasing    inputs and outputs do not overlap.
#pragma once

#include "pool.h"
#include "selection.h"
#include "string_order.h"

namespace AOT_NS {
namespace {

// ------------------------------------------------------------------------------------ code points

struct Char {
  int32_t code;  // -1: a byte that is part of no code point
  int size;      // bytes, 1 to 4
};

// The code point that starts at `at`, before `end`. Overlong forms and surrogates are none.
[[maybe_unused]] inline Char char_at(const char* at, const char* end) {
  const int32_t lead = static_cast<uint8_t>(*at);
  if (lead < 0x80) return {lead, 1};
  const int size = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
  if (lead < 0xC2 || lead > 0xF4 || end - at < size) return {-1, 1};
  int32_t code = lead & (0x7F >> size);
  for (int k = 1; k < size; ++k) {
    const int32_t next = static_cast<uint8_t>(at[k]);
    if ((next & 0xC0) != 0x80) return {-1, 1};
    code = (code << 6) | (next & 0x3F);
  }
  const int32_t least = size == 2 ? 0x80 : size == 3 ? 0x800 : 0x10000;
  const bool wrong = code < least || code > 0x10FFFF || (code >= 0xD800 && code < 0xE000);
  return wrong ? Char{-1, 1} : Char{code, size};
}

// The bytes of a code point; returns how many.
[[maybe_unused]] inline int put_char(int32_t code, char* to) {
  if (code < 0x80) {
    to[0] = static_cast<char>(code);
    return 1;
  }
  const int size = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  const int32_t marks[] = {0, 0, 0xC0, 0xE0, 0xF0};
  for (int k = size - 1; k > 0; --k) {
    to[k] = static_cast<char>(0x80 | (code & 0x3F));
    code >>= 6;
  }
  to[0] = static_cast<char>(marks[size] | code);
  return size;
}

// ----------------------------------------------------------------------------------- upper, lower

// rows [count, 4]: code points first, first + step, ... up to last become themselves plus delta;
// ascending, no two rows overlap.
struct CaseTable {
  const int32_t* rows;
  ptrdiff_t count;
};

[[maybe_unused]] inline int32_t mapped(CaseTable table, int32_t code) {
  ptrdiff_t low = 0, high = table.count;  // rows before low start at or before the code
  while (low < high) {
    const ptrdiff_t mid = (low + high) / 2;
    if (table.rows[4 * mid] <= code) {
      low = mid + 1;
    } else {
      high = mid;
    }
  }
  if (low == 0) return code;
  const int32_t* const row = table.rows + 4 * (low - 1);
  return code > row[1] || (code - row[0]) % row[2] != 0 ? code : code + row[3];
}

// The character at `at` after mapping, as bytes in `to`; `at` moves behind it.
[[maybe_unused]] inline int take_mapped(CaseTable table, const char*& at, const char* end,
                                        char* to) {
  const Char c = char_at(at, end);
  const char raw = *at;
  at += c.size;
  if (c.code >= 0) return put_char(mapped(table, c.code), to);
  to[0] = raw;
  return 1;
}

// text_order of x, mapped, and of `word`.
[[maybe_unused]] inline int mapped_order(CaseTable table, aotgen_string x, aotgen_string word) {
  char bytes[4];
  const char* at = x.data;
  const char* const end = x.size == 0 ? at : at + x.size;
  size_t done = 0;
  while (at != end) {
    const size_t size = static_cast<size_t>(take_mapped(table, at, end, bytes));
    const size_t rest = word.size - done < size ? word.size - done : size;
    const char* const from = rest == 0 ? bytes : word.data + done;
    const int order = text_order({bytes, size}, {from, rest});
    if (order != 0) return order;
    done += size;
  }
  return done < word.size ? -1 : 0;
}

// x, mapped, in new memory; {null, 0} and false where there is none.
[[maybe_unused]] inline bool map_text(CaseTable table, aotgen_string x, aotgen_string* y,
                                      Pool& pool) {
  char bytes[4];
  size_t size = 0;
  const char* at = x.data;
  const char* const end = x.size == 0 ? at : at + x.size;
  while (at != end) size += static_cast<size_t>(take_mapped(table, at, end, bytes));
  *y = {nullptr, 0};
  if (size == 0) return true;
  char* to = text(pool, size);
  if (to == nullptr) return false;
  *y = {to, size};
  for (at = x.data; at != end;) {
    const int some = take_mapped(table, at, end, bytes);
    for (int k = 0; k < some; ++k) *to++ = bytes[k];
  }
  return true;
}

[[maybe_unused]] inline bool map_texts(const aotgen_string* x, const int32_t* table,
                                       aotgen_string* y, ptrdiff_t n, ptrdiff_t rows, Pool& pool) {
  bool good = true;
  for (ptrdiff_t i = 0; i < n; ++i) good &= map_text({table, rows}, x[i], y + i, pool);
  return good;
}

// ------------------------------------------------------------------------------- StringNormalizer

// The elements of x [n] whose mapped text is none of words [count] (ascending, mapped already), in
// their order -> y [kept[0]]; where none is left, one empty string.
[[maybe_unused]] inline void drop_words(const aotgen_string* x, const aotgen_string* words,
                                        const int32_t* table, aotgen_string* y, int64_t* kept,
                                        ptrdiff_t n, ptrdiff_t count, ptrdiff_t rows, int tid,
                                        int) {
  if (tid != 0) return;
  int64_t left = 0;
  for (ptrdiff_t i = 0; i < n; ++i) {
    ptrdiff_t low = 0, high = count;
    int order = -1;
    while (low < high && order != 0) {
      const ptrdiff_t mid = (low + high) / 2;
      order = mapped_order({table, rows}, x[i], words[mid]);
      if (order > 0) {
        low = mid + 1;
      } else {
        high = mid;
      }
    }
    if (order != 0) y[left++] = x[i];
  }
  if (left == 0) y[left++] = {nullptr, 0};
  kept[0] = left;
}

// ----------------------------------------------------------------------------------- StringConcat

[[maybe_unused]] inline bool concat_texts(const aotgen_string* a, const aotgen_string* b,
                                          aotgen_string* y, ptrdiff_t n, Pool& pool) {
  bool good = true;
  for (ptrdiff_t i = 0; i < n; ++i) {
    if (a[i].size == 0 || b[i].size == 0) {
      y[i] = a[i].size == 0 ? b[i] : a[i];
      continue;
    }
    char* const to = text(pool, a[i].size + b[i].size);
    y[i] = {to, to == nullptr ? 0 : a[i].size + b[i].size};
    good &= to != nullptr;
    if (to == nullptr) continue;
    __builtin_memcpy(to, a[i].data, a[i].size);
    __builtin_memcpy(to + a[i].size, b[i].data, b[i].size);
  }
  return good;
}

// ------------------------------------------------------------------------------------ StringSplit

AOT_FN bool is_space(int32_t c) {
  return (c >= 0x09 && c <= 0x0D) || (c >= 0x1C && c <= 0x20) || c == 0x85 || c == 0xA0 ||
         c == 0x1680 || (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
         c == 0x205F || c == 0x3000;
}

// Walks over the parts of one string: split at every `mark` or, where that is empty, at runs of
// white space; `splits` times at most (negative: any).
struct Parts {
  const char* at;
  const char* end;
  aotgen_string mark;
  int64_t splits;
  bool over;

  void skip_spaces() {
    while (at != end) {
      const Char c = char_at(at, end);
      if (!is_space(c.code)) return;
      at += c.size;
    }
  }
  // To the next separator, or the end.
  void find() {
    if (mark.size == 0) {
      while (at != end) {
        const Char c = char_at(at, end);
        if (is_space(c.code)) return;
        at += c.size;
      }
      return;
    }
    for (; static_cast<size_t>(end - at) >= mark.size; ++at) {
      if (__builtin_memcmp(at, mark.data, mark.size) == 0) return;
    }
    at = end;
  }
  bool next(aotgen_string* part) {
    if (mark.size == 0) skip_spaces();
    if (over || (mark.size == 0 && at == end)) return false;
    const char* const from = at;
    if (splits == 0) {
      at = end;
    } else {
      find();
    }
    *part = {from, static_cast<size_t>(at - from)};
    over = at == end;
    if (!over) at += mark.size;
    splits -= splits > 0 ? 1 : 0;
    return true;
  }
};
AOT_FN Parts parts_of(aotgen_string x, aotgen_string mark, int64_t splits) {
  static const char nothing[1] = {0};
  const char* const from = x.size == 0 ? nothing : x.data;
  return {from, from + x.size, mark, splits, false};
}

// counts[i]: of how many parts x[i] is.
[[maybe_unused]] inline void count_parts(const aotgen_string* x, int64_t* counts, ptrdiff_t n,
                                         const char* mark, size_t length, int64_t splits, int tid,
                                         int nt) {
  const RowShare mine = row_share(n, tid, nt);
  aotgen_string part;
  for (ptrdiff_t i = mine.begin; i < mine.end; ++i) {
    counts[i] = 0;
    for (Parts parts = parts_of(x[i], {mark, length}, splits); parts.next(&part);) ++counts[i];
  }
}

// y [n, width]: the parts of each element, then empty strings.
[[maybe_unused]] inline void split_texts(const aotgen_string* x, aotgen_string* y, ptrdiff_t n,
                                         ptrdiff_t width, const char* mark, size_t length,
                                         int64_t splits, int tid, int nt) {
  const RowShare mine = row_share(n, tid, nt);
  for (ptrdiff_t i = mine.begin; i < mine.end; ++i) {
    Parts parts = parts_of(x[i], {mark, length}, splits);
    for (ptrdiff_t k = 0; k < width; ++k) {
      aotgen_string* const to = y + i * width + k;
      if (!parts.next(to)) *to = {nullptr, 0};
    }
  }
}

// --------------------------------------------------------------------------------- RegexFullMatch

// classes [256]: the class of each byte. steps [states, count]: the state after a state and a
// class; a walk starts in state 0. accepts [states]: whether a text may end there.
[[maybe_unused]] inline void match_texts(const aotgen_string* x, const uint8_t* classes,
                                         const uint16_t* steps, const uint8_t* accepts, uint8_t* y,
                                         ptrdiff_t n, ptrdiff_t count, int tid, int nt) {
  const RowShare mine = row_share(n, tid, nt);
  for (ptrdiff_t i = mine.begin; i < mine.end; ++i) {
    ptrdiff_t state = 0;
    for (size_t k = 0; k < x[i].size; ++k) {
      state = steps[state * count + classes[static_cast<uint8_t>(x[i].data[k])]];
    }
    y[i] = accepts[state];
  }
}

// ----------------------------------------------------------------------------------------- Unique

struct TextAbove {
  bool operator()(aotgen_string a, aotgen_string b) const { return text_before(b, a); }
};

// unique_of for strings, which stand in the order of their bytes.
[[maybe_unused]] inline void unique_texts(const aotgen_string* x, aotgen_string* y, int64_t* first,
                                          int64_t* inverse, int64_t* often, int64_t* counts,
                                          ptrdiff_t outer, ptrdiff_t n, ptrdiff_t inner,
                                          bool sorted, int tid, int nt, void* scratch) {
  unique_of<aotgen_string, TextAbove>(x, y, first, inverse, often, counts, outer, n, inner, sorted,
                                      tid, nt, scratch);
}

}  // namespace
}  // namespace AOT_NS
