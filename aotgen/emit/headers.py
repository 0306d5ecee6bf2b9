# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The kernel and runtime headers a library uses: found, closed over their includes, copied flat."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from aotgen import _paths
from aotgen.core.errors import InternalError, UsageError

_INCLUDE = re.compile(r'^(\s*#\s*include\s+")([^"]+)(")', re.MULTILINE)


def find(name: str, family: str, extra: Sequence[str] = ()) -> Path:
    """The file of a header named as ``gemm.h``, ``cpu/gemm.h`` or a path in one of the user's folders ``extra``."""
    kernels = _paths.data("kernels")
    for base in (*map(Path, extra), kernels, kernels / family, kernels / "common", _paths.data("runtime")):
        if (base / name).is_file():
            return base / name
    if extra:
        raise UsageError(f"no kernel header {name}", hint=f"looked in {', '.join(extra)} and aotgen's own kernels")
    raise InternalError(f"no kernel header {name}")


def closure(names: Iterable[str], family: str, extra: Sequence[str] = ()) -> dict[str, str]:
    """File name -> text of the headers ``names`` and all they include; includes name the flat files. Sorted."""
    texts: dict[str, str] = {}
    origin: dict[str, Path] = {}
    todo = [find(n, family, extra) for n in names]
    while todo:
        path = todo.pop()
        if path.name in origin:
            if origin[path.name].resolve() != path.resolve():
                raise InternalError(f"two headers are called {path.name}: {origin[path.name]} and {path}")
            continue
        origin[path.name] = path
        text = path.read_text("utf-8")
        for _, included, _ in _INCLUDE.findall(text):
            beside = path.parent / included
            todo.append(beside if beside.is_file() else find(included, family, extra))
        texts[path.name] = _INCLUDE.sub(lambda m: f"{m[1]}{m[2].rsplit('/', 1)[-1]}{m[3]}", text)
    return dict(sorted(texts.items()))


def basename(name: str) -> str:
    """What a flat copy is called."""
    return name.rsplit("/", 1)[-1]
