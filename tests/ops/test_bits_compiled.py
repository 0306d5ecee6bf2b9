# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""BitCast as C++: every bit survives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import helper

import aotgen

PAIRS = [(np.float32, np.int32), (np.int32, np.float32), (np.float16, np.int16), (np.uint16, np.float16), (np.uint8, np.int8),
         (np.float64, np.uint64), (np.int64, np.float64)]


def test_bits_survive_compilation(tmp_path: Path) -> None:
    nodes, ins, outs, feeds = [], [], [], {}
    for k, (source, to) in enumerate(PAIRS):
        feeds[f"x{k}"] = np.arange(1, 40).astype(source)
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(to))
        nodes.append(helper.make_node("BitCast", [f"x{k}"], [f"y{k}"], to=kind))
        ins.append(helper.make_tensor_value_info(f"x{k}", helper.np_dtype_to_tensor_dtype(np.dtype(source)), [39]))
        outs.append(helper.make_tensor_value_info(f"y{k}", kind, [39]))
    model = helper.make_model(helper.make_graph(nodes, "bits", ins, outs), ir_version=10,
                              opset_imports=[helper.make_opsetid("", 26)])
    path = tmp_path / "bits.onnx"
    onnx.save(model, path)
    got = aotgen.compile(str(path), str(tmp_path / "libbits"), threads=1).load()(feeds, threads=1)
    for k, (_, to) in enumerate(PAIRS):
        assert got[f"y{k}"].dtype == to
        assert got[f"y{k}"].tobytes() == feeds[f"x{k}"].tobytes()
