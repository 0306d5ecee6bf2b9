# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``python -m aotgen``: the command line."""

from aotgen.cli.main import main

if __name__ == "__main__":
    raise SystemExit(main())
