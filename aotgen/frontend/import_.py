# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""ONNX protos -> Graph, through one Builder: every value gets a type or the node that has none is named."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from onnx import FunctionProto, GraphProto, NodeProto

from aotgen.core import dtypes
from aotgen.core.errors import AotgenError, ModelError, UnsupportedError
from aotgen.core.options import CompileOptions
from aotgen.frontend import check, control, functions
from aotgen.frontend.attributes import attributes_of, plain
from aotgen.frontend.dims import bind_inputs
from aotgen.frontend.load import Source, domain_versions
from aotgen.frontend.opset import Draft, Results, adapt, has_adapter, newest_schema, small_constant, version_of
from aotgen.frontend.scope import Frame, Missing
from aotgen.ir import facts
from aotgen.ir.graph import AnyType, Constant, Graph, Node, TensorType, Value
from aotgen.ops import registry
from aotgen.ops.builder import KNOWN_LIMIT, TYPE_RULES, Builder
from aotgen.ops.loose import is_loose
from aotgen.passes.evaluate import contents_of, is_deterministic
from aotgen.passes.rewrite import rename_outputs


def import_model(source: Source, options: CompileOptions, errors: list[AotgenError] | None = None) -> Graph:
    """The Graph of ``source``. ``errors``: when given, problems of single nodes are collected there and the rest of the
    model is still read; outputs that could not be computed are then absent."""
    importer = _Importer(source, errors)
    graph = source.model.graph
    inputs = true_inputs(graph)
    if len({i.name for i in inputs}) != len(inputs):
        raise ModelError("two inputs of the graph have the same name")
    b = Builder(graph.name)
    frame = Frame(b, source.opsets(), source.folder)
    frame.store(graph)
    for info, type_ in zip(inputs, bind_inputs(inputs, options), strict=True):
        frame.values[info.name] = b.input(info.name, type_)
    outputs = importer.run(frame, graph)
    for v in outputs:
        if v is not None and is_loose(v.type):
            raise UnsupportedError(f"the branch that an If takes decides the rank of output '{v.name}', {v.type}",
                                   hint="give both branches results of one rank")
    names = [o.name for o, v in zip(graph.output, outputs, strict=True) if v is not None]
    return rename_outputs(b.graph([v for v in outputs if v is not None]), names)


def true_inputs(graph: GraphProto) -> list[onnx.ValueInfoProto]:
    """The inputs a caller must give: those without a default (an initialiser or Constant of the same name)."""
    stored = {t.name for t in graph.initializer} | {s.values.name for s in graph.sparse_initializer}
    stored |= {o for n in graph.node if n.op_type == "Constant" for o in n.output}
    return [i for i in graph.input if i.name not in stored]


class _Importer:
    def __init__(self, source: Source, errors: list[AotgenError] | None) -> None:
        self.errors = errors
        self.local = functions.local_functions(source.model)

    # -- graphs
    def run(self, frame: Frame, graph: GraphProto) -> list[Value | None]:
        """Read the nodes of ``graph`` into ``frame``; its outputs (None where collecting errors and one failed)."""
        names = [o.name for o in graph.output]
        for node in check.ordered(graph.node, frame.knows, names, graph.name):
            self.node(frame, node)
        return [self._available(frame, name) for name in names]

    def _available(self, frame: Frame, name: str) -> Value | None:
        try:
            return frame.find(name)
        except Missing:
            return None

    def body(self, frame: Frame, graph: GraphProto, types: Sequence[AnyType]) -> Graph:
        """A subgraph as a Graph of its own whose inputs have ``types``; it may read values of ``frame``."""
        b = Builder(graph.name, parent=frame.builder)
        inner = frame.child(b)
        inner.store(graph)
        if len(types) != len(graph.input):
            raise ModelError(f"body '{graph.name}' takes {len(graph.input)} inputs, {len(types)} are given")
        for info, type_ in zip(graph.input, types, strict=True):
            inner.values[info.name] = b.input(info.name, type_)
        with facts.assuming():  # of what a body asks nothing holds outside: it may not run
            outputs = self.run(inner, graph)
        if any(v is None for v in outputs):
            raise Missing(f"body '{graph.name}' has errors")
        return b.graph([v for v in outputs if v is not None])

    # -- nodes
    def node(self, frame: Frame, proto: NodeProto) -> None:
        """Read one node. Errors are placed at it, and collected when the importer collects."""
        origin = frame.prefix + (proto.name or next((o for o in proto.output if o), ""))
        before = len(frame.builder.nodes)
        try:
            results = self._results(frame, proto, origin)
        except AotgenError as e:
            error = e.at(f"{proto.op_type} {origin}")
            if self.errors is None:
                raise error from None
            if not isinstance(e, Missing):
                self.errors.append(error)
            elif (unknown := self._unknown(frame, proto, origin)) is not None:
                self.errors.append(unknown)
            del frame.builder.nodes[before:]
            frame.values.update((name, None) for name in proto.output if name)
            return
        nodes = frame.builder.nodes
        nodes[before:] = [n if n.origin else replace(n, origin=origin) for n in nodes[before:]]
        for name, value in zip(proto.output, results, strict=False):
            if name and value is not None:
                frame.values[name] = value

    def _unknown(self, frame: Frame, proto: NodeProto, origin: str) -> AotgenError | None:
        """The error for an operator nobody knows, for a node that cannot be read because its inputs are missing."""
        domain = _domain(proto.domain)
        if functions.local_key(proto) in self.local or (proto.op_type == "Constant" and not domain):
            return None
        if _is_known(proto.op_type, domain) or has_adapter(proto.op_type, domain) or _has_function(proto.op_type, domain):
            return None
        return _no_such_operator(proto.op_type, domain, origin)

    def _results(self, frame: Frame, proto: NodeProto, origin: str) -> Results:
        where = f"{proto.op_type} {origin}"
        domain = _domain(proto.domain)
        inputs = [frame.find(name) for name in proto.input]
        attrs, graphs = attributes_of(proto.attribute, frame.folder, frame.attrs, where)
        if functions.local_key(proto) in self.local:
            return self._call(frame, self.local[functions.local_key(proto)], inputs, list(proto.output), attrs, [], origin)
        if domain not in frame.opsets and domain == "":
            raise ModelError("the model declares no operator set for the default domain")
        check.check_proto(proto, frame.opsets)
        opset = frame.opsets.get(domain, 1)
        if proto.op_type == "Constant" and domain == "":
            return (frame.builder.constant(_constant(attrs, where), proto.output[0]),)
        version = version_of(proto.op_type, domain, opset)
        draft = Draft(proto.op_type, domain, version, inputs, list(proto.output), attrs, graphs, origin)
        adapt(draft, frame.builder)
        results = draft.results if draft.results is not None else self._adapted(frame, draft)
        return draft.finish(results) if draft.finish else results

    def _adapted(self, frame: Frame, draft: Draft) -> Results:
        """The results of a node at the newest version of its operator."""
        if draft.op == "If" and draft.domain == "":
            taken = self._constant_branch(frame, draft)
            if taken is not None:
                return taken
        check.check_types(draft)
        if _is_known(draft.op, draft.domain):
            bodies = self._bodies(frame, draft)
            assumed = control.equality_that_decides_ranks(frame.builder, draft, bodies)
            if assumed is not None:
                outputs = self._inlined(frame, draft.graphs["then_branch"])
                return tuple(frame.builder.node("Assuming", [v, *assumed], {}, domain="aotgen")[0] for v in outputs)
            return self._build(frame.builder, draft, bodies)
        function = functions.schema_function(draft)
        if function is None:
            raise _no_such_operator(draft.op, draft.domain, draft.origin)
        if not any(_domain(o.domain) == "" for o in function.opset_import):  # it also holds the caller's own nodes
            function.opset_import.add(domain="", version=frame.opsets.get("", onnx.defs.onnx_opset_version()))
        defaults = functions.schema_defaults(draft.op, draft.domain)
        return self._call(frame, function, draft.inputs, draft.outputs, draft.attrs, defaults, draft.origin)

    def _build(self, b: Builder, draft: Draft, bodies: dict[str, Graph]) -> Results:
        before = len(b.nodes)
        results = b.node(draft.op, draft.inputs, plain(draft.attrs), domain=draft.domain, origin=draft.origin,
                         names=draft.outputs, bodies=bodies)
        if len(b.nodes) == before + 1:
            _fold_small(b, b.nodes[-1])
        return results

    def _bodies(self, frame: Frame, draft: Draft) -> dict[str, Graph]:
        """The subgraphs of a node. Where errors are collected, those of an If only if it has any that count."""
        collected = self.errors
        if draft.op == "If" and draft.domain == "":
            self.errors = None
            try:
                return self._branches(frame, draft)
            except AotgenError:
                if collected is None:
                    raise
            finally:
                self.errors = collected
        types, bodies = control.body_types(draft), {}
        missing: Missing | None = None
        for name, graph in draft.graphs.items():
            try:
                bodies[name] = self._settled_body(frame, draft, graph, types(name, graph))
            except Missing as e:  # its errors are collected: see the other bodies too
                missing = e
        if missing is not None:
            raise missing
        return bodies

    def _settled_body(self, frame: Frame, draft: Draft, graph: GraphProto, types: Sequence[AnyType]) -> Graph:
        """A body whose carried values may change their extents: read again with wider types until a trip ends as it began,
        at the latest when every extent of every carried value is a dim."""
        while True:
            before = len(self.errors) if self.errors is not None else 0
            body = self.body(frame, graph, types)
            wider = control.widened_types(draft, frame.builder, types, body)
            if wider == list(types):
                return body
            if self.errors is not None:
                del self.errors[before:]  # of the narrower reading
            types = wider

    def _branches(self, frame: Frame, draft: Draft) -> dict[str, Graph]:
        """Both branches of an If. One whose extents contradict each other cannot run at the sizes being compiled (it is
        meant for others: a second sample rate). The node's attribute ``NAME_refused`` then says why, and a run that takes it
        returns a status of its own."""
        bodies: dict[str, Graph] = {}
        failed: dict[str, ModelError] = {}
        for name, graph in draft.graphs.items():
            try:
                bodies[name] = self.body(frame, graph, [])
            except ModelError as e:
                failed[name] = e
        if len(bodies) == 1 and len(failed) == 1:
            (name, error), = failed.items()
            (other,) = bodies.values()
            if all(isinstance(v.type, TensorType) and v.dtype is not dtypes.string for v in other.outputs):
                draft.attrs[f"{name}_refused"] = f"{name} cannot run at the sizes compiled for: {error.message()}"
                return {name: control.void_body(frame.builder, draft.graphs[name].name, other), **bodies}
        for error in failed.values():
            raise error
        return bodies

    def _constant_branch(self, frame: Frame, draft: Draft) -> Results | None:
        """An If whose condition is known is the branch taken."""
        known = small_constant(frame.builder, draft.input(0))
        if known is None:
            return None
        return self._inlined(frame, draft.graphs["then_branch" if bool(known.ravel()[0]) else "else_branch"])

    def _inlined(self, frame: Frame, graph: GraphProto) -> tuple[Value, ...]:
        """The outputs of a branch that every run takes, read in place of its If."""
        inner = frame.child()
        inner.store(graph)
        outputs = [v for v in self.run(inner, graph) if v is not None]
        if len(outputs) != len(graph.output):
            raise Missing(f"branch '{graph.name}' has errors")
        return tuple(outputs)

    def _call(self, frame: Frame, function: FunctionProto, inputs: Sequence[Value | None], outputs: Sequence[str],
              attrs: dict[str, Any], schema_defaults: list[onnx.AttributeProto], origin: str) -> Results:
        """Read the body of ``function`` in place of a call; ``outputs``: what the call names its results ('': unused)."""
        if frame.depth > functions.MAX_DEPTH:
            raise ModelError(f"function '{function.name}' calls itself")
        if len(inputs) > len(function.input):
            raise ModelError(f"function '{function.name}' takes {len(function.input)} inputs, got {len(inputs)}")
        defaults, _ = attributes_of([*schema_defaults, *function.attribute_proto], frame.folder, {}, origin)
        given = functions.call_attributes(function, attrs, defaults)
        inner = frame.call(domain_versions(function.opset_import), given, f"{origin}/")
        absent = {name for k, name in enumerate(function.input) if k >= len(inputs) or inputs[k] is None}
        inner.values.update(zip(function.input, inputs, strict=False))
        nodes = [_without(node, absent) for node in function.node]
        wanted = [name for name, out in zip(function.output, outputs, strict=False) if out]
        for node in check.ordered(nodes, inner.knows, wanted, function.name):
            self.node(inner, node)
        return tuple(inner.find(name) if out else None for name, out in zip(function.output, outputs, strict=False))


def _without(node: NodeProto, absent: set[str]) -> NodeProto:
    """``node`` with the names of absent optional inputs blanked."""
    if not absent.intersection(node.input):
        return node
    copy = NodeProto()
    copy.CopyFrom(node)
    for k, name in enumerate(copy.input):
        if name in absent:
            copy.input[k] = ""
    return copy


def _domain(domain: str) -> str:
    return "" if domain == "ai.onnx" else domain


def _is_known(op: str, domain: str) -> bool:
    return registry.find(op, domain) is not None or (domain, op) in TYPE_RULES


def _has_function(op: str, domain: str) -> bool:
    schema = newest_schema(op, domain)
    return schema is not None and bool(schema.has_function or schema.has_context_dependent_function)


def _no_such_operator(op: str, domain: str, origin: str) -> AotgenError:
    name = f"{domain}.{op}" if domain else op
    known = newest_schema(op, domain) is not None
    return UnsupportedError(f"operator {name} is not supported yet" if known else f"unknown operator {name}",
                            node=f"{op} {origin}".strip(), hint="`aotgen ops` lists the operators that compile")


def _constant(attrs: dict[str, Any], where: str) -> Constant:
    """The contents of a Constant node, whichever attribute they are in."""
    forms = {"value": None, "sparse_value": None, "value_float": np.float32, "value_floats": np.float32,
             "value_int": np.int64, "value_ints": np.int64, "value_string": object, "value_strings": object}
    given = [(k, v) for k, v in attrs.items() if k in forms]
    if len(given) != 1:
        raise ModelError(f"a Constant has exactly one value, this one has {len(given)}", node=where)
    (name, value), = given
    return value if isinstance(value, Constant) else Constant.of(np.asarray(value, forms[name]))


def _fold_small(b: Builder, node: Node) -> None:
    """Replace the node just added by its contents when they are known, small and not yet tracked by the Builder: float
    arithmetic on shapes, which Resize, Range and Reshape need as numbers. Computed in the node's own precision, because
    a Floor or a Cast to an integer may follow and must round as it does at run time."""
    outputs = [v for v in node.outputs if v is not None]
    if node.bodies or not node.inputs or not all(_countable(v) for v in outputs) or not is_deterministic(node):
        return
    if registry.DIMS in node.attrs:
        return
    if registry.find(node.op, node.domain) is None:
        return
    known = {v: c for v in node.inputs if v is not None and (c := b.known(v)) is not None}
    if any(v is not None and (v not in known or known[v].dims is not None or known[v].size > KNOWN_LIMIT)
           for v in node.inputs):
        return
    arrays = contents_of([node], outputs, known, wide=False)
    b.nodes.pop()
    b.constants.update((v, Constant.of(a)) for v, a in zip(outputs, arrays, strict=True))


def _countable(v: Value) -> bool:
    if not isinstance(v.type, TensorType):
        return False
    size = int(np.prod([d if isinstance(d, int) else KNOWN_LIMIT + 1 for d in v.shape], dtype=np.int64))
    return size <= KNOWN_LIMIT and v.dtype is not dtypes.string
