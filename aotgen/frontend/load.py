# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Reading a model: a path or a ModelProto becomes a ``Source``. Tensor contents stay where they are (see ``tensors``)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from aotgen.core.errors import ModelError, UsageError

PROTOBUF_LIMIT = 2**31 - 1  # bytes: protobuf refuses larger messages


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A parsed model. ``folder``: where external tensor data may lie (None: nowhere). ``label``: its name in messages."""

    model: onnx.ModelProto
    folder: Path | None
    label: str

    def opsets(self) -> dict[str, int]:
        """Operator set versions by domain, the default domain spelled ``""``."""
        return domain_versions(self.model.opset_import)


def domain_versions(imports: object) -> dict[str, int]:
    """``{domain: version}`` of a list of OperatorSetIdProto; a model that names none means version 1."""
    out = {"" if o.domain == "ai.onnx" else o.domain: int(o.version) for o in imports}  # type: ignore[attr-defined]
    return out or {"": 1}


def read(model: str | Path | onnx.ModelProto, folder: Path | None = None) -> Source:
    """Parse ``model``. ``folder``: where the external data of a ModelProto lies.

    Raises UsageError when there is no such file, ModelError when it is not a whole ONNX model.
    """
    if isinstance(model, onnx.ModelProto):
        return _checked(Source(model, folder.resolve() if folder else None, model.graph.name or "model"))
    path = Path(model)
    if not path.is_file():
        raise UsageError(f"no such file: {path}", hint="give the path of an .onnx file")
    if path.stat().st_size > PROTOBUF_LIMIT:
        raise ModelError(
            f"{path.name} is {path.stat().st_size} bytes, more than an ONNX file may hold (2 GiB)",
            hint="save the weights as external data",
        )
    proto = onnx.ModelProto()
    try:
        proto.ParseFromString(path.read_bytes())
    except DecodeError:
        raise ModelError(
            f"{path.name} is not an ONNX model, or it is truncated",
            hint="compare its size or checksum with the original's",
        ) from None
    except OSError as e:
        raise UsageError(f"cannot read {path}: {e.strerror}") from None
    return _checked(Source(proto, path.resolve().parent, path.name))


def _refuse_bytes(graph: onnx.GraphProto | onnx.FunctionProto, label: str) -> None:
    """Raise ModelError for a name that is not text: protobuf hands damaged UTF-8 over as bytes."""
    names: list[object] = [graph.name]
    if isinstance(graph, onnx.GraphProto):
        infos = (*graph.input, *graph.output)
        names += [i.name for i in infos] + [t.name for t in graph.initializer] + [t.values.name for t in graph.sparse_initializer]
        names += [d.dim_param for i in infos for d in i.type.tensor_type.shape.dim]
    else:
        names += [graph.domain, graph.overload, *graph.input, *graph.output, *graph.attribute]
    for node in graph.node:
        names += [node.name, node.op_type, node.domain, node.overload, *node.input, *node.output]
        for a in node.attribute:
            names += [a.name, a.ref_attr_name]
            for body in (a.g, *a.graphs) if a.HasField("g") else a.graphs:
                _refuse_bytes(body, label)
    if any(isinstance(n, bytes) for n in names):
        raise ModelError(f"{label} is damaged: a name in it is not text")


def _checked(source: Source) -> Source:
    model = source.model
    if not model.HasField("graph") or not (model.graph.node or model.graph.output):
        raise ModelError(f"{source.label} is not an ONNX model: it holds no graph")
    if not model.graph.output:
        raise ModelError(f"{source.label}: the graph has no outputs")
    _refuse_bytes(model.graph, source.label)
    for function in model.functions:
        _refuse_bytes(function, source.label)
    for domain, version in source.opsets().items():
        newest = onnx.defs.onnx_opset_version()
        if domain == "" and not 1 <= version <= newest:
            raise ModelError(
                f"{source.label} asks for operator set {version}; 1 to {newest} are known",
                hint="export it for an older operator set, or install a newer onnx package",
            )
    return source
