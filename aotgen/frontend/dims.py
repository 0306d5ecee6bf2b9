# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Binding dims: what ``--dim``, ``--input-shape`` and ``--dynamic`` make of a model's symbolic input shapes.

Every extent of every input becomes an int, or an open ``index.dim`` that the user asked for. Nothing defaults to 1.
"""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import onnx

from aotgen.core.errors import ModelError, UnsupportedError, UsageError
from aotgen.core.options import CompileOptions
from aotgen.frontend.attributes import dtype_of, type_of
from aotgen.ir import index
from aotgen.ir.graph import AnyType, TensorType
from aotgen.ir.index import Dim

_ARITHMETIC: dict[type, Callable[[index.Ix, index.Ix], index.Ix]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Div: operator.floordiv,
}


@dataclass
class Unbound:
    """A dim nobody gave a value: its name and the axes it is."""

    name: str
    places: list[str] = field(default_factory=list)

    def line(self) -> str:
        return (
            f"{self.name}  ({', '.join(self.places)})   --dim {self.name}=N   or   --dim {self.name}=LO..HI"
        )


def named_dims(info: onnx.ValueInfoProto) -> list[int | str] | None:
    """The declared extents of a tensor input: a number or a name (``x_dim0`` when it has none); None: rank unknown."""
    tensor = _tensor_proto(info.type)
    if tensor is None or not tensor.HasField("shape"):
        return None
    out: list[int | str] = []
    for k, d in enumerate(tensor.shape.dim):
        if d.WhichOneof("value") == "dim_value" and d.dim_value >= 0:
            out.append(int(d.dim_value))
        else:
            out.append(d.dim_param or f"{info.name}_dim{k}")
    return out


def _tensor_proto(proto: onnx.TypeProto) -> onnx.TypeProto.Tensor | None:
    kind = proto.WhichOneof("value")
    if kind == "tensor_type":
        return proto.tensor_type
    if kind == "sequence_type":
        return _tensor_proto(proto.sequence_type.elem_type)
    return _tensor_proto(proto.optional_type.elem_type) if kind == "optional_type" else None


def bind_inputs(inputs: Sequence[onnx.ValueInfoProto], options: CompileOptions) -> list[AnyType]:
    """The types of ``inputs`` with every dim bound.

    Raises UsageError listing each dim that has no value, with the inputs it belongs to and the flag to give; also for
    flags that name nothing or contradict each other or the model.
    """
    binder = _Binder(inputs, options)
    types = [binder.type_of(i) for i in inputs]
    binder.finish()
    return types


def tightened(options: CompileOptions, limits: Mapping[index.Atom, int]) -> CompileOptions:
    """``options`` with open dims bounded by ``limits``; themselves where every dim is already."""
    opened = dict(options.open_dims)
    for dim, most in limits.items():
        if dim.hi is None or not index.nonneg(most - index.ix(dim.hi)):
            opened[dim.name] = (index.ix(dim.lo or 0).const() or 0, most)
    return options if opened == dict(options.open_dims) else replace(options, open_dims=tuple(opened.items()))


class _Binder:
    def __init__(self, inputs: Sequence[onnx.ValueInfoProto], options: CompileOptions) -> None:
        self.options = options
        self.shapes = dict(options.input_shapes)
        self.values: dict[str, Dim] = dict(options.dims)
        for name, (lo, hi) in options.open_dims:
            if name in self.values:
                raise UsageError(f"dim '{name}' is both fixed and opened", hint=f"give --dim {name} once")
            if lo < 0 or (hi is not None and hi < lo):
                raise UsageError(f"dim '{name}': {lo}..{hi} is not a range")
            self.values[name] = index.dim(name, lo, hi)
        self.given = set(self.values)
        self.used: set[str] = set()
        self.unbound: dict[str, Unbound] = {}
        self.no_rank: list[str] = []
        known = {i.name for i in inputs}
        for name in self.shapes:
            if name not in known:
                raise UsageError(
                    f"--input-shape {name}: the model has no such input",
                    hint=f"it has {', '.join(sorted(known))}",
                )
        for info in inputs:
            if info.name in self.shapes:
                self._unify(info)

    def _unify(self, info: onnx.ValueInfoProto) -> None:
        """Let a whole input shape also fix the dims it names."""
        shape, declared = self.shapes[info.name], named_dims(info)
        if any(d < 0 for d in shape):
            raise UsageError(f"--input-shape {info.name}={_commas(shape)}: extents cannot be negative")
        if declared is None:
            return
        if not declared and all(d == 1 for d in shape):
            return  # a scalar given as one element, which onnxruntime takes too
        if len(declared) != len(shape):
            raise UsageError(
                f"--input-shape {info.name}={_commas(shape)}: the model declares {len(declared)} dims ({_commas(declared)})"
            )
        for have, want in zip(declared, shape, strict=True):
            bound = have if isinstance(have, int) else self.values.setdefault(have, want)
            if isinstance(have, str):
                self.used.add(have)
            if bound != want:
                raise UsageError(
                    f"--input-shape {info.name}={_commas(shape)}: {want} where the model or --dim says {bound}",
                    hint=f"the model declares ({_commas(declared)})",
                )

    def type_of(self, info: onnx.ValueInfoProto) -> AnyType:
        try:
            return self._type(info, info.type)
        except (ModelError, UnsupportedError) as e:
            raise e.at(f"input {info.name}") from None

    def _type(self, info: onnx.ValueInfoProto, proto: onnx.TypeProto) -> AnyType:
        kind = proto.WhichOneof("value")
        if kind == "tensor_type":
            return TensorType(dtype_of(proto.tensor_type.elem_type), self._shape(info))
        if kind in ("sequence_type", "optional_type"):
            return type_of(proto)
        raise UnsupportedError(f"inputs of {kind or 'unknown type'} are not supported")

    def _shape(self, info: onnx.ValueInfoProto) -> tuple[Dim, ...]:
        if info.name in self.shapes:
            return tuple(self.shapes[info.name])
        declared = named_dims(info)
        if declared is None:
            self.no_rank.append(info.name)
            return ()
        return tuple(
            d if isinstance(d, int) else self._dim(d, f"{info.name} axis {k}") for k, d in enumerate(declared)
        )

    def _dim(self, name: str, place: str) -> Dim:
        if name in self.values:
            self.used.add(name)
            return self.values[name]
        parsed = self._expression(name, place)
        if parsed is not None:
            return parsed
        if self.options.dynamic:
            return index.dim(name, 0, None)
        self.unbound.setdefault(name, Unbound(name)).places.append(place)
        return 1

    def _expression(self, text: str, place: str) -> Dim | None:
        """A dim that is written as arithmetic on other dims, such as ``past + seq``."""
        try:
            tree = ast.parse(text, mode="eval").body
        except SyntaxError:
            return None
        if not isinstance(tree, ast.BinOp) or not _is_arithmetic(tree):
            return None
        return index.as_dim(self._walk(tree, place))

    def _walk(self, tree: ast.expr, place: str) -> index.Ix:
        if isinstance(tree, ast.BinOp):
            by = self._walk(tree.right, place)
            if isinstance(tree.op, (ast.Div, ast.FloorDiv)) and not index.nonneg(by - 1):
                raise ModelError(f"a dim of {place} divides by {by}")
            return _ARITHMETIC[type(tree.op)](self._walk(tree.left, place), by)
        if isinstance(tree, ast.Constant):
            return index.ix(int(str(tree.value)))
        assert isinstance(tree, ast.Name)
        return index.ix(self._dim(tree.id, place))

    def finish(self) -> None:
        if self.no_rank:
            raise UsageError(
                f"the rank of input {', '.join(self.no_rank)} is unknown",
                hint=" ".join(f"--input-shape {n}=D0,D1,..." for n in self.no_rank),
            )
        if self.unbound:
            lines = "\n".join(f"  {u.line()}" for u in self.unbound.values())
            raise UsageError(
                f"the model leaves {len(self.unbound)} dim{'s' * (len(self.unbound) > 1)} open:\n{lines}",
                hint="fix each with --dim NAME=N, or open it with --dim NAME=LO..HI",
            )
        unknown = sorted(self.given - self.used)
        if unknown:
            raise UsageError(
                f"--dim {unknown[0]}: the model's inputs have no such dim", hint="`aotgen inspect` lists them"
            )


def _is_arithmetic(tree: ast.expr) -> bool:
    if isinstance(tree, ast.BinOp):
        return type(tree.op) in _ARITHMETIC and _is_arithmetic(tree.left) and _is_arithmetic(tree.right)
    return isinstance(tree, ast.Name) or (isinstance(tree, ast.Constant) and type(tree.value) is int)


def _commas(values: Sequence[object]) -> str:
    return ",".join(map(str, values))
