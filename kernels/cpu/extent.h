// SPDX-License-Identifier: 0BSD
//
// Extents and strides that are one text whether known at compile time or at run time, and the
// static partition.
//
// Maths       tiles() cuts `total` into ceil(total / most) tiles whose sizes differ by at most one,
//             so that no kernel runs a short last tile; share() hands thread tid of nt the tid-th
//             of nt near-equal runs of tiles. A descriptor may name `parts`: then threads take whole
//             ones of so many equal parts, and steps cut alike need no barrier between them.
// Contract    A descriptor member is `static constexpr Int<64> K{}` or a plain `int` or
//             `ptrdiff_t`. Extents are not negative; nt > 0 and 0 <= tid < nt. How work is cut
//             depends on extents only, never on nt: that makes a result bit-identical for every
//             number of threads.
#pragma once

#include "simd.h"

namespace AOT_NS {
namespace {

/// An extent known at compile time, as an empty value.
template <long long N>
struct Int {
  constexpr operator long long() const { return N; }
};

/// The value of an Int<N> type; -1 for an extent known at run time only.
template <class T>
constexpr long long fixed_value = -1;
template <long long N>
constexpr long long fixed_value<Int<N>> = N;
template <long long N>
constexpr long long fixed_value<const Int<N>> = N;

/// Whether T is an Int<N>.
template <class T>
constexpr bool is_fixed = fixed_value<T> >= 0;

/// Any extent or stride (negative strides too) as a ptrdiff_t.
template <class T>
AOT_INLINE constexpr ptrdiff_t extent(T value) {
  return static_cast<ptrdiff_t>(static_cast<long long>(value));
}

/// The smaller of two extents.
AOT_INLINE constexpr int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

/// The extent that two extents broadcast to: equal ones, or one of them 1.
AOT_INLINE constexpr int64_t wider(int64_t a, int64_t b) { return a == 1 ? b : a; }

AOT_INLINE constexpr ptrdiff_t ceil_div(ptrdiff_t a, ptrdiff_t b) { return (a + b - 1) / b; }

/// The type of ceil(n / kBlock) for an extent type T: fixed if T is.
template <class T>
struct BlocksOf {
  typedef ptrdiff_t type;
};
template <long long N>
struct BlocksOf<Int<N>> {
  typedef Int<(N + kBlock - 1) / kBlock> type;
};
template <long long N>
struct BlocksOf<const Int<N>> : BlocksOf<Int<N>> {};

/// Whether an extent of type T may leave a block of 16 incomplete.
template <class T>
constexpr bool may_be_ragged = !is_fixed<T> || fixed_value<T> % kBlock != 0;

/// A where kFirst, else B.
template <bool kFirst, class A, class B>
struct Either {
  typedef A type;
};
template <class A, class B>
struct Either<false, A, B> {
  typedef B type;
};

/// A half-open interval [b, e).
struct Range {
  ptrdiff_t b, e;
};

/// Thread tid's part of [0, total); every boundary but the last is a multiple of quantum.
AOT_INLINE Range share(ptrdiff_t total, int tid, int nt, ptrdiff_t quantum = 1) {
  if (nt == 1) return {0, total};  // without dividing, which takes as long as a small step does
  const long long units = ceil_div(total, quantum);
  const ptrdiff_t b = static_cast<ptrdiff_t>(units * tid / nt) * quantum;
  const ptrdiff_t e = static_cast<ptrdiff_t>(units * (tid + 1) / nt) * quantum;
  return {b, e < total ? e : total};
}

/// Whether a descriptor names `parts`.
template <class D, class = void>
constexpr bool has_parts = false;
template <class D>
constexpr bool has_parts<D, decltype(static_cast<void>(D::parts))> = true;

/// The digits of the numbers of a range, one after the other, in a mixed radix: digit 0 is the slowest and has no limit.
/// Divides once, at the start of a range that is not empty; `radices` are those of digits 1 and up.
template <class I, unsigned K>
class Counter {
 public:
  AOT_INLINE Counter(Range range, const I (&radices)[K - 1]) {
    I rest = range.b < range.e ? static_cast<I>(range.b) : I{0};
    for (unsigned k = K - 1; k > 0; --k) {
      radix_[k] = radices[k - 1];
      digit_[k] = rest == 0 ? I{0} : rest % radix_[k];
      rest = rest == 0 ? I{0} : rest / radix_[k];
    }
    digit_[0] = rest;
  }
  AOT_INLINE I operator[](unsigned k) const { return digit_[k]; }
  AOT_INLINE void next() {
    for (unsigned k = K - 1; k > 0; --k) {
      if (++digit_[k] < radix_[k]) return;
      digit_[k] = 0;
    }
    ++digit_[0];
  }

 private:
  I digit_[K], radix_[K] = {};
};

/// How many of `total` tiles stay together: all those of a part where the descriptor names `parts`,
/// a divisor of what the kernel's leading loops count.
template <class D>
AOT_INLINE ptrdiff_t quantum(const D& d, ptrdiff_t total) {
  if constexpr (has_parts<D>) {
    return total < extent(d.parts) ? 1 : total / extent(d.parts);
  } else {
    (void)d;
    return 1;
  }
}

/// A cut of [0, total) into `count` tiles of `size` or `size - 1` elements, the larger ones first.
struct Tiles {
  ptrdiff_t count, size, larger;
  AOT_INLINE ptrdiff_t begin(ptrdiff_t i) const {
    return i < larger ? i * size : i * (size - 1) + larger;
  }
  AOT_INLINE ptrdiff_t length(ptrdiff_t i) const { return i < larger ? size : size - 1; }
};

/// The cut of [0, total) into as few tiles of at most `most` elements as will do.
AOT_INLINE constexpr Tiles tiles(ptrdiff_t total, ptrdiff_t most) {
  if (total <= 0) return {0, 1, 0};
  if (total <= most) return {1, total, 1};
  const ptrdiff_t count = ceil_div(total, most), size = ceil_div(total, count);
  return {count, size, total - count * (size - 1)};
}

/// Calls f(Int<L>{}) with L == length, for a length among those tiles(total, Most) can yield: one
/// or two values where the extent type T is fixed, else 1 .. Most. This is where a run-time tile
/// size becomes a compile-time one.
template <class T, int Most, int L = Most, class F>
AOT_INLINE void with_length(ptrdiff_t length, const F& f) {
  if constexpr (is_fixed<T>) {
    constexpr Tiles cut = tiles(static_cast<ptrdiff_t>(fixed_value<T>), Most);
    if constexpr (cut.larger == cut.count || cut.size == 1) {
      f(Int<cut.size>{});
    } else if (length == cut.size) {
      f(Int<cut.size>{});
    } else {
      f(Int<cut.size - 1>{});
    }
  } else if constexpr (L == 1) {
    f(Int<1>{});
  } else if (length == L) {
    f(Int<L>{});
  } else {
    with_length<T, Most, L - 1>(length, f);
  }
}

}  // namespace
}  // namespace AOT_NS
