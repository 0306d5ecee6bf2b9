# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The compiled module ``aotgen._native``, or None where this installation has none (``module`` says which).

Everything it does has a pure Python path: it only makes a foreign call cheaper and timing finer."""

from __future__ import annotations

from types import ModuleType

module: ModuleType | None
try:
    from aotgen import _native as module
except ImportError:
    module = None
