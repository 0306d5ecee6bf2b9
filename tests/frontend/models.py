# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Models for the front end's tests: ONNX text, single nodes of old operator sets, and the shared real models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, helper, numpy_helper

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "models"


def parsed(text: str, opset: int = 21) -> ModelProto:
    return onnx.parser.parse_model(f'<ir_version: 10, opset_import: ["" : {opset}]>\n{text}')


def single(op: str, opset: int, inputs: Sequence[np.ndarray | str], outputs: Sequence[tuple[type, Sequence[int]]],
           constants: Mapping[int, Any] | None = None, domain: str = "", **attrs: Any) -> ModelProto:
    """One node. ``inputs``: arrays give the types of graph inputs; '' is absent. ``constants``: input index -> array."""
    constants = dict(constants or {})
    names, ports, stored = [], [], []
    for k in range(max(len(inputs), 1 + max(constants, default=-1))):
        array = constants.get(k, inputs[k] if k < len(inputs) else "")
        names.append("" if isinstance(array, str) else f"x{k}")
        if k in constants:
            stored.append(numpy_helper.from_array(np.asarray(array), f"x{k}"))
        elif not isinstance(array, str):
            ports.append(helper.make_tensor_value_info(f"x{k}", helper.np_dtype_to_tensor_dtype(array.dtype), array.shape))
    outs = [helper.make_tensor_value_info(f"y{k}", helper.np_dtype_to_tensor_dtype(np.dtype(t)), shape)
            for k, (t, shape) in enumerate(outputs)]
    node = helper.make_node(op, names, [o.name for o in outs], name="the_node", domain=domain, **attrs)
    graph = helper.make_graph([node], "g", ports, outs, stored)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid(domain, opset)], ir_version=7)


def feeds_of(inputs: Sequence[np.ndarray | str], constants: Mapping[int, Any] | None = None) -> dict[str, np.ndarray]:
    return {f"x{k}": a for k, a in enumerate(inputs) if not isinstance(a, str) and k not in (constants or {})}
