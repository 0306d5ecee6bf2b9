// SPDX-License-Identifier: 0BSD
//
// pool.h: memory of one run for values whose size nobody can bound before it.
//
// Contract    A Pool has `slots`, one for each value; only thread 0 changes them, and the others
//             read `data` behind a barrier. hold() makes room and forgets what was there, grow()
//             keeps it. Data is aligned to 64 bytes; null where the memory was refused.
// Memory      Blocks come from the caller's two functions, or from malloc and free. A slot that is
//             large enough is used again, so a loop settles after its largest trip. What results
//             own is handed over by keep() as a chain of blocks; settle() gives back all others.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#ifndef AOT_NS
#define AOT_NS aot
#endif

namespace AOT_NS {
namespace {

/// Lies in the 64 bytes before the data.
struct Block {
  void* raw;      // what the caller's function returned
  Block* next;    // in a chain that results own
  int64_t bytes;  // of data
};

struct Slot {
  void* data;
};

struct Pool {
  void* context;
  void* (*take)(void* context, size_t size);
  void (*give)(void* context, void* block);
  Slot* slots;
  int count;
  Block* text;   // the newest block that text() fills, chained to those before it
  int64_t used;  // bytes of it
  void* cells;   // the tensors of sequences, see sequence.h: each begins with a pointer to the next
  int failed;    // why the run must end with a status, 0: it need not
};
enum : int { kNoMemory = 1, kOutOfRange = 2 };

[[maybe_unused]] inline void fail(Pool& pool, int why) {
  if (pool.failed == 0) pool.failed = why;
}

[[maybe_unused]] inline void* pool_malloc(void*, size_t size) { return malloc(size); }
[[maybe_unused]] inline void pool_free(void*, void* block) { free(block); }

[[maybe_unused]] inline Block* block_of(void* data) {
  return reinterpret_cast<Block*>(static_cast<unsigned char*>(data) - 64);
}
[[maybe_unused]] inline void* data_of(Block* block) {
  return reinterpret_cast<unsigned char*>(block) + 64;
}

/// A new block of `bytes`, or null.
[[maybe_unused]] inline Block* take_block(Pool& pool, int64_t bytes) {
  if (bytes < 0) return nullptr;
  void* const raw = pool.take(pool.context, static_cast<size_t>(bytes) + 128);
  if (raw == nullptr) return nullptr;
  const uintptr_t at = (reinterpret_cast<uintptr_t>(raw) + 127) / 64 * 64;
  Block* const block =
      block_of(static_cast<unsigned char*>(raw) + (at - reinterpret_cast<uintptr_t>(raw)));
  *block = {raw, nullptr, bytes};
  return block;
}

[[maybe_unused]] inline void give_chain(Pool& pool, Block* block) {
  while (block != nullptr) {
    Block* const next = block->next;
    pool.give(pool.context, block->raw);
    block = next;
  }
}

[[maybe_unused]] inline void give_slot(Pool& pool, int k) {
  if (pool.slots[k].data != nullptr) give_chain(pool, block_of(pool.slots[k].data));
  pool.slots[k].data = nullptr;
}

[[maybe_unused]] inline int64_t room_of(const Slot& slot) {
  return slot.data == nullptr ? -1 : block_of(slot.data)->bytes;
}

/// Room for `bytes` in slot k. A negative size, which stands for one beyond reason, is refused.
[[maybe_unused]] inline void hold(Pool& pool, int k, int64_t bytes) {
  if (bytes >= 0 && room_of(pool.slots[k]) >= bytes) return;
  give_slot(pool, k);
  Block* const block = take_block(pool, bytes);
  pool.slots[k].data = block == nullptr ? nullptr : data_of(block);
}

/// As hold(), but what was there stays; at least doubled, so that growing step by step is linear.
[[maybe_unused]] inline void grow(Pool& pool, int k, int64_t bytes) {
  const int64_t had = room_of(pool.slots[k]);
  if (bytes >= 0 && had >= bytes) return;
  Block* const block = take_block(pool, bytes < 0 || bytes > 2 * had ? bytes : 2 * had);
  if (block != nullptr && had > 0) {
    __builtin_memcpy(data_of(block), pool.slots[k].data, static_cast<size_t>(had));
  }
  give_slot(pool, k);
  pool.slots[k].data = block == nullptr ? nullptr : data_of(block);
}

[[maybe_unused]] inline void swap_slots(Pool& pool, int a, int b) {
  const Slot was = pool.slots[a];
  pool.slots[a] = pool.slots[b];
  pool.slots[b] = was;
}

/// `bytes` that live as long as the run or, if results own text, as long as those; null: refused.
[[maybe_unused]] inline char* text(Pool& pool, size_t bytes) {
  const int64_t size = static_cast<int64_t>(bytes);
  if (pool.text == nullptr || pool.text->bytes - pool.used < size) {
    const int64_t least = 4096;
    Block* const block = take_block(pool, size > least ? size : least);
    if (block == nullptr) return nullptr;
    block->next = pool.text;
    pool.text = block;
    pool.used = 0;
  }
  char* const at = static_cast<char*>(data_of(pool.text)) + pool.used;
  pool.used += size;
  return at;
}

/// The data of slot k, from now on owned by the chain `owned`.
[[maybe_unused]] inline void* keep(Pool& pool, int k, void** owned) {
  void* const data = pool.slots[k].data;
  if (data == nullptr) return nullptr;
  block_of(data)->next = static_cast<Block*>(*owned);
  *owned = block_of(data);
  pool.slots[k].data = nullptr;
  return data;
}

/// All text, from now on owned by the chain `owned`.
[[maybe_unused]] inline void keep_text(Pool& pool, void** owned) {
  while (pool.text != nullptr) {
    Block* const next = pool.text->next;
    pool.text->next = static_cast<Block*>(*owned);
    *owned = pool.text;
    pool.text = next;
  }
}

/// Gives back what nothing owns.
[[maybe_unused]] inline void settle(Pool& pool) {
  for (void* cell = pool.cells; cell != nullptr;) {
    void* const next = *static_cast<void**>(cell);
    pool.give(pool.context, block_of(cell)->raw);
    cell = next;
  }
  pool.cells = nullptr;
  for (int k = 0; k < pool.count; ++k) give_slot(pool, k);
  give_chain(pool, pool.text);
  pool.text = nullptr;
}

}  // namespace
}  // namespace AOT_NS
