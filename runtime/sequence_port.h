// SPDX-License-Identifier: 0BSD
//
// sequence_port.h: sequences and optionals between the C interface and the slots of a run.
//
// Contract    load_list() makes a slot of the caller's array (null: an optional that is absent)
//             without copying data, which must stay as it is while the run lasts. store_list()
//             copies a slot into memory that `owned` then holds.
#pragma once

#include "sequence.h"
#include "tensor_abi.h"

namespace AOT_NS {
namespace {

/// Bytes of `count` elements, -1 where that is no size at all.
[[maybe_unused]] inline int64_t tensor_bytes(const aotgen_tensor& t, int64_t element) {
  int64_t count = element;
  for (int d = 0; d < t.rank; ++d) {
    if (t.shape[d] < 0 || __builtin_mul_overflow(count, t.shape[d], &count)) return -1;
  }
  return count;
}

/// Whether the caller's tensors have the element type and rank (-1: any) that the model wants.
[[maybe_unused]] inline bool list_fits(const aotgen_tensor* from, size_t count, int type, int rank,
                                       int64_t element) {
  for (size_t k = 0; from != nullptr && k < count; ++k) {
    if (from[k].type != type || from[k].rank < 0 || from[k].rank > 8) return false;
    if (rank >= 0 && from[k].rank != rank) return false;
    if (tensor_bytes(from[k], element) < 0) return false;
    if (tensor_bytes(from[k], element) > 0 && from[k].data == nullptr) return false;
  }
  return true;
}

[[maybe_unused]] inline void load_list(Pool& pool, int slot, const aotgen_tensor* from,
                                       size_t count, int64_t element) {
  if (from == nullptr) return;
  List* const list = fresh_list(pool, slot, static_cast<int64_t>(count));
  for (size_t k = 0; list != nullptr && k < count; ++k) {
    Cell* const cell = take_cell(pool, 0, from[k].rank, from[k].shape, from[k].type);
    if (cell == nullptr) return;
    cell->data = from[k].data;
    cell->bytes = tensor_bytes(from[k], element);
    append(list, cell);
  }
}

/// Memory of `bytes` that `owned` holds; null: refused.
[[maybe_unused]] inline void* take_owned(Pool& pool, int64_t bytes, void** owned) {
  Block* const block = take_block(pool, bytes);
  if (block == nullptr) {
    fail(pool, kNoMemory);
    return nullptr;
  }
  block->next = static_cast<Block*>(*owned);
  *owned = block;
  return data_of(block);
}

[[maybe_unused]] inline aotgen_tensor* store_list(Pool& pool, int slot, size_t* count,
                                                  void** owned) {
  *count = 0;
  List* const list = list_of(pool, slot);
  if (list == nullptr) return nullptr;
  const int64_t row = static_cast<int64_t>(sizeof(aotgen_tensor));
  void* const rows = take_owned(pool, list->size * row, owned);
  aotgen_tensor* const to = static_cast<aotgen_tensor*>(rows);
  for (int64_t k = 0; to != nullptr && k < list->size; ++k) {
    const Cell* const cell = list->cells()[k];
    void* const data = take_owned(pool, cell->bytes, owned);
    if (data == nullptr) return nullptr;
    if (cell->bytes > 0) __builtin_memcpy(data, cell->data, static_cast<size_t>(cell->bytes));
    to[k].type = cell->type;
    to[k].rank = cell->rank;
    for (int d = 0; d < 8; ++d) to[k].shape[d] = cell->shape[d];
    to[k].data = data;
    to[k].capacity = static_cast<size_t>(cell->bytes);
    *count = static_cast<size_t>(k) + 1;
  }
  return to;
}

}  // namespace
}  // namespace AOT_NS
