// SPDX-License-Identifier: 0BSD
//
// SIMD over GCC/Clang vector extensions: the only kernel header that may name an instruction set.
//
// Maths       Every operation is lane-wise IEEE 754 binary32. NaN and infinity follow the
//             operation; nothing is flushed or reordered here.
// Shapes      vf holds kLanes floats: 16 with AVX-512, 8 with AVX, 4 with SSE2, NEON, wasm, VSX or
//             z/Vector, else 1. AOT_SCALAR forces 1, AOT_LANES=n forces n (RVV: 16 is one register
//             group). kLanes divides the channel block kBlock = 16 on every machine, so that packed
//             weights and layouts never depend on it.
// One text    A function written for V works for V = vf and for V = float alike: vectors for whole
//             blocks, float for a ragged last lane. A mask is bool for float and an int vector (0
//             or -1) for vf; combine masks with & and |, negate with !, never with ~ (wrong for
//             bool), and spend them in choose().
// Alignment   load() and store() ask for the alignment of a float only.
// Aliasing    float objects only; the vector view of float memory is may_alias.
// Error       madd() rounds once where the machine has a fused multiply-add and -ffp-contract
//             allows it, else twice.
#pragma once

#include <stddef.h>
#include <stdint.h>

#if defined(__ARM_NEON)
#include <arm_neon.h>
#endif

#ifndef AOT_NS
#define AOT_NS aot
#endif

#define AOT_INLINE inline __attribute__((always_inline))
#define AOT_NOINLINE __attribute__((noinline))

namespace AOT_NS {
namespace {

#if defined(AOT_SCALAR)
constexpr int kLanes = 1;
#elif defined(AOT_LANES)
constexpr int kLanes = AOT_LANES;
#elif defined(__AVX512F__)
constexpr int kLanes = 16;
#elif defined(__AVX__)
constexpr int kLanes = 8;
#elif defined(__SSE2__) || defined(__ARM_NEON) || defined(__wasm_simd128__) || defined(__VSX__) || \
    defined(__VEC__)
constexpr int kLanes = 4;
#else
constexpr int kLanes = 1;
#endif

/// Architectural vector registers: what a tile's accumulators have to fit into.
#if defined(__AVX512VL__) || defined(__AVX512F__) || defined(__aarch64__) || defined(__VSX__) || \
    defined(__VEC__) || defined(__riscv)
constexpr int kRegisters = 32;
#else
constexpr int kRegisters = 16;
#endif

/// Channels of a block, columns of a packed weight panel: the same on every machine.
constexpr int kBlock = 16;
static_assert(kBlock % kLanes == 0, "the vector length divides the channel block");

template <class T, int N>
struct VecType {
  typedef T type __attribute__((vector_size(N * static_cast<int>(sizeof(T)))));
};
template <class T>
struct VecType<T, 1> {
  typedef T type;
};

/// N lanes of T; T itself when N is 1.
template <class T, int N>
using vec = typename VecType<T, N>::type;

using vf = vec<float, kLanes>;
using vi = vec<int32_t, kLanes>;

/// How many 32-bit lanes V has: 1 for float and int32_t.
template <class V>
constexpr int lanes_of = static_cast<int>(sizeof(V) / sizeof(float));

/// The int32 type with the lanes of V: int32_t for float.
template <class V>
using int_of = vec<int32_t, lanes_of<V>>;

/// The float type with the lanes of V.
template <class V>
using float_of = vec<float, lanes_of<V>>;

/// What a comparison of two V yields: bool for float.
template <class V>
using mask_of = decltype(V() < V());

/// x in every lane. A subtraction, because x - 0 is x for every x (-0 too) and so folds into a
/// broadcast from memory; x + 0 is not, and costs an addition per broadcast.
template <class V>
AOT_INLINE V splat(float x) {
  return x - V{};
}

/// i in every lane of an integer type.
template <class VI>
AOT_INLINE VI splat_int(int32_t i) {
  return i - VI{};
}

template <class V>
struct __attribute__((packed, aligned(4), may_alias)) Unaligned {
  V v;
};

/// lanes_of<V> consecutive floats.
template <class V>
AOT_INLINE V load(const float* p) {
  return reinterpret_cast<const Unaligned<V>*>(p)->v;
}

template <class V>
AOT_INLINE void store(float* p, V v) {
  reinterpret_cast<Unaligned<V>*>(p)->v = v;
}

/// Lane i of v, for any i below lanes_of<V>.
template <class V>
AOT_INLINE float lane(V v, int i) {
  if constexpr (lanes_of<V> == 1) {
    return v;
  } else {
    return v[i];
  }
}

/// The floats at p, p + stride, p + 2 * stride, ...
template <class V>
AOT_INLINE V load_strided(const float* p, ptrdiff_t stride) {
  if constexpr (lanes_of<V> == 1) {
    return *p;
  } else {
    V v{};
#pragma GCC unroll 16
    for (int i = 0; i < lanes_of<V>; ++i) v[i] = p[i * stride];
    return v;
  }
}

template <class V>
AOT_INLINE void store_strided(float* p, ptrdiff_t stride, V v) {
#pragma GCC unroll 16
  for (int i = 0; i < lanes_of<V>; ++i) p[i * stride] = lane(v, i);
}

/// The bits of `from` as a To of the same size.
template <class To, class From>
AOT_INLINE To bit_cast_to(From from) {
  return __builtin_bit_cast(To, from);
}

/// Lane-wise value conversion between float and int32 types of equal lanes; float to int truncates,
/// and the caller clamps first: an out-of-range or NaN lane is undefined.
template <class To, class From>
AOT_INLINE To convert_to(From from) {
  if constexpr (lanes_of<From> == 1) {
    return static_cast<To>(from);
  } else {
    return __builtin_convertvector(from, To);
  }
}

/// a where the mask holds, else b. A mask is what a comparison yields: bool, or a vector of 0 and
/// -1.
template <class M, class V>
AOT_INLINE V choose(M mask, V a, V b) {
  return mask ? a : b;
}

/// acc + a * b, fused where the machine can.
template <class V>
AOT_INLINE V madd(V a, V b, V acc) {
#if defined(__ARM_NEON) && defined(__ARM_FEATURE_FMA) && !defined(__aarch64__) && \
    !defined(AOT_SCALAR)
  // GCC lowers vector-extension arithmetic of AArch32 to scalar code unless told that denormals may
  // be flushed.
  if constexpr (lanes_of<V> == 4) {
    return bit_cast_to<V>(vfmaq_f32(bit_cast_to<float32x4_t>(acc), bit_cast_to<float32x4_t>(a),
                                    bit_cast_to<float32x4_t>(b)));
  } else {
    return acc + a * b;
  }
#else
  return acc + a * b;
#endif
}

// The machine's maximum and minimum, by hand because GCC does not make maxps of `a > b ? a : b`.
// x86 returns the second operand for a NaN or a tie of zeros; NEON and wasm return NaN if either
// operand is one.
#if defined(__AVX512F__)
constexpr int kX86Lanes = 16;
#elif defined(__AVX__)
constexpr int kX86Lanes = 8;
#elif defined(__SSE2__)
constexpr int kX86Lanes = 4;
#else
constexpr int kX86Lanes = 0;
#endif

#if defined(__AVX512F__) && defined(__clang__)
AOT_INLINE vec<float, 16> hw_max(vec<float, 16> a, vec<float, 16> b) {
  return __builtin_ia32_maxps512(a, b, 4);  // 4: the current rounding mode
}
AOT_INLINE vec<float, 16> hw_min(vec<float, 16> a, vec<float, 16> b) {
  return __builtin_ia32_minps512(a, b, 4);
}
#elif defined(__AVX512F__)
AOT_INLINE vec<float, 16> hw_max(vec<float, 16> a, vec<float, 16> b) {
  return __builtin_ia32_maxps512_mask(a, b, a, -1, 4);
}
AOT_INLINE vec<float, 16> hw_min(vec<float, 16> a, vec<float, 16> b) {
  return __builtin_ia32_minps512_mask(a, b, a, -1, 4);
}
#endif
#if defined(__AVX__)
AOT_INLINE vec<float, 8> hw_max(vec<float, 8> a, vec<float, 8> b) {
  return __builtin_ia32_maxps256(a, b);
}
AOT_INLINE vec<float, 8> hw_min(vec<float, 8> a, vec<float, 8> b) {
  return __builtin_ia32_minps256(a, b);
}
#endif
#if defined(__SSE2__)
AOT_INLINE vec<float, 4> hw_max(vec<float, 4> a, vec<float, 4> b) {
  return __builtin_ia32_maxps(a, b);
}
AOT_INLINE vec<float, 4> hw_min(vec<float, 4> a, vec<float, 4> b) {
  return __builtin_ia32_minps(a, b);
}
#endif
#if defined(__ARM_NEON)
constexpr bool kHardwareMax = kLanes == 4;
AOT_INLINE vec<float, 4> hw_max(vec<float, 4> a, vec<float, 4> b) {
  return bit_cast_to<vec<float, 4>>(
      vmaxq_f32(bit_cast_to<float32x4_t>(a), bit_cast_to<float32x4_t>(b)));
}
AOT_INLINE vec<float, 4> hw_min(vec<float, 4> a, vec<float, 4> b) {
  return bit_cast_to<vec<float, 4>>(
      vminq_f32(bit_cast_to<float32x4_t>(a), bit_cast_to<float32x4_t>(b)));
}
#else
constexpr bool kHardwareMax = kLanes > 1 && kLanes <= kX86Lanes;
#endif

/// max(x, lo) for a lo that is a number: a NaN in x stays. The cheap form, for relu and clamps.
template <class V>
AOT_INLINE V at_least(V x, V lo) {
  if constexpr (kHardwareMax && lanes_of<V> == kLanes) {
    return hw_max(lo, x);
  } else {
    return choose(x < lo, lo, x);
  }
}

/// min(x, hi) for a hi that is a number: a NaN in x stays.
template <class V>
AOT_INLINE V at_most(V x, V hi) {
  if constexpr (kHardwareMax && lanes_of<V> == kLanes) {
    return hw_min(hi, x);
  } else {
    return choose(hi < x, hi, x);
  }
}

/// The larger of a and b; NaN if either is.
template <class V>
AOT_INLINE V vmax(V a, V b) {
  return choose(a == a, at_least(b, a), a);
}

/// The smaller of a and b; NaN if either is.
template <class V>
AOT_INLINE V vmin(V a, V b) {
  return choose(a == a, at_most(b, a), a);
}

/// The first n floats at p in lanes 0 .. n-1 and zero in the others; reads nothing beyond them. 0
/// <= n <= lanes.
template <class V>
AOT_INLINE V load_first(const float* p, int n) {
#if defined(__AVX512F__)
  if constexpr (lanes_of<V> == 16) {
    return __builtin_ia32_loadups512_mask(p, V{}, static_cast<unsigned short>((1u << n) - 1u));
  }
#endif
#if defined(__AVX__)
  if constexpr (lanes_of<V> == 8) {
    const vec<int32_t, 8> index = {0, 1, 2, 3, 4, 5, 6, 7};
    return __builtin_ia32_maskloadps256(reinterpret_cast<const vec<float, 8>*>(p),
                                        index < splat_int<vec<int32_t, 8>>(n));
  }
#endif
  float head[lanes_of<V>] = {};
  for (int i = 0; i < n; ++i) head[i] = p[i];
  return load<V>(head);
}

/// Lanes 0 .. n-1 of v to p; writes nothing beyond them.
template <class V>
AOT_INLINE void store_first(float* p, V v, int n) {
  for (int i = 0; i < n; ++i) p[i] = lane(v, i);
}

}  // namespace
}  // namespace AOT_NS
