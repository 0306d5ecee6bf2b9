# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""One operator at a time: built by Builder, run by the Graph interpreter, expected from onnxruntime or onnx.reference."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
from onnx import helper, numpy_helper
from onnx.reference import ReferenceEvaluator

import aotgen.ops  # noqa: F401  (registers every operator)
from aotgen.core import dtypes
from aotgen.ir import define, index, interpret
from aotgen.ir.graph import Constant, Node, TensorType, Value
from aotgen.ops import interp, registry
from aotgen.ops.builder import Builder
from aotgen.ops.registry import Ctx

Arrays = Sequence["np.ndarray | None"]
RNG = np.random.default_rng(7)


def f32(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


def ints(dtype: Any, low: int, high: int, *shape: int) -> np.ndarray:
    return RNG.integers(low, high, shape).astype(dtype)


@contextmanager
def without_fast() -> Iterator[None]:
    saved = dict(interp.FAST)
    interp.FAST.clear()
    try:
        yield
    finally:
        interp.FAST.update(saved)


def run(op: str, inputs: Arrays, *, n: int = 1, const: Sequence[int] = (), domain: str = "", wide: bool = False,
        fast: bool = False, names: Sequence[str] = (), **attrs: Any) -> list[np.ndarray]:
    """Outputs of one node. ``const``: inputs given as compile-time constants. ``names``: '' for an unused output."""
    b = Builder("g")
    values = [None if a is None else b.constant(a) if k in const else b.input(f"in{k}", TensorType(
        dtypes.of(a.dtype), a.shape)) for k, a in enumerate(inputs)]
    out = b.node(op, values, attrs, n=n, domain=domain, names=names)
    g = b.graph([v for v in out if v is not None])
    feeds = {f"in{k}": a for k, a in enumerate(inputs) if a is not None and k not in const}
    if fast:
        results = interp.run_graph(g, feeds, wide)
    else:
        with without_fast():
            results = interp.run_graph(g, feeds, wide)
    for v in g.outputs:
        got = results[v.name].shape
        assert len(got) == len(v.shape) and all(d == n for d, n in zip(v.shape, got, strict=True) if isinstance(d, int)), (
            f"typed {v.type}, computed {got}")
        assert wide or results[v.name].dtype == v.dtype.numpy
    return [results[v.name] for v in g.outputs]


def model(op: str, inputs: Arrays, n: int, domain: str, opset: int, names: Sequence[str],
          attrs: dict[str, Any], version: int = 1) -> onnx.ModelProto:
    outs = list(names) or [f"out{k}" for k in range(n)]
    node = helper.make_node(op, ["" if a is None else f"in{k}" for k, a in enumerate(inputs)], outs, domain=domain, **attrs)
    g = helper.make_graph(
        [node], "g", [helper.make_tensor_value_info(f"in{k}", helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
                      for k, a in enumerate(inputs) if a is not None],
        [helper.make_empty_tensor_value_info(o) for o in outs if o])
    opsets = [helper.make_opsetid("", opset)] + ([helper.make_opsetid(domain, version)] if domain else [])
    return helper.make_model(g, opset_imports=opsets, ir_version=10)


def expect(op: str, inputs: Arrays, *, n: int = 1, domain: str = "", opset: int = 22, by: str = "ort",
           names: Sequence[str] = (), version: int = 1, **attrs: Any) -> list[np.ndarray]:
    """The same node by onnxruntime (``ort``) or the package's reference (``ref``). ``version``: of ``domain``."""
    m = model(op, inputs, n, domain, opset, names, attrs, version)
    feeds = {f"in{k}": a for k, a in enumerate(inputs) if a is not None}
    if by == "ref":
        return [np.asarray(a) for a in ReferenceEvaluator(m).run(None, feeds)]
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return ort.InferenceSession(m.SerializeToString(), options, ["CPUExecutionProvider"]).run(None, feeds)


def feeds_and_model(op: str, inputs: Arrays, n: int, domain: str, attrs: dict[str, Any],
                    const: Sequence[int] = ()) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """One node as a model whose inputs ``const`` are initialisers, and the arrays of the others."""
    m = model(op, inputs, n, domain, 22, (), attrs)
    for k in const:
        m.graph.initializer.append(numpy_helper.from_array(inputs[k], f"in{k}"))
    kept = [i for i in m.graph.input if i.name not in {f"in{k}" for k in const}]
    del m.graph.input[:]
    m.graph.input.extend(kept)
    return m, {f"in{k}": a for k, a in enumerate(inputs) if a is not None and k not in const}


def close(got: Sequence[np.ndarray], want: Sequence[np.ndarray], tol: float = 2e-6) -> None:
    """Floats within ``tol`` of the largest magnitude, everything else equal."""
    assert len(got) == len(want)
    for g, w in zip(got, want, strict=True):
        assert g.shape == w.shape, (g.shape, w.shape)
        if w.dtype.kind in "iub":
            np.testing.assert_array_equal(g, w)
        else:
            finite = np.abs(w[np.isfinite(w)].astype(np.float64))
            scale = max(float(finite.max(initial=0.0)), 1e-3)
            np.testing.assert_allclose(g.astype(np.float64), w.astype(np.float64), rtol=0, atol=tol * scale)


def check(op: str, inputs: Arrays, *, const: Sequence[int] = (), tol: float = 2e-6, opset: int = 22, by: str = "ort",
          domain: str = "", n: int = 1, names: Sequence[str] = (), **attrs: Any) -> None:
    """The lowering and, where there is one, the fast form agree with the expectation."""
    want = expect(op, inputs, n=n, domain=domain, opset=opset, by=by, names=names, **attrs)
    got = run(op, inputs, n=n, const=const, domain=domain, names=names, **attrs)
    close(got, want, tol)
    if (domain, op) in interp.FAST or op in ("Gemm", "Einsum"):
        close(run(op, inputs, n=n, const=const, domain=domain, names=names, fast=True, **attrs), want, tol)


def check_open(op: str, inputs: Arrays, shapes: dict[int, Sequence[Any]], *, const: Sequence[int] = (), tol: float = 2e-6,
               opset: int = 22, domain: str = "", **attrs: Any) -> None:
    """The lowering over open dims (``shapes``: input -> extents, strings are dims) agrees with onnxruntime."""
    want = expect(op, inputs, opset=opset, domain=domain, **attrs)
    values = []
    for k, a in enumerate(inputs):
        dims = [index.dim(d) if isinstance(d, str) else d for d in shapes.get(k, a.shape)]
        values.append(Value(f"in{k}", TensorType(dtypes.of(a.dtype), tuple(dims))))
    node = Node(op, tuple(values), (Value("y", values[0].type),), attrs, domain)
    known = {values[k]: Constant.of(inputs[k]) for k in const}
    sources = [define.source(v.name, v.shape, v.dtype) for v in values]
    outs = registry.lower_node(Ctx(node, known), sources)
    got = interpret.evaluate([outs[0]], dict(zip(sources, inputs, strict=True)))
    close([got[outs[0]]], want[:1], tol)
