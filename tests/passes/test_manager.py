# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The pass manager and its hooks; the printer; the Graph verifier."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import onnx
import pytest

from aotgen.core import dtypes
from aotgen.core.errors import InternalError, UsageError
from aotgen.frontend import load_graph
from aotgen.ir.graph import Constant, Graph, Node, TensorType, Value
from aotgen.ir.printer import print_graph
from aotgen.ir.verify_graph import verify
from aotgen.passes import manager, pipeline
from aotgen.passes.manager import Hooks

TEXT = """<ir_version: 10, opset_import: ["" : 21]> g (float[2,3] x) => (float[2,3] y) <float c = {2}> {
    a = Identity(x) b = Mul(a, c) y = Relu(b) }"""


@pytest.fixture
def graph() -> Graph:
    return load_graph(onnx.parser.parse_model(TEXT))


def test_every_pass_states_its_equation() -> None:
    assert len(manager.available()) >= 8
    for name in manager.available():
        assert manager.find(name).name == name
        assert (manager.find(name).__doc__ or "").strip()


def test_pipeline_names_exist() -> None:
    assert set(pipeline.PIPELINE) <= set(manager.available())


def test_unknown_pass(graph: Graph) -> None:
    with pytest.raises(UsageError, match="no pass 'nope'"):
        manager.run(graph, ["nope"])


def test_hooks(graph: Graph, tmp_path: Path) -> None:
    said: list[str] = []
    seen: list[str] = []
    hooks = Hooks(print_after=["dce"], dump_dir=tmp_path, timing=True, stop_after="dce", write=said.append,
                  check_each=lambda name, before, after: seen.append(name))
    after = manager.run(graph, ["eliminate_noops", "dce", "cse"], hooks)
    assert [n.op for n in after.nodes] == ["Mul", "Relu"]
    assert seen == ["eliminate_noops", "dce"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["00-eliminate_noops.ir", "01-dce.ir"]
    assert said[0].startswith("// after dce") and "ms" in said[1]


def test_a_pass_that_breaks_the_graph_is_named(graph: Graph, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manager.find("dce"), "run", lambda g: replace(g, nodes=g.nodes[1:]))
    with pytest.raises(InternalError, match="pass 'dce' .after cse."):
        manager.run(graph, ["cse", "dce"])


def test_printer(graph: Graph) -> None:
    text = print_graph(graph)
    assert "%y: f32[2,3] = Relu(%b)  # y" in text
    assert "%c: f32[] = constant(2.0)" in text
    assert text == print_graph(graph)


def value(name: str, *shape: int) -> Value:
    return Value(name, TensorType(dtypes.f32, shape))


def test_verifier_refuses_broken_graphs() -> None:
    x, y, z = value("x", 2), value("y", 2), value("z", 2)
    neg = Node("Neg", (x,), (y,))
    verify(Graph("ok", (x,), (y,), (neg,)))
    for broken in (
        Graph("undefined", (x,), (y,), (Node("Neg", (z,), (y,)),)),
        Graph("late", (x,), (z,), (Node("Neg", (y,), (z,)), neg)),
        Graph("twice", (x,), (y,), (neg, neg)),
        Graph("names", (x,), (y,), (Node("Neg", (x,), (value("x", 2),)), neg)),
        Graph("output", (x,), (z,), (neg,)),
        Graph("constant", (x,), (y,), (neg,), {z: Constant(dtypes.f32, (3,), lambda: None)}),  # type: ignore[arg-type,return-value]
        Graph("captured", (x,), (y,), (replace(neg, bodies={"b": Graph("b", (), (z,), ())}),)),
    ):
        with pytest.raises(InternalError):
            verify(broken)
