# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The Python API: ``compile`` a model, ``load`` what was built, call it on arrays."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray

from aotgen import driver
from aotgen.core.options import CompileOptions, DimRange
from aotgen.toolchain.loader import Library

DimSpec = int | tuple[int, int | None]


@dataclass(frozen=True, slots=True)
class Artifact:
    """A compiled library: ``folder`` holds its sources, headers, weights and ``lib/``; ``result`` says how it was made."""

    folder: Path
    options: CompileOptions
    result: driver.Result

    def load(self) -> Model:
        """The built library, ready to run. Raises ToolchainError when it cannot be loaded."""
        return Model(Library(self.folder))


class Model:
    """A loaded library. Call it with arrays by input name; it keeps one workspace, so use one Model per thread."""

    def __init__(self, library: Library) -> None:
        self.library = library

    def __call__(self, inputs: Mapping[str, NDArray[Any]], *, threads: int | None = None) -> dict[str, NDArray[Any]]:
        """Run once: input arrays by name (dtype and shape as the model says) to output arrays by name. Raises UsageError
        for a missing or ill-typed input."""
        return self.library.run(inputs, threads=threads or 0)


def compile(model: str | Path | onnx.ModelProto, out: str | Path | None = None, *, target: str = "cpu:native",
            dims: Mapping[str, DimSpec] | None = None, input_shapes: Mapping[str, Sequence[int]] | None = None,
            dynamic: bool = False, threads: int | None = None, threading: str = "openmp", numerics: str = "default",
            name: str | None = None, weights: str = "auto", kernel_dirs: Sequence[str | Path] = (),
            passes: Sequence[str] | None = None, build: bool = True) -> Artifact:
    """Compile an ONNX model (a path or a ModelProto) into a library folder ``out`` (default: a new temporary folder).

    ``dims``: ``{"seq": 128}`` fixes a named dim, ``{"seq": (1, 512)}`` opens it with inclusive bounds. ``input_shapes``:
    whole shapes by input name. ``dynamic``: leave every other dim open. ``threads``: the library's default thread count
    (None: all cores). Raises AotgenError subclasses that carry ``node``, ``reason`` and ``hint``.
    """
    folder = Path(out) if out is not None else Path(tempfile.mkdtemp(prefix="aotgen-")) / "libmodel"
    options = make_options(folder, target=target, dims=dims or {}, input_shapes=input_shapes or {}, dynamic=dynamic,
                           threads=threads or 0, threading=threading, numerics=numerics, name=name, weights=weights,
                           kernel_dirs=kernel_dirs, passes=passes)
    result = driver.compile_model(model, folder, options, build=build)
    return Artifact(folder, options, result)


def make_options(folder: Path, *, dims: Mapping[str, DimSpec], input_shapes: Mapping[str, Sequence[int]],
                 name: str | None, kernel_dirs: Sequence[str | Path], passes: Sequence[str] | None,
                 **rest: Any) -> CompileOptions:
    """CompileOptions from plain Python values; ``name`` defaults to the folder's, without a leading ``lib``."""
    fixed = tuple(sorted((k, v) for k, v in dims.items() if isinstance(v, int)))
    opened: tuple[tuple[str, DimRange], ...] = tuple(sorted((k, v) for k, v in dims.items() if not isinstance(v, int)))
    shapes = tuple(sorted((k, tuple(map(int, v))) for k, v in input_shapes.items()))
    return CompileOptions(name=name or default_name(folder), dims=fixed, open_dims=opened, input_shapes=shapes,
                          kernel_dirs=tuple(map(str, kernel_dirs)), passes=None if passes is None else tuple(passes), **rest)


def default_name(folder: Path) -> str:
    """The model's name when none is given: the folder's, without a leading ``lib`` if something remains, else ``model``."""
    base = folder.name
    stem = base[3:] if base.startswith("lib") else base
    return stem or "model"
