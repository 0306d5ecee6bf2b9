# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Where onnxruntime and the reference evaluator of the onnx package say different things, or both what no standard says: a row
says whom we follow there, and why. Every family has its own table of them, beside its test."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from tests.fuzz.values import INTEGERS, Var

ONNX, ORT, NEITHER = "onnx", "onnxruntime", ""
When = Callable[[onnx.NodeProto, Sequence[Var]], object]


@dataclass(frozen=True, slots=True)
class Difference:
    """``ops`` (``*``: all) on operands ``when``: we ``follow`` one of the references (or neither: such cases are not drawn), and ``why``."""

    ops: str
    when: When
    follow: str
    why: str


def always(node: onnx.NodeProto, operands: Sequence[Var]) -> bool:
    return True


def empty(node: onnx.NodeProto, operands: Sequence[Var]) -> bool:
    return any(a.size == 0 for v in operands for a in v.plain)


def has_nan(node: onnx.NodeProto, operands: Sequence[Var]) -> bool:
    return any(np.isnan(a).any() for v in operands if v.is_float for a in v.plain)


def special(node: onnx.NodeProto, operands: Sequence[Var]) -> bool:
    return any(not np.isfinite(a).all() for v in operands if v.is_float for a in v.plain)


def double(node: onnx.NodeProto, operands: Sequence[Var]) -> bool:
    return operands[0].dtype == "float64"


def half(node: onnx.NodeProto, operands: Sequence[Var]) -> bool:
    return operands[0].dtype == "float16"


def large_integers(node: onnx.NodeProto, operands: Sequence[Var]) -> bool:
    """Sums that a double or an int32 does not hold."""
    return any(v.dtype in INTEGERS and v.scale > 2**20 for v in operands)


def unsorted(node: onnx.NodeProto, operands: Sequence[Var]) -> bool:
    return any(a.name == "sorted" and a.i == 0 for a in node.attribute)


def of(table: Sequence[Difference], node: onnx.NodeProto, operands: Sequence[Var]) -> Difference | None:
    """The first row of ``table`` for a node on these operands, if there is one."""
    return next((d for d in table if d.ops in ("*", node.op_type) or node.op_type in d.ops.split() if d.when(node, operands)), None)
