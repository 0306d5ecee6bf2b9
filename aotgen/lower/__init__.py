# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Graph to Program: anchors, layouts, fusion, loop nests. Each file is gone through once, never revisited."""
