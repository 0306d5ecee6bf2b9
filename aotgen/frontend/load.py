# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Reading a model: a path or a ModelProto becomes a ``Source``. Tensor contents stay where they are (see ``tensors``)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError

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


def _checked(source: Source) -> Source:
    model = source.model
    if not model.HasField("graph") or not (model.graph.node or model.graph.output):
        raise ModelError(f"{source.label} is not an ONNX model: it holds no graph")
    if not model.graph.output:
        raise ModelError(f"{source.label}: the graph has no outputs")
    for domain, version in source.opsets().items():
        newest = onnx.defs.onnx_opset_version()
        if domain == "" and not 1 <= version <= newest:
            raise ModelError(
                f"{source.label} asks for operator set {version}; 1 to {newest} are known",
                hint="export it for an older operator set, or install a newer onnx package",
            )
    return source
