# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Floor 8: a built library's speed beside onnxruntime's."""
