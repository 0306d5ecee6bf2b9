# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``python -m aotgen.cli``: the same as ``aotgen``."""

from __future__ import annotations

import sys

from aotgen.cli.main import main

sys.exit(main())
