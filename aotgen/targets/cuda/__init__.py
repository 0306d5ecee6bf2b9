# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""NVIDIA GPUs: loop nests as kernels of CUDA C++."""

from aotgen.targets.base import Target
from aotgen.targets.cuda.dialect import DIALECT

TARGET = Target("cuda", DIALECT, flags=("-std=c++17", "-O3", "--expt-relaxed-constexpr", "-fmad=true"), libraries=False)
