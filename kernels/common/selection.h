// SPDX-License-Identifier: 0BSD
//
// selection.h: whole ONNX operators whose result's extent depends on data: NonZero, Compress, TopK
// with a run-time k, Slice with run-time bounds, NonMaxSuppression, Unique.
//
// Shapes      as in library.h. `counts` receives the extents that are data, one each, never more
//             than the bound that the caller's buffers are made for.
// Threads     every function takes (tid, nt); thread 0 does the work. The caller waits before
//             anybody reads a result.
// Memory      no allocation; `scratch` is aligned to 16 bytes and as large as each function says.
// Aliasing    inputs, outputs and scratch do not overlap.
#pragma once

#include "library.h"

namespace AOT_NS {
namespace {

// A few extents or axes.
struct Sizes {
  int64_t at[8];
};

AOT_FN int64_t between(int64_t low, int64_t x, int64_t high) {
  return x < low ? low : x > high ? high : x;
}

// mask of shape dims[rank], n elements -> indices [rank, counts[0]], row-major order of mask.
[[maybe_unused]] inline void nonzero_of(const uint8_t* mask, int64_t* indices, int64_t* counts,
                                        ptrdiff_t n, int rank, const Sizes& dims, int tid, int) {
  if (tid != 0) return;
  counts[0] = nonzero_count(mask, n, 0, 1);
  nonzero_write(mask, n, dims.at, rank, counts, indices, 0, 1);
}

// x [outer, n, inner], condition [length] -> y [outer, counts[0], inner].
template <class T>
[[maybe_unused]] inline void compress_of(const T* x, const uint8_t* condition, T* y,
                                         int64_t* counts, ptrdiff_t length, ptrdiff_t outer,
                                         ptrdiff_t n, ptrdiff_t inner, int tid, int) {
  if (tid != 0) return;
  counts[0] = compress_count(condition, length, n);
  compress(x, condition, length, y, outer, n, inner, 0, 1);
}

// x [outer, n, inner] -> values, indices [outer, counts[0], inner], counts[0] = k limited to
// [0, n]. Scratch: 16 n bytes.
template <class T, class I>
[[maybe_unused]] inline void topk_of(const T* x, const I* k, T* values, int64_t* indices,
                                     int64_t* counts, ptrdiff_t outer, ptrdiff_t n, ptrdiff_t inner,
                                     bool largest, int tid, int, void* scratch) {
  if (tid != 0) return;
  counts[0] = between(0, static_cast<int64_t>(k[0]), n);
  topk(x, values, indices, outer, n, inner, static_cast<ptrdiff_t>(counts[0]), largest, 0, 1,
       scratch);
}

// ------------------------------------------------------------------------------------------- Slice

struct SliceAxis {
  int64_t first, count, step;
};

// One axis of n elements, bounds as NumPy reads them; a step of 0 takes nothing.
AOT_FN SliceAxis slice_axis(int64_t begin, int64_t end, int64_t step, int64_t n) {
  if (step == 0 || n == 0) return {0, 0, 1};
  const int64_t low = step > 0 ? 0 : -1, high = step > 0 ? n : n - 1;
  const int64_t first = between(low, begin < 0 ? begin + n : begin, high);
  const int64_t last = between(low, end < 0 ? (end < -n ? -1 : end + n) : end, high);
  const int64_t span = step > 0 ? last - first : first - last;
  if (span <= 0) return {0, 0, 1};
  // A step of any size: no more than n of it matters, and no negation overflows.
  const int64_t stride = between(-n, step, n), by = stride > 0 ? stride : -stride;
  return {first, (span - 1) / by + 1, stride};
}

// x of shape dims[rank] -> y: axis axes[k] is cut to begins[k], ends[k], steps[k] (null: 1), of
// which counts[k] elements stay.
template <class T, class I>
[[maybe_unused]] inline void slice_steps(const T* x, const I* begins, const I* ends, const I* steps,
                                         T* y, int64_t* counts, int rank, const Sizes& dims,
                                         int cut, const Sizes& axes) {
  SliceAxis all[8];
  int64_t strides[8], at[8], total = 1, stride = 1, from = 0;
  for (int d = 0; d < rank; ++d) all[d] = {0, dims.at[d], 1};
  for (int k = 0; k < cut; ++k) {
    const int64_t step = steps == nullptr ? 1 : static_cast<int64_t>(steps[k]);
    const int64_t begin = static_cast<int64_t>(begins[k]), end = static_cast<int64_t>(ends[k]);
    all[axes.at[k]] = slice_axis(begin, end, step, dims.at[axes.at[k]]);
    counts[k] = all[axes.at[k]].count;
  }
  for (int d = rank - 1; d >= 0; --d) {
    from += all[d].first * stride;
    strides[d] = all[d].step * stride;
    stride *= dims.at[d];
    total *= all[d].count;
    at[d] = 0;
  }
  for (int64_t i = 0; i < total; ++i) {
    y[i] = x[from];
    for (int d = rank - 1; d >= 0; --d) {
      from += strides[d];
      if (++at[d] < all[d].count) break;
      from -= strides[d] * all[d].count;
      at[d] = 0;
    }
  }
}
template <class T, class I>
[[maybe_unused]] inline void slice_of(const T* x, const I* begins, const I* ends, T* y,
                                      int64_t* counts, int rank, const Sizes& dims, int cut,
                                      const Sizes& axes, int tid, int) {
  const I* const steps = nullptr;
  if (tid == 0) slice_steps(x, begins, ends, steps, y, counts, rank, dims, cut, axes);
}
template <class T, class I>
[[maybe_unused]] inline void slice_of(const T* x, const I* begins, const I* ends, const I* steps,
                                      T* y, int64_t* counts, int rank, const Sizes& dims, int cut,
                                      const Sizes& axes, int tid, int) {
  if (tid == 0) slice_steps(x, begins, ends, steps, y, counts, rank, dims, cut, axes);
}

// As slice_of where the axes are data too, negative ones counted from the end: counts [rank].
template <class T, class I>
[[maybe_unused]] inline void slice_axes(const T* x, const I* begins, const I* ends, const I* axes,
                                        const I* steps, T* y, int64_t* counts, int rank,
                                        const Sizes& dims, int cut) {
  Sizes where;
  int64_t kept[8];
  for (int k = 0; k < cut; ++k) {
    const int64_t axis = static_cast<int64_t>(axes[k]);
    where.at[k] = between(0, axis < 0 ? axis + rank : axis, rank - 1);
  }
  slice_steps(x, begins, ends, steps, y, kept, rank, dims, cut, where);
  for (int d = 0; d < rank; ++d) counts[d] = dims.at[d];
  for (int k = 0; k < cut; ++k) counts[where.at[k]] = kept[k];
}
template <class T, class I>
[[maybe_unused]] inline void slice_along(const T* x, const I* begins, const I* ends, const I* axes,
                                         T* y, int64_t* counts, int rank, const Sizes& dims,
                                         int cut, int tid, int) {
  const I* const steps = nullptr;
  if (tid == 0) slice_axes(x, begins, ends, axes, steps, y, counts, rank, dims, cut);
}
template <class T, class I>
[[maybe_unused]] inline void slice_along(const T* x, const I* begins, const I* ends, const I* axes,
                                         const I* steps, T* y, int64_t* counts, int rank,
                                         const Sizes& dims, int cut, int tid, int) {
  if (tid == 0) slice_axes(x, begins, ends, axes, steps, y, counts, rank, dims, cut);
}

// ------------------------------------------------------------------------------- NonMaxSuppression

// boxes [batches, n, 4], scores [batches, classes, n], the limits in memory -> selected
// [counts[0], 3]. `most` boxes per class at most. Scratch: nms_scratch_bytes at that many.
[[maybe_unused]] inline void nms_of(const float* boxes, const float* scores,
                                    const int64_t* max_boxes, const float* iou_threshold,
                                    const float* score_threshold, int64_t* selected,
                                    int64_t* counts, ptrdiff_t batches, ptrdiff_t classes,
                                    ptrdiff_t n, int64_t most, bool use_score_threshold,
                                    bool center_point_box, int tid, int, void* scratch) {
  if (tid != 0) return;
  const NmsProblem p = {boxes,
                        scores,
                        batches,
                        classes,
                        n,
                        between(0, *max_boxes, most),
                        *iou_threshold,
                        *score_threshold,
                        use_score_threshold,
                        center_point_box};
  nms_select(p, 0, 1, scratch);
  counts[0] = nms_count(p, scratch);
  nms_write(p, selected, 0, 1, scratch);
}

// ------------------------------------------------------------------------------------------ Unique

// How elements are ordered where nothing else is asked for.
struct PlainAbove {
  template <class T>
  bool operator()(T a, T b) const {
    return ranks_above(a, b);
  }
};

// Slices a and b along n of x [outer, n, inner] in lexicographic order: -1, 0 or 1. A NaN is
// larger than every number and equal to a NaN.
template <class T, class Above>
[[maybe_unused]] inline int unique_compare(const T* x, ptrdiff_t outer, ptrdiff_t n,
                                           ptrdiff_t inner, int64_t a, int64_t b) {
  for (ptrdiff_t o = 0; o < outer; ++o) {
    for (ptrdiff_t i = 0; i < inner; ++i) {
      const T u = x[(o * n + a) * inner + i], v = x[(o * n + b) * inner + i];
      if (Above{}(u, v)) return 1;
      if (Above{}(v, u)) return -1;
    }
  }
  return 0;
}

// Is slice a to stand after slice b? Equal ones stand in index order.
template <class T, class Above>
[[maybe_unused]] inline bool unique_after(const T* x, ptrdiff_t outer, ptrdiff_t n, ptrdiff_t inner,
                                          int64_t a, int64_t b) {
  const int order = unique_compare<T, Above>(x, outer, n, inner, a, b);
  return order != 0 ? order > 0 : a > b;
}

// order[0..n) = 0, 1, ..., sorted by slice: a heap sort.
template <class T, class Above>
[[maybe_unused]] inline void unique_sort(const T* x, ptrdiff_t outer, ptrdiff_t n, ptrdiff_t inner,
                                         int64_t* order) {
  for (ptrdiff_t i = 0; i < n; ++i) order[i] = i;
  ptrdiff_t start = n / 2, size = n;
  while (size > 1) {
    if (start > 0) {
      --start;
    } else {
      const int64_t last = order[--size];
      order[size] = order[0];
      order[0] = last;
    }
    const int64_t moving = order[start];
    ptrdiff_t at = start;
    for (ptrdiff_t child = 2 * at + 1; child < size; child = 2 * at + 1) {
      const ptrdiff_t other = child + 1;
      if (other < size && unique_after<T, Above>(x, outer, n, inner, order[other], order[child])) {
        child = other;
      }
      if (!unique_after<T, Above>(x, outer, n, inner, order[child], moving)) break;
      order[at] = order[child];
      at = child;
    }
    order[at] = moving;
  }
}

// x [outer, n, inner] -> y [outer, counts[0], inner], the distinct slices, ascending (sorted) or by
// first occurrence; first [counts[0]]: where each occurs first; inverse [n]: which each slice of x
// is; often [counts[0]]: how often. Scratch: 24 n bytes.
template <class T, class Above = PlainAbove>
[[maybe_unused]] inline void unique_of(const T* x, T* y, int64_t* first, int64_t* inverse,
                                       int64_t* often, int64_t* counts, ptrdiff_t outer,
                                       ptrdiff_t n, ptrdiff_t inner, bool sorted, int tid, int,
                                       void* scratch) {
  if (tid != 0) return;
  int64_t* const order = static_cast<int64_t*>(scratch);
  int64_t* const head = order + n;  // of slice i: the first slice that equals it
  int64_t* const rank = head + n;   // of a first slice: its place in y
  unique_sort<T, Above>(x, outer, n, inner, order);
  int64_t count = 0;
  for (ptrdiff_t i = 0; i < n; ++i) {
    const bool again =
        i > 0 && unique_compare<T, Above>(x, outer, n, inner, order[i - 1], order[i]) == 0;
    head[order[i]] = again ? head[order[i - 1]] : order[i];
    if (!again && sorted) {
      rank[order[i]] = count;
      first[count++] = order[i];
    }
  }
  for (ptrdiff_t i = 0; i < n && !sorted; ++i) {
    if (head[i] != i) continue;
    rank[i] = count;
    first[count++] = i;
  }
  for (int64_t j = 0; j < count; ++j) often[j] = 0;
  for (ptrdiff_t i = 0; i < n; ++i) {
    inverse[i] = rank[head[i]];
    ++often[inverse[i]];
  }
  for (ptrdiff_t o = 0; o < outer; ++o) {
    for (int64_t j = 0; j < count; ++j) {
      const T* const from = x + (o * n + first[j]) * inner;
      T* const to = y + (o * count + j) * inner;
      for (ptrdiff_t i = 0; i < inner; ++i) to[i] = from[i];
    }
  }
  counts[0] = count;
}

}  // namespace
}  // namespace AOT_NS
