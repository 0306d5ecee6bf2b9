# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Objects by the SHA-256 of everything that decides them: compiler, flags, and every byte it reads.

The cache is only ever a saving: where its folder cannot be read or written, nothing is cached and nothing fails.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

_INCLUDE = re.compile(rb'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)
_INCBIN = re.compile(rb'^\s*\.incbin\s+"([^"]+)"', re.MULTILINE)


def folder() -> Path | None:
    """``AOTGEN_CACHE_DIR`` (empty: no cache), else ``aotgen`` in the user's cache folder."""
    chosen = os.environ.get("AOTGEN_CACHE_DIR")
    if chosen is not None:
        return Path(chosen) if chosen else None
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        return (Path(base) if base else Path.home() / ".cache") / "aotgen"
    except RuntimeError:  # no home folder
        return None


def files_read(unit: Path, search: Sequence[Path]) -> list[Path]:
    """``unit`` and all it includes or embeds with quotes, sorted; ``search``: the include folders."""
    found: dict[Path, None] = {}
    todo = [unit]
    while todo:
        path = todo.pop()
        if path in found:
            continue
        found[path] = None
        if path.suffix == ".weights":
            continue
        text = path.read_bytes()
        for name in (*_INCLUDE.findall(text), *_INCBIN.findall(text)):
            hit = next((p for base in (path.parent, *search) if (p := base / os.fsdecode(name)).is_file()), None)
            if hit is not None:
                todo.append(hit)
    return sorted(found)


def key_of(compiler: str, flags: Iterable[str], files: Sequence[Path], root: Path) -> str:
    """The key of an object: nothing in it depends on where ``root`` is."""
    digest = hashlib.sha256()
    for word in (compiler, *flags):
        digest.update(word.encode() + b"\0")
    for path in files:
        digest.update(os.fsencode(path.relative_to(root)) + b"\0")
        with path.open("rb") as f:
            while chunk := f.read(1 << 20):
                digest.update(chunk)
    return digest.hexdigest()


def fetch(key: str, to: Path) -> bool:
    """Copy the object of ``key`` to ``to``, if there is one."""
    base = folder()
    if base is None:
        return False
    try:
        shutil.copyfile(base / key[:2] / f"{key}.o", to)
    except OSError:
        return False
    return True


def keep(key: str, made: Path) -> None:
    """Remember an object; complete or not at all, also when several processes do so at once."""
    base = folder()
    if base is None:
        return
    temporary = None
    try:
        (base / key[:2]).mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=base / key[:2])
        os.close(handle)
        shutil.copyfile(made, temporary)
        os.replace(temporary, base / key[:2] / f"{key}.o")
    except OSError:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
