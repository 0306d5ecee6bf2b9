# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Tensors without elements: made, read, reduced."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.e2e.harness import check, parsed

MODELS = {
    "shape": "g (float[n,3] x) => (int64[0] y) { y = Shape<start = 0, end = 0>(x) }",
    "pointwise": "g (float[0,3] x) => (float[0,3] y) { y = Exp(x) }",
    "open beside 0": "g (float[n,4] x) => (float[n,1] y) <int64[1] z = {0}, int64[1] k = {1}, int64[1] big = {9}> { "
                     "i = Cast<to = 7>(x) e = Slice(i, z, z, k) s = ReduceSum(e, k) y = Cast<to = 1>(s) }",
    "reduced": "g (float[0,3] x) => (float[3] y) <int64[1] a = {0}> { y = ReduceSum<keepdims = 0>(x, a) }",
    "hardmax": "g (float[2,0] x) => (float[2,0] y) { y = Hardmax(x) }",
    "resized": "g (float[0,2,2,2] x) => (float[0,2,4,4] y) <int64[4] s = {0, 2, 4, 4}> { y = Resize<mode = \"nearest\", "
               "coordinate_transformation_mode = \"asymmetric\">(x, , , s) }",
}


@pytest.mark.parametrize("name", MODELS)
def test_empty(tmp_path: Path, name: str) -> None:
    model = parsed(MODELS[name])
    shape = [d.dim_value if d.HasField("dim_value") else 4 for d in model.graph.input[0].type.tensor_type.shape.dim]
    check(model, [{"x": np.ones(shape, np.float32)}], tmp_path, dynamic=True)
