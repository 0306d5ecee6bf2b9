# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Where words go: data to stdout, talk to stderr; colour and progress on a terminal only."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np


class Console:
    """``verbosity``: -1 quiet (errors only), 0 normal, 1 verbose."""

    def __init__(self, verbosity: int = 0) -> None:
        self.verbosity = verbosity
        self._status: Any = None

    # -- data
    def data(self, text: str) -> None:
        """A line of what was asked for."""
        print(text, file=sys.stdout)

    def json(self, value: Any) -> None:
        """``value`` (dataclasses, arrays' scalars and paths included) as one JSON document."""
        print(json.dumps(plain(value), indent=2, allow_nan=False), file=sys.stdout)

    # -- talk
    def say(self, text: str, level: int = 0) -> None:
        """A line of talk, unless the user wants less."""
        if self.verbosity >= level:
            print(text, file=sys.stderr)

    def error(self, text: str) -> None:
        """What went wrong; never silenced."""
        bold, end = ("\x1b[1;31m", "\x1b[0m") if self.colour else ("", "")
        print(f"{bold}error:{end} {text}", file=sys.stderr)

    @property
    def colour(self) -> bool:
        return sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"

    # -- progress
    @contextmanager
    def working(self, first: str) -> Iterator[None]:
        """A spinner on a terminal for the length of the block; ``stage`` renames it."""
        if self.verbosity < 0 or not sys.stderr.isatty() or os.environ.get("TERM") == "dumb":
            yield
            return
        from rich.console import Console as Rich

        with Rich(stderr=True, no_color=not self.colour).status(first) as status:
            self._status = status
            try:
                yield
            finally:
                self._status = None

    def stage(self, text: str) -> None:
        """What is being done now."""
        if self._status is not None:
            self._status.update(text)
        else:
            self.say(text, 1)

    # -- tables
    def table(self, head: Sequence[str], rows: Sequence[Sequence[object]], *, talk: bool = False) -> None:
        """Columns; the first is flush left, the others too where they hold words. ``talk``: to stderr."""
        if talk and self.verbosity < 0:
            return
        stream = sys.stderr if talk else sys.stdout
        if stream.isatty() and not os.environ.get("NO_COLOR"):
            from rich.console import Console as Rich
            from rich.table import Table
            from rich.text import Text

            made = Table(*head, box=None, header_style="bold", pad_edge=False)
            for row in rows:
                made.add_row(*(Text(str(c)) for c in row))
            Rich(file=stream).print(made)
            return
        print("\n".join(columns(head, rows)), file=stream)


def columns(head: Sequence[str], rows: Sequence[Sequence[object]]) -> list[str]:
    """Rows of text padded to columns; a ``head`` of empty strings is left out."""
    cells = [[str(c) for c in row] for row in ([head, *rows] if any(head) else rows)]
    widths = [max((len(r[k]) for r in cells), default=0) for k in range(len(head))]
    return ["  ".join(c.ljust(w) for c, w in zip(r, widths, strict=True)).rstrip() for r in cells]


def plain(value: Any) -> Any:
    """``value`` as what JSON can hold: dataclasses as objects, infinities and NaN as text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value) if f.repr}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(v) for v in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    return str(value) if isinstance(value, (Path, Exception)) else repr(value)


def amount(n: float) -> str:
    """Bytes for people: ``1.4 MB``."""
    for unit in ("B", "KB", "MB", "GB"):
        if n < 1000 or unit == "GB":
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1000
    return ""


def count(n: float) -> str:
    """Large counts for people: ``231 M``."""
    for unit in ("", " K", " M", " G"):
        if n < 1000 or unit == " G":
            return f"{n:.0f}{unit}" if not unit else f"{n:.3g}{unit}"
        n /= 1000
    return ""


def duration(seconds: float) -> str:
    """``1.25 s``, ``3.40 ms`` or ``12.1 us``."""
    for scale, unit in ((1.0, "s"), (1e-3, "ms")):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} us"
