// SPDX-License-Identifier: 0BSD
//
// host_shim.h: enough of CUDA to run a kernel on the CPU, for tests on machines without a GPU.
//
// Model      Blocks run one after another, and in a block its warps; the 32 threads of a warp are fibers that take turns.
//            A shuffle deposits its value and hands over; when the turn comes round again every lane has deposited. The
//            slots alternate, so a lane that runs ahead cannot overwrite what another one has yet to read.
// Contract   All lanes of a warp that have not returned shuffle together (as the full mask promises). No shared memory,
//            no __syncthreads, one-dimensional grids. Not reentrant: one launch at a time in a process.
// Speed      None to speak of.
#pragma once

#include <stddef.h>
#include <string.h>
#include <ucontext.h>

#define __global__ [[maybe_unused]] static
#define __device__
#define __launch_bounds__(...)

namespace aot_shim {
namespace {

constexpr unsigned kWarp = 32;
constexpr size_t kStack = 512 * 1024;

struct Index {
  unsigned x;
};

struct Warp {
  ucontext_t scheduler;
  ucontext_t lane[kWarp];
  bool done[kWarp];
  unsigned turn;
  unsigned char slot[2][kWarp][8];
  unsigned parity[kWarp];
  void (*call)(void*);
  void* closure;
  alignas(64) unsigned char stack[kWarp][kStack];
};

[[maybe_unused]] Warp warp;

[[maybe_unused]] void enter() {
  const unsigned self = warp.turn;
  warp.call(warp.closure);
  warp.done[self] = true;
  swapcontext(&warp.lane[self], &warp.scheduler);
}

}  // namespace
}  // namespace aot_shim

[[maybe_unused]] static aot_shim::Index threadIdx, blockIdx, blockDim;

namespace aot_shim {
namespace {

// getcontext returns twice as far as the compiler knows, so it stands alone.
[[maybe_unused]] __attribute__((noinline)) void start(unsigned lane) {
  ucontext_t* fiber = &warp.lane[lane];
  getcontext(fiber);
  fiber->uc_stack.ss_sp = warp.stack[lane];
  fiber->uc_stack.ss_size = kStack;
  fiber->uc_link = nullptr;
  makecontext(fiber, enter, 0);
  warp.done[lane] = false;
  warp.parity[lane] = 0;
}

// Lets every lane that has not returned run up to its next shuffle; false when all have returned.
[[maybe_unused]] __attribute__((noinline)) bool round_of_turns(unsigned block, unsigned first) {
  bool active = false;
  for (unsigned l = 0; l < kWarp; ++l) {
    if (warp.done[l]) continue;
    active = true;
    warp.turn = l;
    blockIdx.x = block;
    threadIdx.x = first + l;
    swapcontext(&warp.scheduler, &warp.lane[l]);
  }
  return active;
}

template <class F>
void call_closure(void* f) {
  (*static_cast<F*>(f))();
}

template <class F>
void run(unsigned blocks, unsigned threads, F kernel) {
  warp.call = call_closure<F>;
  warp.closure = &kernel;
  blockDim.x = threads;
  for (unsigned b = 0; b < blocks; ++b) {
    for (unsigned first = 0; first < threads; first += kWarp) {
      for (unsigned l = 0; l < kWarp; ++l) start(l);
      while (round_of_turns(b, first)) {
      }
    }
  }
}

}  // namespace
}  // namespace aot_shim

/// The value of v in the lane whose number differs by `mask`.
template <class T>
[[maybe_unused]] static T __shfl_xor_sync(unsigned, T v, int mask) {
  using aot_shim::warp;
  static_assert(sizeof(T) <= 8, "a shuffle moves at most 8 bytes");
  const unsigned self = warp.turn, at = warp.parity[self];
  memcpy(warp.slot[at][self], &v, sizeof v);
  warp.parity[self] = 1 - at;
  swapcontext(&warp.lane[self], &warp.scheduler);
  memcpy(&v, warp.slot[at][self ^ static_cast<unsigned>(mask)], sizeof v);
  return v;
}
