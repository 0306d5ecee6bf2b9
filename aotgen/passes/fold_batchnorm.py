# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""s * conv(x, W, b) + t = conv(x, s * W, s * b + t): BatchNormalization and per-channel Mul, Div, Add and Sub by constants
are folded into the Conv, ConvTranspose or MatMul before them.

BatchNormalization is s = scale / sqrt(var + epsilon), t = bias - mean * s. Everything is a recorded fold in float64; a
chain of folds rounds once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aotgen.ir.graph import Constant, Graph, Node, TensorType, Value
from aotgen.passes.rewrite import Rewrite, lazy, transform

name = "fold_batchnorm"
Exact = Callable[[], NDArray[np.float64]]
CONVS = ("Conv", "ConvTranspose")


@dataclass(frozen=True, slots=True)
class Affine:
    """y = scale * x + shift over ``size`` channels; None: 1 or 0."""

    size: int
    scale: Exact | None
    shift: Exact | None


def run(graph: Graph) -> Graph:
    return transform(graph, _Folder().visit)


class _Folder:
    """``exact``: unrounded contents of the constants made here, so that a chain of folds rounds once."""

    def __init__(self) -> None:
        self.exact: dict[Value, Exact] = {}

    def visit(self, rw: Rewrite, node: Node) -> bool:
        out = node.outputs[0] if node.outputs else None
        if node.domain or out is None or not isinstance(out.type, TensorType) or not out.dtype.is_float:
            return False
        x = self._data_operand(rw, node)
        if x is None or not rw.only_use(x):
            return False
        source = rw.producer(x)
        if source is None or source.domain or source.outputs[0] is not rw.value(x):
            return False
        if source.op in CONVS:
            return self._into_conv(rw, node, source, x)
        if source.op == "MatMul":
            return self._into_matmul(rw, node, source, None, x)
        if source.op == "Add":
            return self._into_biased_matmul(rw, node, source, x)
        return False

    def _data_operand(self, rw: Rewrite, node: Node) -> Value | None:
        """The operand that is data, when all others are constant."""
        if node.op == "BatchNormalization":
            fixed = all(rw.known(v) is not None for v in node.inputs[1:])
            return node.inputs[0] if fixed and not node.attrs.get("training_mode", 0) else None
        if node.op not in ("Mul", "Div", "Add", "Sub"):
            return None
        a, b = node.inputs
        if rw.known(b) is not None:
            return a
        return b if rw.known(a) is not None and node.op in ("Mul", "Add") else None

    # -- what is folded
    def affine(self, rw: Rewrite, node: Node, x: Value, axis: int) -> Affine | None:
        """``node`` as an affine map of the channels on ``axis`` of ``x``; None when it is not one."""
        out, size = node.outputs[0], x.shape[axis]
        assert out is not None
        if not isinstance(size, int) or out.shape != x.shape:
            return None
        if node.op == "BatchNormalization":
            return self._batchnorm(rw, node, size) if axis == 1 else None
        c = next(v for v in node.inputs if v is not None and v is not x)
        per_channel = self._per_channel(rw, c, len(x.shape), axis, size)
        if per_channel is None:
            return None
        if node.op == "Mul":
            return Affine(size, per_channel, None)
        if node.op == "Div":
            return Affine(size, lambda: 1 / per_channel(), None)
        return Affine(size, None, per_channel if node.op == "Add" else lambda: -per_channel())

    def _batchnorm(self, rw: Rewrite, node: Node, size: int) -> Affine:
        gamma, beta, mean, var = (self.wide(rw, v) for v in node.inputs[1:5])
        epsilon = float(node.attrs.get("epsilon", 1e-5))

        def scale() -> NDArray[np.float64]:
            return gamma() / np.sqrt(var() + epsilon)

        return Affine(size, scale, lambda: beta() - mean() * scale())

    def _per_channel(self, rw: Rewrite, v: Value, rank: int, axis: int, size: int) -> Exact | None:
        """A constant that varies along ``axis`` only, as a vector of ``size``."""
        known = rw.known(v)
        if known is None or known.dims is not None or len(known.shape) > rank:
            return None
        shape = (1,) * (rank - len(known.shape)) + known.shape
        if any(d != 1 for k, d in enumerate(shape) if k != axis) or shape[axis] not in (1, size):
            return None
        contents = self.wide(rw, v)
        return lambda: np.broadcast_to(contents().reshape(-1), (size,))

    def wide(self, rw: Rewrite, v: Value | None) -> Exact:
        """The contents of a constant in float64, unrounded where they were made here."""
        assert v is not None
        v = rw.value(v)
        if v in self.exact:
            return self.exact[v]
        known = rw.known(v)
        assert known is not None
        return lambda: known.load().astype(np.float64)

    def constant(self, rw: Rewrite, like: Constant, shape: tuple[int, ...], f: Exact, stem: str) -> Value:
        v = rw.builder.constant(lazy(like.dtype, shape, f), stem)
        self.exact[v] = f
        return v

    # -- into what
    def _into_conv(self, rw: Rewrite, node: Node, conv: Node, x: Value) -> bool:
        weight = rw.known(conv.inputs[1])
        bias = conv.inputs[2] if len(conv.inputs) > 2 else None
        if weight is None or weight.dims is not None or (bias is not None and rw.known(bias) is None):
            return False
        map_ = self.affine(rw, node, x, 1)
        if map_ is None:
            return False
        w, b = conv.inputs[1], bias
        if map_.scale is not None:
            groups = int(conv.attrs.get("group", 1)) if conv.op == "ConvTranspose" else 0
            w = self._scaled(rw, conv.inputs[1], weight, map_.scale, groups)
        if map_.shift is not None or (bias is not None and map_.scale is not None):
            old = self.wide(rw, bias) if bias is not None else None
            b = self.constant(rw, weight, (map_.size,), _moved(old, map_), f"{conv.outputs[0].name}_bias")  # type: ignore[union-attr]
        rw.emit(conv, [conv.inputs[0], w, *([b] if b is not None else [])], outputs=[node.outputs[0]])
        return True

    def _scaled(self, rw: Rewrite, v: Value | None, weight: Constant, scale: Exact, groups: int) -> Value:
        """Weights times the scale of their output channel: axis 0 for Conv; for ConvTranspose (``groups`` > 0) axis 1
        within each group, the groups lying along axis 0."""
        shape, contents = weight.shape, self.wide(rw, v)
        assert v is not None

        def f() -> NDArray[np.float64]:
            s, w = scale(), contents()
            if not groups:
                return w * s.reshape(-1, *[1] * (len(shape) - 1))
            split = w.reshape(groups, shape[0] // groups, *shape[1:])
            return (split * s.reshape(groups, 1, shape[1], *[1] * (len(shape) - 2))).reshape(shape)

        return self.constant(rw, weight, shape, f, v.name)

    def _into_matmul(self, rw: Rewrite, node: Node, matmul: Node, bias: Value | None, x: Value) -> bool:
        """x @ W [+ bias], W of [K, N] constant, channels on the last axis; the bias stays an Add."""
        weight, out = rw.known(matmul.inputs[1]), node.outputs[0]
        assert out is not None
        if weight is None or weight.dims is not None or len(weight.shape) != 2 or len(x.shape) < 2:
            return False
        map_ = self.affine(rw, node, x, len(x.shape) - 1)
        if map_ is None or (map_.scale is None and bias is None):
            return False
        contents, scale = self.wide(rw, matmul.inputs[1]), map_.scale
        w = matmul.inputs[1]
        if scale is not None:
            w = self.constant(rw, weight, weight.shape, lambda: contents() * scale(), w.name)  # type: ignore[union-attr]
        if map_.shift is None and bias is None:
            rw.emit(matmul, [matmul.inputs[0], w], outputs=[out])
            return True
        product = rw.fresh(x, f"{out.name}_product")
        rw.emit(matmul, [matmul.inputs[0], w], outputs=[product])
        old = self._per_channel(rw, bias, len(x.shape), len(x.shape) - 1, map_.size) if bias is not None else None
        b = self.constant(rw, weight, (map_.size,), _moved(old, map_), f"{out.name}_bias")
        rw.emit(node, [product, b], {}, op="Add", outputs=[out])
        return True

    def _into_biased_matmul(self, rw: Rewrite, node: Node, add: Node, x: Value) -> bool:
        """As above through the Add of a per-channel bias."""
        for data, bias in (add.inputs, add.inputs[::-1]):
            source = rw.producer(data)
            if source is None or source.op != "MatMul" or source.domain or data is None or rw.known(bias) is None:
                continue
            assert bias is not None
            width = x.shape[-1] if x.shape else 0
            if not isinstance(width, int) or data.shape != x.shape or not rw.only_use(data):
                continue
            if self._per_channel(rw, bias, len(x.shape), len(x.shape) - 1, width) is not None:
                return self._into_matmul(rw, node, source, bias, x)
        return False


def _moved(old: Exact | None, map_: Affine) -> Exact:
    """scale * old + shift."""

    def f() -> NDArray[Any]:
        b = np.zeros(map_.size) if old is None else old()
        b = b if map_.scale is None else b * map_.scale()
        return b if map_.shift is None else b + map_.shift()

    return f
