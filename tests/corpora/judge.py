# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Whether outputs agree: floats within a share of the output's largest magnitude, everything else exactly."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import ml_dtypes
import numpy as np

from aotgen.verify.contract import relative_error

# Shares of the largest magnitude, as the shared folder's README judges.
FLOAT = 1e-4
HALF = 5e-3  # where the model computes in half precision anywhere
LOOSER = {"basic_pitch": 1e-3}  # a logarithm near zero


def disagreement(got: Mapping[str, Any], wanted: Mapping[str, Any], share: float) -> str:
    """The first output that disagrees, and how; empty when all agree. ``share``: of its largest magnitude."""
    for name, want in wanted.items():
        if name not in got:
            return f"{name}: missing"
        why = _differ(got[name], want, share)
        if why:
            return f"{name}: {why}"
    return ""


def _differ(got: Any, want: Any, share: float) -> str:
    if isinstance(want, dict):
        keys = list(want)
        if not isinstance(got, dict) or set(got) != set(keys):
            return f"keys {list(got)[:4]}, not {keys[:4]}"
        return next((f"[{k}] {why}" for k in keys if (why := _differ(got[k], want[k], share))), "")
    if isinstance(want, list):
        if not isinstance(got, list) or len(got) != len(want):
            return f"not a sequence of {len(want)}"
        return next((f"[{n}] {why}" for n, (g, w) in enumerate(zip(got, want)) if (why := _differ(g, w, share))), "")
    g = np.asarray(got)
    return _arrays(g, np.asarray(want, g.dtype if isinstance(want, (int, float)) else None), share)


def _arrays(g: Any, w: Any, share: float) -> str:
    if g.shape != w.shape:
        return f"shape {list(g.shape)}, not {list(w.shape)}"
    if w.dtype.kind in "OSU":
        return "" if [str(v) for v in g.ravel()] == [str(v) for v in w.ravel()] else "other strings"
    if g.dtype != w.dtype:
        return f"{g.dtype}, not {w.dtype}"
    if w.dtype.kind not in "fV":
        return "" if np.array_equal(g, w) else f"{np.count_nonzero(g != w)} of {w.size} differ"
    a, t = g.astype(np.float64), w.astype(np.float64)
    scale = float(np.abs(t[np.isfinite(t)]).max(initial=0)) or 1.0
    with np.errstate(invalid="ignore"):
        error = np.where((a == t) | (np.isnan(a) & np.isnan(t)), 0, np.abs(a - t))
    worst = float(error.max(initial=0))
    # Two results of another rounding are a step apart, and near zero the step stops shrinking with the values.
    step = float(ml_dtypes.finfo(w.dtype).smallest_subnormal)
    return "" if worst <= max(share * scale, step) else f"off by {worst / scale:.2e} of {scale:.3g}"


def no_further(got: Mapping[str, Any], theirs: Mapping[str, Any], truth: Mapping[str, Any]) -> bool:
    """Is every float output within twice onnxruntime's own distance of the ``truth``? So ends a badly conditioned model, where
    two right answers differ by more than any fixed share."""
    pairs = {k: (got[k], theirs[k]) for k in truth if k in theirs and np.asarray(theirs[k]).dtype.kind in "fV"}
    return bool(pairs) and all(relative_error(a, truth[k]) <= 2 * relative_error(b, truth[k]) for k, (a, b) in pairs.items())
