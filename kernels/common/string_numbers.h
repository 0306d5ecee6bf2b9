// SPDX-License-Identifier: 0BSD
//
// string_numbers.h: Cast between strings and numbers, whatever the locale.
//
// To text     integers in full; floats with at most eight significant digits as "%.8g" prints them
//             (onnxruntime's form: 314.15926, 1e-05), else NaN, INF or -INF.
// From text   white space, a sign, then decimal digits with a point and an exponent, or INF,
//             INFINITY or NAN in any case. Correctly rounded to the precision asked for. Text that
//             is no number is NaN, as an integer 0.
// Method      exact: a decimal number of up to 800 digits is shifted by powers of two. A double has
//             at most 767 digits; of a text's further ones only whether any is not 0 matters.
// Threads, memory and aliasing are as in string_ops.h.
#pragma once

#include "library.h"
#include "pool.h"
#include "string_order.h"

namespace AOT_NS {
namespace {

// 0.d0 d1 d2 ... times 10^point; the last digit is not 0. No digits: zero.
struct Decimal {
  static constexpr int kMost = 800;
  static constexpr int kBits = 56;  // of one shift: a carry of ten times 2^56 fits
  uint8_t digits[kMost];
  int count;
  int point;
  bool more;  // digits that are not 0 were cut off

  void set(uint64_t whole) {
    uint8_t reversed[20];
    int n = 0;
    for (; whole != 0; whole /= 10) reversed[n++] = static_cast<uint8_t>(whole % 10);
    for (int k = 0; k < n; ++k) digits[k] = reversed[n - 1 - k];
    count = point = n;
    more = false;
    trim();
  }
  void put(int digit) {
    if (count < kMost) {
      digits[count++] = static_cast<uint8_t>(digit);
    } else {
      more |= digit != 0;
    }
  }
  void trim() {
    while (count > 0 && digits[count - 1] == 0) --count;
    if (count == 0) point = 0;
  }
  // Times 2^-bits, bits at most kBits: long division from the left.
  void halve(int bits) {
    uint64_t rest = 0;
    int read = 0;
    for (; (rest >> bits) == 0; ++read) {
      if (read >= count && rest == 0) return trim();
      rest = rest * 10 + (read < count ? digits[read] : 0u);
    }
    point -= read - 1;
    const int had = count;
    const uint64_t mask = (uint64_t{1} << bits) - 1;
    count = 0;  // a digit is read before its place is written: read > count
    while (read < had || rest != 0) {
      const uint64_t next = read < had ? digits[read] : 0u;
      put(static_cast<int>(rest >> bits));
      rest = (rest & mask) * 10 + next;
      ++read;
    }
    trim();
  }
  // Times 2^bits, bits at most kBits: from the right, into the place where the result will end.
  void double_up(int bits) {
    if (count == 0) return;
    uint8_t reversed[kMost + 20];
    int n = 0;
    uint64_t carry = 0;
    for (int k = count - 1; k >= 0; --k) {
      carry += static_cast<uint64_t>(digits[k]) << bits;
      reversed[n++] = static_cast<uint8_t>(carry % 10);
      carry /= 10;
    }
    for (; carry != 0; carry /= 10) reversed[n++] = static_cast<uint8_t>(carry % 10);
    point += n - count;
    count = 0;
    while (n > 0) put(reversed[--n]);
    trim();
  }
  void scale(int bits) {
    for (; bits > kBits; bits -= kBits) double_up(kBits);
    for (; bits < -kBits; bits += kBits) halve(kBits);
    if (bits > 0) double_up(bits);
    if (bits < 0) halve(-bits);
  }
  // Is the part behind the first `kept` digits more than half of a unit there, or half and the unit
  // odd?
  bool rounds_up(int kept) const {
    if (kept < 0 || kept >= count) return false;
    if (digits[kept] != 5 || kept + 1 < count || more) return digits[kept] >= 5;
    return kept > 0 && digits[kept - 1] % 2 != 0;
  }
  // At most `kept` digits, the last rounded to even.
  void round(int kept) {
    if (kept >= count) return;
    const bool up = rounds_up(kept);
    count = kept;
    more = false;
    if (up) {
      int k = kept - 1;
      for (; k >= 0 && digits[k] == 9; --k) {
      }
      if (k < 0) {
        digits[0] = 1;
        count = 1;
        ++point;
        return;
      }
      ++digits[k];
      count = k + 1;
    }
    trim();
  }
  // The nearest integer; below 2^63.
  uint64_t whole() const {
    uint64_t out = 0;
    for (int k = 0; k < point; ++k) out = out * 10 + (k < count ? digits[k] : 0u);
    return out + (rounds_up(point) ? 1u : 0u);
  }
};

// ------------------------------------------------------------------------------------- to strings

// The digits of `d`, at most eight, with a point or an exponent, behind `to`; returns the end.
[[maybe_unused]] inline char* put_decimal(const Decimal& d, char* to) {
  const int power = d.count == 0 ? 0 : d.point - 1;
  const bool plain = power >= -4 && power < 8;
  const int whole = plain ? power + 1 : 1;  // digits before the point
  if (whole <= 0) *to++ = '0';
  for (int k = 0; k < whole; ++k) *to++ = static_cast<char>('0' + (k < d.count ? d.digits[k] : 0));
  if (d.count > whole) {
    *to++ = '.';
    for (int k = whole; k < d.count; ++k) {
      *to++ = static_cast<char>('0' + (k < 0 ? 0 : d.digits[k]));
    }
  }
  if (plain) return to;
  const int size = power < 0 ? -power : power;
  *to++ = 'e';
  *to++ = power < 0 ? '-' : '+';
  if (size >= 100) *to++ = static_cast<char>('0' + size / 100);
  *to++ = static_cast<char>('0' + size / 10 % 10);
  *to++ = static_cast<char>('0' + size % 10);
  return to;
}

[[maybe_unused]] inline char* put_word(const char* word, char* to) {
  while (*word != '\0') *to++ = *word++;
  return to;
}

// The text of x, behind `to`, of at most 24 bytes; returns the end.
[[maybe_unused]] inline char* put_number(double x, char* to) {
  const uint64_t bits = vm::bit_cast_to<uint64_t>(x);
  const uint64_t part = bits & ((uint64_t{1} << 52) - 1);
  const int power = static_cast<int>((bits >> 52) & 0x7FF);
  if (power == 0x7FF && part != 0) return put_word("NaN", to);
  if ((bits >> 63) != 0) *to++ = '-';
  if (power == 0x7FF) return put_word("INF", to);
  Decimal d;
  d.set(power == 0 ? part : part | (uint64_t{1} << 52));
  d.scale((power == 0 ? 1 : power) - 1075);
  d.round(8);
  return put_decimal(d, to);
}
[[maybe_unused]] inline char* put_number(uint64_t x, char* to) {
  char reversed[20];
  int n = 0;
  do {
    reversed[n++] = static_cast<char>('0' + x % 10);
    x /= 10;
  } while (x != 0);
  while (n > 0) *to++ = reversed[--n];
  return to;
}
[[maybe_unused]] inline char* put_number(int64_t x, char* to) {
  if (x >= 0) return put_number(static_cast<uint64_t>(x), to);
  *to++ = '-';
  return put_number(~static_cast<uint64_t>(x) + 1, to);
}

// T: double, int64_t or uint64_t.
template <class T>
[[maybe_unused]] inline bool texts_of_numbers(const T* x, aotgen_string* y, ptrdiff_t n,
                                              Pool& pool) {
  char bytes[24];
  bool good = true;
  for (ptrdiff_t i = 0; i < n; ++i) {
    const size_t size = static_cast<size_t>(put_number(x[i], bytes) - bytes);
    char* const to = text(pool, size);
    y[i] = {to, to == nullptr ? 0 : size};
    good &= to != nullptr;
    for (size_t k = 0; k < y[i].size; ++k) to[k] = bytes[k];
  }
  return good;
}

// ----------------------------------------------------------------------------------- from strings

// A text read as a number: sign, and a Decimal, an infinity or (neither) nothing that is a number.
struct Reading {
  bool negative;
  bool infinite;
  bool number;
};

// Does the text from `at` to `end` say `word` (in lower case), in any case?
[[maybe_unused]] inline bool says(const char* at, const char* end, const char* word) {
  for (; at != end && *word != '\0'; ++at, ++word) {
    if ((*at | 0x20) != *word) return false;
  }
  return at == end && *word == '\0';
}

AOT_FN bool is_digit(char c) { return c >= '0' && c <= '9'; }
AOT_FN bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

// The exponent from `at`, an optional sign and digits, limited to what matters; false: there is
// none.
[[maybe_unused]] inline bool read_power(const char*& at, const char* end, int* power) {
  const bool down = at != end && *at == '-';
  if (at != end && (*at == '-' || *at == '+')) ++at;
  if (at == end || !is_digit(*at)) return false;
  int size = 0;
  for (; at != end && is_digit(*at); ++at) size = size < 100000 ? size * 10 + (*at - '0') : size;
  *power = down ? -size : size;
  return true;
}

[[maybe_unused]] inline Reading read_number(aotgen_string x, Decimal* d) {
  const char* at = x.data;
  const char* end = x.size == 0 ? at : at + x.size;
  while (at != end && is_blank(*at)) ++at;
  while (at != end && is_blank(end[-1])) --end;
  Reading out = {at != end && *at == '-', false, false};
  if (at != end && (*at == '-' || *at == '+')) ++at;
  out.infinite = says(at, end, "inf") || says(at, end, "infinity");
  d->count = d->point = 0;
  d->more = false;
  bool any = false, behind = false;
  int64_t point = 0;
  for (; at != end && (is_digit(*at) || (*at == '.' && !behind)); ++at) {
    if (*at == '.') {
      behind = true;
      continue;
    }
    any = true;
    if (d->count > 0 || *at != '0') {
      d->put(*at - '0');
      point += behind ? 0 : 1;
    } else {
      point -= behind ? 1 : 0;
    }
  }
  if (!any) return out;
  int power = 0;
  if (at != end && (*at | 0x20) == 'e' && !read_power(++at, end, &power)) return out;
  out.number = at == end;
  point += power;
  d->point = static_cast<int>(point < -100000 ? -100000 : point > 100000 ? 100000 : point);
  d->trim();
  return out;
}

// 2^power as a double, of any power: 0 or infinity beyond its range.
[[maybe_unused]] inline double power_of_two(int power) {
  if (power > 1023) return __builtin_inf();
  if (power < -1074) return 0.0;
  const uint64_t bits =
      power < -1022 ? uint64_t{1} << (power + 1074) : static_cast<uint64_t>(power + 1023) << 52;
  return vm::bit_cast_to<double>(bits);
}

// d rounded once to `precision` bits (53 at most), fewer where its exponent is below `lowest`, that
// of the smallest normal number.
[[maybe_unused]] inline double rounded(Decimal* d, int precision, int lowest) {
  if (d->count == 0 || d->point < -400) return 0.0;
  if (d->point > 400) return __builtin_inf();
  int power = 0;  // the number was d * 2^power
  while (d->point > 0) {
    const int bits = d->point > 17 ? Decimal::kBits : d->point > 1 ? d->point * 3 - 2 : 1;
    d->scale(-bits);
    power += bits;
  }
  while (d->point < 0 || d->digits[0] < 5) {
    const int bits = d->point < -17 ? Decimal::kBits : d->point < 0 ? -d->point * 3 : 1;
    d->scale(bits);
    power -= bits;
  }
  // Now 0.5 <= d < 1.
  const int normal = power - 1;
  const int kept = normal >= lowest ? precision : precision - (lowest - normal);
  if (kept < 0) return 0.0;
  d->scale(kept);
  const double whole = static_cast<double>(d->whole());
  const int last = power - kept;  // whole is below 2^54: no product but the last one rounds
  return last > 900 ? whole * power_of_two(900) * power_of_two(last - 900)
                    : whole * power_of_two(last);
}

// y: correctly rounded to `precision` bits.
[[maybe_unused]] inline void numbers_of_texts(const aotgen_string* x, double* y, ptrdiff_t n,
                                              int precision, int lowest, int tid, int nt) {
  const RowShare mine = row_share(n, tid, nt);
  Decimal d;
  for (ptrdiff_t i = mine.begin; i < mine.end; ++i) {
    const Reading r = read_number(x[i], &d);
    double size = r.infinite ? __builtin_inf() : __builtin_nan("");
    if (r.number) size = rounded(&d, precision, lowest);
    y[i] = r.negative ? -size : size;
  }
}

// The number's whole part, limited to [-2^63, 2^63) or, for an unsigned T, to [0, 2^64).
template <class T>
[[maybe_unused]] inline void integers_of_texts(const aotgen_string* x, T* y, ptrdiff_t n, int tid,
                                               int nt) {
  constexpr bool is_signed = T(-1) < T(0);
  const RowShare mine = row_share(n, tid, nt);
  Decimal d;
  for (ptrdiff_t i = mine.begin; i < mine.end; ++i) {
    const Reading r = read_number(x[i], &d);
    const uint64_t most = is_signed    ? (UINT64_MAX >> 1) + (r.negative ? 1u : 0u)
                          : r.negative ? 0
                                       : UINT64_MAX;
    uint64_t size = 0;
    bool beyond = r.infinite || (r.number && d.point > 20);
    for (int k = 0; r.number && !beyond && k < d.point; ++k) {
      const uint64_t digit = k < d.count ? d.digits[k] : 0u;
      beyond = size > (UINT64_MAX - digit) / 10;
      size = size * 10 + digit;
    }
    size = beyond || size > most ? most : size;
    y[i] = static_cast<T>(r.negative ? ~size + 1 : size);
  }
}

}  // namespace
}  // namespace AOT_NS
