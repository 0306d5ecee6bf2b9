# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Floor 0: dtypes, errors, options, debug levels. Imports nothing of ours."""
