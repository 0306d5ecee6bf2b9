# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The conformance cases of the onnx package, one operator each: lowered, interpreted and compared with the expected
outputs. Operators without a lowering (or expansion) are skipped, so new ones are picked up as they appear."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import pytest
from check import attributes, run_graph, same
from onnx import numpy_helper
from onnx.backend.test.case import node as node_cases

from aotgen.core import dtypes
from aotgen.core.errors import UnsupportedError
from aotgen.ir.graph import TensorType, Value
from aotgen.ops import interp, registry
from aotgen.ops.builder import Builder

# prefix of a case's name -> why it is not compared
EXCLUDED: dict[str, str] = {
    "test_resize_downsample_scales_cubic_align_corners": "expects a fractional output length; ours is onnxruntime's answer",
    "test_resize_downsample_scales_linear_align_corners": "expects a fractional output length; ours is onnxruntime's answer",
    "test_equal_string": "string comparison is refused",
    "test_training_dropout": "random",
    "test_bernoulli": "random",
    "test_ai_onnx_ml_label_encoder_string": "strings are refused",
    "test_ai_onnx_ml_label_encoder_tensor_mapping": "strings are refused",
    "test_ai_onnx_ml_label_encoder_tensor_value_only": "strings are refused",
    "test_dft_opset19": "version 17, which an adapter brings up",
    "test_dft_inverse_opset19": "version 17, which an adapter brings up",
    "test_dft_irfft_opset19": "version 17, which an adapter brings up",
    "test_dft_rfft_opset19": "version 17, which an adapter brings up",
}
PRINTED = {  # expected outputs given to four digits only
    "test_averagepool_2d_ceil_last_window_starts_on_pad": 1e-3,
    "test_gridsample_bicubic": 1e-3,
    "test_roialign_aligned_false": 1e-3,
    "test_roialign_aligned_true": 1e-3,
}
LOOSE = {"f16": 4e-3, "bf16": 2e-2, "f32": 2e-5}


def collected() -> Iterator[Any]:
    for case in node_cases.collect_testcases(None):
        nodes = case.model.graph.node
        if (
            len(nodes) == 1
            and registry.find(nodes[0].op_type, nodes[0].domain) is not None
            and all(v.type.HasField("tensor_type") for v in (*case.model.graph.input, *case.model.graph.output))
            and not any(a.type in (onnx.AttributeProto.GRAPH, onnx.AttributeProto.GRAPHS) for a in nodes[0].attribute)
        ):
            yield case


CASES = {case.name: case for case in collected()}


def array_of(value: Any) -> np.ndarray[Any, Any]:
    return numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else np.asarray(value)


def evaluate(case: Any, feeds: dict[str, np.ndarray[Any, Any]], most: int, kinds: str) -> list[np.ndarray[Any, Any]]:
    """The outputs, with inputs of a NumPy kind in ``kinds`` and at most ``most`` elements known at compile time."""
    node = case.model.graph.node[0]
    b = Builder("case")
    values: dict[str, Value] = {}
    data: dict[Value, np.ndarray[Any, Any]] = {}
    for name, a in feeds.items():
        if a.dtype.kind in kinds and a.size <= most:
            values[name] = b.constant(a)
        else:
            v = values[name] = b.input(name, TensorType(dtypes.of(a.dtype), tuple(map(int, a.shape))))
            data[v] = a
    outs = b.node(
        node.op_type,
        [values[n] if n else None for n in node.input],
        attributes(node),
        domain=node.domain,
        names=list(node.output),
    )
    graph = b.graph([v for v, n in zip(outs, node.output, strict=False) if v is not None and n])
    if any(n.bodies for n in graph.nodes):
        return list(interp.run_graph(graph, {v.name: a for v, a in data.items()}).values())
    return run_graph(graph, data)


@pytest.mark.parametrize("name", sorted(CASES))
def test_case(name: str) -> None:
    reason = next((why for prefix, why in EXCLUDED.items() if name.startswith(prefix)), None)
    if reason:
        pytest.skip(reason)
    case = CASES[name]
    used = [i.name for i in case.model.graph.input]
    for inputs, outputs in case.data_sets:
        feeds = {n: array_of(v) for n, v in zip(used, inputs, strict=True)}
        for attempt in ((0, ""), (64, "iu"), (1024, "iufb")):
            try:
                got = evaluate(case, feeds, *attempt)
                break
            except UnsupportedError:
                if attempt[0] == 1024:
                    raise
        for g, w in zip(got, outputs, strict=True):
            t = dtypes.of(g.dtype)
            same(g, array_of(w), PRINTED.get(name, LOOSE.get(t.name)), dtype_too=not np.isscalar(w))
