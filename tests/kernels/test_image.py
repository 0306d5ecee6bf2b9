# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""`runtime/image.h` on data that lie: every prefix of a picture, and pictures with bits turned over, under ASan and UBSan."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.j2ks import j2ks
from tests.e2e.jpegs import SAMPLINGS, jpegs
from tests.e2e.pictures import lossless
from tests.e2e.webps import webps
from tests.kernels.harness import compile_to, isas

FLAGS = ("-O1", "-g1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
FLIPS = 150
SOURCE = r"""
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "image.h"
using namespace aot;

static int blocks, ends[4];
static void* take(void*, size_t size) {
  ++blocks;
  void* p = malloc(size);
  return p == nullptr ? p : memset(p, 0xEE, size);
}
static void* refuse(void*, size_t) { return nullptr; }
static void give(void*, void* block) {
  --blocks;
  free(block);
}

// Decodes a copy whose last byte is the last of its block; every byte of the room is written.
static int decode(const unsigned char* data, size_t n, int order, bool room) {
  unsigned char* const x = static_cast<unsigned char*>(malloc(n + (n == 0)));
  if (n > 0) memcpy(x, data, n);
  int64_t size[2] = {-2, -2};
  image_extents(x, size, static_cast<int64_t>(n), 0, 1);
  int end = 3;
  if (size[0] > 0 && size[1] > 0) {
    Pool pool{nullptr, room ? take : refuse, give, nullptr, 0, nullptr, 0, nullptr, 0};
    const size_t bytes = static_cast<size_t>(size[0] * size[1]) * (order == 2 ? 1 : 3);
    unsigned char* const y = static_cast<unsigned char*>(malloc(bytes));
    const bool had = decode_image(x, y, static_cast<int64_t>(n), size[0], size[1], order, pool);
    end = !had ? 2 : pool.failed != 0 ? 1 : 0;
    free(y);
  } else if (size[0] != -1 || size[1] != -1) {
    abort();
  }
  if (blocks != 0) abort();
  free(x);
  return end;
}

int main(int, char** argv) {
  FILE* f = fopen(argv[1], "rb");
  const int flips = atoi(argv[2]);
  unsigned size = 0, seed = 1;
  while (fread(&size, 4, 1, f) == 1) {
    unsigned char* const data = static_cast<unsigned char*>(malloc(size));
    unsigned char* const copy = static_cast<unsigned char*>(malloc(size));
    if (fread(data, 1, size, f) != size) abort();
    if (decode(data, size, 0, true) != 0) abort();
    if (decode(data, size, 1, false) == 1) abort();
    for (size_t n = 0; n < size; n += 1 + size / 400) ++ends[decode(data, n, 2, true)];
    for (int k = 0; k < flips; ++k) {
      memcpy(copy, data, size);
      for (int j = k % 4; j >= 0; --j) {
        seed = seed * 1664525u + 1013904223u;
        const unsigned at = (seed >> 8) % (k % 3 == 0 && size > 99 ? 99 : size);
        copy[at] = static_cast<unsigned char>(copy[at] ^ (1u << (seed >> 4) % 8));
      }
      ++ends[decode(copy, size, k % 3, true)];
    }
    free(data);
    free(copy);
  }
  fclose(f);
  printf("%d %d %d %d\n", ends[0], ends[1], ends[2], ends[3]);
  return 0;
}
"""


def _pictures() -> Iterator[bytes]:
    for size in ((5, 3), (17, 23)):
        yield from (data for _, data, _ in lossless(*size))
        yield from (data for name, data in jpegs(*size) if name.split("-")[1] in SAMPLINGS)
        yield from (data for _, data in (*j2ks(*size), *webps(*size)))


def test_hostile_data(tmp_path: Path) -> None:
    exe = compile_to(SOURCE, isas()[-1], ".image", FLAGS)
    path = tmp_path / "pictures"
    path.write_bytes(b"".join(len(data).to_bytes(4, "little") + data for data in _pictures()))
    env = {**os.environ, "ASAN_OPTIONS": "allocator_may_return_null=1"}
    done = subprocess.run([str(exe), str(path), str(FLIPS)], capture_output=True, text=True, env=env, check=False, timeout=600)
    assert done.returncode == 0, done.stderr[-4000:]
    decoded, broken, no_room, none = map(int, done.stdout.split())
    assert min(decoded, broken, none) > 1000
    assert no_room == 0


@pytest.mark.parametrize("isa", isas(), ids=lambda isa: isa.name)
def test_no_warning(isa: object) -> None:
    """The harness makes warnings errors, at the optimisation that a library is built with."""
    compile_to(SOURCE, isa, ".image", ())  # type: ignore[arg-type]
