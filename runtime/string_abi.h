// SPDX-License-Identifier: 0BSD
//
// string_abi.h: a string as the C interface passes it. Public headers repeat what stands between
// the guards, so that each is whole by itself.
#include <stddef.h>

#ifndef AOTGEN_STRING
#define AOTGEN_STRING
typedef struct aotgen_string { /* UTF-8, without a mark at its end */
  const char* data;
  size_t size; /* bytes of data */
} aotgen_string;
#endif
