# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The table of operators: one row each, a file a family, as in ``aotgen/ops``."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from tests.fuzz.generator import Gen

Make = Callable[[Gen], None]


@dataclass(frozen=True, slots=True)
class Row:
    """``make`` chooses operands and attributes and appends nodes. ``pointwise``: every element of the result has the scale
    of its own operands, so errors are judged element by element."""

    name: str
    family: str
    make: Make
    pointwise: bool = False


TABLE: dict[str, Row] = {}


def add(name: str, family: str, make: Make, pointwise: bool = False) -> None:
    assert name not in TABLE, f"row {name} is there twice"
    TABLE[name] = Row(name, family.rpartition(".")[2], make, pointwise)


def row(name: str, family: str, pointwise: bool = False) -> Callable[[Make], Make]:
    """Register the decorated function; ``family``: its module's name."""

    def register(make: Make) -> Make:
        add(name, family, make, pointwise)
        return make

    return register


def load() -> None:
    """Import every file of rows."""
    for found in pkgutil.iter_modules(__path__):
        importlib.import_module(f"{__name__}.{found.name}")


def families() -> list[str]:
    return list(dict.fromkeys(r.family for r in TABLE.values()))


def of_family(family: str) -> list[Row]:
    return [r for r in TABLE.values() if r.family == family]


def pick(rnd: Random) -> Row:
    """A family by its number of rows, dampened, then any row of it."""
    names = families()
    family = rnd.choices(names, [len(of_family(f)) ** 0.5 for f in names])[0]
    return rnd.choice(of_family(family))
