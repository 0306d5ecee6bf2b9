# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The library's interface as rows that templates print: names, C types, shapes and sizes of inputs, outputs and dims."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aotgen.core import dtypes
from aotgen.core.dtypes import DType
from aotgen.core.errors import UnsupportedError
from aotgen.emit import dims as dims_text
from aotgen.emit import names
from aotgen.emit.text import clean_comment
from aotgen.ir import index
from aotgen.ir.bounds import bound
from aotgen.ir.graph import OptionalType, SequenceType
from aotgen.ir.index import Atom, Dim
from aotgen.ir.program import Buffer, LibraryCall, Port, Program, reads, writes
from aotgen.targets.cfamily import quoted

MAX_RANK = 8


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
    holds: str = ""  # "sequence", "optional", "optional_sequence": then the row is about the tensors in it
    code: int = 0  # ONNX's number of its element type
    rank: int = 0  # -1: any


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
    its pool; ``strings``: some tensor is of strings; ``takes_pool``: a function takes memory of its own, for text, from the pool."""

    name: str
    inputs: tuple[PortRow, ...]
    outputs: tuple[PortRow, ...]
    dims: tuple[DimRow, ...]
    conditions: tuple[ConditionRow, ...] = ()
    slots: int = 0
    strings: bool = False
    takes_pool: bool = False

    @property
    def uses_pool(self) -> bool:
        return self.slots > 0 or self.takes_pool

    @property
    def keeps_text(self) -> bool:
        """May results point at text that the run made?"""
        return self.takes_pool and any(r.dtype == dtypes.string.name for r in self.outputs)

    @property
    def owning(self) -> bool:
        """Do results own memory that the caller gives back?"""
        return self.keeps_text or any(r.slot >= 0 for r in self.outputs)

    @property
    def uses_lists(self) -> bool:
        """Are there sequences or optionals among the ports?"""
        return any(r.holds for r in (*self.inputs, *self.outputs))

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
            (a.lo or index.ix(0)).const() or 0,
            dims_text.LARGEST_DIM if a.hi is None else a.hi,
            a.hi is not None,
            comment(a.name),
        )
        for a in program.dims
    )
    conditions = tuple(ConditionRow(comment(str(c)), dims_text.condition(c)) for c in program.conditions)
    takes_pool = any(isinstance(s, LibraryCall) and s.takes_pool for s in program.walk())
    strings = any(r.dtype == dtypes.string.name for r in (*rows[0], *rows[1])) or uses_strings(program)
    return Interface(name, rows[0], rows[1], dims, conditions, len(slots), strings, takes_pool)


def uses_strings(program: Program) -> bool:
    """Does any step read or write a tensor of strings?"""
    return any(t.dtype is dtypes.string for s in program.walk() for t in (*reads(s), *writes(s)))


def comment(text: str) -> str:
    """``text`` made harmless inside ``/* */``."""
    return clean_comment(text).replace("*/", "* /").replace("/*", "/ *")


def literal(text: str) -> str:
    """``text`` as a C string literal."""
    return quoted(dtypes.encode(text))


def shape_text(shape: Sequence[Dim]) -> str:
    return ",".join(str(d) for d in shape)


def _largest(value: Dim, made: Sequence[Atom]) -> Dim:
    """``value`` where extents that steps make are as large as they can be; -1 where they have no bound."""
    most = bound(value, made) if made else value
    return -1 if most is None else most


def _holds(t: SequenceType | OptionalType) -> str:
    if isinstance(t, SequenceType):
        return "sequence"
    return "optional_sequence" if t.holds_sequence else "optional"


def _list_port(p: Port, t: SequenceType | OptionalType, member: str, slot: int) -> PortRow:
    """A sequence or optional: an array of tensors, each with its own shape."""
    inner = t.element if isinstance(t, OptionalType) else t
    shape = tuple(-1 if d is None else d for d in inner.shape or ())
    note = comment(f"{t}" if member == p.name else f"{t} {p.name}")
    return PortRow(p.name, member, inner.dtype.c, inner.dtype.name, inner.dtype.bytes, shape, (), "0", 0, note, literal(p.name),
                   (), slot, _holds(t), inner.dtype.onnx,
                   -1 if inner.shape is None else len(inner.shape))


def _packing(dtype: DType) -> str:
    """What the C type does not say: how elements lie in memory where it is not one element to one value."""
    if dtype.kind == "c":
        return ", real and imaginary parts in turn"
    return ", one element to a byte, in its low bits" if dtype.bits < 8 else ""


def _port(p: Port, member: str, made: Sequence[Atom] = (), slot: int = -1) -> PortRow:
    if isinstance(p.type, (SequenceType, OptionalType)):
        return _list_port(p, p.type, member, slot)
    t = p.tensor
    if len(t.shape) > MAX_RANK:
        raise UnsupportedError(f"rank {len(t.shape)} is more than the interface's {MAX_RANK}", node=p.name)
    size = index.as_dim(index.ix(t.buffer.size) * t.dtype.bytes) if slot < 0 else 0
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
        t.dtype.align,
        shape,
        tuple(dims_text.spell(_largest(d, made)) for d in t.shape),
        dims_text.spell(size),
        size if isinstance(size, int) else 0,
        comment(note),
        literal(p.name),
        tuple(dims_text.spell(d) for d in t.shape) if found else (),
        slot,
    )
