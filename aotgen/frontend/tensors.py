# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""TensorProto -> lazy Constant. Nothing is loaded here: only sizes are checked."""

from __future__ import annotations

import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from aotgen.core import dtypes
from aotgen.core.dtypes import DType
from aotgen.core.errors import ModelError, UnsupportedError
from aotgen.ir.graph import Constant

Load = Callable[[], NDArray[Any]]


def constant_of(tensor: TensorProto, folder: Path | None, where: str = "") -> Constant:
    """The constant ``tensor`` describes; external data is mapped from inside ``folder`` when it is needed.

    Raises ModelError when dims, sizes or the external file are wrong, UnsupportedError for unknown dtypes.
    """
    where = where or f"tensor {tensor.name}"
    dtype = dtypes.BY_ONNX.get(tensor.data_type)
    if dtype is None:
        raise UnsupportedError(f"element type {tensor.data_type} is unknown", node=where)
    shape = tuple(int(d) for d in tensor.dims)
    if any(d < 0 for d in shape):
        raise ModelError(f"negative dims {list(shape)}", node=where)
    if tensor.HasField("segment"):
        raise UnsupportedError("the tensor is stored in segments", node=where)
    if tensor.data_location == TensorProto.EXTERNAL:
        return Constant(dtype, shape, _external(tensor, dtype, shape, folder, where))
    return Constant(dtype, shape, _inline(tensor, dtype, shape, where))


def sparse_constant(sparse: onnx.SparseTensorProto, folder: Path | None) -> Constant:
    """A sparse initialiser, dense when loaded."""
    values = constant_of(sparse.values, folder)
    indices = constant_of(sparse.indices, folder)
    shape = tuple(int(d) for d in sparse.dims)

    def load() -> NDArray[Any]:
        out = np.zeros(shape, values.dtype.numpy)
        at = indices.load()
        flat = at if at.ndim == 1 else np.ravel_multi_index(tuple(at.T), shape)
        out.reshape(-1)[flat] = values.load()
        return out

    return Constant(values.dtype, shape, load)


def _nbytes(dtype: DType, shape: tuple[int, ...]) -> int:
    return (math.prod(shape) * dtype.bits + 7) // 8


def _decode(raw: Any, tensor_type: int, dtype: DType, shape: tuple[int, ...]) -> NDArray[Any]:
    """Little-endian bytes as an array; sub-byte types are unpacked to one element a byte."""
    if dtype.bits < 8:
        packed = TensorProto(data_type=tensor_type, dims=shape, raw_data=bytes(raw))
        return np.asarray(numpy_helper.to_array(packed)).astype(dtype.numpy)
    stored = dtype.numpy.newbyteorder("<") if dtype.bits > 8 else dtype.numpy  # ml_dtypes' bytes know no order
    return np.frombuffer(raw, stored).reshape(shape)


def _inline(tensor: TensorProto, dtype: DType, shape: tuple[int, ...], where: str) -> Load:
    """Contents held in the message itself: raw bytes, or one of the typed fields."""
    if tensor.HasField("raw_data"):
        have, need = len(tensor.raw_data), _nbytes(dtype, shape)
        if have != need:
            raise ModelError(f"{dtype}{list(shape)} needs {need} bytes, the file holds {have}", node=where)
        return lambda: _decode(tensor.raw_data, tensor.data_type, dtype, shape)
    have, need = _typed_count(tensor, dtype), math.prod(shape)
    if have != need:
        raise ModelError(f"{dtype}{list(shape)} needs {need} elements, the file holds {have}", node=where)
    if dtype.kind == "s":
        return lambda: np.array([*map(dtypes.decode, tensor.string_data)], object).reshape(shape)
    return lambda: np.asarray(numpy_helper.to_array(tensor)).astype(dtype.numpy, copy=False)


def _typed_count(tensor: TensorProto, dtype: DType) -> int:
    if dtype.kind == "s":
        return len(tensor.string_data)
    if dtype.kind == "c":
        return len(tensor.double_data if dtype.bits == 128 else tensor.float_data) // 2
    field = {
        "f32": "float_data",
        "f64": "double_data",
        "i64": "int64_data",
        "u32": "uint64_data",
        "u64": "uint64_data",
    }
    count = len(getattr(tensor, field.get(dtype.name, "int32_data")))
    if dtype.bits < 8:  # packed: the last word may hold fewer
        per = 8 // dtype.bits
        return min(count * per, math.prod(int(d) for d in tensor.dims)) if count else 0
    return count


def _external(
    tensor: TensorProto, dtype: DType, shape: tuple[int, ...], folder: Path | None, where: str
) -> Load:
    """Contents in another file, mapped when loaded; the file must lie inside the model's folder and be long enough."""
    info = {e.key: e.value for e in tensor.external_data}
    location = info.get("location", "")
    if folder is None:
        raise ModelError(
            f"its data is in the file '{location}', but the model was given without a folder",
            node=where,
            hint="pass the model's path",
        )
    path = inside(folder, location, where)
    try:
        offset, length = int(info.get("offset", "0") or 0), int(info.get("length", "0") or 0)
    except ValueError:
        raise ModelError(
            f"offset or length of its external data is not a number: {info}", node=where
        ) from None
    need = _nbytes(dtype, shape)
    if length and length != need:
        raise ModelError(
            f"{dtype}{list(shape)} needs {need} bytes, its external data is declared as {length}", node=where
        )
    size = os.path.getsize(path)
    if offset < 0 or offset + need > size:
        raise ModelError(
            f"'{location}' holds {size} bytes, the tensor ends at byte {offset + need}",
            node=where,
            hint="the file is truncated or belongs to another model",
        )

    def load() -> NDArray[Any]:
        if not need:
            return np.empty(shape, dtype.numpy)
        raw = np.memmap(path, np.uint8, "r", offset, (need,))
        return _decode(raw, tensor.data_type, dtype, shape)

    return load


def inside(folder: Path, location: str, where: str) -> Path:
    """The file ``location`` names, which must lie inside ``folder`` (links followed). Raises ModelError."""
    if not location or "\0" in location:
        raise ModelError("its external data names no file", node=where)
    path = (folder / location).resolve()
    if os.path.isabs(location) or not path.is_relative_to(folder):
        raise ModelError(
            f"its external data '{location}' lies outside the model's folder",
            node=where,
            hint="external data must be next to the model or below it",
        )
    if not path.is_file():
        raise ModelError(f"its external data file '{location}' is missing", node=where)
    return path
