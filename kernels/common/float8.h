// SPDX-License-Identifier: 0BSD
//
// float8.h: floats of 8, 6 and 4 bits, stored one to a byte, to float and back.
//
// Formats    e4m3fn and e5m2 (OCP FP8), their fnuz variants, e2m3, e3m2 and e2m1 (OCP FP6 and FP4, in the low bits), and
//            e8m0 (OCP MX block scales): a power of two without sign or zero.
// load_f8    exact; NaN and infinity where the format has them.
// store_f8   to nearest, ties to even. Beyond the largest number: infinity where the format has one, else NaN, else (6 and 4
//            bits) the largest number; NaN is -0 there. ONNX's saturation is a clamp before the store. To e8m0 ties go up;
//            infinity and what is not positive are NaN.
// Branches   none.
// Method     with e the exponent of |x|, limited below to the format's smallest, and q = |x| / 2^(e - M) rounded, the code
//            is q + (e - smallest) 2^M: a denormal has no implicit bit, and a carry out of q moves to the next exponent.
#pragma once

#include "scalar.h"

namespace AOT_NS {
namespace {

// M: bits of the mantissa; kBias: of the exponent; kLargest: code of the largest number; kNan: code of NaN; kOver: what
// is beyond the largest becomes (with kInf: infinity); kUnsignedZero: the code of -0 is NaN.
struct E4M3FN {
  static constexpr int M = 3, kBias = 7, kLargest = 0x7e, kNan = 0x7f, kOver = 0x7f, kBits = 8;
  static constexpr bool kInf = false, kUnsignedZero = false;
};
struct E5M2 {
  static constexpr int M = 2, kBias = 15, kLargest = 0x7b, kNan = 0x7e, kOver = 0x7c, kBits = 8;
  static constexpr bool kInf = true, kUnsignedZero = false;
};
struct E4M3FNUZ {
  static constexpr int M = 3, kBias = 8, kLargest = 0x7f, kNan = 0x80, kOver = 0x80, kBits = 8;
  static constexpr bool kInf = false, kUnsignedZero = true;
};
struct E5M2FNUZ {
  static constexpr int M = 2, kBias = 16, kLargest = 0x7f, kNan = 0x80, kOver = 0x80, kBits = 8;
  static constexpr bool kInf = false, kUnsignedZero = true;
};
struct E2M1 {
  static constexpr int M = 1, kBias = 1, kLargest = 0x7, kNan = 0x8, kOver = 0x7, kBits = 4;
  static constexpr bool kInf = false, kUnsignedZero = false;
};
struct E2M3 {
  static constexpr int M = 3, kBias = 1, kLargest = 0x1f, kNan = 0x20, kOver = 0x1f, kBits = 6;
  static constexpr bool kInf = false, kUnsignedZero = false;
};
struct E3M2 {
  static constexpr int M = 2, kBias = 3, kLargest = 0x1f, kNan = 0x20, kOver = 0x1f, kBits = 6;
  static constexpr bool kInf = false, kUnsignedZero = false;
};
struct E8M0 {};

namespace vm {
// 2^n for a normal result.
AOT_FN float power_of_two(int32_t n) {
  return bit_cast_to<float>(static_cast<uint32_t>(n + 127) << 23);
}
}  // namespace vm

template <class F>
AOT_FN float load_f8(uint8_t stored) {
  const int32_t top = 1 << (F::kBits - 1);
  const int32_t code = int32_t{stored} & (top - 1);
  const bool minus = (stored & top) != 0;
  const int32_t field = code >> F::M;
  const int32_t whole = (code & ((1 << F::M) - 1)) + (field > 0 ? 1 << F::M : 0);
  const float size =
      static_cast<float>(whole) * vm::power_of_two((field > 0 ? field : 1) - F::kBias - F::M);
  const float nan = vm::bit_cast_to<float>(0x7fc00000);
  const float inf = vm::bit_cast_to<float>(0x7f800000);
  float r = minus ? -size : size;
  if constexpr (F::kUnsignedZero) {
    r = stored == F::kNan ? nan : r;
  } else if constexpr (F::kInf) {
    r = code > F::kOver ? nan : code == F::kOver ? (minus ? -inf : inf) : r;
  } else if constexpr (F::kBits == 8) {
    r = code == F::kNan ? nan : r;
  }
  return r;
}
template <>
AOT_FN float load_f8<E8M0>(uint8_t stored) {
  const uint32_t code = stored;
  const uint32_t smallest = 0x00400000u;  // 2^-127 is a denormal float
  const uint32_t bits = code == 0 ? smallest : code << 23;
  return vm::bit_cast_to<float>(code == 0xffu ? 0x7fc00000u : bits);
}

template <class F>
AOT_FN uint8_t store_f8(float x) {
  const uint32_t bits = vm::bit_cast_to<uint32_t>(x);
  const float size = vm::bit_cast_to<float>(bits & 0x7fffffffu);
  const float a = size < 1048576.0f ? size : 1048576.0f;  // above every format; NaN comes here too
  const int32_t smallest = 1 - F::kBias;
  const int32_t exponent = static_cast<int32_t>(vm::bit_cast_to<uint32_t>(a) >> 23) - 127;
  const int32_t e = exponent > smallest ? exponent : smallest;
  const float q = (a * vm::power_of_two(F::M - e) + 12582912.0f) - 12582912.0f;
  int32_t code = static_cast<int32_t>(q) + ((e - smallest) << F::M);
  code = code > F::kLargest ? F::kOver : code;
  const int32_t sign = (bits >> 31) != 0 ? 1 << (F::kBits - 1) : 0;
  code = F::kUnsignedZero && code == 0 ? 0 : code | sign;
  return static_cast<uint8_t>(x != x ? (F::kNan | (F::kBits == 8 ? sign : 0)) : code);
}
template <>
AOT_FN uint8_t store_f8<E8M0>(float x) {
  const uint32_t bits = vm::bit_cast_to<uint32_t>(x);
  // A denormal float has no implicit bit: 2^-127, which is exact, is its tie.
  const uint32_t half = bits < 0x00800000u ? 0x003fffffu : 0x00400000u;
  return static_cast<uint8_t>((bits == 0) | (bits >= 0x7f800000u) ? 0xffu : (bits + half) >> 23);
}

template <class F>
AOT_FN uint8_t store_f8(double x) {
  return store_f8<F>(odd_float(x));
}

}  // namespace
}  // namespace AOT_NS
