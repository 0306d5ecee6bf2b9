// SPDX-License-Identifier: 0BSD
//
// vmath_trig.h: trigonometric functions and their inverses. Contract, errors and method: vmath.h.
#pragma once

#include "vmath_base.h"

namespace AOT_NS {
namespace {

namespace vm {

// The upper half of a 64-bit product of 32-bit lanes, from 16-bit digits; b < 2^24.
template <class U>
AOT_FN U mul_high(U a, U b) {
  const U low = splat<U>(0xffffu);
  const U a0 = a & low, a1 = a >> 16, b0 = b & low, b1 = b >> 16;
  const U mid = a1 * b0 + ((a0 * b0) >> 16);
  return a1 * b1 + (mid >> 16) + ((a0 * b1 + (mid & low)) >> 16);
}

// Word j + k of the binary expansion of 2/pi (word 0 is zero), j in 0..4.
template <class U>
AOT_FN U two_over_pi(U j, uint32_t w0, uint32_t w1, uint32_t w2, uint32_t w3, uint32_t w4) {
  U r = choose(j == splat<U>(1u), splat<U>(w1), splat<U>(w0));
  r = choose(j == splat<U>(2u), splat<U>(w2), r);
  r = choose(j == splat<U>(3u), splat<U>(w3), r);
  return choose(j == splat<U>(4u), splat<U>(w4), r);
}

// 32 bits of hi:lo starting b bits in, 0 <= b <= 31.
template <class U>
AOT_FN U funnel(U hi, U lo, U b) {
  return (hi << b) | ((lo >> 1) >> (splat<U>(31u) - b));
}

// |x| = quadrant pi/2 + r, |r| <= pi/4, quadrant mod 4. Payne and Hanek's reduction in 32-bit
// integers: x = m 2^e picks the 96 bits of 2/pi that matter, m times them is the angle in quarter
// turns mod 4 with 62 fraction bits, and no float comes closer to a multiple of pi/2 than about
// 2^-30 of it. Exact for every finite x, and without a branch.
template <class V>
struct Angle {
  V r;
  uint_of<V> quadrant;
};
template <class V>
AOT_FN Angle<V> reduce_angle(V x) {
  using U = uint_of<V>;
  const U ax = ubits(x) & splat<U>(0x7fffffffu);
  const U m = (ax & splat<U>(0x7fffffu)) | splat<U>(0x800000u);
  const U offset = (ax >> 23) - splat<U>(120u);
  const U j = offset >> 5, b = offset & splat<U>(31u);
  const uint32_t w1 = 0xa2f9836eu, w2 = 0x4e441529u, w3 = 0xfc2757d1u, w4 = 0xf534ddc0u,
                 w5 = 0xdb629599u, w6 = 0x3c439041u, w7 = 0xfe5163abu;
  const U t0 = two_over_pi(j, 0u, w1, w2, w3, w4), t1 = two_over_pi(j, w1, w2, w3, w4, w5);
  const U t2 = two_over_pi(j, w2, w3, w4, w5, w6), t3 = two_over_pi(j, w3, w4, w5, w6, w7);
  const U a0 = funnel(t0, t1, b), a1 = funnel(t1, t2, b), a2 = funnel(t2, t3, b);
  const U low_part = mul_high(a2, m);
  U lo = a1 * m + low_part;
  U hi = a0 * m + mul_high(a1, m) + choose(lo < low_part, splat<U>(1u), splat<U>(0u));
  const U quadrant = (hi + splat<U>(0x20000000u)) >> 30;
  hi = hi - (quadrant << 30);
  const U negative = splat<U>(0u) - (hi >> 31);
  hi = hi ^ negative;
  lo = lo ^ negative;
  const V coarse = to_float<V>(bit_cast_to<int_of<V>>(hi & splat<U>(0xfffff000u)));
  const V fine = to_float<V>(bit_cast_to<int_of<V>>(hi & splat<U>(0xfffu))) +
                 to_float<V>(bit_cast_to<int_of<V>>(lo >> 8)) * splat<V>(5.96046448e-8f);
  const V t = coarse + fine, t_head = head(t);
  const V t_tail = (t - t_head) + ((coarse - t) + fine);
  // times pi/2 = 1.5703125 + 0.000483826792, in units of 2^-30
  const V r = (t_head * splat<V>(1.5703125f) +
               (t_head * splat<V>(0.000483826792f) + t_tail * splat<V>(1.57079637f))) *
              splat<V>(9.31322575e-10f);
  const auto small = absolute(x) < splat<V>(0.785398185f);
  return {choose(small, absolute(x), bit_cast_to<V>(ubits(r) ^ (negative << 31))),
          choose(small, splat<U>(0u), quadrant)};
}

template <class V>
AOT_FN V sin_poly(V r) {
  const V u = r * r;
  return r + r * u * poly(u, -0.166666552f, 0.00833218824f, -0.000195180954f);
}
template <class V>
AOT_FN V cos_poly(V r) {
  const V u = r * r;
  return (splat<V>(1.0f) - splat<V>(0.5f) * u) +
         u * u * poly(u, 0.0416666456f, -0.00138873095f, 2.44323273e-05f);
}
// sin of |x| + shift quarter turns, with the sign bit of `sign` applied; NaN for inf and NaN.
template <class V>
AOT_FN V sin_shifted(V x, uint32_t shift, uint_of<V> sign) {
  using U = uint_of<V>;
  const Angle<V> a = reduce_angle(x);
  const U q = a.quadrant + splat<U>(shift);
  const V s = choose((q & splat<U>(1u)) == splat<U>(0u), sin_poly(a.r), cos_poly(a.r));
  const V r = bit_cast_to<V>(ubits(s) ^ ((q >> 1) << 31) ^ sign);
  return choose(absolute(x) < inf_of<V>(), r, x - x);
}

}  // namespace vm

template <class V>
AOT_FN V vsin(V x) {
  return vm::sin_shifted(x, 0u, vm::ubits(x) & vm::uints<V>(0x80000000u));
}
AOT_FN double vsin(double x) { return AOT_LIBM(sin)(x); }

template <class V>
AOT_FN V vcos(V x) {
  return vm::sin_shifted(x, 1u, vm::uints<V>(0u));
}
AOT_FN double vcos(double x) { return AOT_LIBM(cos)(x); }

template <class V>
AOT_FN V vtan(V x) {
  using U = vm::uint_of<V>;
  const vm::Angle<V> a = vm::reduce_angle(x);
  const V s = vm::sin_poly(a.r), c = vm::cos_poly(a.r);
  const auto even = (a.quadrant & vm::splat<U>(1u)) == vm::splat<U>(0u);
  const V t = vm::choose(even, s, -c) / vm::choose(even, c, s);
  const V r = vm::bit_cast_to<V>(vm::ubits(t) ^ (vm::ubits(x) & vm::splat<U>(0x80000000u)));
  return vm::choose(vm::absolute(x) < vm::inf_of<V>(), r, x - x);
}
AOT_FN double vtan(double x) { return AOT_LIBM(tan)(x); }

namespace vm {

// asin(s) - s for 0 <= s <= 1/2, z = s^2.
template <class V>
AOT_FN V asin_tail(V s, V z) {
  return s * z * poly(z, 0.166667521f, 0.0749530941f, 0.0454691462f, 0.0241848174f, 0.0421582051f);
}

}  // namespace vm

// Above 1/2: pi/2 - 2 asin(sqrt((1 - |x|) / 2)).
template <class V>
AOT_FN V vasin(V x) {
  const V a = vm::absolute(x);
  const auto high = a > vm::splat<V>(0.5f);
  const V half = vm::splat<V>(0.5f) - vm::splat<V>(0.5f) * a;
  const V z = vm::choose(high, half, a * a);
  const V s = vm::choose(high, vsqrt(half), a);
  const V y = s + vm::asin_tail(s, z);
  const V r = vm::choose(high, vm::splat<V>(1.57079637f) - (y + y + vm::splat<V>(4.371139e-8f)), y);
  return vm::copy_sign(r, x);
}
AOT_FN double vasin(double x) { return AOT_LIBM(asin)(x); }

template <class V>
AOT_FN V vacos(V x) {
  const V a = vm::absolute(x);
  const V zero = vm::splat<V>(0.0f);
  const auto high = a > vm::splat<V>(0.5f);
  const V half = vm::splat<V>(0.5f) - vm::splat<V>(0.5f) * a;
  const V s = vm::choose(high, vsqrt(half), x);
  const V tail = vm::asin_tail(s, vm::choose(high, half, x * x));
  const V low = vm::splat<V>(1.57079637f) - (s + (tail + vm::splat<V>(4.371139e-8f)));
  const V y = vm::splat<V>(2.0f) * (s + tail);
  const V turned = vm::splat<V>(3.14159274f) - (y + vm::splat<V>(8.742278e-8f));
  return vm::choose(high, vm::choose(x < zero, turned, y), low);
}
AOT_FN double vacos(double x) { return AOT_LIBM(acos)(x); }

// Three octants, one division: |x|, (|x| - 1) / (|x| + 1) about pi/4, -1/|x| about pi/2.
template <class V>
AOT_FN V vatan(V x) {
  const V a = vm::absolute(x);
  const V one = vm::splat<V>(1.0f), zero = vm::splat<V>(0.0f);
  const auto mid = a > vm::splat<V>(0.414213562f);
  const auto high = a > vm::splat<V>(2.41421356f);
  const V num = vm::choose(high, -one, vm::choose(mid, a - one, a));
  const V den = vm::choose(high, a, vm::choose(mid, a + one, one));
  const V t = num / den;
  const V u = t * t;
  const V tail = t * u * vm::poly(u, -0.333329499f, 0.199777305f, -0.138778523f, 0.0805418268f);
  const V lo = vm::choose(high, vm::splat<V>(-4.371139e-8f),
                          vm::choose(mid, vm::splat<V>(-2.1855695e-8f), zero));
  const V base = vm::choose(high, vm::splat<V>(1.57079637f),
                            vm::choose(mid, vm::splat<V>(0.785398185f), zero));
  return vm::copy_sign(base + (t + (tail + lo)), x);
}
AOT_FN double vatan(double x) { return AOT_LIBM(atan)(x); }

}  // namespace
}  // namespace AOT_NS
