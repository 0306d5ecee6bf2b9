# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The library's interface as rows that templates print: names, C types, shapes and sizes of inputs, outputs and dims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aotgen.core.dtypes import DType
from aotgen.core.errors import UnsupportedError
from aotgen.emit import dims as dims_text
from aotgen.emit import names
from aotgen.emit.text import clean_comment
from aotgen.ir import index
from aotgen.ir.bounds import bound
from aotgen.ir.index import Atom, Dim
from aotgen.ir.program import Buffer, Port, Program

MAX_RANK = 8
LARGEST_DIM = 2**31 - 1


@dataclass(frozen=True, slots=True)
class PortRow:
    """``member`` of the struct, ``ctype`` of an element, ``extents`` and ``bytes``: C expressions over ``d``; ``shape``:
    ints, dim names, or the polynomial as text."""

    name: str
    member: str
    ctype: str
    dtype: str
    align: int
    shape: tuple[int | str, ...]
    extents: tuple[str, ...]
    bytes: str
    fixed_bytes: int
    note: str
    literal: str
    by_data: tuple[str, ...] = ()  # what the extents are once it has run, where a run makes one of them
    slot: int = -1  # of the pool, where a run makes room for it


@dataclass(frozen=True, slots=True)
class DimRow:
    """An open dim: ONNX ``name``, struct ``member``, inclusive bounds."""

    name: str
    member: str
    lo: int
    hi: int
    bounded: bool
    note: str


@dataclass(frozen=True, slots=True)
class ConditionRow:
    """What open dims must satisfy beyond their bounds: over ONNX names (``text``), and a C expression over ``d`` (``test``)."""

    text: str
    test: str


@dataclass(frozen=True, slots=True)
class Interface:
    """Everything the header declares, for a library called ``name``. ``slots``: how many values a run takes room for in
    its pool."""

    name: str
    inputs: tuple[PortRow, ...]
    outputs: tuple[PortRow, ...]
    dims: tuple[DimRow, ...]
    conditions: tuple[ConditionRow, ...] = ()
    slots: int = 0

    @property
    def uses_pool(self) -> bool:
        return self.slots > 0

    @property
    def owning(self) -> bool:
        """Do results own memory that the caller gives back?"""
        return any(r.slot >= 0 for r in self.outputs)

    @property
    def dims_error(self) -> str:
        """What the status ``dims`` means, as a C string literal."""
        also = ", or it is not so that " if self.conditions else ""
        return literal(f"a dim is outside its bounds{also}{' and '.join(c.text for c in self.conditions)}")

    def member(self, port: Port, output: bool) -> str:
        rows = self.outputs if output else self.inputs
        return next(r.member for r in rows if r.name == port.name)


def interface(program: Program, name: str, slots: Mapping[Buffer, int] | None = None) -> Interface:
    """The interface of ``program``. Raises UnsupportedError for ranks that ``shape[8]`` cannot hold."""
    rows = []
    slots = slots or {}
    for ports in (program.inputs, program.outputs):
        table = names.NameTable()
        rows.append(tuple(_port(p, table.fresh(p.name), program.data_dims, slots.get(p.tensor.buffer, -1)) for p in ports))
    dims = tuple(
        DimRow(
            a.name,
            names.member(a.name),
            (a.lo or index.ix(1)).const() or 1,
            LARGEST_DIM if a.hi is None else a.hi,
            a.hi is not None,
            comment(a.name),
        )
        for a in program.dims
    )
    conditions = tuple(ConditionRow(comment(str(c)), dims_text.condition(c)) for c in program.conditions)
    return Interface(name, rows[0], rows[1], dims, conditions, len(slots))


def comment(text: str) -> str:
    """``text`` made harmless inside ``/* */``."""
    return clean_comment(text).replace("*/", "* /").replace("/*", "/ *")


def literal(text: str) -> str:
    """``text`` as a C string literal; bytes beyond ASCII in octal."""
    out = "".join(chr(b) if 32 <= b < 127 and chr(b) not in '"\\?' else f"\\{b:03o}" for b in text.encode())
    return f'"{out}"'


def shape_text(shape: Sequence[Dim]) -> str:
    return ",".join(str(d) for d in shape)


def _largest(value: Dim, made: Sequence[Atom]) -> Dim:
    """``value`` where extents that steps make are as large as they can be; -1 where they have no bound."""
    most = bound(value, made) if made else value
    return -1 if most is None else most


def _packing(dtype: DType) -> str:
    """What the C type does not say: how elements lie in memory where it is not one element to one value."""
    if dtype.kind == "c":
        return ", real and imaginary parts in turn"
    return ", one element to a byte, in its low bits" if dtype.bits < 8 else ""


def _port(p: Port, member: str, made: Sequence[Atom] = (), slot: int = -1) -> PortRow:
    t = p.tensor
    if len(t.shape) > MAX_RANK:
        raise UnsupportedError(f"rank {len(t.shape)} is more than the interface's {MAX_RANK}", node=p.name)
    size = index.as_dim(index.ix(t.buffer.size) * t.dtype.bytes) if slot < 0 else 0
    each = t.dtype.bytes // 2 if t.dtype.kind == "c" else t.dtype.bytes
    shape = tuple(d if isinstance(d, int) else str(d) for d in t.shape)
    note = f"{t.dtype}[{shape_text(t.shape)}]{_packing(t.dtype)}"
    found = any(a in made for d in t.shape for a in index.dims_of(d))
    if found and slot < 0:
        note += f", at most [{shape_text([_largest(d, made) for d in t.shape])}]"
    if member != p.name:
        note += f" {comment(p.name)}"
    return PortRow(
        p.name,
        member,
        t.dtype.port,
        t.dtype.name,
        each,
        shape,
        tuple(dims_text.spell(_largest(d, made)) for d in t.shape),
        dims_text.spell(size),
        size if isinstance(size, int) else 0,
        comment(note),
        literal(p.name),
        tuple(dims_text.spell(d) for d in t.shape) if found else (),
        slot,
    )
