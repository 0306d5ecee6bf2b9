# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Program to text. With kernels/, runtime/ and templates/ the only place that knows C++; it names no target family."""
