// SPDX-License-Identifier: 0BSD
//
// tensor_abi.h: a tensor of a sequence as the C interface passes it. Public headers repeat what
// stands between the guards, so that each is whole by itself.
#include <stddef.h>
#include <stdint.h>

#ifndef AOTGEN_TENSOR
#define AOTGEN_TENSOR
typedef struct aotgen_tensor { /* one of a sequence */
  int32_t type; /* of an element, as in ONNX's TensorProto: 1 float, 7 int64_t, 9 bool, ... */
  int32_t rank;
  int64_t shape[8];
  void* data;      /* row-major */
  size_t capacity; /* bytes of data, in results */
} aotgen_tensor;
#endif
