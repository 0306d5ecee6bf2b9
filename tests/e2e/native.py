# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A C++ program around a generated library, compiled together with its sources: for sanitizers and for counting allocations.

The program keeps every input and output in a heap block of exactly its size, poisons workspace and outputs with 0xFF bytes
(NaN as floats), runs, and writes the outputs. A string is kept in a block of its own; in files it is 8 bytes of size, then
the bytes.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from aotgen.core import dtypes
from aotgen.toolchain.compiler import find_compiler, read_manifest

Arrays = dict[str, np.ndarray]

_MAIN = """
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "NAME.h"

static unsigned long allocations;
#ifdef COUNT  // the first round in which none is allowed
// glibc's own names behind the public ones, so that every request made while running is seen.
extern "C" {
void* __libc_malloc(size_t);
void* __libc_calloc(size_t, size_t);
void* __libc_realloc(void*, size_t);
void* __libc_memalign(size_t, size_t);
void* malloc(size_t n) { __atomic_add_fetch(&allocations, 1, __ATOMIC_RELAXED); return __libc_malloc(n); }
void* calloc(size_t n, size_t m) { __atomic_add_fetch(&allocations, 1, __ATOMIC_RELAXED); return __libc_calloc(n, m); }
void* realloc(void* p, size_t n) { __atomic_add_fetch(&allocations, 1, __ATOMIC_RELAXED); return __libc_realloc(p, n); }
void* memalign(size_t a, size_t n) { __atomic_add_fetch(&allocations, 1, __ATOMIC_RELAXED); return __libc_memalign(a, n); }
void* aligned_alloc(size_t a, size_t n) { return memalign(a, n); }
int posix_memalign(void** p, size_t a, size_t n) { *p = memalign(a, n); return *p == nullptr ? 12 : 0; }
}
#endif

static char** paths;
static int threads, rounds;

static void* load(int port, size_t size) {
  void* data = malloc(size);
  FILE* f = fopen(paths[port], "rb");
  if (f == nullptr || fread(data, 1, size, f) != size) exit(2);
  fclose(f);
  return data;
}

#ifdef AOTGEN_STRING
static aotgen_string* load_strings(int port, size_t size) {
  aotgen_string* data = static_cast<aotgen_string*>(malloc(size));
  FILE* f = fopen(paths[port], "rb");
  if (f == nullptr) exit(2);
  for (size_t k = 0; k < size / sizeof *data; ++k) {
    if (fread(&data[k].size, 1, 8, f) != 8) exit(2);
    char* bytes = static_cast<char*>(malloc(data[k].size));
    if (fread(bytes, 1, data[k].size, f) != data[k].size) exit(2);
    data[k].data = bytes;
  }
  fclose(f);
  return data;
}

static void free_strings(const aotgen_string* data, size_t size) {
  for (size_t k = 0; k < size / sizeof *data; ++k) free(const_cast<char*>(data[k].data));
  free(const_cast<aotgen_string*>(data));
}

[[maybe_unused]] static void put(FILE* f, const aotgen_string* data, size_t size) {
  for (size_t k = 0; k < size / sizeof *data; ++k) {
    fwrite(&data[k].size, 1, 8, f);
    if (data[k].size > 0) fwrite(data[k].data, 1, data[k].size, f);
  }
}
#endif
[[maybe_unused]] static void put(FILE* f, const void* data, size_t size) { fwrite(data, 1, size, f); }

static void* poisoned(size_t size, int wanted) {
  void* data = wanted != 0 ? aligned_alloc(64, size) : malloc(size);
  memset(data, 0xff, size);
  return data;
}

static void* caller(void* number) {
  const bool first = number == nullptr;
  NAME_call call;
  memset(&call, 0, sizeof call);
  call.size = sizeof call;
  call.threads = threads;
DIMS
  call.workspace_size = NAME_workspace_size(&call);
  call.workspace = poisoned(call.workspace_size, 1);
  NAME_inputs in;
  NAME_outputs out;
PORTS
  for (int k = 0; k < rounds; ++k) {
    [[maybe_unused]] const unsigned long before = allocations;
    const int status = NAME_run(&in, &out, &call);
    if (status != EXPECTED) {
      fprintf(stderr, "status %d\\n", status);
      exit(3);
    }
#ifdef COUNT
    if (k >= COUNT && allocations != before) {
      fprintf(stderr, "%lu allocations in a run\\n", allocations - before);
      exit(4);
    }
#endif
    memset(call.workspace, 0xff, call.workspace_size);
    if (k + 1 < rounds) { RELEASE }
  }
STORE
  RELEASE
LAST
  free(call.workspace);
  return nullptr;
}

int main(int argc, char** argv) {
  paths = argv + 4;
  threads = atoi(argv[1]);
  rounds = atoi(argv[2]);
  const int callers = atoi(argv[3]);
  pthread_t ids[16];
  for (long n = 1; n < callers; ++n) pthread_create(&ids[n], nullptr, caller, (void*)n);
  caller(nullptr);
  for (int n = 1; n < callers; ++n) pthread_join(ids[n], nullptr);
  (void)argc;
  return 0;
}
"""


def program(manifest: Mapping[str, Any], dims: Mapping[str, int], expected: int) -> str:
    """The text of ``main`` for a library; arguments: threads, rounds, callers, then a path for each input and output."""
    ports, store, last, at = [], [], [], 0
    for n, p in enumerate(manifest["inputs"]):
        member, size = f"in.{p['member']}", f"NAME_input_bound(&call, {n})"
        strings = p["dtype"] == "string"
        ports.append(f"{member} = static_cast<decltype({member})>({'load_strings' if strings else 'load'}({at}, {size}));")
        last.append(f"free_strings({member}, {size});" if strings else f"free(const_cast<void*>(static_cast<const void*>({member})));")
        at += 1
    for n, p in enumerate(manifest["outputs"]):
        member, size = f"out.{p['member']}", f"NAME_output_bound(&call, {n})"
        if "shape_member" in p:
            size = " * ".join([f"sizeof *{member}", *(f"out.{p['shape_member']}[{k}]" for k in range(len(p["shape"])))])
        if not p.get("owned"):
            ports.append(f"{member} = static_cast<decltype({member})>(poisoned(NAME_output_bound(&call, {n}), 0));")
            last.append(f"free({member});")
        store.append(f'if (first && EXPECTED == 0) {{ FILE* f = fopen(paths[{at}], "wb"); put(f, {member}, {size}); fclose(f); }}')
        at += 1
    members = {d["name"]: d["member"] for d in manifest["dims"]}
    text = _MAIN.replace("DIMS", "\n".join(f"  call.dims.{members[k]} = {v};" for k, v in dims.items()))
    text = text.replace("PORTS", "\n".join(f"  {x}" for x in ports)).replace("STORE", "\n".join(f"  {x}" for x in store))
    text = text.replace("LAST", "\n".join(f"  {x}" for x in last))
    text = text.replace("RELEASE", "NAME_release(&out, &call);" if manifest["owning"] else "")
    return text.replace("EXPECTED", str(expected)).replace("NAME", manifest["name"])


def build(folder: Path, to: Path, flags: Sequence[str], *, dims: Mapping[str, int] | None = None, expected: int = 0) -> Path:
    """The program around the library in ``folder``, everything compiled with ``flags`` after the library's own."""
    manifest, compiler = read_manifest(folder), find_compiler()
    to.mkdir(parents=True, exist_ok=True)
    (to / "main.cpp").write_text(program(manifest, dims or {}, expected), "utf-8")
    plan = manifest["build"]
    include = [f"-I{folder / i}" for i in plan["include"]]

    def compiled(unit: Mapping[str, Any]) -> str:
        source = folder / unit["file"]
        is_cxx = source.suffix == ".cpp"
        own = plan["cxxflags"] if is_cxx else plan["cflags"] if source.suffix == ".c" else plan["asflags"]
        out = to / f"{source.stem}{source.suffix}.o"
        own = [f for f in own if not (compiler.is_clang and f in plan["gcc_only"])]
        command = [*(compiler.cxx if is_cxx else compiler.cc), *own, *unit["flags"], *include]
        _run([*command, *(flags if is_cxx else ()), "-c", str(source), "-o", str(out)])
        return str(out)

    with ThreadPoolExecutor(2) as pool:
        objects = list(pool.map(compiled, plan["units"]))
    exe = to / "program"
    _run([*compiler.cxx, "-std=c++17", "-O1", "-w", *flags, *include, str(to / "main.cpp"), *objects, *plan["ldflags"],
          "-pthread", "-lm", "-o", str(exe)])
    return exe


def run(
    exe: Path, folder: Path, inputs: Mapping[str, np.ndarray], shapes: Mapping[str, Sequence[int]],
    *, threads: int = 1, rounds: int = 1, callers: int = 1,
) -> Arrays:
    """Run a program on ``inputs``; outputs of the first caller, of ``shapes``. Fails with what the program says."""
    manifest, at = read_manifest(folder), exe.parent
    paths = []
    for n, p in enumerate(manifest["inputs"]):
        paths.append(at / f"in{n}.bin")
        paths[-1].write_bytes(packed(inputs[p["name"]]))
    results = [at / f"out{n}.bin" for n in range(len(manifest["outputs"]))]
    _run([str(exe), str(threads), str(rounds), str(callers), *map(str, [*paths, *results])])
    return {
        p["name"]: unpacked(r.read_bytes(), dtypes.of(p["dtype"])).reshape(shapes[p["name"]])
        for p, r in zip(manifest["outputs"], results, strict=True)
        if r.exists()
    }


def packed(array: np.ndarray) -> bytes:
    """The contents of a file that the program reads."""
    if array.dtype != object:
        return np.ascontiguousarray(array).tobytes()
    texts = [dtypes.encode(t) for t in array.ravel()]
    return b"".join(len(t).to_bytes(8, "little") + t for t in texts)


def unpacked(data: bytes, dtype: dtypes.DType) -> np.ndarray:
    """The elements in a file that the program wrote."""
    if dtype is not dtypes.string:
        return np.frombuffer(data, dtype.numpy)
    out, at = [], 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 8], "little")
        out.append(dtypes.decode(data[at + 8 : at + 8 + size]))
        at += 8 + size
    return np.array(out, object)


def _run(command: Sequence[str]) -> None:
    env = {**os.environ, "LC_ALL": "C", "ASAN_OPTIONS": "detect_stack_use_after_return=1", "TSAN_OPTIONS": "halt_on_error=1"}
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False)
    assert done.returncode == 0, f"{' '.join(command[:3])} ...: {done.returncode}\n{done.stderr[-6000:]}{done.stdout[-1000:]}"
