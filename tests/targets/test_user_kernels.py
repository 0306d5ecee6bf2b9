# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A user's kernel folder: its rule beats ours and its header is the one that is compiled."""

from __future__ import annotations

import numpy as np
import onnx.helper as oh
import onnx.numpy_helper as nh
import pytest
from onnx import TensorProto

import aotgen

RULES = '''
from dataclasses import replace

from aotgen.targets.cpu import gemm


def matmul(ctx, inputs, plain):
    offer = gemm.matmul(ctx, inputs, plain)
    return replace(offer, spec=replace(offer.spec, function="slow_gemm", header="slow_gemm.h"))


RULES = {"MatMul": (matmul,)}
'''

HEADER = """// SPDX-License-Identifier: 0BSD
#pragma once
#include "gemm.h"
namespace AOT_NS {
namespace {
template <class D, int MR, int NV, class Epi>
void slow_gemm(const D& d, const float* a, const float* b, const Epi& epi, int tid, int) {
  if (tid == 0) gemm_ref(d, a, b, epi);
}
}  // namespace
}  // namespace AOT_NS
"""


def model(weight: np.ndarray) -> object:
    graph = oh.make_graph(
        [oh.make_node("MatMul", ["x", "w"], ["y"])], "g",
        [oh.make_tensor_value_info("x", TensorProto.FLOAT, [3, 20])],
        [oh.make_tensor_value_info("y", TensorProto.FLOAT, [3, 7])], [nh.from_array(weight, "w")])
    return oh.make_model(graph, opset_imports=[oh.make_opsetid("", 17)], ir_version=9)


def test_a_users_rule_and_header_win(tmp_path):
    rng = np.random.default_rng(1)
    x, w = rng.standard_normal((3, 20), np.float32), rng.standard_normal((20, 7), np.float32)
    kernels = tmp_path / "kernels"
    kernels.mkdir()
    (kernels / "rules.py").write_text(RULES)
    (kernels / "slow_gemm.h").write_text(HEADER)
    made = aotgen.compile(model(w), tmp_path / "libm", kernel_dirs=[kernels])
    assert (made.folder / "src" / "slow_gemm.h").is_file()
    assert made.result.choices[0].chosen == "slow_gemm"
    np.testing.assert_allclose(made.load()({"x": x})["y"], x @ w, rtol=1e-5, atol=1e-5)


def test_a_broken_rules_file_is_a_usage_error(tmp_path):
    (tmp_path / "rules.py").write_text("RULES = nonsense")
    with pytest.raises(aotgen.UsageError, match=r"rules\.py cannot be used: NameError"):
        aotgen.compile(model(np.zeros((20, 7), np.float32)), tmp_path / "libm", kernel_dirs=[tmp_path], build=False)
