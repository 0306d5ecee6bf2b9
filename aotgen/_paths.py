# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Where ``kernels/``, ``runtime/`` and ``templates/`` are: beside the package in a checkout, in ``aotgen/_data`` in a
wheel."""

from __future__ import annotations

from pathlib import Path

from aotgen.core.errors import InternalError

_PACKAGE = Path(__file__).resolve().parent


def data(name: str) -> Path:
    """The folder ``name`` of data files. Raises InternalError when this installation lacks it."""
    for base in (_PACKAGE / "_data", _PACKAGE.parent):
        if (base / name).is_dir():
            return base / name
    raise InternalError(f"this installation of aotgen lacks its {name}/ folder", hint="install aotgen again")
