# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Every error aotgen raises on purpose. Each says what, where (node), why, and what to try."""

from __future__ import annotations


class AotgenError(Exception):
    """Base of all deliberate errors.

    ``reason`` says what is wrong, ``node`` names the ONNX node (or value) it is about, ``hint`` what to try.
    ``exit_code`` is what the command line returns for it.
    """

    exit_code = 1

    def __init__(self, reason: str, *, node: str = "", hint: str = "") -> None:
        self.reason, self.node, self.hint = reason, node, hint
        super().__init__(self.message())

    def message(self) -> str:
        where = f"{self.node}: " if self.node else ""
        tail = f"\n  try: {self.hint}" if self.hint else ""
        return f"{where}{self.reason}{tail}"

    def at(self, node: str) -> AotgenError:
        """The same error, placed at ``node`` unless it already names one."""
        return self if self.node else type(self)(self.reason, node=node, hint=self.hint)


class ModelError(AotgenError):
    """The model is malformed, inconsistent or hostile."""


class UnsupportedError(AotgenError):
    """The model is valid but asks for something aotgen cannot compile."""


class UsageError(AotgenError):
    """The caller asked for something that makes no sense (flags, dims, output folder)."""

    exit_code = 2


class MismatchError(AotgenError):
    """Verification found outputs outside the numeric contract."""

    exit_code = 3


class ToolchainError(AotgenError):
    """The C++ or CUDA compiler failed or is missing."""

    exit_code = 4


class InternalError(AotgenError):
    """A bug of ours: an invariant between stages does not hold."""

    exit_code = 101
