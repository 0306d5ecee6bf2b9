# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""`string_*.h` against Python: order, numbers to text and back, case, splitting, stop words, tables of automata."""

from __future__ import annotations

import ctypes
import math
import random
import struct
from collections.abc import Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Any

import ml_dtypes
import numpy as np
import pytest

from aotgen.ops import letter_case
from aotgen.ops.regex_automaton import compiled
from aotgen.ops.string_numbers import number_text, rounded
from aotgen.toolchain.strings import from_native, to_native
from tests.kernels.harness import isas, load

SOURCE = """
#include "string_numbers.h"
#include "string_ops.h"
using namespace aot;
static void* refuse(void*, size_t) { return nullptr; }
static Pool pool;
extern "C" {
void open_pool(int has) {
  pool = Pool{};
  pool.take = has != 0 ? pool_malloc : refuse;
  pool.give = pool_free;
}
void close_pool() { settle(pool); }
void order(const aotgen_string* a, const aotgen_string* b, int* y, ptrdiff_t n) {
  for (ptrdiff_t i = 0; i < n; ++i) {
    y[i] = text_order(a[i], b[i]) * 8 + same_text(a[i], b[i]) + 2 * text_before(a[i], b[i]) + 4 * text_not_after(a[i], b[i]);
  }
}
bool concat(const aotgen_string* a, const aotgen_string* b, aotgen_string* y, ptrdiff_t n) { return concat_texts(a, b, y, n, pool); }
bool map(const aotgen_string* x, const int32_t* rows, aotgen_string* y, ptrdiff_t n, ptrdiff_t count) {
  return map_texts(x, rows, y, n, count, pool);
}
int64_t drop(const aotgen_string* x, const aotgen_string* words, const int32_t* rows, aotgen_string* y, ptrdiff_t n, ptrdiff_t count,
             ptrdiff_t size) {
  int64_t kept = -1;
  drop_words(x, words, rows, y, &kept, n, count, size, 0, 1);
  return kept;
}
void counts(const aotgen_string* x, int64_t* y, ptrdiff_t n, const char* mark, size_t size, int64_t most, int tid, int nt) {
  count_parts(x, y, n, mark, size, most, tid, nt);
}
void split(const aotgen_string* x, aotgen_string* y, ptrdiff_t n, ptrdiff_t width, const char* mark, size_t size, int64_t most, int tid, int nt) {
  split_texts(x, y, n, width, mark, size, most, tid, nt);
}
void match(const aotgen_string* x, const uint8_t* classes, const uint16_t* steps, const uint8_t* accepts, uint8_t* y, ptrdiff_t n,
           ptrdiff_t count, int tid, int nt) {
  match_texts(x, classes, steps, accepts, y, n, count, tid, nt);
}
bool doubles(const double* x, aotgen_string* y, ptrdiff_t n) { return texts_of_numbers(x, y, n, pool); }
bool longs(const int64_t* x, aotgen_string* y, ptrdiff_t n) { return texts_of_numbers(x, y, n, pool); }
bool unsigneds(const uint64_t* x, aotgen_string* y, ptrdiff_t n) { return texts_of_numbers(x, y, n, pool); }
void numbers(const aotgen_string* x, double* y, ptrdiff_t n, int precision, int lowest) { numbers_of_texts(x, y, n, precision, lowest, 0, 1); }
void integers(const aotgen_string* x, int64_t* y, ptrdiff_t n) { integers_of_texts(x, y, n, 0, 1); }
void naturals(const aotgen_string* x, uint64_t* y, ptrdiff_t n) { integers_of_texts(x, y, n, 0, 1); }
}
"""
ODD = ["", "a", "ab", "b", "\0", "a\0", "é", "É", "日本語", "\U0001f600", "ß", "ẞ", "Σ", "\u0130", "\x7f", "\udcff", "a\udc80b", "\udce2\udc82",
       " a  b ", ",", ",,", "a,b,,c,", "\u3000x\u2003", "z" * 300]  # lone surrogates: bytes that are no UTF-8
SMALL = 2000


@pytest.fixture(scope="module")
def lib() -> Any:
    library = load(SOURCE, isas()[-1])
    library.drop.restype = ctypes.c_int64
    for name in ("concat", "map", "doubles", "longs", "unsigneds"):
        getattr(library, name).restype = ctypes.c_bool
    library.open_pool(1)
    yield library
    library.close_pool()


def size(n: int) -> ctypes.c_ssize_t:
    return ctypes.c_ssize_t(n)


def texts(values: Sequence[str]) -> tuple[Any, ...]:
    """A pointer to ``values`` as aotgen_string, and what it points into."""
    rows, block = to_native(np.array(values, object))
    return ctypes.c_void_p(rows.ctypes.data), rows, block


def room(n: int) -> tuple[ctypes.c_void_p, np.ndarray]:
    rows = np.full((max(n, 1), 2), 2**64 - 1, np.uint64)
    return ctypes.c_void_p(rows.ctypes.data), rows


def at(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def words(rows: np.ndarray, n: int) -> list[str]:
    return from_native(rows.ctypes.data, (n,)).tolist()


def test_order(lib: Any) -> None:
    pairs = [(a, b) for a in ODD for b in ODD]
    a, b = texts([p for p, _ in pairs]), texts([p for _, p in pairs])
    got = np.zeros(len(pairs), np.int32)
    lib.order(a[0], b[0], at(got), size(len(pairs)))
    for (p, q), value in zip(pairs, got, strict=True):
        x, y = p.encode("utf-8", "surrogateescape"), q.encode("utf-8", "surrogateescape")
        assert value == ((x > y) - (x < y)) * 8 + (x == y) + 2 * (x < y) + 4 * (x <= y), (p, q)


def test_concat(lib: Any) -> None:
    a, b, (to, rows) = texts(ODD), texts(ODD[::-1]), room(len(ODD))
    assert lib.concat(a[0], b[0], to, size(len(ODD)))
    joined = [(p.encode("utf-8", "surrogateescape") + q.encode("utf-8", "surrogateescape")).decode("utf-8", "surrogateescape")
              for p, q in zip(ODD, ODD[::-1], strict=True)]
    assert words(rows, len(ODD)) == joined


@pytest.mark.parametrize("action", ["LOWER", "UPPER", "NONE"])
def test_case(lib: Any, action: str) -> None:
    table = letter_case.rows(action)
    every = [chr(c) for c in range(1, 0x11000) if not 0xD800 <= c < 0xE000]
    values = [*ODD, *every, "".join(every[:3000])]
    x, (to, rows) = texts(values), room(len(values))
    assert lib.map(x[0], at(table), to, size(len(values)), size(len(table)))
    assert words(rows, len(values)) == [letter_case.mapped(v, action) for v in values]


@pytest.mark.parametrize("action", ["LOWER", "NONE"])
def test_stop_words(lib: Any, action: str) -> None:
    table = letter_case.rows(action)
    stops = sorted({letter_case.mapped(w, action) for w in ("A", "é", "", "Σ", "zz", "a\0")}, key=lambda w: w.encode())
    for values in (ODD, ["a", "A"], ["é"]):
        x, w, (to, rows) = texts(values), texts(stops), room(len(values))
        kept = lib.drop(x[0], w[0], at(table), to, size(len(values)), size(len(stops)), size(len(table)))
        want = [v for v in values if letter_case.mapped(v, action) not in stops] or [""]
        assert words(rows, kept) == want


@pytest.mark.parametrize("mark", ["", ",", "ab", "本", "\0"])
@pytest.mark.parametrize("most", [-1, 0, 1, 3])
@pytest.mark.parametrize("nt", [1, 3])
def test_split(lib: Any, mark: str, most: int, nt: int) -> None:
    values = [v for v in ODD if not any(0xD800 <= ord(c) < 0xE000 for c in v)]
    want = [v.split(mark or None, most) for v in values]
    x, counts, data = texts(values), np.full(len(values), -1, np.int64), mark.encode()
    width = max(map(len, want)) + 1
    to, rows = room(len(values) * width)
    for tid in range(nt):
        lib.counts(x[0], at(counts), size(len(values)), data, size(len(data)), ctypes.c_int64(most), tid, nt)
        lib.split(x[0], to, size(len(values)), size(width), data, size(len(data)), ctypes.c_int64(most), tid, nt)
    assert counts.tolist() == [len(w) for w in want]
    assert words(rows, len(values) * width) == [t for w in want for t in (*w, *[""] * (width - len(w)))]


def test_white_space(lib: Any) -> None:
    """What str.isspace calls so."""
    every = [chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000 and (c < 0x3100 or c % 97 == 0)]
    x, counts = texts(every), np.zeros(len(every), np.int64)
    lib.counts(x[0], at(counts), size(len(every)), b"", size(0), ctypes.c_int64(-1), 0, 1)
    assert [c for c, n in zip(every, counts, strict=True) if n == 0] == [c for c in every if c.isspace()]


@pytest.mark.parametrize("pattern", ["", r"\w+", "[^a]*", r"(?i)É|ß", ".*"])
def test_match(lib: Any, pattern: str) -> None:
    machine = compiled(pattern)
    x, y = texts(ODD), np.full(len(ODD), 9, np.uint8)
    for tid in range(2):
        lib.match(x[0], at(machine.classes), at(machine.steps), at(machine.accepts), at(y), size(len(ODD)), size(machine.steps.shape[1]), tid, 2)
    assert y.tolist() == [machine.matches(t.encode("utf-8", "surrogateescape")) for t in ODD]


def doubles(n: int) -> np.ndarray:
    """Of every magnitude, with ties of the eighth digit among them."""
    rng = random.Random(1)
    any_bits = [struct.unpack("<d", struct.pack("<Q", rng.getrandbits(64)))[0] for _ in range(n)]
    plain = [rng.choice([1, -1]) * rng.random() * 10 ** rng.randint(-7, 11) for _ in range(n)]
    ties = [(rng.randrange(10**8) + 0.5) * 2.0 ** rng.randint(0, 3) for _ in range(n // 4)]
    edges = [0.0, -0.0, 1, 99999999.5, 99999998.5, 1e-4, 9.99999995e-5, 5e-324, 1.7976931348623157e308, math.inf, -math.inf, math.nan]
    return np.array([*any_bits, *plain, *ties, *edges])


def test_numbers_to_text(lib: Any) -> None:
    x = doubles(SMALL)
    to, rows = room(x.size)
    assert lib.doubles(at(x), to, size(x.size))
    assert words(rows, x.size) == [number_text(v) for v in x]
    for kind, call in ((np.int64, lib.longs), (np.uint64, lib.unsigneds)):
        info = np.iinfo(kind)
        y = np.array([0, 1, 9, 10, info.min, info.max, info.max // 10], kind)
        to, rows = room(y.size)
        assert call(at(y), to, size(y.size))
        assert words(rows, y.size) == [str(v) for v in y]


def halves(n: int) -> list[str]:
    """Decimal numbers between two neighbouring doubles, exactly or by a hair."""
    rng = random.Random(2)
    out = []
    with localcontext() as context:
        context.prec = 1200
        for k in range(n):
            x = struct.unpack("<d", struct.pack("<Q", rng.getrandbits(64) & 0x7FEFFFFFFFFFFFFF))[0]
            middle = format((Decimal(x) + Decimal(float(np.nextafter(x, math.inf)))) / 2, "f" if k % 2 else "e")
            out += [middle, middle + "1" if k % 2 else middle]
    return out


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.float16, ml_dtypes.bfloat16, ml_dtypes.float8_e4m3fn])
def test_text_to_numbers(lib: Any, kind: Any) -> None:
    """Rounded once to each precision."""
    info = ml_dtypes.finfo(kind)
    precision, lowest = int(info.nmant) + 1, int(info.minexp)
    values = [repr(float(v)) for v in doubles(SMALL // 4) if math.isfinite(v)]
    values += [f"{float(v):.25e}" for v in doubles(50) if math.isfinite(v)] + halves(100)
    values += ["0", "-0", "1" * 900, "0." + "0" * 900 + "1", "1" + "0" * 400, "00.5", ".5", "5.", "16777217", "3.4028235677973366e38"]
    x, y = texts(values), np.zeros(len(values))
    lib.numbers(x[0], at(y), size(len(values)), precision, lowest)
    for text, got in zip(values, y, strict=True):
        want = float(text) if Decimal(text) == 0 or abs(Decimal(text).adjusted()) > 400 else rounded(Fraction(text), precision, lowest)
        assert got == want and math.copysign(1, got) == math.copysign(1, want), text
        if kind is np.float64:
            assert got == float(text)


def test_words_that_are_numbers(lib: Any) -> None:
    cases = {"INF": math.inf, "+inf": math.inf, "-Infinity": -math.inf, " 2.5\n": 2.5, "+5": 5, "1e3": 1000, "1E-400": 0, "-1e400": -math.inf}
    nothing = ["", " ", "-", ".", "abc", "1_0", "0x10", "1e", "1.2.3", "nan", "NaN", "--1", "1 2", "e5", "infinit"]
    values = [*cases, *nothing]
    x, y = texts(values), np.zeros(len(values))
    lib.numbers(x[0], at(y), size(len(values)), 53, -1022)
    assert y[: len(cases)].tolist() == list(cases.values())
    assert np.isnan(y[len(cases) :]).all()


def test_text_to_integers(lib: Any) -> None:
    cases = {"0": 0, "-17": -17, "9223372036854775807": 2**63 - 1, "9223372036854775808": 2**63, "-9223372036854775809": -(2**63) - 1,
             "18446744073709551615": 2**64 - 1, "99999999999999999999999": 10**23, "2.99": 2, "-0.5": 0, "1e3": 1000, "inf": 10**30, "x": 0, "": 0}
    x, signed, unsigned = texts(list(cases)), np.zeros(len(cases), np.int64), np.zeros(len(cases), np.uint64)
    lib.integers(x[0], at(signed), size(len(cases)))
    lib.naturals(x[0], at(unsigned), size(len(cases)))
    assert signed.tolist() == [min(max(v, -(2**63)), 2**63 - 1) for v in cases.values()]
    assert unsigned.tolist() == [min(max(v, 0), 2**64 - 1) for v in cases.values()]


def test_without_memory(lib: Any) -> None:
    """The text is empty and the function says so; what needs no memory is there."""
    lib.close_pool()
    lib.open_pool(0)
    a, b, (to, rows) = texts(["a", "", "c"]), texts(["x", "y", ""]), room(3)
    assert not lib.concat(a[0], b[0], to, size(3))
    assert words(rows, 3) == ["", "y", "c"]
    table = letter_case.rows("UPPER")
    assert not lib.map(a[0], at(table), to, size(3), size(len(table)))
    assert words(rows, 3) == ["", "", ""]
    assert not lib.doubles(at(np.ones(3)), to, size(3))
    lib.open_pool(1)
