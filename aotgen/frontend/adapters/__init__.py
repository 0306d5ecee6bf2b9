# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Adapters, one file a family. To add one: ``@adapter("Op", to=VERSION)`` on a function of (draft, builder)."""
