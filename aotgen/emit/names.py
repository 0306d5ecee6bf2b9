# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""C names: sanitised, never reserved, never taken twice in one table."""

from __future__ import annotations

import re
import zlib

# Keywords of C17 and C++20, and the lower-case macros and objects that common platform headers define.
RESERVED = frozenset(
    """
alignas alignof and and_eq asm auto bitand bitor bool break case catch char char8_t char16_t char32_t class co_await
co_return co_yield compl complex concept const const_cast consteval constexpr constinit continue decltype default delete
do double dynamic_cast else enum explicit export extern false float for friend goto if imaginary inline int long main
mutable namespace new noexcept not not_eq nullptr operator or or_eq private protected public register reinterpret_cast
requires restrict return short signed sizeof static static_assert static_cast struct switch template this thread_local
throw true try typedef typeid typename union unsigned using virtual void volatile wchar_t while xor xor_eq
errno assert min max near far small interface hyper pascal cdecl unix linux i386 environ stdin stdout stderr offsetof
NULL EOF BUFSIZ TRUE FALSE BOOL DWORD INFINITY NAN HUGE_VAL EPSILON DOMAIN OVERFLOW UNDERFLOW ERROR IN OUT OPTIONAL
CONST VOID Range share
""".split()
)

_SUSPECT = re.compile(r"_*[A-Z][A-Z0-9]*(_[A-Z0-9]+)*")  # looks like a macro: I, M_PI, SIZE_MAX


def sanitize(text: str, fallback: str = "v") -> str:
    """A legal C identifier that resembles ``text``: lower risk, not unique. Not reserved, no leading underscore or
    double underscore, at most 48 characters; a macro-like name gets a trailing underscore."""
    out = re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_")
    out = re.sub(r"_+", "_", out)[:48].rstrip("_") or fallback
    if out[0].isdigit():
        out = f"{fallback}{out}"
    return f"{out}_" if out in RESERVED or _SUSPECT.fullmatch(out) else out


def member(text: str) -> str:
    """The member name of an open dim: a pure function of the dim's name, distinct for distinct names in practice (a
    name that had to be changed carries four hex digits of its CRC)."""
    out = sanitize(text, "d")
    return out.rstrip("_") + f"_{zlib.crc32(text.encode()) & 0xFFFF:04x}" if out.rstrip("_") != text else out


class NameTable:
    """The names of one C scope tree. ``fresh`` never returns a name twice nor one given in ``taken``."""

    def __init__(self, taken: tuple[str, ...] = ()) -> None:
        self._taken = set(taken)
        self._next: dict[str, int] = {}

    def fresh(self, hint: str) -> str:
        """``hint`` sanitised, made unique by a number."""
        base = sanitize(hint)
        if base not in self._taken:
            self._taken.add(base)
            return base
        stem = f"{base}_" if base[-1].isdigit() else base
        while True:
            n = self._next.get(stem, 1)
            self._next[stem] = n + 1
            if f"{stem}{n}" not in self._taken:
                self._taken.add(f"{stem}{n}")
                return f"{stem}{n}"

    def numbered(self, letter: str) -> str:
        """``letter`` followed by the next free number from 0: ``v0, v1, ...``."""
        while True:
            n = self._next.get(f"{letter}#", 0)
            self._next[f"{letter}#"] = n + 1
            if f"{letter}{n}" not in self._taken:
                self._taken.add(f"{letter}{n}")
                return f"{letter}{n}"
