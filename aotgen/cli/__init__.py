# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Floor 9: arguments, progress, reports, exit codes. One file a verb; no compiler logic."""
