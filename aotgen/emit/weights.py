# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The weights as files: a binary embedded by the assembler, a C array, or a file the caller maps."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

from aotgen.core.errors import UsageError
from aotgen.emit.text import Text
from aotgen.plan.weights import WeightsPlan, write_blob

ARRAY_LIMIT = 1 << 20  # bytes: a C array compiles in well under a second
LINKED_LIMIT = 1 << 30  # bytes: beyond, code models and linkers get in the way
WORDS_PER_LINE = 8


@dataclass(frozen=True, slots=True)
class WeightFiles:
    """``mode``: ``none``, ``array``, ``linked`` or ``file``; ``file``: relative path of the blob or array, or "";
    ``fingerprint``: what the header must say."""

    mode: str
    file: str
    size: int
    fingerprint: int


def choose_mode(asked: str, size: int) -> str:
    """The mode for a blob of ``size`` bytes. Raises UsageError for an unknown one."""
    if asked not in ("auto", "linked", "array", "file"):
        raise UsageError(f"--weights {asked}", hint="auto, linked, array or file")
    if size == 0:
        return "none"
    if asked != "auto":
        return asked
    return "array" if size <= ARRAY_LIMIT else "linked" if size <= LINKED_LIMIT else "file"


def write_weights(plan: WeightsPlan, mode: str, name: str, folder: Path) -> WeightFiles:
    """Write the blob under ``folder``; one constant is in memory at a time."""
    if mode == "none":
        return WeightFiles(mode, "", 0, 0)
    blob = f"src/{name}.weights" if mode == "linked" else f"{name}.weights"
    with (folder / blob).open("w+b") as out:
        fingerprint = write_blob(plan, out)
    if mode == "array":
        source = f"src/{name}_weights.c"
        _write_array(folder / blob, folder / source, name)
        (folder / blob).unlink()
        blob = source
    return WeightFiles(mode, blob, plan.size, fingerprint)


def _write_array(blob: Path, to: Path, name: str) -> None:
    data = blob.read_bytes()
    words = struct.unpack(f"<{len(data) // 4}I", data)
    out = Text()
    out.comment(f"The weights of {name}, in 32-bit words.").line()
    out.raw("#include <stdint.h>").line()
    declared = f"const uint32_t {name}_weights_blob[{len(words)}]"
    attributes = '__attribute__((aligned(64), visibility("hidden")))'
    out.raw(f"extern {declared} {attributes};").line()
    body = out.block(f"{declared} =", "};")
    for at in range(0, len(words), WORDS_PER_LINE):
        body.raw(" ".join(f"0x{w:08x}u," for w in words[at : at + WORDS_PER_LINE]))
    to.write_text(out.render(), "utf-8")
