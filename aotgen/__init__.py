# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""aotgen compiles trained ONNX models ahead of time into standalone C++ and CUDA libraries."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aotgen._version import __version__
from aotgen.core.errors import (
    AotgenError,
    InternalError,
    MismatchError,
    ModelError,
    ToolchainError,
    UnsupportedError,
    UsageError,
)
from aotgen.core.options import CompileOptions

if TYPE_CHECKING:
    from aotgen.api import Artifact, Model, compile

_LAZY = ("Artifact", "Model", "compile")  # importing aotgen alone stays quick


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        from aotgen import api

        return getattr(api, name)
    raise AttributeError(f"module 'aotgen' has no attribute '{name}'")


__all__ = [
    "AotgenError",
    "Artifact",
    "CompileOptions",
    "InternalError",
    "MismatchError",
    "Model",
    "ModelError",
    "ToolchainError",
    "UnsupportedError",
    "UsageError",
    "__version__",
    "compile",
]
