// SPDX-License-Identifier: 0BSD
//
// vmath_exp.h: exponentials, logarithms, hyperbolic functions and their inverses, erf. Contract,
// errors and method: vmath.h.
#pragma once

#include "vmath_base.h"

namespace AOT_NS {
namespace {

// e^x. Overflow is inf, underflow passes through the denormals to 0.
template <class V>
AOT_FN V vexp(V x) {
  return vm::exp_scaled(x, 0);
}
AOT_FN double vexp(double x) { return AOT_LIBM(exp)(x); }

// e^x - 1 = 2 (2^(n-1) (e^r - 1) + (2^(n-1) - 1/2)): halved, so that n = 128 does not overflow.
template <class V>
AOT_FN V vexpm1(V x) {
  V c = vm::choose(x > vm::splat<V>(89.0f), vm::splat<V>(89.0f), x);
  c = vm::choose(c < vm::splat<V>(-18.0f), vm::splat<V>(-18.0f), c);
  const vm::ExpReduced<V> e = vm::exp_reduce(c);
  const V q = vm::expm1_poly(e.r);
  const V s = vm::exp2_int<V>(e.ni - vm::ints<V>(1));
  const V high = vm::splat<V>(2.0f) * (s * q + (s - vm::splat<V>(0.5f)));
  return vm::copy_sign(vm::choose(e.n == vm::splat<V>(0.0f), q, high), x);
}
AOT_FN double vexpm1(double x) { return AOT_LIBM(expm1)(x); }

// Natural logarithm: 0 gives -inf, a negative number NaN.
template <class V>
AOT_FN V vlog(V x) {
  const vm::LogReduced<V> g = vm::log_reduce(x);
  V r = vm::log_sum(g.f, g.k, vm::splat<V>(0.0f));
  r = vm::choose(x < vm::inf_of<V>(), r, x);  // inf and NaN stay
  r = vm::choose(x < vm::splat<V>(0.0f), vm::nan_of<V>(), r);
  return vm::choose(x == vm::splat<V>(0.0f), -vm::inf_of<V>(), r);
}
AOT_FN double vlog(double x) { return AOT_LIBM(log)(x); }

// log(1 + x). What rounding u = 1 + x lost comes back as a term lost / u; where u lies in the
// octave of 1, f = x.
template <class V>
AOT_FN V vlog1p(V x) {
  const V one = vm::splat<V>(1.0f), zero = vm::splat<V>(0.0f);
  const V u = x + one;
  const vm::LogReduced<V> g = vm::log_reduce(u);
  const V lost = vm::choose(u >= vm::splat<V>(2.0f), one - (u - x), x - (u - one)) / u;
  const auto first = g.k == zero;
  V r = vm::log_sum(vm::choose(first, x, g.f), g.k, vm::choose(first, zero, lost));
  r = vm::choose(x < vm::inf_of<V>(), vm::copy_sign(r, x), x);
  r = vm::choose(x < -one, vm::nan_of<V>(), r);
  return vm::choose(x == -one, -vm::inf_of<V>(), r);
}
AOT_FN double vlog1p(double x) { return AOT_LIBM(log1p)(x); }

// 1 / (1 + e^-x), from e^-|x| so that neither side overflows.
template <class V>
AOT_FN V vsigmoid(V x) {
  const V e = vexp(-vm::absolute(x));
  const V one = vm::splat<V>(1.0f);
  return vm::choose(x < vm::splat<V>(0.0f), e, one) / (one + e);
}
AOT_FN double vsigmoid(double x) {
  const double e = AOT_LIBM(exp)(-AOT_LIBM(fabs)(x));
  return (x < 0 ? e : 1.0) / (1.0 + e);
}

// ------------------------------------------------------------------------------- hyperbolic, error

// E / (E + 2) with E = e^(2|x|) - 1; beyond |x| = 9.02 the answer is 1.
template <class V>
AOT_FN V vtanh(V x) {
  const V one = vm::splat<V>(1.0f), top = vm::splat<V>(18.04f);
  const V a = vm::absolute(x) + vm::absolute(x);
  const vm::ExpReduced<V> g = vm::exp_reduce(vm::choose(a > top, top, a));
  const V s = vm::exp2_int<V>(g.ni);
  const V e = s * vm::expm1_poly(g.r) + (s - one);
  return vm::copy_sign(e / (e + vm::splat<V>(2.0f)), x);
}
AOT_FN double vtanh(double x) { return AOT_LIBM(tanh)(x); }

// sinh: a polynomial below 1, else E - 1/(4E) with E = e^|x| / 2, which is finite as long as sinh
// is.
template <class V>
AOT_FN V vsinh(V x) {
  const V a = vm::absolute(x);
  const V e = vm::exp_scaled(a, -1);
  const V u = x * x;
  const V low = x + x * u * vm::poly(u, 0.166667163f, 0.00833027065f, 0.000203733405f);
  const V high = vm::copy_sign(e - vm::splat<V>(0.25f) / e, x);
  return vm::copy_sign(vm::choose(a < vm::splat<V>(1.0f), low, high), x);
}
AOT_FN double vsinh(double x) { return AOT_LIBM(sinh)(x); }

template <class V>
AOT_FN V vcosh(V x) {
  const V e = vm::exp_scaled(vm::absolute(x), -1);
  return e + vm::splat<V>(0.25f) / e;
}
AOT_FN double vcosh(double x) { return AOT_LIBM(cosh)(x); }

// Below 1 an odd polynomial, from there 1 - e^-q(|x|) with a polynomial q fitted to -log(erfc); 1
// beyond 3.93. A single ratio of polynomials takes one step less but lands 6 ULP off near 3.
template <class V>
AOT_FN V verf(V x) {
  const V one = vm::splat<V>(1.0f), top = vm::splat<V>(3.93f);
  V a = vm::absolute(x);
  a = vm::choose(a > top, top, a);
  const V u = a * a;
  const V low = a + a * vm::poly(u, 0.128379166f, -0.376126289f, 0.112836033f, -0.0268542022f,
                                 0.0051885983f, -0.000800939859f, 7.8425488e-05f);
  const V q = vm::poly(a, 0.00262737996f, 1.11758757f, 0.654292464f, 0.0887608677f, -0.01481805f,
                       0.00115533895f);
  const vm::ExpReduced<V> g = vm::exp_reduce(-q);
  const V high = one - (one + vm::expm1_poly(g.r)) * vm::exp2_int<V>(g.ni);
  return vm::copy_sign(vm::choose(a < one, low, high), x);
}
AOT_FN double verf(double x) { return AOT_LIBM(erf)(x); }

// log(a + sqrt(a^2 + 1)) as log1p; above 2^13 it is log(a) + log(2) to the last bit.
template <class V>
AOT_FN V vasinh(V x) {
  const V a = vm::absolute(x);
  const V one = vm::splat<V>(1.0f);
  const auto big = a > vm::splat<V>(8192.0f);
  const V s = vm::choose(big, one, a);
  const V z = s * s;
  const V w = s + z / (one + vsqrt(z + one));
  const V r = vlog1p(vm::choose(big, a - one, w)) +
              vm::choose(big, vm::splat<V>(0.693147182f), vm::splat<V>(0.0f));
  return vm::copy_sign(r, x);
}
AOT_FN double vasinh(double x) { return AOT_LIBM(asinh)(x); }

template <class V>
AOT_FN V vacosh(V x) {
  const V one = vm::splat<V>(1.0f);
  const auto big = x > vm::splat<V>(8192.0f);
  const V t = vm::choose(big, one, x) - one;
  const V w = t + vsqrt(t * (t + vm::splat<V>(2.0f)));
  const V r = vlog1p(vm::choose(big, x - one, w)) +
              vm::choose(big, vm::splat<V>(0.693147182f), vm::splat<V>(0.0f));
  return vm::choose(x < one, vm::nan_of<V>(), r);
}
AOT_FN double vacosh(double x) { return AOT_LIBM(acosh)(x); }

template <class V>
AOT_FN V vatanh(V x) {
  const V a = vm::absolute(x);
  const V r = vm::splat<V>(0.5f) * vlog1p((a + a) / (vm::splat<V>(1.0f) - a));
  return vm::copy_sign(r, x);
}
AOT_FN double vatanh(double x) { return AOT_LIBM(atanh)(x); }

}  // namespace
}  // namespace AOT_NS
