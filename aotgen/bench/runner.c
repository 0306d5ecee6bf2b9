/* SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception */
/* Loads a generated library, runs it, and says when each run ended, so that a parent process can tell start-up from work.
 *   runner LIBRARY NAME THREADS RUNS WEIGHTS|- DIMS|- OUTPUTS INPUT.bin...
 * DIMS: open dims as 1,2,3. OUTPUTS: how many outputs there are. Prints the clock (CLOCK_MONOTONIC, ns) after the first run
 * and then the duration of every later one. */
#define _POSIX_C_SOURCE 200809L
#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { kPorts = 256, kDims = 32 };

struct call { /* as in the generated header */
  uint32_t size;
  int32_t threads;
  void* workspace;
  size_t workspace_size;
  const void* weights;
  const void* pool;
  int64_t dims[kDims];
};

static int64_t now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static void* room(size_t size) {
  char* raw = (char*)calloc(1, size + 64);
  if (raw == NULL) exit(1);
  return raw + (64 - (uintptr_t)raw % 64);
}

static void* contents(const char* path, int map) {
  struct stat about;
  const int file = open(path, O_RDONLY);
  void* data;
  if (file < 0 || fstat(file, &about) != 0) {
    fprintf(stderr, "cannot read %s\n", path);
    exit(1);
  }
  if (map) {
    data = mmap(NULL, (size_t)about.st_size, PROT_READ, MAP_PRIVATE, file, 0);
    if (data == MAP_FAILED) exit(1);
  } else {
    data = room((size_t)about.st_size);
    if (read(file, data, (size_t)about.st_size) != about.st_size) exit(1);
  }
  close(file);
  return data;
}

static void* function(void* library, const char* name, const char* what) {
  char symbol[512];
  void* found;
  snprintf(symbol, sizeof symbol, "%s_%s", name, what);
  found = dlsym(library, symbol);
  if (found == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    exit(1);
  }
  return found;
}

int main(int argc, char** argv) {
  void *library, *in[kPorts], *out[kPorts];
  struct call call;
  int (*run)(void**, void**, const struct call*);
  size_t (*workspace_size)(const struct call*);
  size_t (*output_bound)(const struct call*, int);
  int i, runs, outputs, count = 0;
  char* part;
  if (argc < 8 || argc - 8 > kPorts) return 2;
  memset(&call, 0, sizeof call);
  library = dlopen(argv[1], RTLD_NOW);
  if (library == NULL) {
    fprintf(stderr, "%s\n", dlerror());
    return 1;
  }
  *(void**)&run = function(library, argv[2], "run");
  *(void**)&workspace_size = function(library, argv[2], "workspace_size");
  *(void**)&output_bound = function(library, argv[2], "output_bound");
  call.threads = atoi(argv[3]);
  runs = atoi(argv[4]);
  if (strcmp(argv[5], "-") != 0) call.weights = contents(argv[5], 1);
  for (part = strtok(argv[6], ","); part != NULL && strcmp(part, "-") != 0 && count < kDims; part = strtok(NULL, ","))
    call.dims[count++] = atoll(part);
  outputs = atoi(argv[7]);
  if (outputs > kPorts) return 2;
  for (i = 8; i < argc; ++i) in[i - 8] = contents(argv[i], 0);
  for (i = 0; i < outputs; ++i) out[i] = room(output_bound(&call, i));
  call.workspace_size = workspace_size(&call);
  call.workspace = room(call.workspace_size);
  for (i = 0; i < runs; ++i) {
    const int64_t begin = now();
    const int status = run(in, out, &call);
    const int64_t end = now();
    if (status != 0) {
      fprintf(stderr, "status %d\n", status);
      return 1;
    }
    printf("%lld\n", (long long)(i == 0 ? end : end - begin));
  }
  return 0;
}
