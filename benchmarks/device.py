# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The cuda target where there is a GPU: every loop nest of the emitter's tests, compiled by nvcc, run on the device, and
held to the interpreter's numbers. Without nvcc or a GPU it says so and checks what can be checked.

    python benchmarks/device.py
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from aotgen import targets  # noqa: E402
from aotgen.emit.loops import PrintedKernel, print_nest  # noqa: E402
from tests.emit import cases, harness  # noqa: E402

# Copies the buffers to the device, runs a case on them, copies them back; the first CUDA error, 0 for none.
STAGING = r"""
extern "C" int on_device(void (*run)(void**, int, void*), void** host, const size_t* bytes, int n) {
  void* device[256];
  for (int i = 0; i < n; ++i) {
    if (cudaMalloc(&device[i], bytes[i]) != cudaSuccess) return static_cast<int>(cudaGetLastError());
    cudaMemcpy(device[i], host[i], bytes[i], cudaMemcpyHostToDevice);
  }
  run(device, 1, nullptr);
  const cudaError_t status = cudaDeviceSynchronize();
  for (int i = 0; i < n; ++i) {
    cudaMemcpy(host[i], device[i], bytes[i], cudaMemcpyDeviceToHost);
    cudaFree(device[i]);
  }
  return static_cast<int>(status != cudaSuccess ? status : cudaGetLastError());
}
"""


def architecture() -> str:
    """The GPU here as nvcc names it, e.g. ``sm_90``; "" when there is none."""
    if shutil.which("nvidia-smi") is None:
        return ""
    done = subprocess.run(["nvidia-smi", "--query-gpu=compute_cap", "--format=csv,noheader"], capture_output=True,
                          text=True, check=False)
    rows = done.stdout.split()
    return f"sm_{rows[0].replace('.', '')}" if done.returncode == 0 and rows else ""


def launch(text: Any, kernel: PrintedKernel, name: str, args: Sequence[str]) -> None:
    block = text.block()
    block.line("const cudaStream_t stream = nullptr;")
    block.line(kernel.launch(name, args))


def compile_cases(chosen: dict[str, harness.Case], folder: Path, arch: str) -> Path:
    """One shared library of all cases. Ends the program with nvcc's words when it refuses."""
    dialect = targets.load("cuda").dialect
    for case in chosen.values():
        case.lower()
        case.kernels = [print_nest(n, dialect) for n in case.nests]
    source, made = folder / "cases.cu", folder / "cases.so"
    source.write_text(harness.render(chosen, dialect, (), launch) + STAGING, encoding="ascii")
    command = ["nvcc", "-std=c++17", "-O2", f"-arch={arch}", "--expt-relaxed-constexpr", "-shared", "-Xcompiler", "-fPIC",
               f"-I{harness.KERNELS}", str(source), "-o", str(made)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.exit(f"nvcc refuses the kernels:\n{(done.stderr or done.stdout)[:4000]}")
    return made


def on_device(library: ctypes.CDLL) -> Any:
    """A stand-in for the harness's library whose ``run_NAME`` works on the device."""

    class Device:
        def __getattr__(self, symbol: str) -> Any:
            def call(pointers: Any, threads: int, scratch: Any) -> None:
                sizes = (ctypes.c_size_t * len(pointers))(*self.sizes)
                status = library.on_device(getattr(library, symbol), pointers, sizes, len(pointers))
                if status != 0:
                    raise RuntimeError(f"CUDA error {status}")

            return call

    return Device()


def check(library: ctypes.CDLL, name: str, case: harness.Case) -> str:
    """"" when the device agrees with the interpreter, else what is wrong."""
    device = on_device(library)
    buffers = list(dict.fromkeys(t.buffer for n in case.nests for t in n.tensors.values()))
    device.sizes = [(case.extent(b.size) + 64) * b.dtype.numpy.itemsize for b in buffers]
    try:
        harness.check(device, name, case)
    except (AssertionError, RuntimeError) as e:
        return next(iter(str(e).strip().splitlines()), type(e).__name__)
    return ""


def main() -> int:
    arch = architecture()
    chosen = {n: c for n, c in cases.everything().items() if n != "boundless"}
    if shutil.which("nvcc") is None:
        print("there is no nvcc here: nothing of the cuda target can be compiled" + (", though there is a GPU" if arch else ""))
        return 1 if arch else 0
    with tempfile.TemporaryDirectory() as folder:
        made = compile_cases(chosen, Path(folder), arch or "sm_80")
        kernels = sum(len(c.kernels) for c in chosen.values())
        print(f"nvcc compiles {kernels} kernels of {len(chosen)} cases for {arch or 'sm_80'}")
        if not arch:
            print("there is no GPU here: they were compiled, not run")
            return 0
        library = ctypes.CDLL(str(made))
        wrong = {n: why for n, c in chosen.items() if (why := check(library, n, c))}
    for name, why in wrong.items():
        print(f"WRONG {name}: {why}")
    print(f"{len(chosen) - len(wrong)} of {len(chosen)} cases agree with the interpreter on the GPU (NumPy {np.__version__})")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
