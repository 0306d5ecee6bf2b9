# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Values of a growing graph and the contents that are invented for its inputs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from math import ceil, inf
from random import Random
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Sizes = tuple[int, ...]  # the extent of one axis in every run

FLOATS = ("float32", "float16", "float64")
SIGNED = ("int64", "int32", "int8", "int16")
UNSIGNED = ("uint8", "uint16", "uint32", "uint64")
INTEGERS = SIGNED + UNSIGNED
NUMBERS = FLOATS + INTEGERS
ANY = (*NUMBERS, "bool")
# Half an ulp of 1: what one rounding costs.
ROUNDING = {name: float(ml_dtypes.finfo(name).eps) / 2 for name in ("float16", "float32", "float64", "bfloat16")}


@dataclass(frozen=True, eq=False)
class Var:
    """A value and its contents in every run of the graph: ``plain`` as onnxruntime computes it, ``wide`` with every float in
    float64. ``exact``: any correct evaluation gives these very bits. ``weight``: an initializer.
    ``varies``: this is what a body sees on its first trip; nothing holds on the next."""

    name: str
    plain: tuple[Array, ...]
    wide: tuple[Array, ...]
    exact: bool = True
    weight: bool = False
    varies: bool = False
    notes: frozenset[str] = field(default_factory=frozenset)

    @property
    def dtype(self) -> str:
        return self.plain[0].dtype.name

    @property
    def is_float(self) -> bool:
        return self.dtype in ROUNDING

    @property
    def rank(self) -> int:
        return self.plain[0].ndim

    @cached_property
    def sizes(self) -> tuple[Sizes, ...]:
        """Of every axis, its extent in each run."""
        return tuple(zip(*(a.shape for a in self.plain), strict=True)) if self.rank else ()

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape in the first run."""
        return self.plain[0].shape

    def fixed(self, axis: int) -> bool:
        """Is the extent of ``axis`` the same in every run?"""
        return len(set(self.sizes[axis])) == 1

    @property
    def static(self) -> bool:
        return all(self.fixed(k) for k in range(self.rank))

    def least(self, axis: int) -> int:
        return min(self.sizes[axis])

    @property
    def size(self) -> int:
        """The most elements in any run."""
        return max(a.size for a in self.plain)

    @cached_property
    def low(self) -> float:
        return -inf if self.varies else min((float(a.min()) for a in self.wide if a.size), default=0.0)

    @cached_property
    def high(self) -> float:
        return inf if self.varies else max((float(a.max()) for a in self.wide if a.size), default=0.0)

    @property
    def scale(self) -> float:
        return max(abs(self.low), abs(self.high))

    def within(self, low: float | None, high: float | None) -> bool:
        """Is every element known to be within these bounds?"""
        return (low is None or self.low >= low) and (high is None or self.high <= high)


def contents(rnd: Random, dtype: str, shape: tuple[int, ...], low: float | None = None, high: float | None = None,
             hostile: bool = False) -> Array:
    """Contents of ``dtype`` in ``[low, high]``; unbounded floats are normal, or multiples of 1/4 (which tie), integers
    small, or any for narrow ones. ``hostile``: with NaN, infinities, denormals, -0 or the extremes of the type."""
    rng = np.random.default_rng(rnd.getrandbits(32))
    kind = np.dtype(dtype)
    if kind == np.bool_:
        return np.asarray(rng.random(shape) < 0.5)
    return np.asarray((_floats if dtype in ROUNDING else _integers)(rnd, rng, kind, shape, low, high, hostile))


def _floats(rnd: Random, rng: np.random.Generator, kind: np.dtype[Any], shape: tuple[int, ...], low: float | None,
            high: float | None, hostile: bool) -> Array:
    if low is None and high is None:
        out = np.asarray(rng.standard_normal(shape))
        if rnd.random() < 0.25:
            out = np.round(out * 4) / 4
        out = out.astype(kind)
        return _with_specials(rnd, rng, out) if hostile and rnd.random() < 0.6 else out
    a, b = _bounds(low, high, 4.0)
    return np.asarray(a + (b - a) * rng.random(shape)).astype(kind)


def _with_specials(rnd: Random, rng: np.random.Generator, out: Array) -> Array:
    info = ml_dtypes.finfo(out.dtype)
    every = [np.nan, np.inf, -np.inf, -0.0, 0.0, float(info.smallest_subnormal), -3 * float(info.smallest_subnormal)]
    some = np.array(rnd.sample(every, rnd.randint(1, 3)))
    mask = rng.random(out.shape) < 0.2
    return np.where(mask, rng.choice(some, out.shape), out).astype(out.dtype)


def _integers(rnd: Random, rng: np.random.Generator, kind: np.dtype[Any], shape: tuple[int, ...], low: float | None,
              high: float | None, hostile: bool) -> Array:
    info = np.iinfo(kind)
    if low is None and high is None and (hostile or kind.itemsize == 1) and rnd.random() < 0.5:
        low, high = info.min, info.max
        out = rng.integers(low, high, shape, kind, endpoint=True)
        extremes = rng.choice(np.array([low, high, 0], kind), shape)
        return np.where(rng.random(shape) < 0.2, extremes, out)
    a, b = _bounds(low, high, 8)
    return rng.integers(max(ceil(a), info.min), min(int(b), info.max), shape, kind, endpoint=True)


def _bounds(low: float | None, high: float | None, width: float) -> tuple[float, float]:
    if low is None and high is None:
        return -width, width
    if low is None:
        assert high is not None
        return high - width, high
    return low, low + width if high is None else high


def widened(arrays: Sequence[Array]) -> tuple[Array, ...]:
    """Floats as float64, everything else as it is."""
    return tuple(a.astype(np.float64) if a.dtype.name in ROUNDING else a for a in arrays)
