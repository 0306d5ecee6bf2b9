// SPDX-License-Identifier: 0BSD
//
// vmath_base.h: sign, rounding and roots, and the pieces that the other functions are made of.
// Contract, errors and method: vmath.h.
#pragma once

#include "traits.h"

#ifdef __CUDACC__
#define AOT_LIBM(name) ::name
#else
#define AOT_LIBM(name) __builtin_##name
#endif

namespace AOT_NS {
namespace {
namespace vm {

template <class V>
AOT_FN int_of<V> bits(V x) {
  return bit_cast_to<int_of<V>>(x);
}
template <class V>
AOT_FN uint_of<V> ubits(V x) {
  return bit_cast_to<uint_of<V>>(x);
}
template <class V>
AOT_FN V from_bits(int_of<V> b) {
  return bit_cast_to<V>(b);
}
template <class V>
AOT_FN int_of<V> ints(int32_t i) {
  return splat<int_of<V>>(i);
}
template <class V>
AOT_FN uint_of<V> uints(uint32_t i) {
  return splat<uint_of<V>>(i);
}

// Integer lanes as float: exact below 2^24.
template <class V>
AOT_FN V to_float(int_of<V> i) {
  if constexpr (lanes_of<V> == 1) {
    return static_cast<V>(i);
  } else {
#ifndef __CUDACC__
    return __builtin_convertvector(i, V);
#endif
  }
}

template <class V>
AOT_FN V nan_of() {
  return from_bits<V>(ints<V>(0x7fc00000));
}
template <class V>
AOT_FN V inf_of() {
  return from_bits<V>(ints<V>(0x7f800000));
}
template <class V>
AOT_FN V absolute(V x) {
  return from_bits<V>(bits(x) & ints<V>(0x7fffffff));
}
template <class V>
AOT_FN V copy_sign(V magnitude, V sign) {
  return from_bits<V>((bits(magnitude) & ints<V>(0x7fffffff)) |
                      (bits(sign) & ints<V>(-0x7fffffff - 1)));
}
// The leading 12 bits: a product of two such numbers is exact.
template <class V>
AOT_FN V head(V x) {
  return from_bits<V>(bits(x) & ints<V>(-4096));
}
// 2^n for -126 <= n <= 127.
template <class V>
AOT_FN V exp2_int(int_of<V> n) {
  return bit_cast_to<V>((bit_cast_to<uint_of<V>>(n) + uints<V>(127)) << 23);
}
// x 2^n for -252 <= n <= 254, rounded once.
template <class V>
AOT_FN V scale(V x, int_of<V> n) {
  const int_of<V> half = n >> 1;
  return x * exp2_int<V>(half) * exp2_int<V>(n - half);
}

// 1.5 * 2^23: added to |x| <= 2^22 it leaves the nearest integer (ties to even) in the low bits.
template <class V>
AOT_FN V rounder() {
  return splat<V>(12582912.0f);
}
// The integer in x + rounder().
template <class V>
AOT_FN int_of<V> rounded_int(V shifted) {
  return bit_cast_to<int_of<V>>(ubits(shifted) - uints<V>(0x4b400000u));
}

// c0 + c1 x + c2 x^2 + ...
template <class V>
AOT_FN V poly(V, float c) {
  return splat<V>(c);
}
template <class V, class... Rest>
AOT_FN V poly(V x, float c, Rest... rest) {
  return splat<V>(c) + x * poly(x, rest...);
}

// x = n ln 2 + r, |r| <= 0.3466. |x| < 2^15; ln 2 has a head of 15 bits, so n times it is exact.
template <class V>
struct ExpReduced {
  V r;
  V n;
  int_of<V> ni;
};
template <class V>
AOT_FN ExpReduced<V> exp_reduce(V x) {
  const V shifted = x * splat<V>(1.44269502f) + rounder<V>();
  const V n = shifted - rounder<V>();
  const V r = (x - n * splat<V>(0.693145752f)) - n * splat<V>(1.42860677e-6f);
  return {r, n, rounded_int(shifted)};
}
// e^r - 1 for |r| <= 0.3466.
template <class V>
AOT_FN V expm1_poly(V r) {
  return r +
         r * r * poly(r, 0.49999997f, 0.16666539f, 0.0416677445f, 0.00836705696f, 0.00138394197f);
}
// 2^k e^x for k in -2..2, without overflow in between.
template <class V>
AOT_FN V exp_scaled(V x, int32_t k) {
  V c = choose(x > splat<V>(91.0f), splat<V>(91.0f), x);
  c = choose(c < splat<V>(-105.0f), splat<V>(-105.0f), c);
  const ExpReduced<V> e = exp_reduce(c);
  const int_of<V> n =
      bit_cast_to<int_of<V>>(bit_cast_to<uint_of<V>>(e.ni) + uints<V>(static_cast<uint32_t>(k)));
  // For a NaN n is nonsense, but the product is NaN whatever the scale.
  return scale(splat<V>(1.0f) + expm1_poly(e.r), n);
}

// A positive x = 2^k (1 + f), 1 + f in [sqrt(1/2), sqrt(2)). Denormals are scaled up first.
template <class V>
struct LogReduced {
  V f;
  V k;
};
template <class V>
AOT_FN LogReduced<V> log_reduce(V x) {
  const auto tiny = x < splat<V>(1.17549435e-38f);
  const V y = choose(tiny, x * splat<V>(8388608.0f), x);
  const uint_of<V> i = ubits(y) - uints<V>(0x3f3504f3u);  // sqrt(1/2)
  const V k = to_float<V>(bit_cast_to<int_of<V>>(i) >> 23);
  const V m = bit_cast_to<V>((i & uints<V>(0x7fffffu)) + uints<V>(0x3f3504f3u));
  return {m - splat<V>(1.0f), k - choose(tiny, splat<V>(23.0f), splat<V>(0.0f))};
}
// log(1 + f) - f for 1 + f in [sqrt(1/2), sqrt(2)].
template <class V>
AOT_FN V log_tail(V f) {
  const V p = poly(f, 0.333333313f, -0.250008225f, 0.200012594f, -0.16623342f, 0.142010555f,
                   -0.131595597f, 0.127658904f, -0.0764137954f);
  const V z = f * f;
  return z * f * p - splat<V>(0.5f) * z;
}
template <class V>
AOT_FN V log_sum(V f, V k, V correction) {
  return k * splat<V>(0.693145752f) +
         (f + (log_tail(f) + (k * splat<V>(1.42860682e-6f) + correction)));
}

}  // namespace vm

// ---------------------------------------------------------------------- sign, rounding, comparison

template <class V>
AOT_FN V vabs(V x) {
  return vm::absolute(x);
}
AOT_FN double vabs(double x) { return AOT_LIBM(fabs)(x); }

// A NaN on either side is returned. The spelling becomes compare and blend even when chained
// (`a > b || a != a ? a : b` does not). Vectors: simd.h.
AOT_FN float vmax(float a, float b) {
  const float m = a > b ? a : b;
  return a != a ? a : m;
}
AOT_FN float vmin(float a, float b) {
  const float m = a < b ? a : b;
  return a != a ? a : m;
}
AOT_FN double vmax(double a, double b) {
  const double m = a > b ? a : b;
  return a != a ? a : m;
}
AOT_FN double vmin(double a, double b) {
  const double m = a < b ? a : b;
  return a != a ? a : m;
}

// One instruction where the machine rounds in hardware; elsewhere (and for vectors) the adding
// trick, which |x| >= 2^22 does not need to be an integer for, hence the two steps.
#if defined(__CUDACC__) || defined(__SSE4_1__) || defined(__aarch64__) || \
    defined(__ARM_FEATURE_DIRECTED_ROUNDING)
#define AOT_ROUND_IN_HARDWARE 1
#else
#define AOT_ROUND_IN_HARDWARE 0
#endif

// Nearest integer, ties to even.
template <class V>
AOT_FN V vrint(V x) {
  if constexpr (vm::lanes_of<V> == 1 && AOT_ROUND_IN_HARDWARE) {
    return AOT_LIBM(rintf)(x);
  } else {
    const V a = vm::absolute(x);
    const V big = vm::splat<V>(8388608.0f);  // 2^23: from here on every float is an integer
    return vm::copy_sign(vm::choose(a < big, (a + big) - big, a), x);
  }
}
AOT_FN double vrint(double x) { return AOT_LIBM(rint)(x); }

template <class V>
AOT_FN V vfloor(V x) {
  if constexpr (vm::lanes_of<V> == 1 && AOT_ROUND_IN_HARDWARE) {
    return AOT_LIBM(floorf)(x);
  } else {
    const V t = vrint(x);
    const V down = vm::choose(t > x, vm::splat<V>(1.0f), vm::splat<V>(0.0f));
    return vm::copy_sign(t - down, x);
  }
}
AOT_FN double vfloor(double x) { return AOT_LIBM(floor)(x); }

template <class V>
AOT_FN V vceil(V x) {
  if constexpr (vm::lanes_of<V> == 1 && AOT_ROUND_IN_HARDWARE) {
    return AOT_LIBM(ceilf)(x);
  } else {
    const V t = vrint(x);
    const V up = vm::choose(t < x, vm::splat<V>(1.0f), vm::splat<V>(0.0f));
    return vm::copy_sign(t + up, x);
  }
}
AOT_FN double vceil(double x) { return AOT_LIBM(ceil)(x); }

template <class V>
AOT_FN V vtrunc(V x) {
  if constexpr (vm::lanes_of<V> == 1 && AOT_ROUND_IN_HARDWARE) {
    return AOT_LIBM(truncf)(x);
  } else {
    return vm::copy_sign(vfloor(vm::absolute(x)), x);
  }
}
AOT_FN double vtrunc(double x) { return AOT_LIBM(trunc)(x); }

// Exact square root. For a vector, a loop that the compiler turns into one instruction.
template <class V>
AOT_FN V vsqrt(V x) {
  if constexpr (vm::lanes_of<V> == 1) {
    return AOT_LIBM(sqrtf)(x);
  } else {
    V r = x;
    for (int i = 0; i < vm::lanes_of<V>; ++i) r[i] = AOT_LIBM(sqrtf)(x[i]);
    return r;
  }
}
AOT_FN double vsqrt(double x) { return AOT_LIBM(sqrt)(x); }

template <class V>
AOT_FN V vrsqrt(V x) {
  return vm::splat<V>(1.0f) / vsqrt(x);
}
AOT_FN double vrsqrt(double x) { return 1.0 / AOT_LIBM(sqrt)(x); }

}  // namespace
}  // namespace AOT_NS
