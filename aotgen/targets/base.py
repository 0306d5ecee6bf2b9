# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What a target is: data and spellings that ``lower/`` and ``emit/`` ask for. No stage tests a target's name.

A *dialect* says how scalar operations, element types, folds and loops are spelled; a *schedule* is one way to
lay a loop nest out on the machine, tried in order until one accepts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from aotgen.core.dtypes import DType

# Binding strength of C expressions; a Code is bracketed where its context binds tighter.
PRIMARY, UNARY, MUL, ADD, SHIFT, LESS, EQUAL, BITAND, BITXOR, BITOR, AND, OR, CHOICE = range(16, 3, -1)


@dataclass(frozen=True, slots=True)
class Code:
    """A piece of C expression and how tightly its outermost operator binds."""

    text: str
    prec: int = PRIMARY

    def at(self, prec: int) -> str:
        """The text, bracketed unless it binds at least as tightly as ``prec``."""
        return self.text if self.prec >= prec else f"({self.text})"


@dataclass(frozen=True, slots=True)
class Fold:
    """How one accumulator of type ``ctype`` works: starts at ``init``, ``step(acc, value)`` is its next value,
    ``finish(acc)`` the result as the compute type. ``combine`` names how lanes are merged (an OpenMP operator, a warp
    function); empty when they cannot be. ``part``: how a run of at most ``LONG_SUM`` lanes may be folded; its result is then
    one value of this fold. Sums of sums are off by fewer roundings."""

    ctype: str
    init: str
    step: Callable[[str, Code], str]
    finish: Callable[[str], Code]
    combine: str = ""
    part: Fold | None = None


class Writer(Protocol):
    """What a schedule may write to (``emit.text.Text``)."""

    def line(self, text: str = "") -> Any: ...
    def raw(self, text: str) -> Any: ...
    def block(self, header: str = "", close: str = "}") -> Any: ...
    def part(self) -> Any: ...


@dataclass(frozen=True, slots=True)
class Nest:
    """The facts of a loop nest that a schedule decides by. Extents are ints, or None where open. ``rows``: outer
    iterations, ``width``: the widest lane loop, ``stages``: number of stages, ``folds``: some stage folds,
    ``spread``: some fold keeps an array of accumulators, ``row_temps``: extents of the temps that are arrays,
    ``temp_reads_across``: a row temp is read at another lane than stored, ``serial``: one iteration, in order,
    ``lanes_only``: every stage's only loop, if any, is its lane; ``straight``: no stage has a loop; ``arg_folds``: some
    fold keeps a position."""

    rows: int | None
    width: int | None
    stages: int
    folds: bool
    spread: bool
    row_temps: tuple[int | None, ...]
    temp_reads_across: bool
    serial: bool
    lanes_only: bool
    straight: bool
    arg_folds: bool


class Schedule(Protocol):
    """One way to run a nest. ``lane_loop`` opens the innermost loop (of the lanes that are ``within`` a condition, where one
    is given); the outer ones are the emitter's own.

    ``local_bytes``: most bytes of row temps a function keeps on its stack. ``flattens``: nests of one stage
    are given with every loop but the folds outer, one thread an element. ``declines`` says why a nest does not
    fit ("" when it does). ``signature`` is the function's head given its parameters; ``outer`` opens the loop
    over flattened outer iterations ``flat`` of ``total`` (threads taking whole multiples of ``quantum``, "" for 1; every ``block``-th
    of them) and returns the body to write into. ``counts``: a thread's iterations follow each other, so their digits can be counted up
    rather than divided out; ``outer`` then declares ``at``, which has one digit more than there are ``radices``. ``remainder``:
    lanes beyond a whole multiple of it may run as one masked vector (0: its lanes have no remainder). ``turns``: nests of
    short rows may be run side by side, in strips. ``row_array`` declares storage for a row temp, ``row_element`` spells its
    element at index ``at`` (``lane_index``: that is the lane itself); ``merge`` combines a fold's lanes after a lane loop; ``single`` opens what one of the
    threads that share an iteration does alone. ``launch`` is the statement that runs the function, as thread ``team[0]`` of ``team[1]``.
    """

    @property
    def name(self) -> str: ...
    @property
    def local_bytes(self) -> int: ...
    @property
    def flattens(self) -> bool: ...
    @property
    def counts(self) -> bool: ...
    @property
    def remainder(self) -> int: ...
    @property
    def turns(self) -> bool: ...

    def declines(self, nest: Nest) -> str: ...
    def signature(self, name: str, params: Sequence[str], uses_thread: bool) -> str: ...
    def outer(self, text: Any, flat: str, total: str, index: str, serial: bool, quantum: str, radices: Sequence[str], block: int = 1) -> Any: ...
    def lane_loop(
        self,
        text: Any,
        var: str,
        lo: str,
        hi: str,
        index: str,
        folds: Sequence[tuple[Fold, str]],
        vector: bool,
        within: str = "",
    ) -> Any: ...
    def row_array(self, text: Any, ctype: str, name: str, size: str) -> None: ...
    def row_element(self, name: str, at: str, lane_index: bool) -> str: ...
    def merge(self, text: Any, fold: Fold, acc: str) -> None: ...
    def single(self, text: Any) -> Any: ...
    def launch(self, name: str, args: Sequence[str], nest: Nest, total: str, team: tuple[str, str]) -> str: ...


class Dialect(Protocol):
    """Spellings. Arguments of operations are ``Code``; types are compute types (``f32`` ... ``bool``) unless
    called storage."""

    name: str
    restrict: str
    dims_parameter: str
    schedules: Sequence[Schedule]
    includes: tuple[str, ...]

    def headers(self, text: str) -> tuple[str, ...]: ...
    def ctype(self, dtype: DType) -> str: ...
    def literal(self, value: Any, dtype: str) -> Code: ...
    def op(self, name: str, dtype: str, args: Sequence[Code]) -> Code: ...
    def cast(self, to: DType, source: str, arg: Code) -> Code: ...
    def bitcast(self, source: DType, to: DType, arg: Code) -> Code: ...
    def load(self, storage: DType, element: str) -> Code: ...
    def store(self, storage: DType, value: Code) -> str: ...
    def store_cast(self, storage: DType, source: str, arg: Code) -> str: ...
    def convert_index(self, to: str, value: Code) -> Code: ...
    def fold(self, kind: str, dtype: str, across: bool) -> Fold: ...
    def call(self, name: str, args: Sequence[str]) -> Code: ...


@dataclass(frozen=True, slots=True)
class Isa:
    """One instruction set a CPU library can be built for. ``lanes``: floats in a vector; ``registers``: vector
    registers; ``needs``: features the CPU must report (names as in the kernel's cpuinfo)."""

    name: str
    suffix: str
    arch: str
    flags: tuple[str, ...]
    lanes: int
    registers: int
    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Target:
    """A target family: ``dialect`` spells it, ``rules`` its template kernels by operator (``anchors.Rule``, asked by
    ``lower.scope``), ``isas`` its variants from plain to best, ``flags`` the compiler flags every unit gets."""

    name: str
    dialect: Dialect
    isas: tuple[Isa, ...] = ()
    flags: tuple[str, ...] = ()
    rules: Mapping[str, Sequence[Any]] = field(default_factory=dict)
    resolve: Callable[[str], tuple[Isa, ...]] | None = None
    libraries: bool = True  # False: single kernels can be printed for it, no whole library yet

    def variant(self, name: str) -> Target:
        """This family narrowed to the variants called ``name`` (the part of ``--target`` after the colon).
        Raises UsageError."""
        return self if self.resolve is None else replace(self, isas=self.resolve(name or "native"))

    def isa(self, name: str) -> Isa:
        """The variant called ``name``. Raises KeyError."""
        return next((i for i in self.isas if i.name == name), None) or _missing(name, self.isas)


def _missing(name: str, isas: Sequence[Isa]) -> Isa:
    raise KeyError(f"no variant {name}; there are {', '.join(i.name for i in isas)}")
