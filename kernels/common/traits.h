// SPDX-License-Identifier: 0BSD
//
// traits.h: one spelling for a scalar and for a GCC/Clang vector of it.
//
// A function template over V (float, or vec<float, N>) is written once: comparisons give a mask
// (bool, or a vector of 0 and -1), choose() picks by a mask without a branch, and bit_cast_to<>
// reinterprets. Nothing here includes more than <stddef.h> and <stdint.h>, so the text compiles
// freestanding, and under nvcc for V = float or double (GCC vector types are left out there).
//
// V          float, double, an integer, or vec<T, N> of one of them
// lanes_of   number of lanes (1 for a scalar);  elem_of<V>  type of a lane
// int_of     same number of lanes and bits, signed;  uint_of  unsigned
//
// Everything lies in namespace vm, so that this header and simd.h may stand in one file in either
// order.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifndef AOT_NS
#define AOT_NS aot
#endif

#ifdef __CUDACC__
#define AOT_HD __host__ __device__
#else
#define AOT_HD
#endif
// The words of simd.h, so that either may define it.
#define AOT_INLINE inline __attribute__((always_inline))

// What every small function here starts with: device-callable, inlined, never an error when unused.
#define AOT_FN [[maybe_unused]] AOT_HD AOT_INLINE

namespace AOT_NS {
namespace {
namespace vm {

template <bool Take, class A, class B>
struct pick_type {
  using type = A;
};
template <class A, class B>
struct pick_type<false, A, B> {
  using type = B;
};

template <class T>
struct drop_ref {
  using type = T;
};
template <class T>
struct drop_ref<T&> {
  using type = T;
};

template <size_t Bytes>
struct int_sized;
template <>
struct int_sized<1> {
  using s = int8_t;
  using u = uint8_t;
};
template <>
struct int_sized<2> {
  using s = int16_t;
  using u = uint16_t;
};
template <>
struct int_sized<4> {
  using s = int32_t;
  using u = uint32_t;
};
template <>
struct int_sized<8> {
  using s = int64_t;
  using u = uint64_t;
};

#ifndef __CUDACC__
template <class T, int N>
struct vec_type {
  typedef T type __attribute__((vector_size(static_cast<size_t>(N) * sizeof(T))));
};
// N lanes of T, aligned to its own size.
template <class T, int N>
using vec = typename vec_type<T, N>::type;

// A GCC vector: everything follows from the type of one lane.
template <class V>
struct vector_traits {
  static V& value();
  using elem = typename drop_ref<decltype(value()[0])>::type;
  static constexpr int lanes = static_cast<int>(sizeof(V) / sizeof(elem));
  using s = vec<typename int_sized<sizeof(elem)>::s, lanes>;
  using u = vec<typename int_sized<sizeof(elem)>::u, lanes>;
};
template <class V>
struct type_traits : vector_traits<V> {};
#else
template <class V>
struct type_traits;
#endif

template <class T>
struct scalar_traits {
  using elem = T;
  static constexpr int lanes = 1;
  using s = typename int_sized<sizeof(T)>::s;
  using u = typename int_sized<sizeof(T)>::u;
};
template <>
struct type_traits<float> : scalar_traits<float> {};
template <>
struct type_traits<double> : scalar_traits<double> {};
template <>
struct type_traits<bool> : scalar_traits<bool> {};
template <>
struct type_traits<int8_t> : scalar_traits<int8_t> {};
template <>
struct type_traits<uint8_t> : scalar_traits<uint8_t> {};
template <>
struct type_traits<int16_t> : scalar_traits<int16_t> {};
template <>
struct type_traits<uint16_t> : scalar_traits<uint16_t> {};
template <>
struct type_traits<int32_t> : scalar_traits<int32_t> {};
template <>
struct type_traits<uint32_t> : scalar_traits<uint32_t> {};
template <>
struct type_traits<int64_t> : scalar_traits<int64_t> {};
template <>
struct type_traits<uint64_t> : scalar_traits<uint64_t> {};

template <class V>
using elem_of = typename type_traits<V>::elem;
template <class V>
using int_of = typename type_traits<V>::s;
template <class V>
using uint_of = typename type_traits<V>::u;
template <class V>
constexpr int lanes_of = type_traits<V>::lanes;

// x in every lane.
template <class V>
AOT_FN V splat(elem_of<V> x) {
  if constexpr (lanes_of<V> == 1) {
    return x;
  } else {
    return x - V{};  // x - 0 is x for every x, -0 too, so it folds into a broadcast
  }
}

// The same bits as another type of the same size.
template <class To, class From>
AOT_FN To bit_cast_to(From x) {
  static_assert(sizeof(To) == sizeof(From), "bit_cast_to needs equal sizes");
  return __builtin_bit_cast(To, x);
}

// Lane by lane: mask ? a : b. Both sides are values, so there is no branch.
template <class M, class V>
AOT_FN V choose(M mask, V a, V b) {
  return mask ? a : b;
}

}  // namespace vm
}  // namespace
}  // namespace AOT_NS
