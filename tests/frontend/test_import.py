# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Dims, functions, bodies, constants, names, reports and the shared real models."""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
import onnx
import pytest
from onnx.reference import ReferenceEvaluator

from aotgen.core.errors import ModelError, UsageError
from aotgen.core.options import CompileOptions
from aotgen.frontend import inspect, load_graph
from aotgen.frontend.load import read
from aotgen.ir import index
from aotgen.ir.verify_graph import verify
from aotgen.ops import registry
from aotgen.ops.interp import run_graph
from aotgen.passes import pipeline

from .models import SHARED, parsed

DYNAMIC = "g (float[N,3,?] x, float[N] z) => (float[N,3,M] y) { y = Neg(x) }"


# -- dims


def test_unbound_dims_are_listed_with_their_flags() -> None:
    with pytest.raises(UsageError) as e:
        load_graph(parsed(DYNAMIC))
    assert e.value.exit_code == 2
    for part in ("N  (x axis 0, z axis 0)   --dim N=", "x_dim2  (x axis 2)   --dim x_dim2="):
        assert part in str(e.value)


def test_dims_are_fixed_and_opened() -> None:
    g = load_graph(parsed(DYNAMIC), CompileOptions(dims=(("N", 4),), open_dims=(("x_dim2", (2, 9)),)))
    n, three, free = g.inputs[0].shape
    assert (n, three) == (4, 3)
    assert free == index.dim("x_dim2", 2, 9)
    assert g.outputs[0].shape == g.inputs[0].shape
    assert [a.name for a in g.dims()] == ["x_dim2"]


def test_an_input_shape_fixes_the_dims_it_names() -> None:
    g = load_graph(parsed(DYNAMIC), CompileOptions(input_shapes=(("x", (2, 3, 7)),)))
    assert [v.shape for v in g.inputs] == [(2, 3, 7), (2,)]


MASKED = """g (float[N,N] x, bool c) => (float[N,N] y) <float[8,8] mask = {%s}, int64[1] zero = {0}, int64[1] one = {1}> {
    n = Shape <start = 1, end = 2> (x) cut = Slice(mask, zero, n, zero) square = Slice(cut, zero, n, one) y = Mul(x, square) }"""


def test_a_mask_bounds_the_dim_that_cuts_it() -> None:
    text = MASKED % ",".join("1" * 64)
    g = load_graph(parsed(text), CompileOptions(dynamic=True))
    assert g.outputs[0].shape == (index.dim("N", 0, 8),) * 2
    assert load_graph(parsed(text), CompileOptions(open_dims=(("N", (2, 5)),))).dims() == list(index.dim("N", 2, 5).atoms())
    with pytest.raises(ModelError, match="N against 8"):
        load_graph(parsed(text), CompileOptions(open_dims=(("N", (9, 20)),)))


def test_a_mask_in_a_branch_bounds_nothing_outside() -> None:
    model = parsed(MASKED % ",".join("1" * 64))
    then = onnx.helper.make_graph(list(model.graph.node), "then", [], [onnx.helper.make_tensor_value_info("y", 1, None)])
    other = onnx.helper.make_graph([onnx.helper.make_node("Neg", ["x"], ["z"])], "else", [], [onnx.helper.make_tensor_value_info("z", 1, None)])
    del model.graph.node[:]
    model.graph.node.append(onnx.helper.make_node("If", ["c"], ["y"], then_branch=then, else_branch=other))
    assert load_graph(model, CompileOptions(dynamic=True)).dims() == list(index.dim("N", 0).atoms())


def test_arithmetic_dims() -> None:
    model = parsed("g (float[p] x, float[s] z) => (float[p] y) { y = Neg(x) }")
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "p + 2*s"
    g = load_graph(model, CompileOptions(dims=(("p", 3), ("s", 5))))
    assert g.inputs[0].shape == (13,)


@pytest.mark.parametrize(("options", "message"), [
    ({"dims": (("N", 1), ("Q", 2), ("x_dim2", 1))}, "--dim Q"), ({"input_shapes": (("q", (1,)),)}, "no such input"),
    ({"input_shapes": (("x", (2, 4, 7)),)}, "model or --dim says 3"), ({"input_shapes": (("x", (2, 3)),)}, "declares 3 dims"),
    ({"dims": (("N", 5),), "input_shapes": (("x", (2, 3, 7)),)}, "says 5"),
    ({"dims": (("N", 5),), "open_dims": (("N", (1, 2)),)}, "both fixed and opened"), ({"open_dims": (("N", (3, 2)),)}, "not a range")])
def test_contradictory_flags(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        load_graph(parsed(DYNAMIC), CompileOptions(**options))


def test_dynamic_leaves_dims_open() -> None:
    g = load_graph(parsed(DYNAMIC), CompileOptions(dynamic=True))
    assert [a.name for a in g.dims()] == ["N", "x_dim2"]


def test_unknown_rank() -> None:
    model = parsed("g (float[N] x) => (float[N] y) { y = Neg(x) }")
    model.graph.input[0].type.tensor_type.ClearField("shape")
    with pytest.raises(UsageError, match="rank of input x"):
        load_graph(model)
    assert load_graph(model, CompileOptions(input_shapes=(("x", (2, 2)),))).outputs[0].shape == (2, 2)


def test_shape_arithmetic_in_floats_is_folded() -> None:
    g = load_graph(parsed("""g (float[2,6] x) => (float[3,4] y) <float half = {0.5}, int64[1] four = {4}> {
        s = Shape(x) f = Cast<to=1>(s) h = Mul(f, half) i = Floor(h) j = Cast<to=7>(i)
        k = Slice(j, one, two) t = Concat<axis=0>(k, four) y = Reshape(x, t) }""".replace(
        "<float half", "<int64[1] one = {1}, int64[1] two = {2}, float half")))
    assert g.outputs[0].shape == (3, 4)
    assert [n.op for n in g.nodes] == ["Reshape"]


# -- functions and bodies


def test_local_functions_are_inlined_with_their_attributes_and_operator_sets() -> None:
    text = """<ir_version: 10, opset_import: ["" : 21, "l" : 1]> g (float[1,3] x) => (float[3] y) { [call] y = l.f<alpha=0.5>(x) }
    <domain: "l", opset_import: ["" : 11]> f<alpha, beta: float = 2.0>(a) => (d) {
        b = LeakyRelu<alpha: float = @alpha>(a) c = Squeeze<axes=[0]>(b) e = Constant<value_float: float = @beta>() d = Mul(c, e) }"""
    model = onnx.parser.parse_model(text.replace("opset_import: [\"\" : 11]", 'opset_import: ["" : 12]'))
    g = load_graph(model)
    assert [(n.op, n.origin) for n in g.nodes] == [("LeakyRelu", "call/b"), ("Squeeze", "call/c"), ("Mul", "call/d")]
    x = np.array([[-2, 0, 3]], np.float32)
    np.testing.assert_allclose(run_graph(g, {"x": x})["y"], [-2, 0, 6])


@pytest.mark.parametrize(("line", "opset"), [
    ("y = Gelu(x)", 21), ("y = Softplus(x)", 21), ("y = HardSwish(x)", 21), ("y = LeakyRelu<alpha=0.1>(x)", 21), ("y = ThresholdedRelu(x)", 21),
    ("y = MeanVarianceNormalization<axes=[0]>(x)", 21), ("y = Celu(x)", 21)])
def test_schema_bodies_stand_in_for_missing_operators(monkeypatch: pytest.MonkeyPatch, line: str, opset: int) -> None:
    model = parsed(f"g (float[2,3] x) => (float[2,3] y) {{ {line} }}", opset)
    x = np.random.default_rng(0).standard_normal((2, 3)).astype(np.float32)
    want = ReferenceEvaluator(model).run(None, {"x": x})[0]
    op = model.graph.node[0].op_type
    monkeypatch.delitem(registry.TABLE, ("", op), raising=False)
    g = load_graph(model)
    assert op not in [n.op for n in g.nodes]
    np.testing.assert_allclose(run_graph(g, {"x": x})["y"], want, rtol=1e-5, atol=1e-5)


def test_if_with_a_known_condition_is_its_branch() -> None:
    g = load_graph(parsed("""g (float[2,3] x) => (float[2,3] y) <int64 two = {2}> { r = Size(x) c = Greater(r, two) y = If (c) <
        then_branch = t () => (float[2,3] p) { p = Neg(x) }, else_branch = e () => (float[9] q) { q = Foo(x) }> }"""))
    assert [n.op for n in g.nodes] == ["Neg"]
    assert g.outputs[0].name == "y"


def test_loop_body_captures_and_carries() -> None:
    g = load_graph(parsed("""g (float[2] x) => (float[2] y, float[3,2] z) <int64 three = {3}, bool t = {1}> {
        y, z = Loop (three, t, x) <body = b (int64 i, bool c, float[2] s) => (bool d, float[2] u, float[2] v) {
            d = Identity(c) u = Add(s, x) v = Mul(u, x) }> }"""))
    verify(g)
    x = np.array([1, 2], np.float32)
    got = run_graph(g, {"x": x})
    np.testing.assert_allclose(got["y"], 4 * x)
    np.testing.assert_allclose(got["z"], np.stack([2 * x * x, 3 * x * x, 4 * x * x]))


def test_a_branch_for_other_sizes_is_marked() -> None:
    model = parsed("""g (float[2,3] x, bool c) => (float[2,2] y) { y = If (c) <
        then_branch = t () => (float[2,2] p) { k = Transpose(x) p = MatMul(x, k) },
        else_branch = e () => (float[2,2] q) { q = MatMul(x, x) }> }""")
    g = load_graph(model)
    (node,) = g.nodes
    assert "else_branch_refused" in node.attrs and "then_branch_refused" not in node.attrs
    x = np.ones((2, 3), np.float32)
    assert (run_graph(g, {"x": x, "c": np.array(True)})["y"] == 3).all()
    assert np.isnan(run_graph(g, {"x": x, "c": np.array(False)})["y"]).all()


# -- names and constants


def test_output_names_survive_whatever_makes_them() -> None:
    g = load_graph(parsed("""g (float[2] x, float[2] add_0) => (float[2] x, float[2] y, float[2] z, int64[1] s, float[2] relu_0, float w) {
        y = Identity(x) z = Gemm_like(x) s = Shape(x) relu_0 = Relu(x) w = Constant<value_float=2.0>() }""".replace(
        "z = Gemm_like(x)", "z = Relu(add_0)")))
    verify(g)
    assert [v.name for v in g.outputs] == ["x", "y", "z", "s", "relu_0", "w"]
    assert [v.name for v in g.inputs] == ["x", "add_0"]


@pytest.mark.parametrize("form", ["value_float=2.5", "value_floats=[2.5]", "value_int=2", "value_ints=[2, 3]", "value_string=\"a\"",
                                  "value_strings=[\"a\", \"b\"]", "value = float[2] {1, 2}"])
def test_constant_forms(form: str) -> None:
    g = load_graph(parsed(f"g () => (float y) {{ y = Constant<{form}>() }}"))
    assert g.outputs[0] in g.constants


def test_sparse_initialiser() -> None:
    model = parsed("g (float[2,3] x) => (float[2,3] y) { y = Add(x, w) }")
    values = onnx.numpy_helper.from_array(np.array([5, 6], np.float32), "w")
    model.graph.sparse_initializer.append(onnx.helper.make_sparse_tensor(
        values, onnx.numpy_helper.from_array(np.array([1, 5])), [2, 3]))
    np.testing.assert_array_equal(run_graph(load_graph(model), {"x": np.zeros((2, 3), np.float32)})["y"], [[0, 5, 0], [0, 0, 6]])


def test_initialisers_stay_in_the_message() -> None:
    model = parsed("g (float[2] x) => (float[2] y) { y = Add(x, w) }")
    model.graph.initializer.append(onnx.numpy_helper.from_array(np.ones(2, np.float32), "w"))
    g = load_graph(model)
    (c,) = g.constants.values()
    model.graph.initializer[0].raw_data = np.full(2, 3, np.float32).tobytes()
    assert c.load().tolist() == [3, 3], "loaded at import"


# -- reports and real models


def test_report() -> None:
    report = inspect(parsed("""g (float[N,3,8,8] x) => (float[N,10] y) { c = Conv(x, w) p = GlobalAveragePool(c) f = Flatten(p)
        y = MatMul(f, v) }""".replace("=> (float[N,10] y)", "=> (float[N,10] y) <float[4,3,3,3] w = {" + ",".join(["1"] * 108)
                                      + "}, float[4,10] v = {" + ",".join(["1"] * 40) + "}>")))
    assert report.operators == (("Conv", 1), ("Flatten", 1), ("GlobalAveragePool", 1), ("MatMul", 1))
    assert report.parameters == 148
    assert report.macs == f"{4 * 27 * 36 + 40}*N"
    assert str(report.inputs[0]) == "x: f32[N,3,8,8]"
    assert report.open_dims == (("N", ("x axis 0",)),)
    assert not report.problems


MODELS = sorted(p.parent.name for p in SHARED.glob("*/model.onnx"))


@pytest.mark.parametrize("name", MODELS)
def test_real_model_imports_and_passes_run(name: str) -> None:
    inputs = np.load(SHARED / name / "inputs.npz", allow_pickle=True)
    outputs = np.load(SHARED / name / "outputs.npz", allow_pickle=True)
    options = CompileOptions(input_shapes=tuple((k, tuple(inputs[k].shape)) for k in inputs.files))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        g = load_graph(SHARED / name / "model.onnx", options)
    verify(g)
    after = pipeline.optimise(g, options)  # verifies after each pass
    assert {v.name for v in after.outputs} >= set(outputs.files)  # stored are tensors only
    for v in after.outputs:
        if v.name in outputs.files and isinstance(getattr(v.type, "shape", None), tuple) and all(isinstance(d, int) for d in v.shape):
            assert v.shape == outputs[v.name].shape
            assert v.dtype.numpy == outputs[v.name].dtype or (v.dtype.kind, outputs[v.name].dtype.kind) == ("s", "U")


@pytest.mark.skipif("ort_gpt2_past_tiny" not in MODELS, reason="no shared models")
def test_three_thousand_nodes_import_quickly() -> None:
    path = SHARED / "ort_gpt2_past_tiny" / "model.onnx"
    inputs = np.load(path.parent / "inputs.npz")
    options = CompileOptions(input_shapes=tuple((k, tuple(inputs[k].shape)) for k in inputs.files))
    read(path)
    start = time.process_time()
    load_graph(path, options)
    assert time.process_time() - start < 3
