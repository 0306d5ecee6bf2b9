# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The operator table and what a lowering is given.

An operator has one of three meanings, each written once for every target and every use (types, reference, kernels):

* ``@lowering("Relu")``: a function from input Defs to output Def(s). Its shapes and dtypes *are* the type rule.
* ``@expansion("Gemm")``: a function that adds simpler nodes to a ``Builder`` and returns their values. With ``whole=True``
  (LSTM, Attention) the node stays one node that carries those simpler nodes as its body: a *composite*, which a target's
  rule may take as it is and which is opened in lowering where none does.
* a schema function body of the ``onnx`` package, expanded when neither exists.

Regions (If, Loop, Scan) are handled by ``lower/regions.py``; their type rules are in ``ops/control.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aotgen.core import dtypes
from aotgen.core.dtypes import DType
from aotgen.core.errors import ModelError, UnsupportedError
from aotgen.ir.define import Def
from aotgen.ir.graph import Constant, Graph, Node
from aotgen.ir.index import Dim

Lowering = Callable[..., Any]
Key = tuple[str, str]
DIMS = "dims"  # the attribute of a node that makes extents: their dims
INTERNAL = "aotgen"  # the domain of operators that only the compiler adds


@dataclass(frozen=True, slots=True)
class OpDef:
    """One operator at its newest version: exactly one of ``lower`` and ``expand``; ``whole``: an expansion that stays the
    body of its node."""

    name: str
    domain: str
    lower: Lowering | None = None
    expand: Lowering | None = None
    whole: bool = False


TABLE: dict[Key, OpDef] = {}
SETTLE: dict[Key, Lowering] = {}  # what is done about operands that must be known and are data


def find(op: str, domain: str = "") -> OpDef | None:
    return TABLE.get(("" if domain == "ai.onnx" else domain, op))


def _register(row: OpDef) -> None:
    key = (row.domain, row.name)
    assert key not in TABLE, f"operator {key} is defined twice"
    TABLE[key] = row


def lowering(*names: str, domain: str = "") -> Callable[[Lowering], Lowering]:
    """Register ``f(ctx, *inputs: Def | None) -> Def | tuple[Def, ...]`` as the meaning of ``names``."""

    def add(f: Lowering) -> Lowering:
        for name in names:
            _register(OpDef(name, domain, lower=f))
        return f

    return add


def expansion(*names: str, domain: str = "", whole: bool = False) -> Callable[[Lowering], Lowering]:
    """Register ``f(ctx, builder, *inputs: Value | None) -> Value | tuple[Value | None, ...]`` as the meaning of ``names``."""

    def add(f: Lowering) -> Lowering:
        for name in names:
            _register(OpDef(name, domain, expand=f, whole=whole))
        return f

    return add


def settles(*names: str, domain: str = "") -> Callable[[Lowering], Lowering]:
    """Register ``f(builder, node) -> Node``: the node to add instead where operands that must be known are computed from
    input data. ``builder.extents`` turns such an operand into dims that the run makes."""

    def add(f: Lowering) -> Lowering:
        for name in names:
            SETTLE[(domain, name)] = f
        return f

    return add


EVALUATE: dict[Key, Lowering] = {}  # operators on values that are no tensors, in NumPy


def evaluates(*names: str, domain: str = "") -> Callable[[Lowering], Lowering]:
    """Register ``f(node, *values) -> value``: what the Graph interpreter computes for an operator without Defs."""

    def add(f: Lowering) -> Lowering:
        for name in names:
            EVALUATE[(domain, name)] = f
        return f

    return add


@dataclass(slots=True)
class Ctx:
    """What a lowering may ask about its node beyond the input Defs."""

    node: Node
    constants: Mapping[Any, Constant] = field(default_factory=dict)  # Value -> contents
    opset: int = 0

    # -- attributes
    def has(self, name: str) -> bool:
        return name in self.node.attrs

    def attr_int(self, name: str, default: int | None = None) -> int:
        return int(self._attr(name, default))

    def attr_float(self, name: str, default: float | None = None) -> float:
        """ONNX stores float attributes, and their defaults, as float32 whatever the tensors are."""
        return float(np.float32(self._attr(name, default)))

    def attr_str(self, name: str, default: str | None = None) -> str:
        value = self._attr(name, default)
        return dtypes.decode(value) if isinstance(value, bytes) else str(value)

    def attr_ints(self, name: str, default: Sequence[int] | None = None) -> list[int]:
        return [int(v) for v in self._attr(name, default)]

    def attr_floats(self, name: str, default: Sequence[float] | None = None) -> list[float]:
        return [float(v) for v in self._attr(name, default)]

    def attr_strs(self, name: str, default: Sequence[str] | None = None) -> list[str]:
        return [dtypes.decode(v) if isinstance(v, bytes) else str(v) for v in self._attr(name, default)]

    def attr_dtype(self, name: str, default: DType | None = None) -> DType:
        """An attribute that holds an ONNX dtype enum (Cast's ``to``)."""
        value = self._attr(name, default)
        return value if isinstance(value, DType) else dtypes.of(int(value))

    def attr_tensor(self, name: str) -> NDArray[Any]:
        return np.asarray(self._attr(name, None))

    def body(self, name: str) -> Graph:
        return self.node.bodies[name]

    def _attr(self, name: str, default: Any) -> Any:
        value = self.node.attrs.get(name, default)
        if value is None:
            raise ModelError(f"attribute '{name}' is missing", node=self.node.where())
        return value

    # -- operands known at compile time
    def given(self, i: int) -> bool:
        """Is optional input ``i`` present?"""
        return i < len(self.node.inputs) and self.node.inputs[i] is not None

    def is_const(self, i: int) -> bool:
        return self.given(i) and self.node.inputs[i] in self.constants

    def const(self, i: int) -> NDArray[Any] | None:
        """Numeric contents of input ``i``, or None when it is absent or not known at compile time."""
        c = self.constants.get(self.node.inputs[i]) if self.given(i) else None
        return None if c is None or c.dims is not None else c.load()

    def values(self, i: int, what: str) -> list[Dim]:
        """Integer contents of input ``i``, flattened; each an int or a polynomial of open dims.

        Raises UnsupportedError when they are data: ``what`` names the operand in the message.
        """
        c = self.constants.get(self.node.inputs[i]) if self.given(i) else None
        if c is None:
            raise UnsupportedError(
                f"'{what}' must be known at compile time but is computed from input data",
                node=self.node.where(),
                hint="fix the dims it depends on with --dim",
            )
        return list(c.dims) if c.dims is not None else [int(v) for v in c.load().ravel()]

    def axes(self, i: int, rank: int, default: Sequence[int] | None = None) -> list[int]:
        """Axes from the ``axes`` attribute or input ``i``, normalised to ``[0, rank)``, in order."""
        if self.has("axes"):
            raw = self.attr_ints("axes")
        elif self.given(i):
            raw = [int(v) for v in self.values(i, "axes")]  # type: ignore[arg-type]
        else:
            raw = list(default if default is not None else range(rank))
        return [self.axis_of(a, rank) for a in raw]

    def axis(self, rank: int, default: int | None = None, name: str = "axis") -> int:
        """The ``axis`` attribute normalised to ``[0, rank)``."""
        return self.axis_of(self.attr_int(name, default), rank)

    def axis_of(self, a: int, rank: int) -> int:
        if not -rank <= a < max(rank, 1):
            raise ModelError(f"axis {a} is out of range for rank {rank}", node=self.node.where())
        return a + rank if a < 0 else a

    @property
    def n_outputs(self) -> int:
        return len(self.node.outputs)

    def wants(self, k: int) -> bool:
        """Is output ``k`` used (named) at all?"""
        return k < len(self.node.outputs) and self.node.outputs[k] is not None

    def refuse(self, why: str, hint: str = "") -> UnsupportedError:
        """The error to raise for a form this operator does not compile."""
        return UnsupportedError(why, node=self.node.where(), hint=hint)


def lower_node(ctx: Ctx, inputs: Sequence[Def | None]) -> tuple[Def | None, ...]:
    """The output Defs of ``ctx.node``, each naming its origin. Raises UnsupportedError when it has no lowering."""
    row = find(ctx.node.op, ctx.node.domain)
    if row is None or row.lower is None:
        raise UnsupportedError(
            f"operator {ctx.node.domain + '.' if ctx.node.domain else ''}{ctx.node.op} has no lowering",
            node=ctx.node.where(),
            hint="see `aotgen ops` for the operators that compile",
        )
    out = row.lower(ctx, *inputs)
    out = out if isinstance(out, tuple) else (out,)
    for d in out:
        if d is not None and not d.origin:
            d.origin = ctx.node.origin
    return out
