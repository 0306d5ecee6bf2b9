// SPDX-License-Identifier: 0BSD
//
// library.h: ONNX operators that sort or whose result's extent depends on data: TopK, NonZero,
// Compress, NonMaxSuppression.
//
// Shapes      a tensor with one axis singled out is [outer, n, inner], row-major and dense.
// Threads     every function takes (tid, nt) and does that thread's share; results do not depend on
//             nt. Where one step needs another's result from all threads, they are two functions,
//             with the caller's barrier in between.
// Memory      no allocation. `scratch` is one block for all threads, aligned to 16 bytes, of at
//             least the bytes that the matching *_scratch_bytes() says; its contents need not
//             survive except between the functions of one operator.
// Aliasing    inputs, outputs and scratch do not overlap.
#pragma once

#include "traits.h"

namespace AOT_NS {
namespace {

// The half-open range of `total` equal items that thread tid of nt owns.
struct RowShare {
  ptrdiff_t begin;
  ptrdiff_t end;
};
AOT_FN RowShare row_share(ptrdiff_t total, int tid, int nt) {
  const ptrdiff_t each = total / nt, extra = total % nt;
  const ptrdiff_t begin = each * tid + (tid < extra ? tid : extra);
  return {begin, begin + each + (tid < extra ? 1 : 0)};
}

// ------------------------------------------------------------------------------------ ordered heap

// A value with the index it came from. first(a, b): a stands before b. Equal values stand in index
// order, so the order is total and every sort by it is stable. A NaN counts as larger than every
// number, in either direction.
template <class T>
struct Ranked {
  T value;
  int64_t index;
};
template <class T>
AOT_FN bool ranks_above(T a, T b) {
  return a > b || (a != a && b == b);
}
template <bool Largest>
struct RankOrder {
  template <class T>
  AOT_HD bool operator()(const Ranked<T>& a, const Ranked<T>& b) const {
    const bool up = ranks_above(a.value, b.value), down = ranks_above(b.value, a.value);
    if (up != down) return Largest ? up : down;
    return a.index < b.index;
  }
};
template <class Order>
struct Reversed {
  template <class T>
  AOT_HD bool operator()(const Ranked<T>& a, const Ranked<T>& b) const {
    return Order{}(b, a);
  }
};

// Restores the heap below position i: no element stands before its parent, so heap[0] is the first
// of all.
template <class Order, class T>
AOT_HD [[maybe_unused]] inline void sift_down(Ranked<T>* heap, ptrdiff_t size, ptrdiff_t i) {
  const Ranked<T> moving = heap[i];
  for (ptrdiff_t child = 2 * i + 1; child < size; child = 2 * i + 1) {
    if (child + 1 < size && Order{}(heap[child + 1], heap[child])) ++child;
    if (!Order{}(heap[child], moving)) break;
    heap[i] = heap[child];
    i = child;
  }
  heap[i] = moving;
}
template <class Order, class T>
AOT_HD [[maybe_unused]] inline void make_heap(Ranked<T>* heap, ptrdiff_t size) {
  for (ptrdiff_t i = size / 2; i-- > 0;) sift_down<Order>(heap, size, i);
}

// -------------------------------------------------------------------------------------------- TopK

// How a stored element is compared: as itself, or (for formats stored as integers) through a
// conversion, such as a struct with `float operator()(uint16_t h) const { return h2f(h); }`.
struct PlainKey {
  template <class T>
  AOT_HD T operator()(T x) const {
    return x;
  }
};

template <class T, class Key = PlainKey>
AOT_FN size_t topk_scratch_bytes(ptrdiff_t k, int nt) {
  using K = decltype(Key{}(T{}));
  return static_cast<size_t>(k) * static_cast<size_t>(nt) * sizeof(Ranked<K>);
}

// The k first of one line of n elements, in order, into heap: a heap of the k kept so far with the
// last of them at its root, so that most elements cost one comparison; then a heap sort.
template <bool Largest, class Key, class T, class K>
AOT_HD [[maybe_unused]] inline void topk_line(const T* x, ptrdiff_t n, ptrdiff_t stride,
                                              ptrdiff_t k, Ranked<K>* heap) {
  using First = RankOrder<Largest>;
  using Last = Reversed<First>;
  for (ptrdiff_t i = 0; i < k; ++i) heap[i] = {Key{}(x[i * stride]), i};
  make_heap<Last>(heap, k);
  for (ptrdiff_t i = k; i < n; ++i) {
    const Ranked<K> next = {Key{}(x[i * stride]), i};
    if (First{}(next, heap[0])) {
      heap[0] = next;
      sift_down<Last>(heap, k, 0);
    }
  }
  for (ptrdiff_t size = k - 1; size > 0; --size) {
    const Ranked<K> last = heap[0];
    heap[0] = heap[size];
    heap[size] = last;
    sift_down<Last>(heap, size, 0);
  }
}

// x [outer, n, inner] -> values, indices [outer, k, inner]: the k largest (or smallest) along n,
// best first, equal values in index order, NaN larger than everything. 0 <= k <= n. values may be
// null. O(outer inner n log k).
template <class T, class Key = PlainKey>
[[maybe_unused]] inline void topk(const T* x, T* values, int64_t* indices, ptrdiff_t outer,
                                  ptrdiff_t n, ptrdiff_t inner, ptrdiff_t k, bool largest, int tid,
                                  int nt, void* scratch) {
  using K = decltype(Key{}(T{}));
  if (k <= 0) return;
  Ranked<K>* heap = static_cast<Ranked<K>*>(scratch) + k * tid;
  const RowShare lines = row_share(outer * inner, tid, nt);
  for (ptrdiff_t line = lines.begin; line < lines.end; ++line) {
    const ptrdiff_t o = line / inner, i = line % inner;
    const T* from = x + o * n * inner + i;
    if (largest) {
      topk_line<true, Key>(from, n, inner, k, heap);
    } else {
      topk_line<false, Key>(from, n, inner, k, heap);
    }
    for (ptrdiff_t j = 0; j < k; ++j) {
      const ptrdiff_t at = (o * k + j) * inner + i;
      indices[at] = heap[j].index;
      if (values != nullptr) values[at] = from[heap[j].index * inner];
    }
  }
}

// ----------------------------------------------------------------------------------------- NonZero

// Step 1: how many of this thread's share of x[0..n) are not 0 (a NaN is not). The caller puts it
// into counts[tid].
template <class T>
[[maybe_unused]] inline int64_t nonzero_count(const T* x, ptrdiff_t n, int tid, int nt) {
  const RowShare part = row_share(n, tid, nt);
  int64_t count = 0;
  for (ptrdiff_t i = part.begin; i < part.end; ++i) count += x[i] != T(0) ? 1 : 0;
  return count;
}

// Step 2: x of shape dims[rank], n elements -> indices [rank, sum of counts], in row-major order of
// x. A scalar (rank 0) has no rows to write.
template <class T>
[[maybe_unused]] inline void nonzero_write(const T* x, ptrdiff_t n, const int64_t* dims, int rank,
                                           const int64_t* counts, int64_t* indices, int tid,
                                           int nt) {
  const RowShare part = row_share(n, tid, nt);
  int64_t total = 0, at = 0;
  for (int t = 0; t < nt; ++t) {
    at += t < tid ? counts[t] : 0;
    total += counts[t];
  }
  for (ptrdiff_t i = part.begin; i < part.end; ++i) {
    if (x[i] == T(0)) continue;
    int64_t rest = i;
    for (int d = rank - 1; d >= 0; --d) {
      indices[d * total + at] = rest % dims[d];
      rest /= dims[d];
    }
    ++at;
  }
}

// ---------------------------------------------------------------------------------------- Compress

// How many slices Compress keeps: the true entries of condition[0..length), of which only the first
// n count.
[[maybe_unused]] inline int64_t compress_count(const uint8_t* condition, ptrdiff_t length,
                                               ptrdiff_t n) {
  int64_t count = 0;
  for (ptrdiff_t i = 0; i < length && i < n; ++i) count += condition[i] != 0 ? 1 : 0;
  return count;
}

// x [outer, n, inner] -> y [outer, count, inner]: the slices along n whose condition is true.
// Without an axis, ONNX flattens: outer = inner = 1.
template <class T>
[[maybe_unused]] inline void compress(const T* x, const uint8_t* condition, ptrdiff_t length, T* y,
                                      ptrdiff_t outer, ptrdiff_t n, ptrdiff_t inner, int tid,
                                      int nt) {
  const ptrdiff_t count = static_cast<ptrdiff_t>(compress_count(condition, length, n));
  const RowShare part = row_share(outer, tid, nt);
  for (ptrdiff_t o = part.begin; o < part.end; ++o) {
    T* to = y + o * count * inner;
    for (ptrdiff_t j = 0; j < length && j < n; ++j) {
      if (condition[j] == 0) continue;
      const T* from = x + (o * n + j) * inner;
      for (ptrdiff_t i = 0; i < inner; ++i) to[i] = from[i];
      to += inner;
    }
  }
}

// ------------------------------------------------------------------------------- NonMaxSuppression

// boxes [batches, n, 4], scores [batches, classes, n]. Scores at or below score_threshold are
// dropped where use_score_threshold is set. max_boxes is per batch and class; 0 selects nothing. A
// box is two opposite corners (y, x, y, x), or with center_point_box (x, y, width, height) about
// its centre.
struct NmsProblem {
  const float* boxes;
  const float* scores;
  ptrdiff_t batches;
  ptrdiff_t classes;
  ptrdiff_t n;
  int64_t max_boxes;
  float iou_threshold;
  float score_threshold;
  bool use_score_threshold;
  bool center_point_box;
};

struct NmsRectangle {
  float x0, y0, x1, y1;
};
AOT_FN NmsRectangle nms_rectangle(const float* box, bool center_point) {
  if (center_point) {
    const float w = box[2] / 2.0f, h = box[3] / 2.0f;
    return {box[0] - w, box[1] - h, box[0] + w, box[1] + h};
  }
  const bool x_up = box[1] < box[3], y_up = box[0] < box[2];
  return {x_up ? box[1] : box[3], y_up ? box[0] : box[2], x_up ? box[3] : box[1],
          y_up ? box[2] : box[0]};
}

// Intersection over union above the threshold; rectangles without area overlap nothing.
AOT_FN bool nms_overlaps(const NmsRectangle& a, const NmsRectangle& b, float threshold) {
  const float x0 = a.x0 > b.x0 ? a.x0 : b.x0, x1 = a.x1 < b.x1 ? a.x1 : b.x1;
  const float y0 = a.y0 > b.y0 ? a.y0 : b.y0, y1 = a.y1 < b.y1 ? a.y1 : b.y1;
  if (!(x1 > x0) || !(y1 > y0)) return false;
  const float shared = (x1 - x0) * (y1 - y0);
  const float area_a = (a.x1 - a.x0) * (a.y1 - a.y0), area_b = (b.x1 - b.x0) * (b.y1 - b.y0);
  const float all = area_a + area_b - shared;
  if (!(shared > 0.0f) || !(area_a > 0.0f) || !(area_b > 0.0f) || !(all > 0.0f)) return false;
  return shared / all > threshold;
}

AOT_FN ptrdiff_t nms_capacity(const NmsProblem& p) {
  if (p.max_boxes <= 0) return 0;
  return p.max_boxes < p.n ? static_cast<ptrdiff_t>(p.max_boxes) : p.n;
}

// Scratch: int64 count[rows], int64 chosen[rows, capacity], and a heap of n candidates a thread; a
// row is one class of one batch.
AOT_FN size_t nms_scratch_bytes(const NmsProblem& p, int nt) {
  const size_t rows = static_cast<size_t>(p.batches * p.classes);
  const size_t row = sizeof(int64_t) * (1 + static_cast<size_t>(nms_capacity(p)));
  return rows * row + static_cast<size_t>(nt) * static_cast<size_t>(p.n) * sizeof(Ranked<float>);
}

// Picks the boxes of one row, best score first: a box is kept unless it overlaps one kept before.
// Returns how many.
[[maybe_unused]] inline int64_t nms_row(const NmsProblem& p, const float* boxes,
                                        const float* scores, int64_t* chosen, Ranked<float>* heap) {
  using Best = RankOrder<true>;
  ptrdiff_t size = 0;
  for (ptrdiff_t i = 0; i < p.n; ++i) {
    const bool wanted =
        p.use_score_threshold ? scores[i] > p.score_threshold : scores[i] == scores[i];
    if (wanted) heap[size++] = {scores[i], i};
  }
  make_heap<Best>(heap, size);
  const ptrdiff_t capacity = nms_capacity(p);
  int64_t count = 0;
  while (size > 0 && count < capacity) {
    const int64_t best = heap[0].index;
    heap[0] = heap[--size];
    if (size > 0) sift_down<Best>(heap, size, 0);
    const NmsRectangle candidate = nms_rectangle(boxes + best * 4, p.center_point_box);
    bool keep = true;
    for (int64_t j = 0; j < count && keep; ++j) {
      const NmsRectangle other = nms_rectangle(boxes + chosen[j] * 4, p.center_point_box);
      keep = !nms_overlaps(candidate, other, p.iou_threshold);
    }
    if (keep) chosen[count++] = best;
  }
  return count;
}

// Step 1: chooses boxes, rows shared between threads.
[[maybe_unused]] inline void nms_select(const NmsProblem& p, int tid, int nt, void* scratch) {
  const ptrdiff_t rows = p.batches * p.classes, capacity = nms_capacity(p);
  int64_t* counts = static_cast<int64_t*>(scratch);
  int64_t* chosen = counts + rows;
  Ranked<float>* heap = reinterpret_cast<Ranked<float>*>(chosen + rows * capacity) + p.n * tid;
  const RowShare part = row_share(rows, tid, nt);
  for (ptrdiff_t row = part.begin; row < part.end; ++row) {
    counts[row] = nms_row(p, p.boxes + row / p.classes * p.n * 4, p.scores + row * p.n,
                          chosen + row * capacity, heap);
  }
}

// After step 1 and a barrier: the number of selected boxes.
[[maybe_unused]] inline int64_t nms_count(const NmsProblem& p, const void* scratch) {
  const int64_t* counts = static_cast<const int64_t*>(scratch);
  int64_t total = 0;
  for (ptrdiff_t row = 0; row < p.batches * p.classes; ++row) total += counts[row];
  return total;
}

// Step 2: selected [nms_count, 3] = (batch, class, box), by batch, then class, then score.
[[maybe_unused]] inline void nms_write(const NmsProblem& p, int64_t* selected, int tid, int nt,
                                       const void* scratch) {
  const ptrdiff_t rows = p.batches * p.classes, capacity = nms_capacity(p);
  const int64_t* counts = static_cast<const int64_t*>(scratch);
  const int64_t* chosen = counts + rows;
  const RowShare part = row_share(rows, tid, nt);
  int64_t* to = selected;
  for (ptrdiff_t row = 0; row < part.begin; ++row) to += 3 * counts[row];
  for (ptrdiff_t row = part.begin; row < part.end; ++row) {
    for (int64_t j = 0; j < counts[row]; ++j, to += 3) {
      to[0] = row / p.classes;
      to[1] = row % p.classes;
      to[2] = chosen[row * capacity + j];
    }
  }
}

}  // namespace
}  // namespace AOT_NS
