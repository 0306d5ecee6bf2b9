# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Random tree ensembles against onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from graphs import check, run

from aotgen.core.errors import ModelError

ML = "ai.onnx.ml"
ALL = ("LEQ", "LT", "GTE", "GT", "EQ", "NEQ")
NODE = ("treeids", "nodeids", "featureids", "modes", "values", "truenodeids", "falsenodeids", "missing_value_tracks_true")
RNG = np.random.default_rng(5)
X = np.round(RNG.standard_normal((9, 4)), 1).astype(np.float32)  # rounded, as the splits are: equality happens
HOLES = X.copy()
HOLES[::2, 1] = np.nan


def forest(trees: int, depth: int, prefix: str, ids: Sequence[int], modes: Sequence[str] = ("LEQ",), signed: bool = True,
           sparse: bool = False, missing: bool = False) -> dict[str, Any]:
    """Attributes of a random ensemble; ``sparse``: one weight a leaf."""
    nodes: dict[str, list[Any]] = {f"nodes_{k}": [] for k in NODE}
    leaves: dict[str, list[Any]] = {f"{prefix}_{k}": [] for k in ("treeids", "nodeids", "ids", "weights")}

    def grow(tree: int, level: int) -> int:
        number, row = nodes["nodes_treeids"].count(tree), len(nodes["nodes_treeids"])
        leaf = level == 0 or (level < depth and RNG.random() < 0.2)
        mode = "LEAF" if leaf else f"BRANCH_{RNG.choice(modes)}"
        miss = int(missing and not leaf and RNG.integers(2))
        values = (tree, number, int(RNG.integers(4)), mode, float(np.round(RNG.standard_normal(), 1)), 0, 0, miss)
        for key, value in zip(NODE, values, strict=True):
            nodes[f"nodes_{key}"].append(value)
        if not leaf:
            nodes["nodes_truenodeids"][row] = grow(tree, level - 1)
            nodes["nodes_falsenodeids"][row] = grow(tree, level - 1)
            return number
        for c in [ids[RNG.integers(len(ids))]] if sparse else ids:
            weight = float(RNG.standard_normal() if signed else RNG.random() / trees)
            for key, value in zip(leaves, (tree, number, int(c), weight), strict=True):
                leaves[key].append(value)
        return number

    for t in range(trees):
        grow(t, depth)
    return {**nodes, **leaves}


@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC", "SOFTMAX", "SOFTMAX_ZERO"])
@pytest.mark.parametrize("modes", [("LEQ",), ("GT",), ALL])
@pytest.mark.parametrize("sparse", [False, True])
def test_classes(transform: str, modes: Sequence[str], sparse: bool) -> None:
    attrs = {"classlabels_int64s": [4, 7, 9], "post_transform": transform}
    check("TreeEnsembleClassifier", [X], n=2, tol=2e-5, domain=ML, **attrs, **forest(5, 4, "class", range(3), modes, sparse=sparse))
    check("TreeEnsembleClassifier", [HOLES], n=2, tol=2e-5, domain=ML, base_values=[0.1, 0.2, 0.3], **attrs,
          **forest(5, 4, "class", range(3), modes, sparse=sparse, missing=True))


@pytest.mark.parametrize("transform", ["NONE", "LOGISTIC", "SOFTMAX"])
@pytest.mark.parametrize("ids", [[0], [1], [0, 1]])
@pytest.mark.parametrize("signed", [False, True])
@pytest.mark.parametrize("base", [[], [0.1]])
def test_two_classes(transform: str, ids: list[int], signed: bool, base: list[float]) -> None:
    more = {"base_values": base} if base else {}
    check("TreeEnsembleClassifier", [X], n=2, tol=2e-5, domain=ML, classlabels_int64s=[4, 7], post_transform=transform,
          **more, **forest(5, 3, "class", ids, signed=signed))


@pytest.mark.parametrize("how", ["SUM", "AVERAGE", "MIN", "MAX"])
@pytest.mark.parametrize("targets", [1, 3])
@pytest.mark.parametrize("sparse", [False, True])
def test_regression(how: str, targets: int, sparse: bool) -> None:
    check("TreeEnsembleRegressor", [X], tol=2e-5, domain=ML, aggregate_function=how, n_targets=targets,
          base_values=[0.1] * targets, **forest(3, 4, "target", range(targets), ALL, sparse=sparse))


def test_a_cycle_is_an_error() -> None:
    attrs = forest(1, 2, "target", [0])
    inner = [n for n, m in enumerate(attrs["nodes_modes"]) if m != "LEAF"]
    attrs["nodes_truenodeids"][inner[-1]] = 0
    with pytest.raises(ModelError):
        run("TreeEnsembleRegressor", [X], domain=ML, n_targets=1, **attrs)
