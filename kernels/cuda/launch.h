// SPDX-License-Identifier: 0BSD
//
// launch.h: one spelling for starting a kernel, with nvcc and with a plain C++ compiler.
//
// AOT_LAUNCH(kernel, blocks, threads, stream, args...) starts `blocks` one-dimensional blocks of `threads` threads;
// CUDA refuses a grid without blocks, so none are started for an empty tensor.
// Without nvcc the kernel runs at once, on the CPU (host_shim.h): that is how tests run kernels without a GPU.
#pragma once

#ifdef __CUDACC__
#define AOT_LAUNCH(kernel, blocks, threads, stream, ...)                          \
  do {                                                                            \
    const unsigned aot_blocks = static_cast<unsigned>(blocks);                    \
    if (aot_blocks != 0) kernel<<<aot_blocks, threads, 0, stream>>>(__VA_ARGS__); \
  } while (0)
#else
#include "host_shim.h"
#define AOT_LAUNCH(kernel, blocks, threads, stream, ...)                                 \
  do {                                                                                   \
    (void)stream;                                                                        \
    aot_shim::run(static_cast<unsigned>(blocks), threads, [&] { kernel(__VA_ARGS__); }); \
  } while (0)
#endif
