// SPDX-License-Identifier: 0BSD
//
// string_order.h: strings as values. The bytes may be null where there are none; whatever they are, they
// are compared as bytes (the order of code points), and nothing is lost.
#pragma once

#include "string_abi.h"
#include "traits.h"

namespace AOT_NS {
namespace {

// -1, 0 or 1: a stands before b, equals it, stands after it.
[[maybe_unused]] inline int text_order(aotgen_string a, aotgen_string b) {
  const size_t shared = a.size < b.size ? a.size : b.size;
  const int order = shared == 0 ? 0 : __builtin_memcmp(a.data, b.data, shared);
  if (order != 0) return order < 0 ? -1 : 1;
  return static_cast<int>(a.size > b.size) - static_cast<int>(a.size < b.size);
}
AOT_FN bool same_text(aotgen_string a, aotgen_string b) {
  return a.size == b.size && text_order(a, b) == 0;
}
AOT_FN bool text_before(aotgen_string a, aotgen_string b) { return text_order(a, b) < 0; }
AOT_FN bool text_not_after(aotgen_string a, aotgen_string b) { return text_order(a, b) <= 0; }

}  // namespace
}  // namespace AOT_NS
