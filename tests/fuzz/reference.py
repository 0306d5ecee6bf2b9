# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""One node on values at hand: by onnxruntime, by onnx's reference evaluator, by our interpreter."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from aotgen import frontend
from aotgen.core.options import CompileOptions
from aotgen.ops.interp import run_graph
from aotgen.verify import ort
from tests.fuzz.values import Array, Var

OPSET = 21  # unless told otherwise: onnxruntime lacks some kernels of newer ones
IR = 10
Results = list[tuple[Array, ...]]  # of every output, its contents in each run


class Refused(Exception):
    """A reference does not evaluate this node."""


def port(name: str, array: Array, shape: Sequence[int | str | None] | None = None) -> onnx.ValueInfoProto:
    """The declaration of a graph input like ``array``."""
    kind = helper.np_dtype_to_tensor_dtype(array.dtype)
    return helper.make_tensor_value_info(name, kind, array.shape if shape is None else shape)


def model_of(nodes: Sequence[onnx.NodeProto], inputs: Sequence[onnx.ValueInfoProto], weights: Sequence[TensorProto],
             outputs: Sequence[str], opset: int = OPSET) -> onnx.ModelProto:
    """A model of these parts; output types are left to inference."""
    domains = dict.fromkeys(n.domain for n in nodes if n.domain)
    graph = helper.make_graph(list(nodes), "g", list(inputs), [onnx.ValueInfoProto(name=o) for o in outputs], list(weights))
    return helper.make_model(graph, ir_version=IR, opset_imports=[
        helper.make_opsetid("", opset), *(helper.make_opsetid(d, 1) for d in domains)])


def alone(node: onnx.NodeProto, operands: Sequence[Var], run: int | None, opset: int = OPSET) -> onnx.ModelProto:
    """A model of one node: shapes as in ``run``, or only ranks where it is None."""
    inputs = [port(v.name, v.plain[0], [None] * v.rank if run is None else v.plain[run].shape)
              for v in operands if not v.weight]
    weights = [numpy_helper.from_array(v.plain[0], v.name) for v in operands if v.weight]
    return model_of([node], inputs, weights, [o for o in node.output if o], opset)


def _transposed(runs: Sequence[Sequence[Any]]) -> Results:
    return [tuple(np.asarray(a) for a in row) for row in zip(*runs, strict=True)]


def by_ort(node: onnx.NodeProto, operands: Sequence[Var], opset: int = OPSET) -> Results:
    """Raises Refused."""
    try:
        session = ort.session(alone(node, operands, None, opset), optimise=False)
        names = [i.name for i in session.get_inputs()]
        feeds = {v.name: v.plain for v in operands}
        return _transposed([session.run(None, {n: feeds[n][k] for n in names}) for k in range(runs_of(operands))])
    except Exception as e:  # onnxruntime's exceptions share no base of their own
        raise Refused(str(e)) from None


def by_onnx(node: onnx.NodeProto, operands: Sequence[Var], opset: int = OPSET) -> Results:
    """The reference evaluator of the onnx package. Raises Refused."""
    try:
        evaluator = ReferenceEvaluator(alone(node, operands, None, opset))
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            return _transposed([evaluator.run(None, {v.name: v.plain[k] for v in operands if not v.weight})
                                for k in range(runs_of(operands))])
    except Exception as e:  # it raises whatever NumPy raises
        raise Refused(str(e)) from None


def by_us(node: onnx.NodeProto, operands: Sequence[Var], opset: int = OPSET, *, wide: bool = True, given: str = "wide") -> Results:
    """Our interpreter, in float64 where ``wide``, on the ``wide`` or ``plain`` contents (``given``). Raises what the front
    end and the interpreter raise."""
    out = []
    graphs: dict[Any, Any] = {}
    for k in range(runs_of(operands)):
        shapes = tuple(v.plain[k].shape for v in operands)
        if shapes not in graphs:
            graphs[shapes] = frontend.load_graph(alone(node, operands, k, opset), CompileOptions())
        feeds = {v.name: getattr(v, given)[k] for v in operands if not v.weight}
        with np.errstate(all="ignore"):
            found = run_graph(graphs[shapes], feeds, wide=wide)
        out.append([found[o] for o in node.output if o])
    return _transposed(out)


def runs_of(operands: Sequence[Var]) -> int:
    return len(operands[0].plain) if operands else 1
