# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Floor 7: compilers, and loading what they built."""

from aotgen.toolchain.compiler import Built, Compiler, build, find_compiler
from aotgen.toolchain.loader import Library, load

__all__ = ["Built", "Compiler", "Library", "build", "find_compiler", "load"]
