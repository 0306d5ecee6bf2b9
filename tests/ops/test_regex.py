# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Regular expressions: Python's own where both syntaxes agree, RE2's documentation where they do not."""

from __future__ import annotations

import random
import re

import numpy as np
import pytest

from aotgen.ops.regex_automaton import Automaton, compiled, sequences
from aotgen.ops.regex_syntax import RegexError

SHARED = [
    "", "a", "ab|c*", "(a|b)*abb", "a{2,3}", "a{2}", "a{2,}", "x{0}y", "[a-c]+", "[^a-c]*", r"\d+\.\d*", r"\bfoo\b.*", "^a$", r"\Aab",
    "(?s:.*)x", ".*", r"\w+@\w+\.com", r"(\W|^)[\w.\-]{0,25}@(yahoo|gmail)\.com(\W|$)", "[é-ü]+", r"\x41+", "a??b", "(?:a|)b", "(?P<n>x)y",
    r"\Ba\B", r"a\b", "()", "(a*)*b", "[]a]+", "[a-]+", r"[\]\-x]+", r"\n\t", "日本?", "x*", "^^a", r"[\d\-]+", r"[^\w]+", "(a|ab)(c|bcd)(d*)",
    r"[\x00-\x1f]*", "(?i:fOo)bar", "(?i)[k-m]+", r"a\.b|\*|\(", "a|", "(|b)a", r"\S+\s\S+",
]  # fmt: skip
ALPHABET = "abcdfoxyklmK.-@ \n\t19_é日本*(]A"


def texts(seed: int, n: int = 300) -> list[str]:
    rng = random.Random(seed)
    plain = ["", "a", "ab", "abb", "aabb", "foo", "foo bar", "a\n", "\n\t", "account@gmail.com", " x@yahoo.com ", "éü", "日本", "12.5", "FOObar"]
    return plain + ["".join(rng.choice(ALPHABET) for _ in range(rng.randint(1, 7))) for _ in range(n)]


@pytest.mark.parametrize("pattern", SHARED)
def test_against_python(pattern: str) -> None:
    machine, peer = compiled(pattern), re.compile(pattern, re.ASCII)
    for text in texts(len(pattern)):
        if "$" in pattern and text.endswith("\n"):
            continue  # Python's $ also matches before a last new line, RE2's does not
        assert machine.matches(text.encode()) == (peer.fullmatch(text) is not None), text


def random_pattern(rng: random.Random, depth: int = 3) -> str:
    kind = rng.randrange(7) if depth else rng.randrange(3)
    if kind < 2:
        return rng.choice(["a", "b", "é", ".", "[ab]", "[^a]", r"\w", r"\b", "日"])
    if kind == 2:
        return "".join(rng.choice("abé") for _ in range(rng.randint(1, 3)))
    inner = random_pattern(rng, depth - 1)
    if kind == 3:
        return f"(?:{inner}){rng.choice(['*', '+', '?', '{2}', '{1,3}', '*?'])}"
    if kind == 4:
        return f"({inner}|{random_pattern(rng, depth - 1)})"
    return inner + random_pattern(rng, depth - 1)


@pytest.mark.parametrize("seed", range(60))
def test_random_patterns(seed: int) -> None:
    rng = random.Random(seed)
    pattern = random_pattern(rng)
    machine, peer = compiled(pattern), re.compile(pattern, re.ASCII)
    for _ in range(80):
        text = "".join(rng.choice("abé日 ") for _ in range(rng.randint(0, 5)))
        assert machine.matches(text.encode()) == (peer.fullmatch(text) is not None), (pattern, text)


# What RE2 has and Python has not, or means otherwise.
OWN: list[tuple[str, list[str], list[str]]] = [
    (r"a\Qb*c\E+", ["ab*c", "ab*ccc"], ["abbc", "a"]),
    (r"\Q(?i)", ["(?i)"], [""]),
    ("a{,3}", ["a{,3}"], ["", "a"]),
    ("a{x}", ["a{x}"], ["a"]),
    (r"\pL+", ["aé日ß"], ["1", ""]),
    (r"\p{Lu}\P{Lu}", ["Aa", "É1"], ["aA", "AA"]),
    (r"[^\pL\d]+", ["!_ "], ["a", "1", "é"]),
    (r"\p{^N}", ["x"], ["1", "²"]),
    ("[[:alpha:]]+[[:^digit:]]", ["ab!", "abc"], ["a1", "é!"]),
    ("(?i)straSSe", ["STRASSE", "ſtraſſe"], ["straße"]),
    ("(?i)k", ["k", "K", "\u212a"], ["c"]),
    ("(?i)[^k]", ["c", "ı"], ["k", "\u212a"]),
    ("(?i)ß", ["ß", "ẞ"], ["ss"]),
    ("(?i)i", ["i", "I"], ["ı", "İ"]),
    (r"\x{1F600}.", ["\U0001f600\u20ac"], ["\U0001f600"]),
    (r"\141\60", ["a0"], ["141"]),
    (r"\C\C", ["é", "ab"], ["a", "日"]),
    ("(?m)^a$\n^b$", ["a\nb"], ["a\nb\n"]),
    ("a(?i)b|c", ["ab", "aB", "C"], ["Ab"]),
    ("(?U)a+?", ["a", "aa"], [""]),
    ("(?is-m:A.)b", ["a\nb"], ["a\nB"]),
    (r"(?<name>a)\z", ["a"], ["a\n"]),
    (r"\a\f\v", ["\a\f\v"], ["a"]),
]


@pytest.mark.parametrize(("pattern", "members", "others"), OWN, ids=[p for p, _, _ in OWN])
def test_of_re2(pattern: str, members: list[str], others: list[str]) -> None:
    machine = compiled(pattern)
    assert all(machine.matches(t.encode()) for t in members), members
    assert not any(machine.matches(t.encode()) for t in others), others


@pytest.mark.parametrize(("pattern", "why"), [
    (r"(a)\1", "back reference"), ("a(?=b)", "lookaround"), ("(?<!a)b", "lookaround"), ("(?>a)", "not regular"), ("*a", "nothing to repeat"),
    ("a**", "repetition of a repetition"), ("(a", r"'\)' is missing"), ("a)", r"no '\('"), ("[a", "ends too early"), ("\\", "ends too early"),
    (r"\p{Greek}", "scripts"), (r"\Z", "does not have"), ("a{1001}", "at most 1000"), ("a{3,2}", "at most"), ("[b-a]", "empty"),
    ("(?P<>a)", "name of a group"), (r"\x{110000}", "code point"), ("[[:what:]]", "no class"), ("(a|b)*a(a|b){20}", "states"),
    (r"(\pL{500}){500}", "edges"),
])  # fmt: skip
def test_refusals_name_the_place(pattern: str, why: str) -> None:
    with pytest.raises(RegexError, match=why):
        compiled(pattern)


def test_what_is_no_text_matches_only_any_byte() -> None:
    bad = [b"\xff", b"\xc3", b"\xe2\x82", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80"]
    for text in bad:
        assert not compiled("(?s).+").matches(text)
        assert compiled(r"\C+").matches(text)


def every(machine: Automaton) -> None:
    assert machine.steps.dtype == np.uint16
    assert machine.steps.max() < len(machine.steps) == len(machine.accepts)
    assert machine.classes.max() < machine.steps.shape[1]


@pytest.mark.parametrize("pattern", SHARED)
def test_the_table_is_small_and_the_same_every_time(pattern: str) -> None:
    machine = compiled(pattern)
    every(machine)
    compiled.cache_clear()
    again = compiled(pattern)
    np.testing.assert_array_equal(machine.steps, again.steps)
    rows = {(bool(a), *row) for a, row in zip(machine.accepts, machine.steps.tolist(), strict=True)}
    assert len(rows) == len(machine.steps)
    assert len({*zip(*machine.steps.tolist(), strict=True)}) == machine.steps.shape[1]


@pytest.mark.parametrize(("low", "high"), [(0, 0x10FFFF), (0x7F, 0x80), (0x41, 0x5A), (0x7FF, 0x801), (0x1000, 0x20FF), (0xD000, 0xE010), (0xFFFD, 0x10203)])
def test_runs_of_bytes_are_exactly_the_code_points(low: int, high: int) -> None:
    def count(run: list[tuple[int, int]]) -> int:
        return int(np.prod([b - a + 1 for a, b in run]))

    runs = list(sequences(low, high))
    missing = sum(0xD800 <= c < 0xE000 for c in range(low, high + 1))
    assert sum(map(count, runs)) == high - low + 1 - missing
    for c in {low, high, (low + high) // 2, min(high, low + 63)}:
        if not 0xD800 <= c < 0xE000:
            data = chr(c).encode()
            assert sum(len(r) == len(data) and all(a <= x <= b for x, (a, b) in zip(data, r, strict=True)) for r in runs) == 1
