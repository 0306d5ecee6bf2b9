# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Graph: what a model computes. Frozen nodes over SSA values, ONNX operators at the newest opset, bodies for control flow."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aotgen.core import dtypes
from aotgen.core.dtypes import DType
from aotgen.ir import index
from aotgen.ir.index import Atom, Dim


@dataclass(frozen=True, slots=True)
class TensorType:
    """``shape``: extents, each an int or a polynomial of named dims. ``loose``: so many of the leading ones, each 1, are not
    there in some branch of an If (see ``ops.loose``)."""

    dtype: DType
    shape: tuple[Dim, ...]
    loose: int = 0

    def __repr__(self) -> str:
        return f"{self.dtype}[{','.join(f'{d}?' if k < self.loose else str(d) for k, d in enumerate(self.shape))}]"


@dataclass(frozen=True, slots=True)
class SequenceType:
    """A list of tensors of one element type. ``shape``: an extent that differs between them, or may, is None; None where
    not even their rank is known. ``empty``: there is none of them yet, so nothing is said of their shape."""

    dtype: DType
    shape: tuple[int | None, ...] | None = None
    empty: bool = False

    def __repr__(self) -> str:
        dims = "?" if self.shape is None else ",".join("?" if d is None else str(d) for d in self.shape)
        return f"seq({self.dtype}[{'' if self.empty else dims}])"


@dataclass(frozen=True, slots=True)
class OptionalType:
    """A value that may be absent: a tensor (described as that of a sequence is), or a sequence."""

    element: SequenceType
    holds_sequence: bool = False

    def __repr__(self) -> str:
        return f"optional({self.element if self.holds_sequence else repr(self.element)[4:-1]})"


AnyType = TensorType | SequenceType | OptionalType


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """An SSA value; identity is the value."""

    name: str
    type: AnyType

    @property
    def tensor(self) -> TensorType:
        assert isinstance(self.type, TensorType), f"{self.name} is {self.type}, not a tensor"
        return self.type

    @property
    def storage(self) -> TensorType:
        """What it is stored as: a tensor, or the handle of a sequence or optional."""
        return self.type if isinstance(self.type, TensorType) else TensorType(dtypes.sequence, ())

    @property
    def dtype(self) -> DType:
        return self.tensor.dtype

    @property
    def shape(self) -> tuple[Dim, ...]:
        return self.tensor.shape

    def dims(self) -> Iterator[Atom]:
        """The dims in its shape."""
        if isinstance(self.type, TensorType):
            yield from (a for d in self.type.shape for a in index.dims_of(d))

    def __repr__(self) -> str:
        return f"%{self.name}: {self.type}"


@dataclass(frozen=True, slots=True, eq=False)
class Constant:
    """A lazy constant: ``load()`` materialises it (a slice of the mapped file, or a recorded fold); nothing is held.

    ``dims`` is set instead when the elements are integers known only as polynomials of open dims.
    """

    dtype: DType
    shape: tuple[int, ...]
    load: Callable[[], NDArray[Any]]
    dims: tuple[Dim, ...] | None = None

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=np.int64))

    @staticmethod
    def of(array: NDArray[Any]) -> Constant:
        """A constant that holds a (small) array."""
        array = np.asarray(array)
        return Constant(dtypes.of(array.dtype), tuple(map(int, array.shape)), lambda: array)

    @staticmethod
    def of_dims(values: tuple[Dim, ...], shape: tuple[int, ...], dtype: DType) -> Constant:
        """Integer contents some of which are polynomials of open dims."""

        def refuse() -> NDArray[Any]:
            raise TypeError(f"contents {values} are known only at run time")

        if all(isinstance(v, int) for v in values):
            return Constant.of(np.array(values, dtype.numpy).reshape(shape))
        return Constant(dtype, shape, refuse, tuple(map(index.as_dim, values)))


def mentioned_by(v: Value, constants: Mapping[Value, Constant]) -> Iterator[Atom]:
    """The dims in the shape of ``v`` and, where it is one of ``constants``, in its contents."""
    yield from v.dims()
    yield from (a for d in (constants[v].dims if v in constants else None) or () for a in index.dims_of(d))


def fingerprint(a: NDArray[Any]) -> Hashable:
    """Equal for arrays of one dtype and shape whose contents are equal, bit by bit."""
    return tuple(a.ravel()) if a.dtype == object else np.ascontiguousarray(a).tobytes()


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """One operator application. ``inputs`` may hold None (an absent optional input); ``bodies`` maps attribute name to
    subgraph; bodies refer to outer values directly. ``origin`` is the ONNX node name, for errors and comments."""

    op: str
    inputs: tuple[Value | None, ...]
    outputs: tuple[Value | None, ...]
    attrs: Mapping[str, Any] = field(default_factory=dict)
    domain: str = ""
    origin: str = ""
    bodies: Mapping[str, Graph] = field(default_factory=dict)

    def uses(self) -> Iterator[Value]:
        """Every value read, also by bodies (outer values they capture)."""
        yield from (v for v in self.inputs if v is not None)
        for body in self.bodies.values():
            yield from body.captured()

    def dims(self, constants: Mapping[Value, Constant]) -> Iterator[Atom]:
        """The dims it mentions: in the shapes of its operands and results, in their ``constants``, in its bodies."""
        for v in (*self.inputs, *self.outputs):
            if v is not None:
                yield from mentioned_by(v, constants)
        for body in self.bodies.values():
            yield from body.mentioned()

    def where(self) -> str:
        """``Conv /layer1/conv`` for messages."""
        return f"{self.op} {self.origin}".strip()


@dataclass(frozen=True, slots=True, eq=False)
class Graph:
    """``nodes`` are in topological order; ``constants`` maps values to their lazy contents."""

    name: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    nodes: tuple[Node, ...]
    constants: Mapping[Value, Constant] = field(default_factory=dict)

    def captured(self) -> Iterator[Value]:
        """Values of an outer graph that this body reads."""
        own = {*self.inputs, *self.constants}
        for node in self.nodes:
            yield from (v for v in node.uses() if v not in own)
            own.update(v for v in node.outputs if v is not None)
        yield from (v for v in self.outputs if v not in own)

    def producers(self) -> dict[Value, Node]:
        return {v: n for n in self.nodes for v in n.outputs if v is not None}

    def users(self) -> dict[Value, list[Node]]:
        out: dict[Value, list[Node]] = {}
        for n in self.nodes:
            for v in dict.fromkeys(n.uses()):
                out.setdefault(v, []).append(n)
        return out

    def with_nodes(self, nodes: tuple[Node, ...], **changes: Any) -> Graph:
        return replace(self, nodes=nodes, **changes)

    def mentioned(self) -> Iterator[Atom]:
        """Every dim in a shape or in contents, those of bodies included."""
        for v in (*self.inputs, *self.outputs, *self.constants):
            yield from v.dims()
        for c in self.constants.values():
            yield from (a for d in c.dims or () for a in index.dims_of(d))
        for node in self.nodes:
            yield from node.dims({})

    def dims(self) -> list[index.Atom]:
        """The open dims of the inputs, sorted by name."""
        found = {
            a
            for v in self.inputs
            if isinstance(v.type, TensorType)
            for d in v.shape
            for a in index.dims_of(d)
        }
        return sorted(found, key=lambda a: a.name)
