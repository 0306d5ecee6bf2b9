# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The written-out case tables against those of this Python, which may know more characters but never others."""

from __future__ import annotations

import unicodedata

import pytest

from aotgen.ops.letter_case import mapped, orbits, rows

OLD = unicodedata.unidata_version >= "14"


def simple(c: int, action: str) -> int:
    """The mapping of one code point to one, from Python's full ones."""
    if action == "LOWER":
        text = chr(c).lower() if c != 0x130 else "i"
        return ord(text) if len(text) == 1 else c
    text = next((t for t in (chr(c).upper(), chr(c).title()) if len(t) == 1), chr(c))
    return ord(text)


@pytest.mark.parametrize("action", ["LOWER", "UPPER"])
def test_mappings(action: str) -> None:
    table = rows(action)
    assert all(a[1] < b[0] for a, b in zip(table[:-1].tolist(), table[1:].tolist(), strict=True))
    ours = {c: c + d for a, b, step, d in table.tolist() for c in range(a, b + 1, step)}
    theirs = {c: m for c in range(0x110000) if (m := simple(c, action)) != c}
    assert ours.items() <= theirs.items() or not OLD
    if unicodedata.unidata_version == "14.0.0":
        assert ours == theirs


def test_texts() -> None:
    assert mapped("ÀÉ straße ΣΑΣ \U0001f600 \udcff", "LOWER") == "àé straße σασ \U0001f600 \udcff"
    assert mapped("àé straße ŉ ᾳ", "UPPER") == "ÀÉ STRAßE ŉ ᾼ"
    assert mapped("Ab", "NONE") == "Ab"


def test_orbits() -> None:
    known = orbits()
    assert known[ord("k")] == {ord("k"), ord("K"), 0x212A}
    assert known[ord("i")] == {ord("i"), ord("I")}
    assert ord("1") not in known
    assert all(known[c] == group for group in known.values() for c in group)
