# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Floor 1: the two IRs (Graph: what; Program: how), index arithmetic, scalar expressions, printers, verifiers."""
