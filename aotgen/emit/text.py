# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The one writer of generated text: lines, blocks and comments in a tree that is indented and wrapped when rendered.

Nothing else in ``emit`` holds a newline or an indentation. Because a ``Text`` is a tree, a value can be defined in an
outer block after the inner one was begun: that is all that hoisting needs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import TracebackType

WIDTH = 100
_BREAKS = (", ", " && ", " || ", " ? ", " : ", " + ", " - ", " | ", " = ", " * ", " / ")


class Text:
    """A block of output. ``line`` and ``comment`` append; ``block`` opens an indented child and may be used as
    a context manager; ``part`` reserves a place at the present position and indentation that can be filled later."""

    def __init__(self) -> None:
        self._items: list[tuple[str, str | Text]] = []

    def line(self, text: str = "") -> Text:
        """One line of code (empty: a blank line)."""
        self._items.append(("line", text))
        return self

    def raw(self, text: str) -> Text:
        """A line that is never wrapped: a preprocessor directive, a string."""
        self._items.append(("raw", text))
        return self

    def comment(self, text: str) -> Text:
        """One comment; whatever the text holds, it stays a comment."""
        self._items.append(("comment", clean_comment(text)))
        return self

    def block(self, header: str = "", close: str = "}") -> Text:
        """``header {``, an indented child, ``close``. Returns the child."""
        self.line(f"{header} {{" if header else "{")
        child = Text()
        self._items.append(("nested", child))
        self.line(close)
        return child

    def clause(self, header: str) -> Text:
        """Continue the block just closed: ``} header {`` (else, else if). Returns the child."""
        kind, last = self._items.pop()
        assert kind == "line" and isinstance(last, str), "a clause follows a block"
        return self.block(f"{last} {header}")

    def part(self) -> Text:
        """A child at the present position and indentation."""
        child = Text()
        self._items.append(("part", child))
        return child

    def add(self, other: Text) -> Text:
        """Append another Text at the present indentation."""
        self._items.append(("part", other))
        return self

    def __enter__(self) -> Text:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        return None

    @property
    def empty(self) -> bool:
        return all(isinstance(item, Text) and item.empty for _, item in self._items)

    def render(self, comments: bool = True, depth: int = 0) -> str:
        """The text, every line ended. ``comments=False`` leaves comments out: what two equal pieces of code share."""
        return "".join(f"{line}\n" for line in self._lines(comments, depth))

    def _lines(self, comments: bool, depth: int) -> Iterator[str]:
        pad = "  " * depth
        for kind, item in self._items:
            if isinstance(item, Text):
                yield from item._lines(comments, depth + (kind == "nested"))
            elif kind == "line":
                yield from wrap(item, pad) if item else [""]
            elif kind == "raw":
                yield pad + item if not item.startswith("#if") else item
            elif comments:
                yield from (pad + "// " + row for row in _fold(item, WIDTH - len(pad) - 3))


def clean_comment(text: str) -> str:
    """``text`` made harmless inside ``//``: one line, printable, no trailing backslash and no trigraph."""
    flat = "".join(c if c.isprintable() else " " for c in text)
    return re.sub(r"[\\/\s]+$", "", re.sub(r"\?\?(?=[=/'()!<>-])", "? ?", flat))


def wrap(code: str, pad: str, width: int = WIDTH) -> Iterator[str]:
    """``code`` cut into lines of at most ``width`` columns, each cut where the fewest brackets are open."""
    lead = pad
    while len(lead) + len(code) > width and '"' not in code:
        cut = _best_break(code, width - len(lead))
        if cut is None:
            break
        yield lead + code[:cut].rstrip()
        code, lead = code[cut:].lstrip(), pad + "    "
    yield lead + code


def _best_break(code: str, room: int) -> int | None:
    """Where to cut: in the second half of the line where the fewest brackets are open, as late as possible;
    products and quotients count as one bracket more."""
    depth, best, cost = 0, None, 0.0
    for at, c in enumerate(code):
        depth += (c in "([{") - (c in ")]}")
        after = next((len(b.rstrip()) for b in _BREAKS if code.startswith(b, at)), 0)
        if not after:
            continue
        if at + after > room:
            return at + after if best is None else best
        here = depth + (code[at + 1] in "*/")
        if at >= room // 3 and (best is None or here <= cost):
            best, cost = at + after, here
    return best


def _fold(text: str, width: int) -> Iterator[str]:
    """A comment cut at blanks."""
    while len(text) > width and (at := text.rfind(" ", 20, width)) > 0:
        yield text[:at]
        text = text[at + 1 :].lstrip()
    yield text
