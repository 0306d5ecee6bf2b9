# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""onnxruntime through its C interface, so that a model of microseconds is not timed by the cost of a Python binding.

The interface is a table of functions that only ever grows (``OrtApi`` in onnxruntime_c_api.h); slots are known by number.
"""

from __future__ import annotations

import ctypes
import importlib.util
import time
from collections.abc import Callable, Mapping, Sequence
from ctypes import POINTER, byref, c_char_p, c_int, c_int64, c_size_t, c_void_p, cast
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aotgen.core import dtypes
from aotgen.core.errors import AotgenError

API_VERSION = 16
LOG_ERRORS, ALL_OPTIMISATIONS, DEVICE_ALLOCATOR, DEFAULT_MEMORY = 3, 99, 0, 0
SLOTS = {
    "GetErrorMessage": 2, "CreateEnv": 3, "CreateSession": 7, "Run": 9, "CreateSessionOptions": 10,
    "SetSessionGraphOptimizationLevel": 23, "SetIntraOpNumThreads": 24, "SetInterOpNumThreads": 25,
    "CreateTensorWithDataAsOrtValue": 49, "CreateCpuMemoryInfo": 69,
}  # fmt: skip


def find_library() -> Path | None:
    """The shared library inside the installed onnxruntime package; None where it ships none of its own."""
    spec = importlib.util.find_spec("onnxruntime")
    folders = spec.submodule_search_locations if spec is not None else None
    found = sorted(p for f in folders or () for p in (Path(f) / "capi").glob("libonnxruntime.so.*"))
    return found[0] if found else None


class Native:
    """A session over fixed inputs. ``outputs``: their names; onnxruntime allocates them once, in the first run."""

    def __init__(self, library: Path, model: Path, feeds: Mapping[str, NDArray[Any]], outputs: Sequence[str],
                 threads: int) -> None:
        loaded = ctypes.CDLL(str(library))
        loaded.OrtGetApiBase.restype = POINTER(c_void_p)
        get_api = ctypes.CFUNCTYPE(POINTER(c_void_p), c_int)(loaded.OrtGetApiBase()[0])
        self._api = get_api(API_VERSION)
        env, options, self._session, memory = (c_void_p() for _ in range(4))
        self._call("CreateEnv", c_int(LOG_ERRORS), c_char_p(b"aotgen"), byref(env))
        self._call("CreateSessionOptions", byref(options))
        self._call("SetIntraOpNumThreads", options, c_int(threads))
        self._call("SetInterOpNumThreads", options, c_int(1))
        self._call("SetSessionGraphOptimizationLevel", options, c_int(ALL_OPTIMISATIONS))
        self._call("CreateSession", env, c_char_p(str(model).encode()), options, byref(self._session))
        self._call("CreateCpuMemoryInfo", c_int(DEVICE_ALLOCATOR), c_int(DEFAULT_MEMORY), byref(memory))
        self._kept = [np.ascontiguousarray(a) for a in feeds.values()]
        tensors = [self._tensor(memory, a) for a in self._kept]
        self._outputs = (c_void_p * len(outputs))()
        names = [(c_char_p * len(n))(*(s.encode() for s in n)) for n in (list(feeds), list(outputs))]
        self._kept_names, self._inputs = names, (c_void_p * len(tensors))(*tensors)
        self._run = self._function("Run")
        self._args = (self._session, None, names[0], self._inputs, c_size_t(len(tensors)), names[1],
                      c_size_t(len(outputs)), self._outputs)
        self.run()

    def _function(self, name: str) -> Any:
        return ctypes.CFUNCTYPE(c_void_p)(self._api[SLOTS[name]])

    def _call(self, name: str, *args: Any) -> None:
        self._check(self._function(name)(*args))

    def _check(self, status: int | None) -> None:
        if status:
            text = cast(self._function("GetErrorMessage")(c_void_p(status)), c_char_p).value or b""
            raise AotgenError(f"onnxruntime: {text.decode(errors='replace')}")

    def _tensor(self, memory: c_void_p, a: NDArray[Any]) -> c_void_p:
        made, shape = c_void_p(), (c_int64 * a.ndim)(*a.shape)
        self._call("CreateTensorWithDataAsOrtValue", memory, c_void_p(a.ctypes.data), c_size_t(a.nbytes), shape,
                   c_size_t(a.ndim), c_int(dtypes.of(a.dtype).onnx), byref(made))
        return made

    def run(self) -> None:
        """One inference. Raises AotgenError with onnxruntime's words."""
        self._check(self._run(*self._args))

    def time(self, runs: int) -> list[float]:
        """Seconds of each of ``runs`` inferences."""
        clock: Callable[[], float] = time.perf_counter
        out = []
        for _ in range(runs):
            start = clock()
            self.run()
            out.append(clock() - start)
        return out
