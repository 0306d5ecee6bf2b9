# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The numeric contract: how far an output may be from the truth, and whether it is.

Truth is a float64 run of the Graph interpreter. Errors are relative to the largest magnitude of the output, and what is
allowed depends on how far onnxruntime itself is from the truth on the same input, so that a badly conditioned model is
not held against us and a well conditioned one is no licence.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

FLOOR = 1e-6  # a few units in the last place of float32: always allowed
SLACK = 1e-4  # the most that reordered sums and Winograd may cost
NARROW = 4  # roundings to a type narrower than float32
ALONE = 1e-4  # allowed where only one of the two references exists


def limit(ort_error: float | None, numerics: str = "default", dtype: Any = np.float32) -> float:
    """The largest error allowed for an output of ``dtype`` on which onnxruntime's own error is ``ort_error`` (None: not
    known). A type narrower than float32 adds a few roundings of its own: onnxruntime computes a float16 model in float32
    and rounds at the end, the standard rounds after every operator, and both are right."""
    roundings = NARROW * _roundoff(dtype)
    if ort_error is None or not np.isfinite(ort_error):
        return max(ALONE, roundings)
    allowed = max(FLOOR, 2 * ort_error, roundings)
    return allowed if numerics == "strict" else max(allowed, min(SLACK, 16 * ort_error))


def _roundoff(dtype: Any) -> float:
    """Half an ulp of 1 in a float type narrower than float32, else 0."""
    return float(ml_dtypes.finfo(dtype).eps) / 2 if np.dtype(dtype).itemsize < 4 else 0.0


def relative_error(actual: Array, truth: Array) -> float:
    """``max|actual - truth| / max|truth|`` over finite elements; infinite where shapes, NaNs or infinities disagree.

    A truth that does not fit the type of ``actual`` counts as the infinity it rounds to; a truth that is zero everywhere
    is compared absolutely.
    """
    actual, truth = np.asarray(actual), np.asarray(truth)
    if actual.shape != truth.shape:
        return float("inf")
    if truth.size == 0:
        return 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = truth.astype(actual.dtype).astype(np.float64)
    a, t = actual.astype(np.float64), truth.astype(np.float64)
    finite = np.isfinite(rounded)
    if not np.array_equal(a[~finite], rounded[~finite], equal_nan=True) or not np.isfinite(a[finite]).all():
        return float("inf")
    scale = float(np.abs(t[finite]).max(initial=0.0))
    return float(np.abs(a[finite] - t[finite]).max(initial=0.0)) / (scale or 1.0)


@dataclass(frozen=True, slots=True)
class Finding:
    """What comparing one output gave. ``error``: relative to its largest magnitude (for exact outputs the share of
    elements that differ), ``limit``: what was allowed, ``ort_error``: onnxruntime's own error, ``against``: the reference
    that decided, ``why``: in words, when it failed or says little."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    ok: bool
    error: float
    limit: float
    ort_error: float | None
    against: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class References:
    """Outputs by name of the float64 run (``truth``), of onnxruntime (``ort``) and of onnxruntime without its optimiser
    (``plain``, asked for where operators are discontinuous, as its fused integer kernels round elsewhere)."""

    truth: Mapping[str, Array] | None
    ort: Mapping[str, Array] | None
    plain: Mapping[str, Array] | None = None

    def named(self, output: str) -> dict[str, Array]:
        """The references there are for ``output``, the one that decides first."""
        rows = {"float64": self.truth, "onnxruntime": self.ort, "onnxruntime unoptimised": self.plain}
        return {k: np.asarray(v[output]) for k, v in rows.items() if v is not None and output in v}


def compare(name: str, actual: Array, references: References, numerics: str = "default",
            discontinuous: bool = False) -> Finding:
    """Judge one output. ``discontinuous``: the graph rounds or quantises, so agreeing with any reference is enough."""
    found = references.named(name)
    if not found:
        return _finding(name, actual, False, float("inf"), 0.0, None, "nothing", "there is no reference to compare with")
    if actual.dtype.kind not in "fV":  # V: ml_dtypes' small floats
        return _exact(name, actual, found)
    truth = found.get("float64")
    ort_error = None
    if truth is not None and "onnxruntime" in found:
        ort_error = relative_error(found["onnxruntime"], truth)
    allowed = limit(ort_error if truth is not None else None, numerics, actual.dtype)
    judges = dict(list(found.items())[: None if discontinuous else 1])
    errors = {k: relative_error(actual, r) for k, r in judges.items()}
    against = min(errors, key=lambda k: errors[k])
    ok = errors[against] <= allowed
    why = _silent(actual) if ok else _worst(actual, found[against])
    return _finding(name, actual, ok, errors[against], allowed, ort_error, against, why)


def _exact(name: str, actual: Array, found: Mapping[str, Array]) -> Finding:
    """Integers, booleans and strings: every element equals that of some reference."""
    same = [r for r in found.values() if r.shape == actual.shape]
    if not same:
        why = f"shape {list(actual.shape)} is not {list(next(iter(found.values())).shape)}"
        return _finding(name, actual, False, 1.0, 0.0, None, next(iter(found)), why)
    agrees = np.logical_or.reduce([np.asarray(actual == r) for r in same])
    share = 1.0 - float(np.mean(agrees)) if actual.size else 0.0
    why = "" if share == 0 else _first_different(actual, same[0], ~agrees)
    return _finding(name, actual, share == 0, share, 0.0, None, " or ".join(found), why)


def _finding(name: str, a: Array, ok: bool, error: float, allowed: float, ort: float | None, against: str,
             why: str) -> Finding:
    dtype = "string" if a.dtype == object else a.dtype.name
    return Finding(name, dtype, tuple(map(int, a.shape)), ok, error, allowed, ort, against, why)


def _silent(actual: Array) -> str:
    """A remark on an output that agrees but proves little."""
    if actual.size and np.isnan(actual.astype(np.float64)).all():
        return "every element is NaN; give realistic data with --inputs"
    return ""


def _worst(actual: Array, truth: Array) -> str:
    if actual.shape != truth.shape:
        return f"shape {list(actual.shape)} is not {list(truth.shape)}"
    a, t = actual.astype(np.float64), truth.astype(np.float64)
    with np.errstate(invalid="ignore"):
        gap = np.abs(a - t)
    gap = np.where(np.isnan(gap) & ~((np.isnan(a) & np.isnan(t)) | (a == t)), np.inf, np.nan_to_num(gap, nan=0.0))
    return _first_different(actual, truth, gap == gap.max())


def _first_different(actual: Array, truth: Array, different: Array) -> str:
    at = tuple(int(i) for i in np.argwhere(different)[0])
    return f"at {list(at)}: {actual[at]} instead of {truth[at]}"
