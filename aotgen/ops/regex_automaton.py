# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Trees of regular expressions to the table of a deterministic automaton over the bytes of UTF-8.

Thompson's construction, then the subsets of its states, then the smallest automaton that tells the same texts apart (Moore).
A place (``^``, ``\\b``) is an edge that is passed or not by what stands on both sides of it, so a subset also remembers what
kind of byte came last.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from aotgen.ops.regex_syntax import WORD, Assert, Byte, Cat, Chars, RegexError, Repeat, Tree, parse

MOST_EDGES = 200_000  # of the first automaton
MOST_STATES = 20_000  # of the second, whose numbers are 16 bits in the library
SURROGATES = (0xD800, 0xDFFF)
BEGIN, END, NEWLINE, IN_WORD, OTHER = "begin", "end", "newline", "word", "other"


@dataclass(frozen=True, slots=True)
class Automaton:
    """``classes`` u8[256]: the class of each byte; ``steps`` u16[states, classes]: the next state, the first being 0;
    ``accepts`` bool[states]."""

    classes: NDArray[np.uint8]
    steps: NDArray[np.uint16]
    accepts: NDArray[np.bool_]

    def matches(self, text: bytes) -> bool:
        state = 0
        for b in text:
            state = int(self.steps[state, self.classes[b]])
        return bool(self.accepts[state])


@lru_cache(maxsize=64)
def compiled(pattern: str) -> Automaton:
    """The automaton of ``pattern``, of which whole texts are members. Raises RegexError, also where it is too large."""
    machine = _Machine()
    end = machine.state()
    start = machine.build(parse(pattern), end)
    return _smallest(*_Subsets(machine, start, end).table())


# ---------------------------------------------------------------------------------------------------- UTF-8


def sequences(low: int, high: int) -> Iterator[list[tuple[int, int]]]:
    """The code points ``low`` to ``high`` as runs of byte ranges: every choice of one byte from each range is one of them."""
    if low > high:
        return
    if low <= SURROGATES[1] and high >= SURROGATES[0]:  # no text holds these
        yield from sequences(low, SURROGATES[0] - 1)
        yield from sequences(SURROGATES[1] + 1, high)
        return
    for edge in (0x7F, 0x7FF, 0xFFFF):
        if low <= edge < high:
            yield from sequences(low, edge)
            yield from sequences(edge + 1, high)
            return
    for k in range(1, len(chr(low).encode())):  # whole blocks of the last k bytes
        mask = (1 << 6 * k) - 1
        if low & ~mask != high & ~mask:
            cut = (low | mask) if low & mask else (high & ~mask) - 1 if high & mask != mask else None
            if cut is not None:
                yield from sequences(low, cut)
                yield from sequences(cut + 1, high)
                return
    yield list(zip(chr(low).encode(), chr(high).encode(), strict=True))


# ---------------------------------------------------------------------------------------------------- with choices


class _Machine:
    """States with edges that read a byte (``reads``: lowest, highest, target) and edges that read nothing (``jumps``: the
    place they ask for or None, target)."""

    def __init__(self) -> None:
        self.reads: list[list[tuple[int, int, int]]] = []
        self.jumps: list[list[tuple[str | None, int]]] = []
        self.edges = 0
        self.places: set[str] = set()

    def state(self) -> int:
        self.reads.append([])
        self.jumps.append([])
        return len(self.reads) - 1

    def count(self) -> None:
        self.edges += 1
        if self.edges > MOST_EDGES:
            raise RegexError(f"the pattern has more than {MOST_EDGES} edges: write shorter repetitions")

    def read(self, at: int, low: int, high: int, to: int) -> None:
        self.count()
        self.reads[at].append((low, high, to))

    def jump(self, at: int, to: int, place: str | None = None) -> None:
        self.count()
        self.jumps[at].append((place, to))

    def build(self, tree: Tree, to: int) -> int:
        """A state from which ``tree`` leads to ``to``."""
        if isinstance(tree, Cat):
            for item in reversed(tree.items):
                to = self.build(item, to)
            return to
        if isinstance(tree, Repeat):
            return self._repeat(tree, to)
        start = self.state()
        if isinstance(tree, Chars):
            self._chars(start, tree, to)
        elif isinstance(tree, Byte):
            self.read(start, 0, 255, to)
        elif isinstance(tree, Assert):
            self.places.add(tree.kind)
            self.jump(start, to, tree.kind)
        else:
            for item in tree.items:
                self.jump(start, self.build(item, to))
        return start

    def _repeat(self, tree: Repeat, to: int) -> int:
        if tree.most is None:
            again = self.state()
            self.jump(again, to)
            self.jump(again, self.build(tree.item, again))
            to = again
        else:
            end = to
            for _ in range(tree.most - tree.least):
                start = self.state()
                self.jump(start, end)
                self.jump(start, self.build(tree.item, to))
                to = start
        for _ in range(tree.least):
            to = self.build(tree.item, to)
        return to

    def _chars(self, start: int, tree: Chars, to: int) -> None:
        """Sequences of bytes that end alike share their last states."""
        tails: dict[tuple[tuple[int, int], ...], int] = {(): to}
        for low, high in tree.spans:
            for run in sequences(low, high):
                for k in range(len(run) - 1, 0, -1):
                    tail = tuple(run[k:])
                    if tail not in tails:
                        tails[tail] = self.state()
                        self.read(tails[tail], *run[k], tails[tail[1:]])
                self.read(start, *run[0], tails[tuple(run[1:])])


# ---------------------------------------------------------------------------------------------------- without choices

Subset = tuple[frozenset[int], str]  # states before any jump, and the kind of the byte before


class _Subsets:
    def __init__(self, machine: _Machine, start: int, end: int) -> None:
        self.machine, self.start, self.end = machine, start, end
        self.classes, self.samples = self._byte_classes()
        self.closures: dict[tuple[frozenset[int], str, str], frozenset[int]] = {}

    def _byte_classes(self) -> tuple[NDArray[np.uint8], list[int]]:
        """Bytes that no edge and no place tells apart are one class; a byte of each."""
        cuts = {0}
        for edges in self.machine.reads:
            cuts.update(c for low, high, _ in edges for c in (low, high + 1))
        if self.machine.places:
            cuts.update(c for low, high in (*WORD, (10, 10)) for c in (low, high + 1))
        starts = sorted(c for c in cuts if c < 256)
        classes = np.searchsorted(np.array(starts), np.arange(256), "right") - 1
        return classes.astype(np.uint8), starts

    def kind(self, byte: int) -> str:
        if not self.machine.places:
            return OTHER
        if byte == 10:
            return NEWLINE
        return IN_WORD if any(low <= byte <= high for low, high in WORD) else OTHER

    def closure(self, states: frozenset[int], before: str, after: str) -> frozenset[int]:
        """Every state reached without reading, at a place between two kinds of bytes."""
        key = (states, before, after)
        if key not in self.closures:
            seen, stack = set(states), list(states)
            while stack:
                for place, to in self.machine.jumps[stack.pop()]:
                    if to not in seen and (place is None or _holds(place, before, after)):
                        seen.add(to)
                        stack.append(to)
            self.closures[key] = frozenset(seen)
        return self.closures[key]

    def table(self) -> tuple[NDArray[np.uint8], NDArray[np.int64], NDArray[np.bool_]]:
        """Classes, steps and accepting states; state 0 is the first."""
        first: Subset = frozenset({self.start}), BEGIN
        numbers: dict[Subset, int] = {first: 0}
        todo, steps, accepts = [first], [], []
        for subset in todo:  # grows while it is walked
            states, before = subset
            row = []
            for byte in self.samples:
                kind = self.kind(byte)
                here = self.closure(states, before, kind)
                to = frozenset(t for s in here for low, high, t in self.machine.reads[s] if low <= byte <= high)
                following: Subset = to, kind if to else OTHER
                if following not in numbers:
                    numbers[following] = len(numbers)
                    todo.append(following)
                    if len(numbers) > MOST_STATES:
                        raise RegexError(f"the pattern needs more than {MOST_STATES} states: it counts too far while it"
                                         " waits for what may come at any time")
                row.append(numbers[following])
            steps.append(row)
            accepts.append(self.end in self.closure(states, before, END))
        return self.classes, np.array(steps, np.int64), np.array(accepts, np.bool_)


def _holds(place: str, before: str, after: str) -> bool:
    if place in ("word", "not_word"):
        return ((before == IN_WORD) != (after == IN_WORD)) == (place == "word")
    passes: dict[str, tuple[str, tuple[str, ...]]] = {
        "begin": (before, (BEGIN,)), "end": (after, (END,)),
        "line_begin": (before, (BEGIN, NEWLINE)), "line_end": (after, (END, NEWLINE)),
    }  # fmt: skip
    side, kinds = passes[place]
    return side in kinds


def _smallest(classes: NDArray[np.uint8], steps: NDArray[np.int64], accepts: NDArray[np.bool_]) -> Automaton:
    """States with the same future become one, then bytes with the same effect."""
    part = accepts.astype(np.int64)
    count = len(np.unique(part))
    while True:
        _, part = np.unique(np.column_stack([part, part[steps]]), axis=0, return_inverse=True)
        part = part.reshape(-1)
        if part.max() + 1 == count:
            break
        count = int(part.max()) + 1
    _, first = np.unique(part, return_index=True)
    order = np.argsort(first)  # by first occurrence: the start stays 0
    number = np.empty(count, np.int64)
    number[order] = np.arange(count)
    chosen = first[order]
    small = number[part[steps[chosen]]]
    _, column, merged = np.unique(small, axis=1, return_index=True, return_inverse=True)
    keep = np.argsort(np.argsort(column))
    table = np.ascontiguousarray(small[:, np.sort(column)], np.uint16)
    return Automaton(keep[merged.reshape(-1)][classes].astype(np.uint8), table, accepts[chosen])

