# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""One operator against a reference: typed by Builder, lowered, its Defs interpreted, compared with onnxruntime (or
onnx.reference where that has no kernel) exactly for integers and closely for floats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import aotgen.ops  # noqa: F401  (registers every operator)
from aotgen.core import dtypes
from aotgen.ir import define, expr, interpret
from aotgen.ir.graph import Constant, Graph, TensorType, Value
from aotgen.ops import interp, registry
from aotgen.ops.builder import Builder
from aotgen.ops.registry import Ctx

Array = NDArray[Any]
TOLERANCE = {"f64": 1e-9, "f32": 1e-5, "f16": 2e-3, "bf16": 1.6e-2}
onnxruntime.set_default_logger_severity(4)


def attributes(node: onnx.NodeProto) -> dict[str, Any]:
    """A node's attributes as Python values; tensors as arrays."""
    out = {}
    for a in node.attribute:
        value = helper.get_attribute_value(a)
        out[a.name] = numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value
    return out


def run_graph(graph: Graph, feeds: Mapping[Value, Array], dims: Mapping[str, int] | None = None) -> list[Array]:
    """Outputs of a Graph without bodies: the Defs of all its nodes, interpreted together; where nodes make extents, node
    by node."""
    given = {a for v in graph.inputs for a in v.dims()}
    made = any(a not in given for node in graph.nodes for v in node.outputs if v is not None for a in v.dims())
    if made or any(registry.DIMS in node.attrs for node in graph.nodes):
        done = interp.run_graph(graph, {v.name: a for v, a in feeds.items()})
        return [done[v.name] for v in graph.outputs]
    defs: dict[Value, define.Def] = {}
    contents: dict[define.Def, Array] = {}
    symbolic: list[tuple[define.Def, Constant]] = []
    for v in (*graph.inputs, *graph.constants):
        d = defs[v] = define.source(v.name, v.shape, v.dtype)
        if v in feeds:
            contents[d] = feeds[v]
        elif graph.constants[v].dims is None:
            contents[d] = graph.constants[v].load()
        else:
            symbolic.append((d, graph.constants[v]))
    for node in graph.nodes:
        ctx = Ctx(node, {v: graph.constants[v] for v in node.inputs if v in graph.constants})
        outs = registry.lower_node(ctx, [None if v is None else defs[v] for v in node.inputs])
        for v, d in zip(node.outputs, outs, strict=False):
            if v is not None and d is not None:
                defs[v] = d
                assert (d.dtype, d.shape) == (v.dtype, v.shape), f"{v} was typed differently from {d!r}"
    known = {**(dims or {})}
    for v, a in feeds.items():
        known.update({str(e): n for e, n in zip(v.shape, a.shape, strict=True) if not isinstance(e, int)})
    for d, c in symbolic:
        probe = [define.compute((), lambda e=e: expr.ix_value(e)) for e in c.dims or ()]
        done = interpret.evaluate(probe, {}, dims=known)
        contents[d] = np.array([int(done[p]) for p in probe], c.dtype.numpy).reshape(c.shape)
    wanted = [defs[v] for v in graph.outputs]
    values = interpret.evaluate(wanted, contents, dims=known)
    return [values[d] for d in wanted]


def ours(
    op: str,
    inputs: Sequence[Array | None],
    attrs: Mapping[str, Any],
    outputs: int = 1,
    const_inputs: Sequence[int] = (),
    domain: str = "",
) -> list[Array]:
    """Outputs of one node; ``const_inputs`` are known at compile time, the others are data."""
    b = Builder("test")
    feeds: dict[Value, Array] = {}
    values: list[Value | None] = []
    for k, a in enumerate(inputs):
        if a is None:
            values.append(None)
        elif k in const_inputs:
            values.append(b.constant(a))
        else:
            v = b.input(f"x{k}", TensorType(dtypes.of(a.dtype), tuple(map(int, a.shape))))
            values.append(v)
            feeds[v] = a
    outs = b.node(op, values, attributes(_node(op, inputs, attrs, outputs, domain)), n=outputs, domain=domain)
    return run_graph(b.graph([v for v in outs if v is not None]), feeds)


def _node(
    op: str, inputs: Sequence[Array | None], attrs: Mapping[str, Any], outputs: int, domain: str
) -> onnx.NodeProto:
    plain = {k: numpy_helper.from_array(v) if isinstance(v, np.ndarray) else v for k, v in attrs.items()}
    names = ["" if a is None else f"x{k}" for k, a in enumerate(inputs)]
    return helper.make_node(op, names, [f"y{k}" for k in range(outputs)], domain=domain, **plain)


def reference(
    op: str, inputs: Sequence[Array | None], attrs: Mapping[str, Any], outputs: int = 1, domain: str = ""
) -> list[Array]:
    """The same from onnxruntime, else from onnx.reference."""
    node = _node(op, inputs, attrs, outputs, domain)
    feeds = {f"x{k}": np.asarray(a) for k, a in enumerate(inputs) if a is not None}
    ins = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape) for n, a in feeds.items()
    ]
    outs = [onnx.ValueInfoProto(name=f"y{k}") for k in range(outputs)]
    last: Exception | None = None
    for opset in (24, 23, 22, 21):
        model = helper.make_model(
            helper.make_graph([node], "g", ins, outs),
            ir_version=10,
            opset_imports=[helper.make_opsetid("", opset), *([helper.make_opsetid(domain, 1)] if domain else [])],
        )
        try:
            if any(a.dtype not in NATIVE for a in feeds.values()):
                break
            session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
            return list(session.run(None, feeds))
        except Exception as e:  # noqa: BLE001  (no kernel for this dtype or opset: the next one, then the other reference)
            last = e
    try:
        return list(ReferenceEvaluator(model).run(None, feeds))
    except Exception as e:
        raise AssertionError(f"no reference for {op}: {last}") from e


NATIVE = {
    np.dtype(t)
    for t in (
        "float16",
        "float32",
        "float64",
        "int8",
        "int16",
        "int32",
        "int64",
        "uint8",
        "uint16",
        "uint32",
        "uint64",
        "bool",
    )
}


def same(got: Array, want: Array, tolerance: float | None = None, dtype_too: bool = True) -> None:
    """Assert equality: shape, dtype, integers exactly, floats to the precision of their type (NaN equals NaN)."""
    want = np.asarray(want)
    assert got.shape == want.shape, f"shape {got.shape}, expected {want.shape}"
    assert not dtype_too or got.dtype == want.dtype, f"dtype {got.dtype}, expected {want.dtype}"
    t = dtypes.of(got.dtype)
    if t.is_float:
        eps = tolerance if tolerance is not None else TOLERANCE.get(t.name, 0.0)
        np.testing.assert_allclose(got.astype(np.float64), want.astype(np.float64), rtol=eps, atol=eps)
    else:
        np.testing.assert_array_equal(got, want)


def check(
    op: str,
    inputs: Sequence[Array | None],
    attrs: Mapping[str, Any] | None = None,
    outputs: int = 1,
    const_inputs: Sequence[int] = (),
    domain: str = "",
    expected: Sequence[Array] | None = None,
    tolerance: float | None = None,
) -> list[Array]:
    """Assert that our meaning of one node is the reference's (or ``expected``), and return our outputs."""
    got = ours(op, inputs, attrs or {}, outputs, const_inputs, domain)
    want = expected if expected is not None else reference(op, inputs, attrs or {}, outputs, domain)
    assert len(got) == len(want)
    for g, w in zip(got, want, strict=True):
        same(g, w, tolerance)
    return got
