// SPDX-License-Identifier: 0BSD
//
// complex.h: complex numbers as ONNX stores them, the real part before the imaginary.
//
// Arithmetic   the four rules of arithmetic, written out: no special cases for infinities, and nothing that calls a library.
// Order        lexicographic, as NumPy sorts: by real part, then by imaginary part. A NaN is unequal to everything.
#pragma once

#include "traits.h"

namespace AOT_NS {
namespace {

template <class F>
struct complex_of {
  F re, im;
  AOT_HD constexpr complex_of(F r = F(0), F i = F(0)) : re(r), im(i) {}
};
using complex64 = complex_of<float>;
using complex128 = complex_of<double>;

template <class F>
AOT_FN complex_of<F> operator+(complex_of<F> a, complex_of<F> b) {
  return {a.re + b.re, a.im + b.im};
}
template <class F>
AOT_FN complex_of<F> operator-(complex_of<F> a, complex_of<F> b) {
  return {a.re - b.re, a.im - b.im};
}
template <class F>
AOT_FN complex_of<F> operator-(complex_of<F> a) {
  return {-a.re, -a.im};
}
template <class F>
AOT_FN complex_of<F> operator*(complex_of<F> a, complex_of<F> b) {
  return {a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};
}
template <class F>
AOT_FN bool operator==(complex_of<F> a, complex_of<F> b) {
  return (a.re == b.re) & (a.im == b.im);
}
template <class F>
AOT_FN bool operator!=(complex_of<F> a, complex_of<F> b) {
  return !(a == b);
}
template <class F>
AOT_FN bool operator<(complex_of<F> a, complex_of<F> b) {
  return (a.re < b.re) | ((a.re == b.re) & (a.im < b.im));
}
template <class F>
AOT_FN bool operator>(complex_of<F> a, complex_of<F> b) {
  return b < a;
}

}  // namespace
}  // namespace AOT_NS
