// SPDX-License-Identifier: 0BSD
//
// sequence.h: ONNX sequences and optionals as values of a run.
//
// Meaning     A value is a slot of the run's pool: nothing (an optional that is absent), or a list
//             of tensors of one element type, each with a shape of its own. An optional tensor is
//             a list of one. Values are never changed in place: results get lists of their own
//             that share the tensors, which are counted.
// Threads     thread 0 alone calls these; others wait before they read a tensor made here.
// Positions   count from either end. One outside the list makes the run end with a status.
// Memory      from the pool, see pool.h. Refused memory makes the run end with a status.
#pragma once

#include "pool.h"
#include "selection.h"

namespace AOT_NS {
namespace {

/// A tensor of a list: lies before its data in a block of the pool.
struct Cell {
  Cell* next;  // all cells of a run, to be given back at its end
  Cell* previous;
  int64_t uses;
  const void* data;
  int64_t bytes;
  int64_t shape[8];
  int32_t rank;
  int32_t type;  // as in ONNX's TensorProto
};
constexpr int64_t kCell = 128;
static_assert(sizeof(Cell) <= kCell, "data starts at a multiple of 64 behind its cell");

struct List {
  int64_t size;
  Cell** cells() { return reinterpret_cast<Cell**>(this + 1); }
};

[[maybe_unused]] inline List* list_of(Pool& pool, int k) {
  return static_cast<List*>(pool.slots[k].data);
}

[[maybe_unused]] inline int64_t size_of(Pool& pool, int k) {
  List* const list = list_of(pool, k);
  return list == nullptr ? 0 : list->size;
}

[[maybe_unused]] inline void give_cell(Pool& pool, Cell* cell) {
  if (--cell->uses > 0) return;
  (cell->previous == nullptr ? *reinterpret_cast<Cell**>(&pool.cells) : cell->previous->next) =
      cell->next;
  if (cell->next != nullptr) cell->next->previous = cell->previous;
  pool.give(pool.context, block_of(cell)->raw);
}

/// A cell with room for `bytes`, nobody's yet; null: refused.
[[maybe_unused]] inline Cell* take_cell(Pool& pool, int64_t bytes, int rank, const int64_t* shape,
                                        int type) {
  Block* const block = bytes < 0 ? nullptr : take_block(pool, kCell + bytes);
  if (block == nullptr) {
    fail(pool, kNoMemory);
    return nullptr;
  }
  Cell* const cell = static_cast<Cell*>(data_of(block));
  Cell* const first = static_cast<Cell*>(pool.cells);
  *cell = {first, nullptr, 0,    reinterpret_cast<unsigned char*>(cell) + kCell,
           bytes, {},      rank, type};
  for (int d = 0; d < rank; ++d) cell->shape[d] = shape[d];
  if (first != nullptr) first->previous = cell;
  pool.cells = cell;
  return cell;
}

/// Slot k becomes an empty list with room for `size` cells; what it held is given up.
[[maybe_unused]] inline List* fresh_list(Pool& pool, int k, int64_t size) {
  List* const old = list_of(pool, k);
  for (int64_t i = 0; old != nullptr && i < old->size; ++i) give_cell(pool, old->cells()[i]);
  if (old != nullptr) old->size = 0;
  const int64_t cell = static_cast<int64_t>(sizeof(Cell*)),
                head = static_cast<int64_t>(sizeof(List));
  grow(pool, k,
       head + size * cell);  // doubles, so that a list that grows by one each trip is cheap
  List* const list = list_of(pool, k);
  if (list == nullptr) {
    fail(pool, kNoMemory);
  } else {
    list->size = 0;
  }
  return list;
}

[[maybe_unused]] inline void append(List* list, Cell* cell) {
  ++cell->uses;
  list->cells()[list->size++] = cell;
}

/// A position as given, from either end, among `size` places; -1: outside.
[[maybe_unused]] inline int64_t place_of(int64_t at, int64_t size) {
  const int64_t from_start = at < 0 ? at + size : at;
  return from_start < 0 || from_start >= size ? -1 : from_start;
}

// ------------------------------------------------------------------------------------------ lists

[[maybe_unused]] inline void sequence_empty(Pool& pool, int y) { fresh_list(pool, y, 0); }

[[maybe_unused]] inline void optional_absent(Pool& pool, int y) {
  fresh_list(pool, y, 0);
  give_slot(pool, y);
}

[[maybe_unused]] inline void sequence_copy(Pool& pool, int x, int y) {
  if (x == y) return;
  if (list_of(pool, x) == nullptr) return optional_absent(pool, y);
  const int64_t n = size_of(pool, x);
  List* const to = fresh_list(pool, y, n);
  for (int64_t i = 0; to != nullptr && i < n; ++i) append(to, list_of(pool, x)->cells()[i]);
}

/// An optional sequence whose list must be there.
[[maybe_unused]] inline void optional_list(Pool& pool, int x, int y) {
  if (list_of(pool, x) == nullptr) fail(pool, kOutOfRange);
  sequence_copy(pool, x, y);
}

/// y = x with a tensor put in at place `at` of those from 0 to the size of x.
template <class T>
[[maybe_unused]] inline void insert_at(Pool& pool, int x, const T* data, int64_t at, int y,
                                       int rank, const Sizes& shape, int type) {
  int64_t count = 1;
  for (int d = 0; d < rank; ++d) count *= shape.at[d];
  const int64_t n = size_of(pool, x), place = place_of(at, n + 1);
  const int64_t bytes = count * static_cast<int64_t>(sizeof(T));
  Cell* const cell = place < 0 ? nullptr : take_cell(pool, bytes, rank, shape.at, type);
  if (place < 0) fail(pool, kOutOfRange);
  List* const to = fresh_list(pool, y, n + 1);
  if (to == nullptr || cell == nullptr) return;
  unsigned char* const own = reinterpret_cast<unsigned char*>(cell) + kCell;
  if (bytes > 0) __builtin_memcpy(own, data, static_cast<size_t>(bytes));
  for (int64_t i = 0; i <= n; ++i) {
    append(to, i == place ? cell : list_of(pool, x)->cells()[i < place ? i : i - 1]);
  }
}
template <class T>
[[maybe_unused]] inline void sequence_insert(Pool& pool, int x, const T* data, int y, int rank,
                                             const Sizes& shape, int type) {
  insert_at(pool, x, data, size_of(pool, x), y, rank, shape, type);
}
template <class T, class I>
[[maybe_unused]] inline void sequence_insert(Pool& pool, int x, const T* data, const I* at, int y,
                                             int rank, const Sizes& shape, int type) {
  const int64_t given = static_cast<int64_t>(*at);  // -1 is the place before the last tensor
  insert_at(pool, x, data, given < 0 ? given + size_of(pool, x) : given, y, rank, shape, type);
}

[[maybe_unused]] inline void erase_at(Pool& pool, int x, int64_t at, int y) {
  const int64_t n = size_of(pool, x), place = place_of(at, n);
  if (place < 0) fail(pool, kOutOfRange);
  List* const to = fresh_list(pool, y, n);
  for (int64_t i = 0; to != nullptr && i < n; ++i) {
    if (i != place) append(to, list_of(pool, x)->cells()[i]);
  }
}
[[maybe_unused]] inline void sequence_erase(Pool& pool, int x, int y) { erase_at(pool, x, -1, y); }
template <class I>
[[maybe_unused]] inline void sequence_erase(Pool& pool, int x, const I* at, int y) {
  erase_at(pool, x, static_cast<int64_t>(*at), y);
}

[[maybe_unused]] inline void sequence_length(Pool& pool, int x, int64_t* y) {
  *y = size_of(pool, x);
}

[[maybe_unused]] inline void sequence_present(Pool& pool, int x, uint8_t* y) {
  *y = list_of(pool, x) != nullptr ? 1 : 0;
}

// ---------------------------------------------------------------------------------- their tensors

[[maybe_unused]] inline Cell* cell_at(Pool& pool, int x, int64_t at) {
  const int64_t place = place_of(at, size_of(pool, x));
  return place < 0 ? nullptr : list_of(pool, x)->cells()[place];
}

/// The extents of a tensor, each -1 where there is none of that rank.
template <class I>
[[maybe_unused]] inline void sequence_shape(Pool& pool, int x, const I* at, int64_t* y, int rank) {
  Cell* const cell = cell_at(pool, x, static_cast<int64_t>(*at));
  for (int d = 0; d < rank; ++d) y[d] = cell == nullptr || cell->rank != rank ? -1 : cell->shape[d];
}

/// A tensor of `count` elements.
template <class T, class I>
[[maybe_unused]] inline void sequence_read(Pool& pool, int x, const I* at, T* y, int64_t count) {
  Cell* const cell = cell_at(pool, x, static_cast<int64_t>(*at));
  const int64_t bytes = count * static_cast<int64_t>(sizeof(T));
  if (cell == nullptr || cell->bytes != bytes) return fail(pool, kOutOfRange);
  if (bytes > 0) __builtin_memcpy(y, cell->data, static_cast<size_t>(bytes));
}

// -------------------------------------------------------------------------------- split and concat

/// Part `first` to `first + count` of the middle axis of x [outer, n, inner] appended to a list.
template <class T>
[[maybe_unused]] inline void append_part(Pool& pool, List* to, const T* x, int64_t first,
                                         int64_t count, int64_t outer, int64_t n, int64_t inner,
                                         int rank, const int64_t* shape, int type) {
  const int64_t size = static_cast<int64_t>(sizeof(T)), run = count * inner;
  Cell* const cell = take_cell(pool, outer * run * size, rank, shape, type);
  if (cell == nullptr) return;
  T* const own = reinterpret_cast<T*>(reinterpret_cast<unsigned char*>(cell) + kCell);
  for (int64_t o = 0; run > 0 && o < outer; ++o) {
    const T* const from = x + (o * n + first) * inner;
    __builtin_memcpy(own + o * run, from, static_cast<size_t>(run * size));
  }
  append(to, cell);
}

/// x [outer, n, inner] in `parts` parts of `each` (the last one smaller), or of sizes[k].
template <class T>
[[maybe_unused]] inline void split_list(Pool& pool, const T* x, const int64_t* sizes, int64_t parts,
                                        int64_t each, int y, int64_t outer, int64_t n,
                                        int64_t inner, int rank, const Sizes& shape, int axis,
                                        bool keep, int type) {
  List* const to = fresh_list(pool, y, parts);
  int64_t first = 0;
  for (int64_t k = 0; to != nullptr && k < parts; ++k) {
    const int64_t wanted = sizes == nullptr ? (n - first < each ? n - first : each) : sizes[k];
    if (wanted < 0 || wanted > n - first) return fail(pool, kOutOfRange);
    int64_t own[8];
    int kept = 0;
    for (int d = 0; d < rank; ++d) {
      if (d != axis || keep) own[kept++] = d == axis ? wanted : shape.at[d];
    }
    append_part(pool, to, x, first, wanted, outer, n, inner, kept, own, type);
    first += wanted;
  }
  if (first != n) fail(pool, kOutOfRange);
}
/// Single elements of the axis.
template <class T>
[[maybe_unused]] inline void sequence_split(Pool& pool, const T* x, int y, int64_t outer, int64_t n,
                                            int64_t inner, int rank, const Sizes& shape, int axis,
                                            bool keep, int type) {
  split_list(pool, x, nullptr, n, 1, y, outer, n, inner, rank, shape, axis, keep, type);
}
/// Parts of one size.
template <class T>
[[maybe_unused]] inline void sequence_chunks(Pool& pool, const T* x, const int64_t* each, int y,
                                             int64_t outer, int64_t n, int64_t inner, int rank,
                                             const Sizes& shape, int axis, int type) {
  const int64_t size = *each;
  if (size < 1) return fail(pool, kOutOfRange);
  split_list(pool, x, nullptr, (n + size - 1) / size, size, y, outer, n, inner, rank, shape, axis,
             true, type);
}
/// Parts of the sizes given.
template <class T>
[[maybe_unused]] inline void sequence_parts(Pool& pool, const T* x, const int64_t* sizes, int y,
                                            int64_t parts, int64_t outer, int64_t n, int64_t inner,
                                            int rank, const Sizes& shape, int axis, int type) {
  split_list(pool, x, sizes, parts, 0, y, outer, n, inner, rank, shape, axis, true, type);
}

/// The shape of all tensors side by side along `axis`, or stacked along a new one; -1 where they do
/// not fit each other.
[[maybe_unused]] inline void sequence_joined_shape(Pool& pool, int x, int64_t* y, int rank,
                                                   int axis, bool stacks) {
  const int64_t n = size_of(pool, x);
  const int own = stacks ? rank - 1 : rank;
  int64_t along = stacks ? n : 0;
  for (int d = 0; d < rank; ++d) y[d] = -1;
  for (int64_t k = 0; k < n; ++k) {
    const Cell* const cell = list_of(pool, x)->cells()[k];
    const Cell* const first = list_of(pool, x)->cells()[0];
    if (cell->rank != own) return;
    for (int d = 0; d < own; ++d) {
      if (cell->shape[d] != first->shape[d] && (stacks || d != axis)) return;
    }
    if (!stacks) along += cell->shape[axis];
  }
  if (n == 0) return;
  const Cell* const first = list_of(pool, x)->cells()[0];
  for (int d = 0, k = 0; d < rank; ++d) {
    const bool joined = d == axis;
    y[d] = joined ? along : first->shape[k];
    if (!joined || !stacks) ++k;
  }
}

/// The tensors themselves, of `outer` runs of `inner` elements for each step along the axis.
template <class T>
[[maybe_unused]] inline void sequence_join(Pool& pool, int x, T* y, int64_t outer, int64_t n,
                                           int64_t inner) {
  const int64_t size = static_cast<int64_t>(sizeof(T));
  int64_t at = 0;
  for (int64_t k = 0; k < size_of(pool, x); ++k) {
    const Cell* const cell = list_of(pool, x)->cells()[k];
    const int64_t run = outer == 0 ? 0 : cell->bytes / size / outer;
    const T* const from = static_cast<const T*>(cell->data);
    for (int64_t o = 0; run > 0 && o < outer; ++o) {
      __builtin_memcpy(y + o * n * inner + at, from + o * run, static_cast<size_t>(run * size));
    }
    at += run;
  }
}

}  // namespace
}  // namespace AOT_NS
