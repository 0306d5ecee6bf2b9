# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What all scopes of one compile share while they are lowered: constants, the weights they became, names, decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aotgen.core import dtypes
from aotgen.core.dtypes import DType
from aotgen.ir import define, expr, index, interpret
from aotgen.ir.bounds import before_run
from aotgen.ir.define import Def, topological
from aotgen.ir.graph import Constant
from aotgen.ir.index import Atom
from aotgen.ir.program import Buffer, Layout, Packed, Tensor, row_major
from aotgen.ir.scalar import OPS
from aotgen.lower.scope import CONSTANT, Choice
from aotgen.targets.anchors import Rule


@dataclass(slots=True)
class State:
    """``rules``: the target's kernel rules by operator. ``constants``: contents of constant Defs. ``weights``: contents of
    const buffers so far. ``log``: decisions for ``aotgen explain``."""

    rules: Mapping[str, Sequence[Rule]]
    dims: tuple[Atom, ...] = ()
    constants: dict[Def, Constant] = field(default_factory=dict)
    weights: dict[Buffer, Packed] = field(default_factory=dict)
    log: list[Choice] = field(default_factory=list)
    _stored: dict[tuple[Any, Layout], Tensor] = field(default_factory=dict)
    _names: dict[str, int] = field(default_factory=dict)

    def unique(self, stem: str) -> str:
        """``stem``, or ``stem_2``... when taken."""
        n = self._names.get(stem, 0) + 1
        self._names[stem] = n
        return stem if n == 1 else self.unique(f"{stem}_{n}")

    def buffer(self, name: str, dtype: DType, layout: Layout, place: str) -> Tensor:
        """A new buffer that holds exactly one tensor of ``layout``: where steps make its extents, the largest, and where
        those have no bound before the run, in the pool."""
        size = None if dtype is dtypes.sequence else before_run(layout.size, self.dims)
        if size is None:
            return Tensor(Buffer(self.unique(name or "t"), dtype, layout.size, "pool"), layout)
        return Tensor(Buffer(self.unique(name or "t"), dtype, size, place), layout)

    def weight(self, d: Def, layout: Layout | None = None) -> Tensor:
        """Where constant Def ``d`` (or a Def of constants alone) lives, stored through ``layout`` (default row-major)."""
        layout = layout or row_major(d.shape)
        source = self.constants.get(d)
        key = (source if source is not None else d, layout)
        if key not in self._stored:
            contents = source if source is not None else self.folded(d)
            t = self.buffer(d.name or "weights", d.dtype, layout, "const")
            self.weights[t.buffer] = Packed(contents, layout)
            self._stored[key] = t
        return self._stored[key]

    def folded(self, d: Def) -> Constant:
        """A Def of constants alone as a lazy constant; arithmetic in float64, rounded once."""
        leaves = [s for s in topological([d]) if s.is_source and s.origin == CONSTANT]
        known, shape = self.constants, tuple(int(x) for x in d.shape)  # type: ignore[arg-type]
        same = _reshaped(d)
        wide = any(e.op in OPS for m in topological([d]) if m.expr is not None for e in expr.nodes_of(m.expr))

        def load() -> NDArray[Any]:
            if same is not None:
                return known[same].load().reshape(shape)
            feeds = {s: known[s].load() for s in leaves}
            return np.asarray(interpret.evaluate([d], feeds, wide=wide)[d]).astype(d.dtype.numpy, copy=False)

        return Constant(d.dtype, shape, load)


def _reshaped(d: Def) -> Def | None:
    """The constant whose elements ``d`` repeats in the same row-major order, when ``d`` is such a view."""
    axes = define.axes_for(d.shape)
    at = tuple(index.ix(0) if a.ext == 1 else index.var(a) for a in axes)
    flat, base = row_major(d.shape).offset(at), d
    while base.is_view:
        assert base.expr is not None
        inner = expr.rebuild(base.expr, dict(zip(base.axes, at, strict=True)))
        if inner.op != "load":
            return None
        base, at = inner.attr
    same = base.is_source and base.dtype is d.dtype and index.ix(base.size) == index.ix(d.size)
    return base if same and row_major(base.shape).offset(at) == flat else None
