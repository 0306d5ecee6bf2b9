# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Atoms: the indivisible factors of index polynomials (``ir.index``)."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from aotgen.ir.index import Dim, Ix

Monomial = tuple["Atom", ...]  # sorted by serial; () is the constant

_serial = itertools.count()
_interned: dict[tuple[Any, ...], Atom] = {}


class Atom:
    """One indivisible factor.

    ``var``: a loop variable, ``lo <= v < lo + ext`` (both ``Ix``). ``dim``: a named extent known only at run time,
    ``lo <= d <= hi``; ``hi`` may be a polynomial of dims that are known before it.
    ``div``/``mod``: floor quotient and remainder of ``a`` by ``b``. ``min``: the smaller of ``a`` and ``b``, ``broadcast``:
    ``b`` where ``a`` is 1, else ``a``: both of dims alone. ``ind``: ``payload``, a loaded integer expression
    (an ``ir.expr.E``) used as an index, assumed (and at run time clamped) into ``lo <= v < lo + ext``.
    """

    __slots__ = ("kind", "name", "lo", "ext", "hi", "a", "b", "payload", "serial")

    def __init__(
        self,
        kind: str,
        name: str = "",
        *,
        lo: Ix | None = None,
        ext: Ix | None = None,
        hi: Dim | None = None,
        a: Ix | None = None,
        b: Ix | None = None,
        payload: Any = None,
    ) -> None:
        self.kind, self.name, self.lo, self.ext, self.hi = kind, name, lo, ext, hi
        self.a, self.b, self.payload, self.serial = a, b, payload, next(_serial)

    def parts(self) -> tuple[Ix, ...]:
        """The operands of an operation."""
        return () if self.a is None or self.b is None else (self.a, self.b)

    def __repr__(self) -> str:
        if self.kind in ("var", "dim"):
            return self.name or f"i{self.serial}"
        if self.kind == "ind":
            return f"[{self.payload}]"
        if self.kind in OVER_DIMS:
            return f"{self.kind}({self.a}, {self.b})"
        sides = [f"({x})" if len(x.terms) > 1 else f"{x}" for x in self.parts()]
        return f"({(' // ' if self.kind == 'div' else ' % ').join(sides)})"

    def __lt__(self, other: Atom) -> bool:
        return self.serial < other.serial


def reset() -> None:
    """Forget all interned atoms and restart the counter."""
    global _serial
    _serial = itertools.count()
    _interned.clear()


def interned(key: tuple[Any, ...], make: Callable[[], Atom]) -> Atom:
    """The one atom with this key, made when first asked for."""
    atom = _interned.get(key)
    if atom is None:
        atom = _interned[key] = make()
    return atom


def _quotient(x: Any, y: Any) -> Any:
    return 0 if isinstance(y, int) and y == 0 else x // y


def _remainder(x: Any, y: Any) -> Any:
    return 0 if isinstance(y, int) and y == 0 else x % y


# Values of the atoms that are made of two others, over ints and integer arrays.
OPERATIONS: Mapping[str, Callable[[Any, Any], Any]] = {
    "div": _quotient,
    "mod": _remainder,
    "min": lambda x, y: min(x, y) if isinstance(x, int) and isinstance(y, int) else np.minimum(x, y),
    "broadcast": lambda x, y: (y if x == 1 else x) if isinstance(x, int) else np.where(x == 1, y, x),
}
OVER_DIMS = frozenset({"min", "broadcast"})  # of dims alone, and equal to one of their operands
