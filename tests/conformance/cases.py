# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The official cases of the onnx package, and the three ways each is built.

``static``: every input dim is the test data's. ``dynamic``: every dim of every input is open and nothing is declared of
the outputs, so that no answer can be read off the model. ``constants``: the first data set's inputs are initializers.
The same rule holds for every case; there are no options of single cases.
"""

from __future__ import annotations

import hashlib
import re
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from onnx.backend.test.loader import load_model_tests
from onnx.backend.test.runner import Runner

MODES = ("static", "dynamic", "constants")
DATA_KINDS = ("simple", "pytorch-converted", "pytorch-operator")
Value = Any  # an array, a list of values (a sequence) or None (an empty optional)
DataSet = tuple[list[Value], list[Value]]


@dataclass(frozen=True)
class Case:
    """``model`` with its ``data`` (inputs and expected outputs, in the graph's order) and the suite's tolerances."""

    name: str
    kind: str
    model: onnx.ModelProto
    data: list[DataSet]
    rtol: float
    atol: float

    @property
    def operator(self) -> str:
        """The operator that the case is about: its one node's, else empty."""
        nodes = self.model.graph.node
        if len(nodes) != 1:
            return ""
        return f"{nodes[0].domain}.{nodes[0].op_type}" if nodes[0].domain else nodes[0].op_type

    @property
    def dtype(self) -> str:
        """The element type of the first input, else of the first output, in onnx's words."""
        infos = [*self.model.graph.input, *self.model.graph.output]
        return element(infos[0].type) if infos else "none"


def element(proto: onnx.TypeProto) -> str:
    """``float``, ``int64``, ``seq(float)``, ``optional(...)``."""
    kind = proto.WhichOneof("value")
    if kind == "tensor_type":
        return onnx.TensorProto.DataType.Name(proto.tensor_type.elem_type).lower()
    if kind == "sequence_type":
        return f"seq({element(proto.sequence_type.elem_type)})"
    return f"optional({element(proto.optional_type.elem_type)})" if kind == "optional_type" else str(kind)


@lru_cache(maxsize=1)
def everything() -> dict[str, Case]:
    """Every case whose data the onnx package holds or makes, by name."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return {case.name: case for case in (*_node_cases(), *_stored_cases(), *_real_cases())}


def names(mode: str) -> list[str]:
    """The cases that are built in ``mode``: all, but that a whole network of constants is not folded, which is the
    interpreter's work and not the compiler's."""
    return [c.name for c in everything().values() if mode != "constants" or c.kind != "real"]


def _node_cases() -> Iterator[Case]:
    for t in load_model_tests(kind="node"):
        data = [([_array(v) for v in ins], [_array(v) for v in outs]) for ins, outs in t.data_sets]
        yield Case(t.name, "node", t.model, data, t.rtol, t.atol)


def _stored_cases() -> Iterator[Case]:
    for kind in DATA_KINDS:
        for t in load_model_tests(kind=kind):
            folder = Path(t.model_dir)
            model = onnx.load(folder / "model.onnx")
            outer = {i.name for i in model.graph.initializer}
            given = [i.type for i in model.graph.input if i.name not in outer]
            types = given, [o.type for o in model.graph.output]
            data = []
            for stored in sorted(folder.glob("test_data_set_*")):
                ins, outs = ([_stored(stored / f"{word}_{n}.pb", t) for n, t in enumerate(side)]
                             for word, side in zip(("input", "output"), types))
                data.append((ins, outs))
            if data:
                yield Case(t.name, kind, model, data, t.rtol, t.atol)


def _real_cases() -> Iterator[Case]:
    """Whole networks whose weights are made by ConstantOfShape, on the ramp that onnx's own runner feeds them."""
    package = Path(onnx.__file__).parent.parent
    for t in load_model_tests(kind="real"):
        path = package / t.url
        model = onnx.load(path)
        ins = [Runner.generate_dummy_data(i, name=t.name) for i in free_inputs(model)]
        outs = [_stored(path.with_name(f"{path.stem}_output_{n}.pb"), o.type) for n, o in enumerate(model.graph.output)]
        yield Case(t.name, "real", model, [(ins, outs)], t.rtol, t.atol)


def _stored(path: Path, proto: onnx.TypeProto) -> Value:
    kind = proto.WhichOneof("value")
    if kind == "sequence_type":
        return numpy_helper.to_list(onnx.SequenceProto.FromString(path.read_bytes()))
    if kind == "optional_type":
        return numpy_helper.to_optional(onnx.OptionalProto.FromString(path.read_bytes()))
    return numpy_helper.to_array(onnx.TensorProto.FromString(path.read_bytes()))


def _array(value: Value) -> Value:
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    return np.asarray(value) if isinstance(value, (np.generic, int, float)) else value


def sampled(name: str, part: int) -> bool:
    """Whether a case belongs to the sample of one in ``part``: decided by its name alone."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") % part == 0


def free_inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """The inputs that a caller gives: those without an initializer."""
    held = {i.name for i in model.graph.initializer}
    return [i for i in model.graph.input if i.name not in held]


def built(case: Case, mode: str) -> onnx.ModelProto:
    """The model of ``case`` as ``mode`` compiles it."""
    model = onnx.ModelProto()
    model.CopyFrom(case.model)
    if mode == "static":
        for info, value in zip(free_inputs(model), case.data[0][0]):
            _bind(info, value)
    elif mode == "dynamic":
        for info in free_inputs(model):
            _open(info)
        for output in model.graph.output:
            _forget(output.type)
        del model.graph.value_info[:]
    else:
        _embed(model, case.data[0][0])
    return model


def _bind(info: onnx.ValueInfoProto, value: Value) -> None:
    if info.type.WhichOneof("value") == "tensor_type" and isinstance(value, np.ndarray):
        shape = info.type.tensor_type.shape
        info.type.tensor_type.shape.CopyFrom(shape)  # a declared rank of zero is a shape too
        del shape.dim[:]
        for extent in value.shape:
            shape.dim.add().dim_value = extent


def _open(info: onnx.ValueInfoProto) -> None:
    if info.type.WhichOneof("value") == "tensor_type":
        for k, d in enumerate(info.type.tensor_type.shape.dim):
            d.Clear()
            d.dim_param = f"{re.sub(r'[^A-Za-z0-9]', '_', info.name)}_d{k}"  # no sign of arithmetic in it


def _forget(proto: onnx.TypeProto) -> None:
    if proto.WhichOneof("value") == "tensor_type":
        proto.tensor_type.ClearField("shape")


def _embed(model: onnx.ModelProto, inputs: list[Value]) -> None:
    kept = []
    values = dict(zip((i.name for i in free_inputs(model)), inputs))
    for info in model.graph.input:
        value = values.get(info.name)
        if isinstance(value, np.ndarray) and info.type.WhichOneof("value") == "tensor_type":
            tensor = numpy_helper.from_array(value, info.name)
            if tensor.data_type == info.type.tensor_type.elem_type:
                model.graph.initializer.append(tensor)
                continue
        kept.append(info)
    del model.graph.input[:]
    model.graph.input.extend(kept)
