// SPDX-License-Identifier: 0BSD
//
// scalar.h: integer arithmetic, casts and keys with ONNX's meaning and no undefined behaviour.
//
// T            any of int8..int64, uint8..uint64 (arithmetic), plus float and double (casts). bool
//              is stored as uint8_t: read with truth(), written as 0 or 1 by cast_bool(). float16
//              and bfloat16 are stored as uint16_t.
// Branches     none, except in ipow and the 64-bit divisions' own instructions: loops over these
//              become vector code wherever the machine has the operation.
// Arithmetic   wraps modulo 2^bits. Division and remainder by 0 give 0 (ONNX leaves them undefined,
//              the CPU would trap); INT_MIN / -1 wraps to INT_MIN, remainder 0. A shift by the
//              width or more gives 0; one to the right extends the sign.
// Casts        int to int drops the high bits (as ONNX says). To float rounds to nearest even.
//              Float to int truncates toward zero, where all implementations agree. ONNX leaves
//              NaN, infinities and what does not fit undefined; found by running Cast:
//
//              value                  here                      onnxruntime 1.31 on x86-64
//              NaN                    0                         lowest (8, 16 bits: 0)
//              beyond int32, int64    nearest end               lowest
//              to 8 or 16 bits        as int32, then low bits   the same, with its int32
//              < 0 to uint32, uint64  low bits of int32, int64  the same while that fits
//              beyond uint32, uint64  largest                   0 or low bits, as its loop falls
//
//              So 300 to uint8 is 44 and -1 is 255 in both. Saturation with NaN as 0 is what
//              AArch64 converts to in hardware; here it holds on every machine.
#pragma once

#include "complex.h"
#include "traits.h"

namespace AOT_NS {
namespace {
namespace vm {

template <class T>
constexpr bool is_signed = T(-1) < T(0);
template <class T>
constexpr int width_of = static_cast<int>(sizeof(T) * 8);
// The unsigned type to compute in: at least 32 bits, for anything smaller would promote to a signed
// int.
template <class T>
using wide_of = typename int_sized<(sizeof(T) < 4 ? 4 : sizeof(T))>::u;
template <class T>
constexpr T lowest_of = is_signed<T> ? static_cast<T>(uint_of<T>(1) << (width_of<T> - 1)) : T(0);
template <class T>
constexpr T largest_of =
    static_cast<T>(static_cast<uint_of<T>>(~static_cast<uint_of<T>>(lowest_of<T>)));

template <class T>
AOT_FN wide_of<T> widen(T x) {
  return static_cast<wide_of<T>>(x);  // sign-extends a signed T
}
template <class T>
AOT_FN T narrow(wide_of<T> x) {
  return static_cast<T>(static_cast<uint_of<T>>(x));
}

}  // namespace vm

// ----------------------------------------------------------------------------- wrapping arithmetic

template <class T>
AOT_FN T wadd(T a, T b) {
  return vm::narrow<T>(vm::widen(a) + vm::widen(b));
}
template <class T>
AOT_FN T wsub(T a, T b) {
  return vm::narrow<T>(vm::widen(a) - vm::widen(b));
}
template <class T>
AOT_FN T wmul(T a, T b) {
  return vm::narrow<T>(vm::widen(a) * vm::widen(b));
}
template <class T>
AOT_FN T wneg(T a) {
  return vm::narrow<T>(vm::wide_of<T>(0) - vm::widen(a));
}
// |a|; INT_MIN stays.
template <class T>
AOT_FN T wabs(T a) {
  return a < T(0) ? wneg(a) : a;
}

// --------------------------------------------------------------------------------- division, power

// Quotient truncated toward zero.
template <class T>
AOT_FN T idiv(T a, T b) {
  const T one = T(1);
  if constexpr (vm::is_signed<T>) {
    const bool minus = b == T(-1);
    const T d = (b == T(0)) | minus ? one : b;
    const T q = static_cast<T>(a / d);
    return b == T(0) ? T(0) : minus ? wneg(a) : q;
  } else {
    const T d = b == T(0) ? one : b;
    const T q = static_cast<T>(a / d);
    return b == T(0) ? T(0) : q;
  }
}

// Remainder of idiv: the sign of a (ONNX Mod with fmod = 1).
template <class T>
AOT_FN T ifmod(T a, T b) {
  T d = b == T(0) ? T(1) : b;
  if constexpr (vm::is_signed<T>) d = d == T(-1) ? T(1) : d;  // the remainder is 0 for both
  return static_cast<T>(a % d);
}

// Remainder of flooring division: the sign of b (ONNX Mod, Python's %).
template <class T>
AOT_FN T imod(T a, T b) {
  const T r = ifmod(a, b);
  if constexpr (vm::is_signed<T>) {
    return (r != T(0)) & ((r < T(0)) != (b < T(0))) ? wadd(r, b) : r;
  } else {
    return r;
  }
}

// a^b, wrapping. A negative b is the truncated reciprocal: 0, but for a = 1 and a = -1 (and 0 for a
// = 0).
template <class T, class E>
AOT_FN T ipow(T a, E b) {
  if constexpr (vm::is_signed<E>) {
    if (b < E(0)) {
      const T odd = (b & E(1)) != E(0) ? a : T(1);
      return a == T(1) || (vm::is_signed<T> && a == static_cast<T>(-1)) ? odd : T(0);
    }
  }
  vm::wide_of<T> result = 1, square = vm::widen(a);
  for (auto left = vm::widen(b); left != 0; left >>= 1) {
    result *= (left & 1u) != 0 ? square : vm::wide_of<T>(1);
    square *= square;
  }
  return vm::narrow<T>(result);
}

// ----------------------------------------------------------------- shifts (left: of unsigned types)

template <class T>
AOT_FN T shl(T a, T count) {
  static_assert(!vm::is_signed<T>, "ONNX BitShift is on unsigned types");
  const T within = static_cast<T>(count & T(vm::width_of<T> - 1));
  const T r = vm::narrow<T>(vm::widen(a) << within);
  return count < T(vm::width_of<T>) ? r : T(0);
}
template <class T>
AOT_FN T shr(T a, T count) {
  const T within = static_cast<T>(count & T(vm::width_of<T> - 1));
  if constexpr (vm::is_signed<T>) return count == within ? static_cast<T>(a >> within) : T(0);
  const T r = vm::narrow<T>(vm::widen(a) >> within);
  return count < T(vm::width_of<T>) ? r : T(0);
}

// ------------------------------------------------------------------------ larger, smaller, indices

#define AOT_INT_EXTREMES(T)                         \
  AOT_FN T vmax(T a, T b) { return a > b ? a : b; } \
  AOT_FN T vmin(T a, T b) { return a < b ? a : b; }
AOT_INT_EXTREMES(int8_t)
AOT_INT_EXTREMES(int16_t)
AOT_INT_EXTREMES(int32_t)
AOT_INT_EXTREMES(int64_t)
AOT_INT_EXTREMES(uint8_t)
AOT_INT_EXTREMES(uint16_t)
AOT_INT_EXTREMES(uint32_t)
AOT_INT_EXTREMES(uint64_t)
#undef AOT_INT_EXTREMES

// i limited to lo..hi; lo where hi < lo (an axis without elements).
template <class I>
AOT_FN I clampi(I i, I lo, I hi) {
  const I high = i > hi ? hi : i;
  return high < lo ? lo : high;
}

// An index that counts from the end if negative, for a dimension of n.
template <class I>
AOT_FN I wrap_negative(I i, I n) {
  return i < I(0) ? wadd(i, n) : i;
}

// Any i folded into 0..n-1 by mirroring at the first and last element, which are not repeated (Pad,
// reflect): ... 2 1 [0 1 2 3] 2 1 0 1 ...; n >= 1.
template <class I>
AOT_FN I reflect_index(I i, I n) {
  const I period = n > I(1) ? static_cast<I>(I(2) * (n - I(1))) : I(1);
  const I phase = imod(i, period);
  return phase < n ? phase : static_cast<I>(period - phase);
}

// ---------------------------------------------------------------------------------- half, bfloat16

// float16 -> float, exact; NaN stays NaN. The payload goes to its place and the exponent is
// corrected by a float multiplication, which also normalises denormals.
AOT_FN float h2f(uint16_t h) {
  const uint32_t w = static_cast<uint32_t>(h) & 0x7fffu;
  const uint32_t sign = (static_cast<uint32_t>(h) & 0x8000u) << 16;
  const float scaled = vm::bit_cast_to<float>(w << 13) * 5.192296858534828e33f;  // 2^112
  const uint32_t finite = vm::bit_cast_to<uint32_t>(scaled);
  const uint32_t special = (w << 13) | 0x7f800000u;
  return vm::bit_cast_to<float>(sign | (w >= 0x7c00u ? special : finite));
}

// float -> float16, to nearest even; overflow gives inf, NaN a quiet NaN.
AOT_FN uint16_t f2h(float x) {
  const uint32_t b = vm::bit_cast_to<uint32_t>(x);
  const uint32_t a = b & 0x7fffffffu, sign = (b >> 16) & 0x8000u;
  // Normal: rebias by -112 and round off 13 bits; a carry out of the mantissa moves to the next
  // exponent.
  const uint32_t normal = (a - 0x38000000u + 0xfffu + ((a >> 13) & 1u)) >> 13;
  // Denormal: adding 1/2 rounds at 2^-24, the unit of a denormal float16, and leaves the count of
  // units.
  const uint32_t denormal =
      vm::bit_cast_to<uint32_t>(vm::bit_cast_to<float>(a) + 0.5f) - 0x3f000000u;
  uint32_t r = a < 0x38800000u ? denormal : normal;
  r = a >= 0x477ff000u ? 0x7c00u : r;  // 65520 and above, and inf
  r = a > 0x7f800000u ? 0x7e00u : r;
  return static_cast<uint16_t>(r | sign);
}

// bfloat16 -> float, exact.
AOT_FN float bf2f(uint16_t h) { return vm::bit_cast_to<float>(static_cast<uint32_t>(h) << 16); }

// float -> bfloat16, to nearest even; overflow gives inf, NaN a quiet NaN.
AOT_FN uint16_t f2bf(float x) {
  const uint32_t b = vm::bit_cast_to<uint32_t>(x);
  const uint32_t rounded = (b + 0x7fffu + ((b >> 16) & 1u)) >> 16;
  const uint32_t quiet = (b >> 16) | 0x40u;
  return static_cast<uint16_t>((b & 0x7fffffffu) > 0x7f800000u ? quiet : rounded);
}

// ------------------------------------------------------------------------------------------- casts

namespace vm {

template <class T>
constexpr bool is_float = false;
template <>
constexpr bool is_float<float> = true;
template <>
constexpr bool is_float<double> = true;

// 2^n for constant n, exact in F.
template <class F>
AOT_HD constexpr F two_to(int n) {
  F r = F(1);
  for (int i = 0; i < n; ++i) r *= F(2);
  return r;
}

// x to the 32- or 64-bit integer I: truncated, NaN -> 0, the nearest end where it does not fit.
// Only values in range reach the conversion.
template <class I, class F>
AOT_FN I saturate(F x) {
  const F top = two_to<F>(width_of<I> - (is_signed<I> ? 1 : 0));
  const F bottom = is_signed<I> ? -top : F(0);
  const bool over = x >= top;
  F inside = over ? F(0) : x;
  inside = inside > bottom ? inside : (inside == inside ? bottom : F(0));
  const I r = static_cast<I>(inside);
  return over ? largest_of<I> : r;
}

template <class T, class F>
AOT_FN T float_to_int(F x) {
  if constexpr (sizeof(T) < 4) {
    return narrow<T>(static_cast<uint32_t>(saturate<int32_t>(x)));
  } else if constexpr (is_signed<T>) {
    return saturate<T>(x);
  } else {
    const T wrapped = static_cast<T>(saturate<int_of<T>>(x));
    return x < F(0) ? wrapped : saturate<T>(x);
  }
}

}  // namespace vm

// A T as ONNX Cast gives it from any arithmetic type; see the table at the top.
template <class T, class From>
AOT_FN T cast_to(From x) {
  if constexpr (vm::is_float<From> && !vm::is_float<T>) {
    return vm::float_to_int<T>(x);
  } else {
    return static_cast<T>(
        x);  // C++ as ONNX: int to int modulo 2^bits, to float rounded to nearest even
  }
}

// Cast to ONNX bool, stored as 0 or 1; NaN is true.
template <class From>
AOT_FN uint8_t cast_bool(From x) {
  return x != From(0) ? uint8_t(1) : uint8_t(0);
}

// A stored bool: any byte but 0 is true.
AOT_FN bool truth(uint8_t stored) { return stored != 0; }

// double -> float16 and bfloat16 with one rounding: to float by rounding to odd first, which keeps
// every bit that a later rounding to fewer bits could ask for.
AOT_FN float odd_float(double x) {
  const float f = static_cast<float>(x);
  const uint32_t b = vm::bit_cast_to<uint32_t>(f);
  const double back = static_cast<double>(f);
  const uint32_t away =
      vm::bit_cast_to<uint64_t>(back) << 1 > vm::bit_cast_to<uint64_t>(x) << 1 ? 1u : 0u;
  const bool exact = (back == x) | (x != x);
  return vm::bit_cast_to<float>(exact ? b : (b - away) | 1u);
}
AOT_FN uint16_t d2h(double x) { return f2h(odd_float(x)); }
AOT_FN uint16_t d2bf(double x) { return f2bf(odd_float(x)); }

// ----------------------------------------------------------------- keys for max and min reductions

// Order-preserving integers, so that a maximum over floats is `reduction(max : int)`, which
// vectorises and keeps NaN. keymax: NaN above all, for max; keymin: NaN below all, for min. unkey
// undoes both; -0 lies below +0. Start from keymax(-inf) and keymin(+inf): an empty row gives
// those.
AOT_FN int32_t keymax(float x) {
  const int32_t b = vm::bit_cast_to<int32_t>(x);
  return x != x ? 0x7fffffff : b ^ ((b >> 31) & 0x7fffffff);
}
AOT_FN int32_t keymin(float x) {
  const int32_t b = vm::bit_cast_to<int32_t>(x);
  return x != x ? -0x7fffffff - 1 : b ^ ((b >> 31) & 0x7fffffff);
}
AOT_FN float unkey(int32_t key) { return vm::bit_cast_to<float>(key ^ ((key >> 31) & 0x7fffffff)); }

}  // namespace
}  // namespace AOT_NS
