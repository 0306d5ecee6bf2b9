# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The one table of element types: what a tensor is stored as and what it is computed in.

A *storage* type belongs to buffers (``f16`` in memory is two bytes); a *compute* type belongs to expressions
(``f32 f64 i32 i64 u32 u64 bool``, and ``string``). Loading casts storage to compute, storing casts back.

A string is UTF-8 in a library and ``str`` in NumPy's object arrays; bytes that are no UTF-8 become lone surrogates and back
(``encode``, ``decode``), so nothing is lost on the way.
"""

from __future__ import annotations

from dataclasses import dataclass

import ml_dtypes
import numpy as np


@dataclass(frozen=True, slots=True)
class DType:
    """One row: ``name`` (ours), ``onnx`` (TensorProto enum), ``numpy``, ``bits`` in memory, ``kind``
    (``f`` float, ``i`` signed, ``u`` unsigned, ``b`` bool, ``c`` complex, ``s`` string), ``compute`` (name of the
    type expressions use) and ``c`` (the C++ type of one element in memory). ``port``: its type in the library's C interface,
    where a complex number is two floats."""

    name: str
    onnx: int
    numpy: np.dtype[np.generic]
    bits: int
    kind: str
    compute: str
    c: str

    @property
    def bytes(self) -> int:
        """Bytes of one element; sub-byte types count one whole byte (they are stored unpacked in workspace)."""
        return max(1, self.bits // 8)

    @property
    def align(self) -> int:
        """Bytes that an element's address is a multiple of: half of a complex number; of a string its pointer."""
        return self.bytes // 2 if self.kind in "cs" else self.bytes

    @property
    def port(self) -> str:
        """The C type of a port's pointer: a complex number is two of its parts."""
        return {"c64": "float", "c128": "double"}.get(self.name, self.c)

    @property
    def is_float(self) -> bool:
        return self.kind == "f"

    @property
    def is_integer(self) -> bool:
        return self.kind in "iu"

    @property
    def is_bool(self) -> bool:
        return self.kind == "b"

    def __repr__(self) -> str:
        return self.name

    def __str__(self) -> str:
        return self.name


def _row(name: str, onnx: int, numpy: object, bits: int, kind: str, compute: str, c: str) -> DType:
    return DType(name, onnx, np.dtype(numpy), bits, kind, compute, c)  # type: ignore[call-overload]


TABLE: tuple[DType, ...] = (
    _row("f32", 1, np.float32, 32, "f", "f32", "float"),
    _row("u8", 2, np.uint8, 8, "u", "i32", "uint8_t"),
    _row("i8", 3, np.int8, 8, "i", "i32", "int8_t"),
    _row("u16", 4, np.uint16, 16, "u", "i32", "uint16_t"),
    _row("i16", 5, np.int16, 16, "i", "i32", "int16_t"),
    _row("i32", 6, np.int32, 32, "i", "i32", "int32_t"),
    _row("i64", 7, np.int64, 64, "i", "i64", "int64_t"),
    _row("string", 8, np.object_, 128, "s", "string", "aotgen_string"),
    _row("bool", 9, np.bool_, 8, "b", "bool", "uint8_t"),
    _row("f16", 10, np.float16, 16, "f", "f32", "uint16_t"),
    _row("f64", 11, np.float64, 64, "f", "f64", "double"),
    _row("u32", 12, np.uint32, 32, "u", "u32", "uint32_t"),
    _row("u64", 13, np.uint64, 64, "u", "u64", "uint64_t"),
    _row("c64", 14, np.complex64, 64, "c", "c64", "complex64"),
    _row("c128", 15, np.complex128, 128, "c", "c128", "complex128"),
    _row("bf16", 16, ml_dtypes.bfloat16, 16, "f", "f32", "uint16_t"),
    _row("f8e4m3fn", 17, ml_dtypes.float8_e4m3fn, 8, "f", "f32", "uint8_t"),
    _row("f8e4m3fnuz", 18, ml_dtypes.float8_e4m3fnuz, 8, "f", "f32", "uint8_t"),
    _row("f8e5m2", 19, ml_dtypes.float8_e5m2, 8, "f", "f32", "uint8_t"),
    _row("f8e5m2fnuz", 20, ml_dtypes.float8_e5m2fnuz, 8, "f", "f32", "uint8_t"),
    _row("u4", 21, ml_dtypes.uint4, 4, "u", "i32", "uint8_t"),
    _row("i4", 22, ml_dtypes.int4, 4, "i", "i32", "int8_t"),
    _row("f4e2m1", 23, ml_dtypes.float4_e2m1fn, 4, "f", "f32", "uint8_t"),
    _row("f8e8m0", 24, ml_dtypes.float8_e8m0fnu, 8, "f", "f32", "uint8_t"),
    _row("u2", 25, ml_dtypes.uint2, 2, "u", "i32", "uint8_t"),
    _row("i2", 26, ml_dtypes.int2, 2, "i", "i32", "int8_t"),
    _row("f6e2m3", 27, ml_dtypes.float6_e2m3fn, 6, "f", "f32", "uint8_t"),
    _row("f6e3m2", 28, ml_dtypes.float6_e3m2fn, 6, "f", "f32", "uint8_t"),
)

BY_NAME: dict[str, DType] = {row.name: row for row in TABLE}
BY_ONNX: dict[int, DType] = {row.onnx: row for row in TABLE}
BY_NUMPY: dict[np.dtype[np.generic], DType] = {row.numpy: row for row in TABLE}

f32, f64, i32, i64, u32, u64 = (BY_NAME[n] for n in ("f32", "f64", "i32", "i64", "u32", "u64"))
boolean, u8, i8, f16, bf16, string = (BY_NAME[n] for n in ("bool", "u8", "i8", "f16", "bf16", "string"))


# No element type: the handle of a sequence or an optional, which is a slot of a run's pool.
sequence = _row("sequence", 0, np.object_, 64, "q", "sequence", "void")


def encode(text: str) -> bytes:
    """The bytes of a string. Raises UnicodeEncodeError for a lone surrogate that ``decode`` does not make."""
    return text.encode("utf-8", "surrogateescape")


def decode(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def of(key: str | int | np.dtype[np.generic] | DType) -> DType:
    """The row for one of our names, an ONNX enum or a NumPy dtype. Raises KeyError when there is none."""
    if isinstance(key, DType):
        return key
    if isinstance(key, str):
        return BY_NAME[key]
    if isinstance(key, (int, np.integer)):
        return BY_ONNX[int(key)]
    return BY_NUMPY[np.dtype(key)]


def compute_of(dtype: DType) -> DType:
    """The compute type of a storage type, e.g. ``f16 -> f32``, ``u8 -> i32``."""
    return BY_NAME[dtype.compute]
