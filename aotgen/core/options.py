# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""CompileOptions: everything that decides the output, frozen, hashable, printed into the manifest."""

from __future__ import annotations

from dataclasses import dataclass

DimRange = tuple[int, int | None]  # inclusive bounds of an open dim; None: no upper bound


@dataclass(frozen=True, slots=True)
class CompileOptions:
    """What to compile for. Same model bytes + same options = byte-identical output.

    ``target``: ``family:variant`` (``cpu:native``, ``cpu:avx2+avx512``, ``cuda``), ``name``: prefix of every exported
    symbol, ``dims``: fixed dims by name, ``open_dims``: dims left open with their inclusive bounds,
    ``input_shapes``: whole shapes by input name, ``dynamic``: leave every unnamed dim open, ``threads``: the library's
    default thread count (0: all), ``threading``: ``openmp``/``pool``/``none``, ``numerics``: ``default``/``strict``,
    ``weights``: ``auto``/``linked``/``array``/``file``, ``kernel_dirs``: folders with user kernels.
    """

    target: str = "cpu:native"
    name: str = "model"
    dims: tuple[tuple[str, int], ...] = ()
    open_dims: tuple[tuple[str, DimRange], ...] = ()
    input_shapes: tuple[tuple[str, tuple[int, ...]], ...] = ()
    dynamic: bool = False
    threads: int = 0
    threading: str = "openmp"
    numerics: str = "default"
    weights: str = "auto"
    kernel_dirs: tuple[str, ...] = ()
    passes: tuple[str, ...] | None = None  # None: the default pipeline
