# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""ai.onnx.ml: tree ensembles.

All trees become one table of nodes whose leaves point at themselves, so that walking is the same step repeated as often as
the deepest tree needs, without a branch: ``[N, trees]`` node numbers, one Def a level. A leaf's row of a weight table is then
summed (or averaged, or its extreme taken) over the trees. Weights add up in float32 (float64 for features in
float64), as in onnxruntime.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aotgen.core import dtypes
from aotgen.core.dtypes import DType
from aotgen.core.errors import ModelError
from aotgen.ir import expr, index
from aotgen.ir.define import Def, compute, reduce_
from aotgen.ir.expr import E, fn, select
from aotgen.ir.graph import Value
from aotgen.ir.index import Ix
from aotgen.ops.builder import Builder
from aotgen.ops.ml_scores import (
    ML,
    TRANSFORMS,
    Labels,
    above,
    best,
    labels_of,
    picked,
    transform_of,
    transformed,
    two_columns,
)
from aotgen.ops.registry import Ctx, expansion, lowering
from aotgen.ops.shorthand import Sub

Array = NDArray[Any]
MODES = ("LEQ", "LT", "GTE", "GT", "EQ", "NEQ")  # in the order of TreeEnsemble's enum, whose 6 is MEMBER
MEMBER = 6
DEEPEST = 1000


@dataclass(slots=True)
class Forest:
    """Columns of the node table (``mode`` -1: a leaf, whose ``yes`` is its weight row), the roots, and the weights
    ``[leaves, targets]`` with ``present`` marking those that were given."""

    feature: list[int]
    mode: list[int]
    split: list[float]
    missing: list[int]
    yes: list[int]
    no: list[int]
    roots: list[int]
    weights: Array
    present: NDArray[np.bool_]

    def depth(self) -> int:
        """Steps from the highest root to the deepest leaf. Raises ModelError for a cycle."""
        level, frontier = 0, set(self.roots)
        while True:
            frontier = {c for n in frontier if self.mode[n] >= 0 for c in (self.yes[n], self.no[n])}
            if not frontier:
                return level
            level += 1
            if level > DEEPEST:
                raise ModelError(f"a tree is deeper than {DEEPEST} or has a cycle")

    def reached(self) -> set[int]:
        """Every node that some walk meets."""
        stack, seen = list(self.roots), set(self.roots)
        while stack:
            n = stack.pop()
            fresh = {self.yes[n], self.no[n]} - seen if self.mode[n] >= 0 else set()
            seen |= fresh
            stack += fresh
        return seen

    def always(self, target: int) -> bool:
        """Does some tree have a weight for ``target`` in all of its leaves?"""
        return any(self._covers(root, target) for root in self.roots)

    def _covers(self, root: int, target: int) -> bool:
        stack, seen = [root], set()
        while stack:
            n = stack.pop()
            if n in seen:
                continue
            seen.add(n)
            if self.mode[n] < 0:
                if not self.present[self.yes[n], target]:
                    return False
            else:
                stack += [self.yes[n], self.no[n]]
        return True


def classic(ctx: Ctx, prefix: str, targets: int) -> Forest:
    """The ensemble of TreeEnsembleClassifier (``prefix`` class) or -Regressor (target)."""
    trees, ids = ctx.attr_ints("nodes_treeids"), ctx.attr_ints("nodes_nodeids")
    number = {key: n for n, key in enumerate(zip(trees, ids, strict=True))}
    names = [m.removeprefix("BRANCH_") for m in ctx.attr_strs("nodes_modes")]
    mode = [-1 if m == "LEAF" else MODES.index(m) if m in MODES else -2 for m in names]
    if -2 in mode:
        raise ctx.refuse(f"tree nodes of mode {names[mode.index(-2)]}")
    if len(number) != len(trees) or len(mode) != len(trees):
        raise ModelError("nodes of the tree ensemble are given twice or incompletely")
    yes, no = list(range(len(trees))), list(range(len(trees)))
    leaves = [n for n, m in enumerate(mode) if m < 0]
    try:
        for n, (t, a, b) in enumerate(zip(trees, ctx.attr_ints("nodes_truenodeids"), ctx.attr_ints("nodes_falsenodeids"),
                                          strict=True)):
            if mode[n] >= 0:
                yes[n], no[n] = number[t, a], number[t, b]
        weights, present = np.zeros((len(leaves), targets)), np.zeros((len(leaves), targets), bool)
        row = {n: k for k, n in enumerate(leaves)}
        given = (ctx.attr_ints(f"{prefix}_{part}") for part in ("treeids", "nodeids", "ids"))
        for t, i, c, w in zip(*given, _numbers(ctx, f"{prefix}_weights"), strict=True):
            weights[row[number[t, i]], c] += w
            present[row[number[t, i]], c] = True
    except (KeyError, IndexError) as e:
        raise ModelError(f"the tree ensemble refers to node or target {e}, which it does not have") from None
    for n in leaves:
        yes[n] = no[n] = row[n]
    inner = {c for n, m in enumerate(mode) if m >= 0 for c in (yes[n], no[n])}
    roots = [n for n in range(len(trees)) if n not in inner]
    if sorted(trees[n] for n in roots) != sorted(set(trees)):
        raise ModelError("a tree of the ensemble has no root, or several")
    missing = ctx.attr_ints("nodes_missing_value_tracks_true", []) or [0] * len(trees)
    forest = Forest(ctx.attr_ints("nodes_featureids"), mode, _numbers(ctx, "nodes_values"), missing, yes, no, roots,
                    weights, present)
    if len(forest.reached()) != len(trees):
        raise ModelError("a tree of the ensemble has a cycle")
    return forest


def _numbers(ctx: Ctx, name: str) -> list[float]:
    """An attribute given as floats or, for doubles, as a tensor."""
    if ctx.has(f"{name}_as_tensor") and ctx.attr_tensor(f"{name}_as_tensor").size:
        return [float(v) for v in ctx.attr_tensor(f"{name}_as_tensor").reshape(-1)]
    return ctx.attr_floats(name, [])


def modern(ctx: Ctx) -> Forest:
    """The ensemble of TreeEnsemble: leaves have a table of their own and one target each."""
    mode = [int(m) for m in ctx.attr_tensor("nodes_modes").reshape(-1)]
    split = [float(v) for v in ctx.attr_tensor("nodes_splits").reshape(-1)]
    feature = ctx.attr_ints("nodes_featureids")
    missing = ctx.attr_ints("nodes_missing_value_tracks_true", []) or [0] * len(mode)
    count = len(mode)
    sides = [[count + c if leaf else c for c, leaf in zip(ctx.attr_ints(f"nodes_{side}nodeids"),
              ctx.attr_ints(f"nodes_{side}leafs"), strict=True)] for side in ("true", "false")]
    targets = ctx.attr_ints("leaf_targetids")
    leaves = len(targets)
    weights, present = (np.zeros((leaves, ctx.attr_int("n_targets", 1)), t) for t in (float, bool))
    weights[range(leaves), targets] = ctx.attr_tensor("leaf_weights").reshape(-1)
    present[range(leaves), targets] = True
    yes, no = sides[0] + list(range(leaves)), sides[1] + list(range(leaves))
    roots = [yes[r] if yes[r] == no[r] and yes[r] >= count else r for r in ctx.attr_ints("tree_roots")]
    forest = Forest(feature + [0] * leaves, mode + [-1] * leaves, split + [0.0] * leaves, missing + [0] * leaves,
                    yes, no, roots, weights, present.astype(bool))
    _members(ctx, forest)
    return forest


def _members(ctx: Ctx, f: Forest) -> None:
    """Turn each MEMBER node into a chain of comparisons, one for each member of its set. Sets are given in the order in
    which a walk (true side first) meets their nodes."""
    if MEMBER not in f.mode:
        return
    sets: list[list[float]] = [[]]
    for v in ctx.attr_tensor("membership_values").reshape(-1):
        if np.isnan(v):
            sets.append([])
        else:
            sets[-1].append(float(v))
    waiting = iter(sets)
    for root in f.roots:
        stack = [root]
        while stack:
            n = stack.pop()
            if f.mode[n] < 0:
                continue
            yes, no = f.yes[n], f.no[n]
            if f.mode[n] == MEMBER:
                _chain(f, n, next(waiting))
            stack += [no, yes]


def _chain(f: Forest, n: int, members: Sequence[float]) -> None:
    yes, no = f.yes[n], f.no[n]
    f.mode[n], f.split[n] = MODES.index("EQ"), members[0] if members else float("nan")
    for value in members[1:]:
        new = len(f.mode)
        f.no[n] = new
        for column, item in ((f.feature, f.feature[n]), (f.mode, f.mode[n]), (f.split, value), (f.missing, f.missing[n]),
                             (f.yes, yes), (f.no, no)):
            column.append(item)  # type: ignore[arg-type]
        n = new


# -- walking


def walked(s: Sub, x: Value, f: Forest) -> Value:
    """The leaf each row reaches in each tree, ``[N, trees]`` i32 rows of the weight table."""
    depth, at = f.depth(), s.builder.constant(np.array(f.roots, np.int32).reshape(1, -1), "roots")
    mode = np.array(f.mode, np.int32)
    leaf = mode < 0
    own = np.arange(len(mode), dtype=np.int32)
    yes, no = (np.where(leaf, own, np.array(side, np.int32)) for side in (f.yes, f.no))
    feature = np.where(leaf, 0, np.array(f.feature, np.int32))
    if int(feature.max()) >= (x.shape[1] if isinstance(x.shape[1], int) else 1 << 31):
        raise ModelError(f"a tree looks at feature {int(feature.max())} of {x.shape[1]}")
    used = sorted(set(mode[~leaf].tolist())) or [0]
    known = s.builder.constant
    tables = [known(feature.astype(np.int32), "feature"), known(np.array(f.split, x.dtype.numpy), "split"),
              known(yes.astype(np.int32), "yes"), known(no.astype(np.int32), "no"),
              known(np.where(leaf, used[0], mode).astype(np.int8), "mode") if len(used) > 1 else None,
              known(np.array(f.missing, bool), "missing") if any(f.missing) else None]
    at = s("Expand", at, s.ints([x.shape[0], len(f.roots)]))
    for _ in range(depth):
        at = s("TreeStep", x, at, *tables, domain="aotgen", modes=used)
    rows = np.where(leaf, np.array(f.yes, np.int32), 0).astype(np.int32)
    return s("Gather", known(rows, "row"), at, axis=0)  # type: ignore[no-any-return]


@lowering("TreeStep", domain="aotgen")
def tree_step(ctx: Ctx, x: Def, at: Def, feature: Def, split: Def, yes: Def, no: Def, mode: Def | None = None,
              missing: Def | None = None) -> Def:
    """One level down: the node after ``at [N, trees]``, which at a leaf is the leaf. ``modes``: those that occur."""
    modes = ctx.attr_ints("modes")

    def f(n: Ix, t: Ix) -> E:
        node = expr.index_of(at[n, t], split.shape[0])
        value, limit = x[n, expr.index_of(feature[node], x.shape[1])], split[node]
        answers = [_test(m, value, limit) for m in modes]
        taken = answers[-1]
        for m, answer in zip(modes[:-1], answers[:-1], strict=True):
            assert mode is not None
            taken = select(mode[node].eq(m), answer, taken)
        if missing is not None:
            taken = fn("or", taken, fn("and", fn("isnan", value), missing[node]))
        return select(taken, yes[node], no[node])

    return compute(at.shape, f, dtypes.i32)


def _test(mode: int, x: E, limit: E) -> E:
    return {0: lambda: x <= limit, 1: lambda: x < limit, 2: lambda: limit <= x, 3: lambda: limit < x,
            4: lambda: x.eq(limit), 5: lambda: fn("not", x.eq(limit))}[mode]()


@lowering("LeafSum", domain="aotgen")
def leaf_sum(ctx: Ctx, leaves: Def, weights: Def) -> Def:
    """``[N, targets]``: the fold ``kind`` over trees of rows of ``weights [leaves, targets]`` chosen by ``leaves [N, trees]``."""

    def term(o: list[Ix], r: list[Ix]) -> E:
        return weights[expr.index_of(leaves[o[0], r[0]], weights.shape[0]), o[1]]

    return reduce_(ctx.attr_str("kind"), (leaves.shape[0], weights.shape[1]), [leaves.shape[1]], term, weights.dtype)


def summed(s: Sub, leaves: Value, f: Forest, how: str, dtype: DType) -> tuple[Value, Value | None]:
    """Aggregated scores ``[N, targets]``, 0 where no leaf has a weight, and where one has (None: everywhere)."""
    kind = {"SUM": "sum", "AVERAGE": "sum", "MIN": "min", "MAX": "max"}.get(how)
    if kind is None:
        raise ModelError(f"unknown aggregate_function '{how}'")
    absent = {"sum": 0.0, "min": np.inf, "max": -np.inf}[kind]
    table = np.where(f.present, f.weights, absent).astype(dtype.numpy)
    y = s("LeafSum", leaves, s.builder.constant(table, "weights"), domain="aotgen", kind=kind)
    if how == "AVERAGE":
        y = s("Div", y, s.scalar(float(len(f.roots)), dtype))
    if all(f.always(c) for c in range(f.present.shape[1])):
        return y, None
    seen = s("LeafSum", leaves, s.builder.constant(f.present, "present"), domain="aotgen", kind="or")
    return (y if kind == "sum" else s("Where", seen, y, s.scalar(0.0, dtype))), seen


def _features(ctx: Ctx, s: Sub, x: Value) -> Value:
    """Features ``[N, F]``; doubles stay doubles, all else is compared in f32."""
    x = x if len(x.shape) == 2 else s.reshape(x, [1, index.prod_dims(x.shape)])
    return x if x.dtype is dtypes.f64 else s.cast(x, dtypes.f32)


def _based(s: Sub, y: Value, seen: Value | None, base: Sequence[float]) -> Value:
    """``y + base`` where any leaf had a weight."""
    if not any(base):
        return y
    more: Value = s("Add", y, s.builder.constant(np.array(base, np.float32), "base"))
    return more if seen is None else s("Where", seen, more, y)


@expansion("TreeEnsembleRegressor", domain=ML)
def tree_ensemble_regressor(ctx: Ctx, builder: Builder, x: Value) -> Value:
    s = Sub(ctx, builder)
    forest = classic(ctx, "target", ctx.attr_int("n_targets", 1))
    x = _features(ctx, s, x)
    y, seen = summed(s, walked(s, x, forest), forest, ctx.attr_str("aggregate_function", "SUM"), x.dtype)
    return transformed(s, _based(s, s.cast(y, dtypes.f32), seen, _numbers(ctx, "base_values")), transform_of(ctx))


@expansion("TreeEnsemble", domain=ML)
def tree_ensemble(ctx: Ctx, builder: Builder, x: Value) -> Value:
    s = Sub(ctx, builder)
    forest = modern(ctx)
    how = ("AVERAGE", "SUM", "MIN", "MAX")[ctx.attr_int("aggregate_function", 1)]
    features = _features(ctx, s, x)
    y, _ = summed(s, walked(s, features, forest), forest, how, features.dtype)
    return s.cast(transformed(s, y, TRANSFORMS[ctx.attr_int("post_transform", 0)]), x.dtype)


@expansion("TreeEnsembleClassifier", domain=ML)
def tree_ensemble_classifier(ctx: Ctx, builder: Builder, x: Value) -> tuple[Value | None, ...]:
    """Outputs: labels i64 ``[N]``, scores f32 ``[N, classes]``."""
    s = Sub(ctx, builder)
    labels, name = labels_of(ctx, "classlabels_int64s"), transform_of(ctx)
    forest = classic(ctx, "class", max(len(labels), 1))
    x = _features(ctx, s, x)
    scores, seen = summed(s, walked(s, x, forest), forest, "SUM", x.dtype)
    scores = s.cast(scores, dtypes.f32)
    base = _numbers(ctx, "base_values")
    if len(labels) <= 2:
        return _binary(ctx, s, scores, seen, forest, labels, base, name)
    if any(base):
        scores, seen = s("Add", scores, builder.constant(np.array(base, np.float32), "base")), None
    judged = scores if seen is None else s("Where", seen, scores, s.scalar(float("-inf"), dtypes.f32))
    return s.asked(picked(s, labels, best(s, judged)), transformed(s, scores, name))


def _binary(ctx: Ctx, s: Sub, scores: Value, seen: Value | None, f: Forest, labels: Labels, base: list[float],
            name: str) -> tuple[Value | None, ...]:
    """One or two classes, by onnxruntime's rules: with weights for one class only, that class is the positive one, whose
    threshold is 0.5 if no weight is negative and 0 otherwise; with weights for both, or of one class, an integer label is
    1 or 0 whatever the labels are."""
    given = [bool(f.present[:, c].any()) for c in range(len(labels))]
    positive = not bool((f.weights < 0).any())
    limit = 0.5 if positive else 0.0
    if len(base) > 1:
        raise ctx.refuse("a tree classifier of two classes with two base values", "onnxruntime ignores or mixes them")
    if len(labels) == 1:
        if isinstance(labels[0], str):
            raise ctx.refuse("a tree classifier of a single class that is a string", "export it with integer labels")
        score = _based(s, scores, None, base)
        return s.asked(above(s, score, 0.0), transformed(s, score, name))
    if all(given):
        judged = s.slice(scores, 1, 1, 2)
        if seen is not None:  # where no leaf spoke for the second class the first one's score decides
            judged = s("Where", s.slice(seen, 1, 1, 2), judged, s.slice(scores, 1, 0, 1))
        label = picked(s, labels if isinstance(labels[0], str) else [0, 1], above(s, judged, 0.0))
        return s.asked(label, transformed(s, _based(s, scores, None, [*base, 0.0] if base else []), name))
    if given[1]:
        label = picked(s, labels, above(s, s.slice(scores, 1, 1, 2), limit))
        return s.asked(label, transformed(s, scores, name))
    score = _based(s, s.slice(scores, 1, 0, 1), None, base)
    return s.asked(picked(s, labels, above(s, score, limit)), two_columns(ctx, s, score, name, positive))
