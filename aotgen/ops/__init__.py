# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Floor 2: what an operator means. One file a family; importing the package registers every family (found, not listed)."""

from __future__ import annotations

import importlib
import pkgutil

for _module in sorted(m.name for m in pkgutil.iter_modules(__path__)):
    importlib.import_module(f"{__name__}.{_module}")
