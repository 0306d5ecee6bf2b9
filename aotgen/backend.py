# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``onnx.backend.base.Backend`` over the compiler: what scoreboards and onnx's own test runner drive.

    import aotgen.backend as backend
    outputs = backend.prepare(model).run([x, y])

A model whose input dims are all known is compiled once, in ``prepare``. One with open dims is compiled once for every
size; where the compiler refuses that, it is compiled again, at ``run``, for the sizes of the inputs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx.backend.base import Backend, BackendRep, Device, DeviceType, namedtupledict
from onnx.helper import make_graph, make_model, make_opsetid, make_tensor_value_info, np_dtype_to_tensor_dtype

from aotgen import api
from aotgen.core.errors import UnsupportedError, UsageError
from aotgen.frontend.dims import named_dims

Inputs = Sequence[Any] | Mapping[str, Any]


class AotgenRep(BackendRep):
    """A compiled model. The files live as long as this object."""

    def __init__(self, model: onnx.ModelProto, threads: int | None = None) -> None:
        self._model, self._threads = model, threads
        held = {i.name for i in model.graph.initializer}
        self._inputs = [i for i in model.graph.input if i.name not in held]
        self._names = [o.name for o in model.graph.output]
        self._scratch = tempfile.TemporaryDirectory(prefix="aotgen-backend-")
        self._by_shape: dict[tuple[tuple[int, ...], ...], api.Model] = {}
        self._general = self._whole()

    def _whole(self) -> api.Model | None:
        """One library for all sizes, or None where the sizes must be known first."""
        shapes = [named_dims(i) for i in self._inputs]
        is_open = any(s is None or any(isinstance(d, str) for d in s) for s in shapes)
        if not is_open:
            return self._compile({})
        try:
            return self._compile({}, dynamic=True)
        except (UnsupportedError, UsageError):
            return None

    def _compile(self, shapes: Mapping[str, Sequence[int]], dynamic: bool = False) -> api.Model:
        out = Path(self._scratch.name) / f"model{len(self._by_shape)}"
        made = api.compile(self._model, out, input_shapes=shapes, dynamic=dynamic, threads=self._threads, name="model")
        return made.load()

    def _for(self, feeds: Mapping[str, Any]) -> api.Model:
        if self._general is not None:
            return self._general
        shapes = {name: np.shape(value) for name, value in feeds.items()}
        key = tuple(shapes.values())
        if key not in self._by_shape:
            self._by_shape[key] = self._compile(shapes)
        return self._by_shape[key]

    def run(self, inputs: Inputs, **kwargs: Any) -> tuple[Any, ...]:
        """The outputs, in the graph's order and by name. ``inputs``: by position or by name; NumPy arrays. ``threads``: how
        many. Raises UsageError for missing inputs."""
        names = [i.name for i in self._inputs]
        if isinstance(inputs, Mapping):
            feeds = dict(inputs)
        else:
            given = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
            if len(given) > len(names):
                raise UsageError(f"{len(given)} inputs are given; the model has {len(names)}: {', '.join(names)}")
            feeds = dict(zip(names, given))
        feeds = {k: _array(v) for k, v in feeds.items()}
        results = self._for(feeds)(feeds, threads=kwargs.get("threads"))
        kind = namedtupledict("Outputs", self._names)
        return kind(*(results[n] for n in self._names))


def _array(value: Any) -> Any:
    return onnx.numpy_helper.to_array(value) if isinstance(value, onnx.TensorProto) else value


class AotgenBackend(Backend):
    """Compiles for the CPU it runs on. ``is_compatible`` is not asked: ``prepare`` says what it refuses, and why."""

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> AotgenRep:
        """Compile ``model``. ``threads``: the library's default number. Raises AotgenError subclasses."""
        if not cls.supports_device(device):
            raise UsageError(f"device {device} is not supported", hint="CPU")
        return AotgenRep(model, kwargs.get("threads"))

    @classmethod
    def run_model(cls, model: onnx.ModelProto, inputs: Inputs, device: str = "CPU", **kwargs: Any) -> tuple[Any, ...]:
        """Compile and run once."""
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(
        cls,
        node: onnx.NodeProto,
        inputs: Inputs,
        device: str = "CPU",
        outputs_info: Sequence[tuple[np.dtype[Any], tuple[int, ...]]] | None = None,
        **kwargs: Any,
    ) -> tuple[Any, ...]:
        """Compile and run one node; ``inputs`` in the order of its named inputs, ``opset_version`` says which operator set.
        Output types are inferred; ``outputs_info`` gives them where that fails."""
        names = list(dict.fromkeys(n for n in node.input if n))
        values = [inputs[n] for n in names] if isinstance(inputs, Mapping) else list(inputs)
        arrays = dict(zip(names, map(_array, values)))
        ins = [make_tensor_value_info(n, np_dtype_to_tensor_dtype(a.dtype), a.shape) for n, a in arrays.items()]
        outs = [onnx.ValueInfoProto(name=n) for n in node.output if n]
        for info, (dtype, shape) in zip(outs, outputs_info or ()):
            info.CopyFrom(make_tensor_value_info(info.name, np_dtype_to_tensor_dtype(np.dtype(dtype)), shape))
        version = int(kwargs.pop("opset_version", onnx.defs.onnx_opset_version()))
        opsets = [make_opsetid("", version)] + ([make_opsetid(node.domain, 1)] if node.domain else [])
        return cls.run_model(make_model(make_graph([node], "node", ins, outs), opset_imports=opsets), arrays, device, **kwargs)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        """The CPU only."""
        try:
            return bool(Device(device).type == DeviceType.CPU)
        except (AttributeError, ValueError):
            return False


is_compatible = AotgenBackend.is_compatible
prepare = AotgenBackend.prepare
run_model = AotgenBackend.run_model
run_node = AotgenBackend.run_node
supports_device = AotgenBackend.supports_device

__all__ = ["AotgenBackend", "AotgenRep", "is_compatible", "prepare", "run_model", "run_node", "supports_device"]
