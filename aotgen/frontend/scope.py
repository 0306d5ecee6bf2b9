# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Frame: what names mean while a graph, a body or a function is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onnx import GraphProto, SparseTensorProto, TensorProto

from aotgen.core.errors import AotgenError, ModelError
from aotgen.frontend.tensors import constant_of, sparse_constant
from aotgen.ir.graph import Value
from aotgen.ops.builder import Builder


class Missing(AotgenError):
    """A value could not be computed because an earlier node failed (only while collecting every error)."""


@dataclass
class Frame:
    """``values``: bound names (None: known to be unavailable). ``stored``: initialisers, bound on first use.
    ``attrs``: attributes of the call being inlined. ``prefix``: put before node names inside it. ``depth``: of calls."""

    builder: Builder
    opsets: dict[str, int]
    folder: Path | None
    parent: Frame | None = None
    values: dict[str, Value | None] = field(default_factory=dict)
    stored: dict[str, TensorProto | SparseTensorProto] = field(default_factory=dict)
    attrs: Mapping[str, Any] = field(default_factory=dict)
    prefix: str = ""
    depth: int = 0

    def store(self, graph: GraphProto) -> None:
        """Make the initialisers of ``graph`` available."""
        for t in graph.initializer:
            if t.name in self.stored:
                raise ModelError(f"initialiser '{t.name}' is defined twice")
            self.stored[t.name] = t
        self.stored.update((s.values.name, s) for s in graph.sparse_initializer)

    def knows(self, name: str) -> bool:
        return (
            name in self.values
            or name in self.stored
            or (self.parent is not None and self.parent.knows(name))
        )

    def find(self, name: str) -> Value | None:
        """The value of ``name`` ('' is None). Raises ModelError when undefined, Missing when its producer failed."""
        if not name:
            return None
        if name in self.values:
            value = self.values[name]
            if value is None:
                raise Missing(f"'{name}' is not available")
            return value
        if name in self.stored:
            proto = self.stored[name]
            if isinstance(proto, SparseTensorProto):
                c = sparse_constant(proto, self.folder)
            else:
                c = constant_of(proto, self.folder)
            self.values[name] = made = self.builder.constant(c, name)
            return made
        if self.parent is None:
            raise ModelError(f"'{name}' is not defined anywhere")
        return self.parent.find(name)

    def child(self, builder: Builder | None = None) -> Frame:
        """A scope inside this one, in its own builder or the same."""
        return Frame(
            builder or self.builder,
            self.opsets,
            self.folder,
            self,
            attrs=self.attrs,
            prefix=self.prefix,
            depth=self.depth + 1,
        )

    def call(self, opsets: dict[str, int], attrs: Mapping[str, Any], prefix: str) -> Frame:
        """The scope of a function called from here: it sees none of our names."""
        return Frame(self.builder, opsets, self.folder, attrs=attrs, prefix=prefix, depth=self.depth + 1)
