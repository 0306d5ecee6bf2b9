// SPDX-License-Identifier: 0BSD
//
// vmath_pow.h: power and remainders. Contract, errors and method: vmath.h.
#pragma once

#include "vmath_base.h"

namespace AOT_NS {
namespace {

namespace vm {

// log2 of a positive finite a as head + tail, the head of 12 bits, together good to about 2^-33:
// with s = f / (2 + f), log(1 + f) = s (2 + 2/3 s^2 + ...), every leading product exact and what it
// leaves out carried along.
template <class V>
struct Log2Parts {
  V hi;
  V lo;
};
template <class V>
AOT_FN Log2Parts<V> log2_parts(V a) {
  const V one = splat<V>(1.0f);
  const LogReduced<V> g = log_reduce(a);
  const V m = g.f + one;  // exact: f = m - 1 was
  const V d = head(m + one), d_lo = m - (d - one);
  const V s = g.f / (m + one);
  const V s_hi = head(s);
  const V s_lo = ((g.f - s_hi * d) - s_hi * d_lo) / (m + one);
  // y = 2 + 2/3 s^2 + s^4 (...), 2/3 = 0.66650390625 + 0.000162760417
  const V v = s_hi * s_hi;
  const V v_hi = head(v);
  const V u = s * s;
  const V cubic = v_hi * splat<V>(0.666503906f);
  const V rest = v_hi * splat<V>(0.000162760417f) +
                 ((v - v_hi) + splat<V>(2.0f) * s_hi * s_lo) * splat<V>(0.666666687f) +
                 u * u * poly(u, 0.400001526f, 0.285470903f, 0.234196454f);
  const V y = splat<V>(2.0f) + (cubic + rest);
  const V y_hi = head(y);
  const V y_lo = (cubic - (y_hi - splat<V>(2.0f))) + rest;
  // times log2(e) = 1.4423828125 + 0.000312228396
  const V l = s_hi * y_hi;
  const V l_lo = s_lo * y + s_hi * y_lo;
  const V z = head(l + l_lo);
  const V z_lo = (l - z) + l_lo;
  const V w = z * splat<V>(1.44238281f);
  const V w_lo = z * splat<V>(0.000312228396f) + z_lo * splat<V>(1.44269502f);
  const V t = head(g.k + (w + w_lo));
  return {t, ((g.k - t) + w) + w_lo};
}

// 2^(b log2 a) for a positive finite a and any b.
template <class V>
AOT_FN V pow_positive(V a, V b) {
  // Beyond 2^33 every a but 1 has over- or underflowed, and 1 has logarithm 0.
  const V limit = splat<V>(8589934592.0f);
  V c = choose(b > limit, limit, b);
  c = choose(c < -limit, -limit, c);
  const Log2Parts<V> g = log2_parts(a);
  const V c_hi = head(c);
  V hi = c_hi * g.hi;
  V lo = (c - c_hi) * g.hi + c * g.lo;
  const auto over = hi + lo > splat<V>(160.0f), under = hi + lo < splat<V>(-160.0f);
  hi = choose(over, splat<V>(160.0f), choose(under, splat<V>(-160.0f), hi));
  lo = choose(over, splat<V>(0.0f), choose(under, splat<V>(0.0f), lo));
  const V shifted = (hi + lo) + rounder<V>();
  const V r = (hi - (shifted - rounder<V>())) + lo;
  const V p = splat<V>(1.0f) + r * poly(r, 0.693147182f, 0.240225941f, 0.0555036627f,
                                        0.00962543488f, 0.00133879145f, 0.000133374182f);
  return scale(p, rounded_int(shifted));
}

}  // namespace vm

// a^b with every special case of C99 Annex F: x^0 = 1^y = 1 even for NaN, (-1)^+-inf = 1, a
// negative base needs an integer exponent, whose oddness decides the sign, also of 0 and inf.
template <class V>
AOT_FN V vpow(V a, V b) {
  const V zero = vm::splat<V>(0.0f), one = vm::splat<V>(1.0f), inf = vm::inf_of<V>();
  const V m = vm::absolute(a);
  V r = vm::pow_positive(m, b);
  const V at_edge = vm::choose((m == zero) == (b < zero), inf, zero);  // 0^b and inf^b
  r = vm::choose((m == zero) | (m == inf), at_edge, r);
  const V half = vm::splat<V>(0.5f) * b;
  const auto whole = vtrunc(b) == b;
  const auto odd = whole & (vtrunc(half) != half);
  const V signed_r = vm::choose(odd, vm::copy_sign(r, a), r);
  r = vm::choose(whole, signed_r, vm::choose((a < zero) & (m < inf), vm::nan_of<V>(), r));
  r = vm::choose((a != a) | (b != b), vm::nan_of<V>(), r);
  return vm::choose((b == zero) | (a == one), one, r);
}
AOT_FN double vpow(double a, double b) { return AOT_LIBM(pow)(a, b); }

namespace vm {

// |x| mod |y| in integers: x = mx 2^ex, y = my 2^ey, and (mx 2^(ex-ey)) mod my some 39 bits a time.
AOT_FN float fmod_scalar(float x, float y) {
  const uint32_t bx = ubits(x) & 0x7fffffffu, by = ubits(y) & 0x7fffffffu;
  if (by == 0 || bx >= 0x7f800000u || by > 0x7f800000u) return nan_of<float>();
  if (bx < by) return x;
  const uint32_t ex = bx < 0x800000u ? 1u : bx >> 23, ey = by < 0x800000u ? 1u : by >> 23;
  const uint64_t my = by < 0x800000u ? by : (by & 0x7fffffu) | 0x800000u;
  uint64_t rest = (bx < 0x800000u ? bx : (bx & 0x7fffffu) | 0x800000u);
  uint32_t shift = ex - ey;
  rest %= my;
  while (shift > 0) {
    const uint32_t step = shift < 39u ? shift : 39u;
    rest = (rest << step) % my;
    shift -= step;
  }
  // rest 2^(ey - 150): the conversion is exact, and so are both factors and their product.
  const float size = static_cast<float>(static_cast<int32_t>(rest));
  const int32_t e = static_cast<int32_t>(ey) - 150;
  return copy_sign(scale(size, e), x);
}

}  // namespace vm

// The remainder of C's fmod: exact, with the sign of x; NaN for y = 0 or x infinite.
template <class V>
AOT_FN V vfmod(V x, V y) {
  if constexpr (vm::lanes_of<V> == 1) {
    return vm::fmod_scalar(x, y);
  } else {
    V r = x;
    for (int i = 0; i < vm::lanes_of<V>; ++i) r[i] = vm::fmod_scalar(x[i], y[i]);
    return r;
  }
}
AOT_FN double vfmod(double x, double y) { return AOT_LIBM(fmod)(x, y); }

// The remainder of flooring division, as Python's %: the sign of y, also on a zero.
template <class V>
AOT_FN V vmod(V x, V y) {
  const V zero = vm::splat<V>(0.0f);
  const V r = vfmod(x, y);
  const V moved = vm::choose((r < zero) == (y < zero), r, r + y);
  return vm::choose(r == zero, vm::copy_sign(zero, y), moved);
}
AOT_FN double vmod(double x, double y) {
  const double r = AOT_LIBM(fmod)(x, y);
  const double moved = (r < 0) == (y < 0) ? r : r + y;
  return r == 0 ? AOT_LIBM(copysign)(0.0, y) : moved;
}

}  // namespace
}  // namespace AOT_NS
