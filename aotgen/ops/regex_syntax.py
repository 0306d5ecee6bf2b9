# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Regular expressions in the syntax of RE2 (https://github.com/google/re2/wiki/Syntax), as trees.

What only changes which match is reported (captures, laziness) is read and dropped: a full match asks for none of it. What no
regular language has (back references, lookaround) is refused, as RE2 does; classes of a script (``\\p{Greek}``) too, because
Python has no table of them.
"""

from __future__ import annotations

import string
import sys
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from aotgen.ops.letter_case import orbits

Span = tuple[int, int]
LAST = sys.maxunicode
MOST_REPEATS = 1000  # RE2's own limit of {n}


class RegexError(ValueError):
    """A pattern that is not RE2's, or not compiled; the message names the place."""


@dataclass(frozen=True, slots=True)
class Chars:
    """One code point of ``spans`` (inclusive, ascending, apart)."""

    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Byte:
    """Any one byte."""


@dataclass(frozen=True, slots=True)
class Assert:
    """Nothing, at a place of a ``kind``: ``begin``, ``end``, ``line_begin``, ``line_end``, ``word``, ``not_word``."""

    kind: str


@dataclass(frozen=True, slots=True)
class Cat:
    """One item after the other."""

    items: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Alt:
    """One of the items."""

    items: tuple[Tree, ...]


@dataclass(frozen=True, slots=True)
class Repeat:
    """``least`` to ``most`` times (None: any) the same."""

    item: Tree
    least: int
    most: int | None


Tree = Chars | Byte | Assert | Cat | Alt | Repeat


# ---------------------------------------------------------------------------------------------------- sets of code points


def union(spans: Iterable[Span]) -> tuple[Span, ...]:
    """``spans`` in order, merged where they touch."""
    out: list[Span] = []
    for a, b in sorted(spans):
        if out and a <= out[-1][1] + 1:
            out[-1] = out[-1][0], max(b, out[-1][1])
        else:
            out.append((a, b))
    return tuple(out)


def inverse(spans: Iterable[Span]) -> tuple[Span, ...]:
    """All other code points."""
    out, start = [], 0
    for a, b in union(spans):
        if a > start:
            out.append((start, a - 1))
        start = b + 1
    return (*out, (start, LAST)) if start <= LAST else tuple(out)


def folded(spans: Iterable[Span]) -> tuple[Span, ...]:
    """``spans`` and what differs from them in case only."""
    spans = union(spans)
    more = [(c, c) for one, all_ in orbits().items() if any(a <= one <= b for a, b in spans) for c in all_]
    return union((*spans, *more))


def spans_of(characters: str) -> tuple[Span, ...]:
    return union((ord(c), ord(c)) for c in characters)


@lru_cache(maxsize=64)
def category(name: str) -> tuple[Span, ...]:
    """The code points whose general category starts with ``name``."""
    found = (c for c in range(LAST + 1) if unicodedata.category(chr(c)).startswith(name))
    return union((c, c) for c in found)


DIGIT, UPPER, LOWER = ((0x30, 0x39),), ((0x41, 0x5A),), ((0x61, 0x7A),)
WORD = union((*DIGIT, *UPPER, *LOWER, (0x5F, 0x5F)))
PERL: Mapping[str, tuple[Span, ...]] = {"d": DIGIT, "s": spans_of("\t\n\f\r "), "w": WORD}
POSIX: Mapping[str, tuple[Span, ...]] = {
    "alnum": union((*DIGIT, *UPPER, *LOWER)), "alpha": union((*UPPER, *LOWER)), "ascii": ((0, 0x7F),),
    "blank": spans_of("\t "), "cntrl": ((0, 0x1F), (0x7F, 0x7F)), "digit": DIGIT, "graph": ((0x21, 0x7E),),
    "lower": LOWER, "print": ((0x20, 0x7E),), "punct": spans_of(string.punctuation), "space": spans_of("\t\n\v\f\r "),
    "upper": UPPER, "word": WORD, "xdigit": spans_of(string.hexdigits),
}  # fmt: skip
CATEGORIES = frozenset("L Lu Ll Lt Lm Lo M Mn Mc Me N Nd Nl No P Pc Pd Ps Pe Pi Pf Po S Sm Sc Sk So Z Zs Zl Zp C Cc Cf Co Cs".split())
CONTROLS: Mapping[str, int] = {"a": 7, "f": 12, "t": 9, "n": 10, "r": 13, "v": 11}
PLACES: Mapping[str, str] = {"A": "begin", "z": "end", "b": "word", "B": "not_word"}


# ---------------------------------------------------------------------------------------------------- the parser


@dataclass(frozen=True, slots=True)
class Flags:
    """``fold``: case does not matter, ``lines``: ^ and $ match at lines, ``dot_all``: . matches a new line."""

    fold: bool = False
    lines: bool = False
    dot_all: bool = False


LETTERS: Mapping[str, str] = {"i": "fold", "m": "lines", "s": "dot_all", "U": ""}  # "": of no matter to a full match


def parse(pattern: str) -> Tree:
    """The tree of ``pattern``. Raises RegexError."""
    return _Parser(pattern).whole()


class _Parser:
    def __init__(self, pattern: str) -> None:
        self.pattern, self.at = pattern, 0
        self.flags = Flags()

    def fail(self, why: str) -> RegexError:
        return RegexError(f"{why} at character {self.at} of '{self.pattern}'")

    def peek(self, word: str) -> bool:
        return self.pattern.startswith(word, self.at)

    def take(self, word: str) -> bool:
        """Step over ``word`` if it comes next."""
        if not self.peek(word):
            return False
        self.at += len(word)
        return True

    def next(self) -> str:
        if self.at >= len(self.pattern):
            raise self.fail("the pattern ends too early")
        self.at += 1
        return self.pattern[self.at - 1]

    def until(self, end: str) -> str:
        """The text before ``end``, which is stepped over."""
        stop = self.pattern.find(end, self.at)
        if stop < 0:
            raise self.fail(f"'{end}' is missing")
        text, self.at = self.pattern[self.at : stop], stop + len(end)
        return text

    # -- structure
    def whole(self) -> Tree:
        tree = self.alternatives()
        if self.at < len(self.pattern):
            raise self.fail("there is no '(' for this ')'")
        return tree

    def alternatives(self) -> Tree:
        """Up to a closing bracket or the end; flags set inside end there."""
        before, items = self.flags, [self.sequence()]
        while self.take("|"):
            items.append(self.sequence())
        self.flags = before
        return items[0] if len(items) == 1 else Alt(tuple(items))

    def sequence(self) -> Tree:
        items: list[Tree] = []
        while self.at < len(self.pattern) and not self.peek("|") and not self.peek(")"):
            if self.take(r"\Q"):
                items += self.quoted()
            else:
                item = self.item()
                items += [] if item is None else [self.repeated(item)]
        return items[0] if len(items) == 1 else Cat(tuple(items))

    def quoted(self) -> list[Tree]:
        r"""Literal text up to ``\E`` or the end; a repetition applies to the last character."""
        stop = self.pattern.find(r"\E", self.at)
        stop = len(self.pattern) if stop < 0 else stop
        items = [self.literal(ord(c)) for c in self.pattern[self.at : stop]]
        self.at = min(stop + 2, len(self.pattern))
        return [*items[:-1], self.repeated(items[-1])] if items else []

    def repeated(self, item: Tree) -> Tree:
        count = self.count()
        if count is None:
            return item
        self.take("?")
        if self.count() is not None:
            raise self.fail("a repetition of a repetition (use a group)")
        return Repeat(item, *count)

    def count(self) -> tuple[int, int | None] | None:
        """A repetition operator, if one comes next."""
        simple: Mapping[str, tuple[int, int | None]] = {"*": (0, None), "+": (1, None), "?": (0, 1)}
        for word, bounds in simple.items():
            if self.take(word):
                return bounds
        start = self.at
        if self.take("{"):
            text, brace, _ = self.pattern[self.at :].partition("}")
            low, comma, high = text.partition(",")
            if brace and low.isascii() and low.isdigit() and (not high or (high.isascii() and high.isdigit())):
                self.at += len(text) + 1
                least = int(low)
                most = int(high) if high else None if comma else least
                if max(least, most or 0) > MOST_REPEATS or (most is not None and most < least):
                    raise self.fail(f"a repetition of {text} times (at most {MOST_REPEATS})")
                return least, most
        self.at = start
        return None

    def item(self) -> Tree | None:
        """One element; None where only flags were set."""
        if self.count() is not None:
            raise self.fail("there is nothing to repeat")
        c = self.next()
        if c == "(":
            return self.group()
        if c == "[":
            return Chars(self.char_class())
        if c == ".":
            return Chars(inverse(() if self.flags.dot_all else ((10, 10),)))
        if c == "^":
            return Assert("line_begin" if self.flags.lines else "begin")
        if c == "$":
            return Assert("line_end" if self.flags.lines else "end")
        return self.escape() if c == "\\" else self.literal(ord(c))

    def group(self) -> Tree | None:
        before = self.flags
        if self.take("?"):
            if self.take("P<") or (self.peek("<") and not self.peek("<=") and not self.peek("<!") and self.take("<")):
                name = self.until(">")
                if not name or not name.replace("_", "a").isalnum():
                    raise self.fail(f"'{name}' is no name of a group")
            elif not self.set_flags():
                return None
        tree = self.alternatives()
        if not self.take(")"):
            raise self.fail("')' is missing")
        self.flags = before
        return tree

    def set_flags(self) -> bool:
        """``flags:`` of a group (True), or ``flags)`` for what follows in this one (False)."""
        value = True
        while True:
            c = self.next()
            if c in ":)":
                return c == ":"
            if c == "-" and value:
                value = False
            elif c in LETTERS:
                self.flags = replace(self.flags, **{LETTERS[c]: value}) if LETTERS[c] else self.flags
            else:
                raise self.fail("lookaround, conditions and other extensions '(?...' are not regular; at least not RE2's")

    def literal(self, code: int) -> Chars:
        spans = ((code, code),)
        return Chars(folded(spans) if self.flags.fold else spans)

    # -- escapes
    def escape(self) -> Tree:
        c = self.next()
        if c in PLACES:
            return Assert(PLACES[c])
        if c == "C":
            return Byte()
        spans = self.class_escape(c)
        return self.literal(self.char_escape(c)) if spans is None else Chars(spans)

    def class_escape(self, c: str) -> tuple[Span, ...] | None:
        r"""``\d``, ``\pN`` and their kin; None for another letter."""
        if c.lower() in PERL:
            return PERL[c] if c in PERL else inverse(PERL[c.lower()])
        if c not in "pP":
            return None
        name = self.until("}") if self.take("{") else self.next()
        negated = (c == "P") != name.startswith("^")
        name = name.removeprefix("^")
        if name != "Any" and name not in CATEGORIES:
            raise self.fail(f"the class of characters '{name}' (general categories such as Lu are compiled, scripts are not)")
        spans = ((0, LAST),) if name == "Any" else category(name)
        spans = folded(spans) if self.flags.fold else spans
        return inverse(spans) if negated else spans

    def char_escape(self, c: str) -> int:
        """The code point of an escape whose letter ``c`` was read."""
        if c in CONTROLS:
            return CONTROLS[c]
        if c == "x":
            return self.hexadecimal()
        if c in string.octdigits and (c == "0" or self.pattern[self.at : self.at + 1] in [*string.octdigits]):
            digits = c
            while len(digits) < 3 and self.pattern[self.at : self.at + 1] in [*string.octdigits]:
                digits += self.next()
            return int(digits, 8)
        if c.isascii() and not c.isalnum():
            return ord(c)
        what = "a back reference, which is not regular" if c.isdigit() else "an escape that RE2 does not have"
        raise self.fail(f"'\\{c}' is {what},")

    def hexadecimal(self) -> int:
        text = self.until("}") if self.take("{") else self.next() + self.next()
        if not text or any(c not in string.hexdigits for c in text) or int(text, 16) > LAST:
            raise self.fail(f"'{text}' is no code point")
        return int(text, 16)

    # -- classes
    def char_class(self) -> tuple[Span, ...]:
        negated = self.take("^")
        spans: list[Span] = []
        first = True
        while first or not self.take("]"):
            first = False
            spans += self.class_item()
        out = folded(spans) if self.flags.fold else union(spans)
        return inverse(out) if negated else out

    def class_item(self) -> tuple[Span, ...]:
        if self.take("[:"):
            name = self.until(":]")
            known = POSIX.get(name.removeprefix("^"))
            if known is None:
                raise self.fail(f"there is no class '[:{name}:]'")
            return inverse(known) if name.startswith("^") else known
        c = self.next()
        if c == "\\":
            c = self.next()
            spans = self.class_escape(c)
            if spans is not None:
                return spans
            low = self.char_escape(c)
        else:
            low = ord(c)
        if not self.peek("-") or self.pattern[self.at + 1 : self.at + 2] in ("]", ""):
            return ((low, low),)
        self.at += 1
        c = self.next()
        high = self.char_escape(self.next()) if c == "\\" else ord(c)
        if high < low:
            raise self.fail(f"the range {chr(low)}-{chr(high)} is empty")
        return ((low, high),)

