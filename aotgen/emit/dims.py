# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Polynomials of open dims as C++ text: extents, strides, sizes and offsets outside kernels, in 64-bit arithmetic.

C++ divides towards zero where these divide downwards: the same, because a run with a negative numerator is refused
(``ir.facts.needed_by``). A quotient by 0 is 0: only what has no elements depends on it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from aotgen.core.errors import InternalError
from aotgen.emit import names
from aotgen.ir import index
from aotgen.ir.atoms import OVER_DIMS
from aotgen.ir.bounds import bound
from aotgen.ir.facts import Condition
from aotgen.ir.index import Atom, Dim, Ix

LARGEST_DIM = 2**31 - 1  # of any dim that a run is given
HELPERS = {"min": "smaller", "broadcast": "wider"}  # functions of kernels/cpu/extent.h, and of the C interface


def spell(value: Dim, struct: str = "d") -> str:
    """``value`` as an expression over the members of ``struct``; bracketed unless it is one factor."""
    parts = []
    for monomial, c in index.ix(value).sorted_terms():
        factors = [_atom(a, struct) for a in monomial]
        if c != 1 or not factors:
            factors.append(str(c))
        parts.append(" * ".join(factors))
    if not parts:
        return "0"
    return parts[0] if len(parts) == 1 and " " not in parts[0] else f"({' + '.join(parts)})"


def rough(value: Dim, struct: str = "d") -> str:
    """``value`` or slightly more, in floating point: to see that the exact one does not overflow."""
    parts = []
    for monomial, c in index.ix(value).sorted_terms():
        if c > 0:
            parts.append(" * ".join([*(_rough_atom(a, struct) for a in monomial), f"{c}.0"]))
    return " + ".join(parts) or "0.0"


def at_most(value: Dim) -> float:
    """What ``rough`` comes to with every dim as large as it may be."""
    total = 0.0
    for monomial, c in index.ix(value).terms.items():
        if c > 0:
            total += math.prod((_atom_at_most(a) for a in monomial), start=float(c))
    return total


def _atom_at_most(a: Atom) -> float:
    if a.kind == "dim":
        return float(LARGEST_DIM) if a.hi is None else at_most(a.hi)
    if a.a is None or a.b is None:
        raise InternalError(f"an extent depends on {a}")
    if a.kind == "mod":
        return at_most(a.b)
    if a.kind in OVER_DIMS:
        x, y = map(at_most, a.parts())
        return x if a.kind == "min" else x + y
    return at_most(a.a) + 1.0


def _rough_atom(a: Atom, struct: str) -> str:
    if a.kind == "dim":
        return f"double({struct}.{names.member(a.name)})"
    if a.a is None or a.b is None:
        raise InternalError(f"an extent depends on {a}")
    if a.kind == "mod":
        return f"({rough(a.b, struct)})"
    if a.kind in OVER_DIMS:
        x, y = (rough(part, struct) for part in a.parts())
        return f"({x})" if a.kind == "min" else f"({x} + {y})"
    by, out = spell(a.b, struct), f"({rough(a.a, struct)}) / ({spell(a.b, struct)}) + 1.0"
    return f"({out})" if index.nonneg(a.b - 1) else f"({by} > 0 ? {out} : 0.0)"


def condition(c: Condition, struct: str = "d") -> str:
    """``c`` as a C++ expression; false where a product in it does not fit 64 bits."""
    if c.unless:
        return " || ".join(f"({p})" if "&&" in p else p for p in (condition(part, struct) for part in c.parts()))
    left, right = (spell(index.as_dim(side), struct) for side in c.sides())
    fits = [f"{rough(p, struct)} < 9e18" for p in dict.fromkeys(q for side in c.sides() for q in _too_large(side))]
    return " && ".join([*fits, f"{left} {'==' if c.equal else '>='} {right}"])


def _too_large(value: Ix) -> Iterator[Ix]:
    """``value`` and what it is made of, as far as a product of dims, each below 2^31, may exceed 63 bits."""
    for part in (value, *(p for a in value.walk() for p in a.parts())):
        most = bound(part)
        if most >= 2**63 if isinstance(most, int) else any(31 * len(m) + c.bit_length() > 63 for m, c in part.terms.items()):
            yield part


def largest(values: Sequence[Dim], struct: str = "d") -> str:
    """The largest of several sizes."""
    out = spell(values[0], struct)
    for v in values[1:]:
        out = f"larger({out}, {spell(v, struct)})"
    return out


def _atom(a: Atom, struct: str) -> str:
    if a.kind == "dim":
        return f"int64_t{{{struct}.{names.member(a.name)}}}"
    if a.a is None or a.b is None:
        raise InternalError(f"an extent depends on {a}")
    if a.kind in OVER_DIMS:
        return f"{HELPERS[a.kind]}({spell(a.a, struct)}, {spell(a.b, struct)})"
    by = spell(a.b, struct)
    out = f"{spell(a.a, struct)} {'/' if a.kind == 'div' else '%'} {by}"
    return f"({out})" if index.nonneg(a.b - 1) else f"({by} > 0 ? {out} : 0)"
