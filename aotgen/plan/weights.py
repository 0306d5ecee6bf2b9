# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The weights blob: a 64-byte header, then every distinct constant at a multiple of 64 bytes, little-endian.

Header: ``uint32`` magic, ``uint32`` version, ``uint64`` bytes of the whole blob, ``uint64`` fingerprint (the first eight
bytes of the SHA-256 of what follows the header), then zeros. The library compares all four with what it was built for,
once: a blob of another build, or of another byte order, is refused instead of computing nonsense.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from aotgen.core.errors import InternalError, UnsupportedError
from aotgen.ir.index import as_dim
from aotgen.ir.program import Buffer, Layout, Packed, Program
from aotgen.plan.liveness import ALIGN

MAGIC = 0x57544F41  # "AOTW", as bytes in the file
VERSION = 1
HEADER = 64


@dataclass(frozen=True, slots=True)
class WeightsPlan:
    """``offsets``: byte offset of each const buffer in the blob (equal contents share one); ``blobs``: what lies where,
    ascending; ``size``: bytes of the whole blob, 0 when there are no weights."""

    offsets: Mapping[Buffer, int]
    blobs: tuple[tuple[int, Buffer, Packed], ...]
    size: int

    @property
    def shared(self) -> int:
        """Buffers that share another's bytes."""
        return len(self.offsets) - len(self.blobs)


def plan_weights(program: Program) -> WeightsPlan:
    """Place the const buffers the steps use, in order of first use; strings have a table of their own (``plan.texts``)."""
    offsets: dict[Buffer, int] = {}
    blobs: list[tuple[int, Buffer, Packed]] = []
    known: dict[tuple[int, Layout, str], int] = {}
    at = HEADER
    for buffer in constants_used(program):
        if buffer.dtype.kind == "s":
            continue
        packed = program.weights[buffer]
        key = (id(packed.constant), packed.layout, buffer.dtype.name)
        if key in known:
            offsets[buffer] = known[key]
            continue
        offsets[buffer] = known[key] = at
        blobs.append((at, buffer, packed))
        at += -(-storage_size(buffer) * buffer.dtype.bytes // ALIGN) * ALIGN
    return WeightsPlan(offsets, tuple(blobs), at if blobs else 0)


def constants_used(program: Program) -> list[Buffer]:
    """The const buffers of the steps and outputs, in order of first use."""
    from aotgen.plan.liveness import accesses

    found = {b: None for step in program.steps for b in accesses(step)[0] if b.place == "const"}
    found.update({p.tensor.buffer: None for p in program.outputs if p.tensor.buffer.place == "const"})
    return list(found)


def storage_size(buffer: Buffer) -> int:
    """Elements of a const buffer."""
    if not isinstance(buffer.size, int):
        raise InternalError(f"constant {buffer.name} has an open size {buffer.size}")
    return buffer.size


def pack(array: NDArray[Any], layout: Layout) -> NDArray[Any]:
    """``array`` stored through ``layout``: 1-d, ``layout.size`` elements, pad lanes and halo zero."""
    size, base = as_dim(layout.size), as_dim(layout.base)
    strides = [s for s in map(as_dim, layout.strides) if isinstance(s, int)]
    if not isinstance(size, int) or not isinstance(base, int) or len(strides) < len(layout.strides):
        raise InternalError(f"the layout of a constant depends on open dims: {layout}")
    if tuple(array.shape) != layout.shape:
        raise InternalError(f"a constant of shape {array.shape} in a layout of {layout.shape}")
    if array.itemsize == 1 and array.dtype != np.uint8:  # NumPy cannot stride over some of ml_dtypes' types
        return pack(array.view(np.uint8), layout).view(array.dtype)
    out = np.zeros(size, array.dtype)
    if array.size == 0:
        return out
    steps = [s * array.itemsize for s in strides]
    axis, block = layout.block_axis, layout.block
    if axis < 0:
        view = np.lib.stride_tricks.as_strided(out[base:], array.shape, steps)
        view[...] = array
        return out
    # Whole blocks first, then what is left of the last one: pad lanes are never written.
    extent = array.shape[axis]
    for first, count, lanes in ((0, extent // block, block), (extent // block * block, 1, extent % block)):
        if count == 0 or lanes == 0:
            continue
        part = np.moveaxis(array, axis, -1)[..., first : first + count * lanes]
        rest = [s for n, s in enumerate(steps) if n != axis]
        start = base + first // block * strides[axis]
        shape = (*part.shape[:-1], count, lanes)
        view = np.lib.stride_tricks.as_strided(out[start:], shape, (*rest, steps[axis], array.itemsize))
        view[...] = part.reshape(shape)
    return out


def contents(buffer: Buffer, packed: Packed) -> bytes:
    """The bytes of one const buffer. Raises UnsupportedError for contents that no blob can hold."""
    constant = packed.constant
    if constant.dims is not None or buffer.dtype.kind == "s":
        raise UnsupportedError(f"constant {buffer.name} of {buffer.dtype} cannot be stored in the weights blob")
    array = np.ascontiguousarray(constant.load()).reshape(constant.shape)
    stored = pack(array.astype(buffer.dtype.numpy, copy=False), packed.layout)
    if stored.dtype.byteorder == ">" or (stored.dtype.byteorder == "=" and not np.little_endian):
        stored = stored.byteswap()
    data = stored.tobytes()
    if len(data) != storage_size(buffer) * buffer.dtype.bytes:
        raise InternalError(f"{buffer.name} holds {len(data)} bytes, its buffer {buffer.size} elements")
    return data


def write_blob(plan: WeightsPlan, out: BinaryIO) -> int:
    """Write the blob to a seekable file, one constant in memory at a time; returns the fingerprint."""
    start = out.tell()
    digest = hashlib.sha256()
    out.write(bytes(HEADER))
    for at, buffer, packed in plan.blobs:
        data = contents(buffer, packed)
        data += bytes(-len(data) % ALIGN)
        if out.tell() - start != at:
            raise InternalError(f"{buffer.name} lands at {out.tell() - start}, planned at {at}")
        digest.update(data)
        out.write(data)
    fingerprint = int.from_bytes(digest.digest()[:8], "little")
    end = out.tell()
    out.seek(start)
    out.write(struct.pack("<IIQQ", MAGIC, VERSION, plan.size, fingerprint))
    out.seek(end)
    return fingerprint
