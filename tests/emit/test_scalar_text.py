# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Expressions and index polynomials as C++ text."""

from __future__ import annotations

import math
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aotgen import targets
from aotgen.core import dtypes
from aotgen.core.errors import UnsupportedError
from aotgen.emit.names import NameTable
from aotgen.emit.scalar import ScalarPrinter, Scope, count_uses
from aotgen.emit.text import Text
from aotgen.ir import expr, index
from aotgen.ir.define import source
from aotgen.ir.expr import E, cast, const, fn, guard, ix_value, select
from aotgen.ir.index import var
from aotgen.ir.scalar import OPS
from aotgen.targets.base import Code

DIALECT = targets.load("cpu").dialect


class Bench:
    """An outer scope that knows ``i`` and an inner one that knows ``j`` too."""

    def __init__(self, index_type: str = "int") -> None:
        self.i, self.j = index.fresh_var(10, "i"), index.fresh_var(20, "j")
        self.outside, self.inside = Text(), Text()
        self.printer = ScalarPrinter(DIALECT, NameTable(), self._element, index_type)
        self.printer.variables = {self.i: "i", self.j: "j"}
        self.outer = Scope(self.outside, known=(self.i,))
        self.inner = Scope(self.inside, self.outer, (self.j,))
        self.x = source("x", (10, 20), dtypes.f32)

    def _element(self, load: E, scope: Scope) -> Code:
        d, idx = load.attr
        flat = index.ix(0)
        for k, n in zip(idx, d.shape, strict=True):
            flat = flat * n + k
        return Code(f"{d.name}[{self.printer.index(flat, scope).text}]")

    def text(self, e: E) -> str:
        self.printer.uses = count_uses([e])
        return self.printer.value(e, self.inner).text

    def ix(self, i: Any) -> str:
        return self.printer.index(i, self.inner).text


def test_brackets_only_where_needed() -> None:
    b = Bench()
    x = b.x[b.i, b.j]
    assert b.text((x + 1.0) * 2.0 - 0.5) == "(x[i * 20 + j] + 1.0f) * 2.0f - 0.5f"
    assert b.text(-(x * 2.0)) == "-(x[i * 20 + j] * 2.0f)"
    assert b.text(x - (x + 2.0) / 3.0) == "v0 - (v0 + 2.0f) / 3.0f"


def test_invariant_values_are_hoisted_and_shared_ones_named() -> None:
    b = Bench()
    invariant = fn("exp", b.x[b.i, 0])
    shared = fn("exp", b.x[b.i, b.j])
    assert b.text(shared * shared + invariant) == "v0 * v0 + v1"
    assert b.outside.render() == "const float v1 = vexp(x[i * 20]);\n"
    assert b.inside.render() == "const float v0 = vexp(x[i * 20 + j]);\n"


def test_loads_do_not_leave_the_arm_of_a_guard() -> None:
    b = Bench()
    text = b.text(guard(expr.ge0(var(b.i) - 3), fn("exp", b.x[var(b.i) - 3, 0]), const(1.5, "f32")))
    shown = b.outside.render() + b.inside.render() + text
    assert shown.index("i >= 3") < shown.index("x[")


def test_both_sides_of_a_select_are_loaded_before_the_choice() -> None:
    b = Bench()
    other = source("z", (20,), dtypes.f32)
    e = select(b.x[b.i, b.j] < 0.0, other[b.j,], const(1.0, "f32"))
    assert b.text(e) == "x[i * 20 + j] < 0.0f ? v0 : 1.0f"
    assert b.inside.render() == "const float v0 = z[j];\n"


def test_arms_that_need_names_become_an_if() -> None:
    b = Bench()
    shared = fn("exp", b.x[b.i, var(b.j) - 1])
    text = b.text(guard(expr.ge0(var(b.j) - 1), shared * shared, const(0.0, "f32")))
    body = b.inside.render()
    assert text.isidentifier() and "if (j >= 1) {" in body and "} else {" in body


def test_index_polynomials() -> None:
    b = Bench()
    i, j = var(b.i), var(b.j)
    assert b.ix(i * 20 + j - 3) == "i * 20 + j - 3"
    assert b.ix(5 - i * 2) == "5 - i * 2"
    assert b.ix(-i) == "-i"
    assert b.ix(0) == "0"
    assert b.printer.compare(i * 2 - 3, b.inner).text == "i * 2 >= 3"
    assert b.printer.compare(6 - i, b.inner).text == "i <= 6"


def test_divisions_are_plain_when_nothing_is_negative() -> None:
    b = Bench()
    i, j = var(b.i), var(b.j)
    b.ix((i + 1) // 3 + (j + 1) % 7)
    assert "(i + 1) / 3" in b.outside.render() and "(j + 1) % 7" in b.inside.render()
    n = index.dim("n")
    assert b.ix((i - n) // 3) == "k2"
    assert "const int k2 = (-d.n + i - imod<int>(-d.n + i, 3)) / 3;" in b.outside.render().replace(
        "i - d.n", "-d.n + i"
    )


def test_loaded_indices_are_clamped() -> None:
    b = Bench()
    at = source("at", (20,), dtypes.i64)
    e = b.x[index.indirect(at[b.j,], 10), 0]
    assert "x[k0 * 20]" in b.text(e)
    assert "static_cast<int>(clampi<int64_t>(at[j], 0, 9))" in b.inside.render()


def test_open_dims_are_members() -> None:
    b = Bench("int64_t")
    n = index.dim("my dim")
    assert "int64_t{d.my_dim_" in b.ix(n * 4 + var(b.i))
    assert [a.name for a in b.printer.dims] == ["my dim"]


@given(st.floats(width=32))
def test_float_literals_round_trip(value: float) -> None:
    text = DIALECT.literal(value, "f32").text
    if math.isnan(value) or math.isinf(value):
        assert "__builtin_" in text
    else:
        back = struct.unpack("f", struct.pack("f", float(text.rstrip("f"))))[0]
        assert struct.pack("f", back) == struct.pack("f", value) and text.endswith("f")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_double_literals_round_trip(value: float) -> None:
    text = DIALECT.literal(value, "f64").text
    back = float.fromhex(text) if "0x" in text else float(text)
    assert struct.pack("d", back) == struct.pack("d", value)
    assert any(c in text for c in ".ex")


@pytest.mark.parametrize(
    ("value", "dtype", "text"),
    [
        (-(1 << 31), "i32", "INT32_MIN"),
        (-(1 << 63), "i64", "INT64_MIN"),
        (7, "i64", "INT64_C(7)"),
        (7, "u32", "7u"),
        (True, "bool", "true"),
        (0.0, "f32", "0.0f"),
        (-0.0, "f32", "-0.0f"),
        (20.0, "f32", "20.0f"),
    ],
)
def test_literals(value: Any, dtype: str, text: str) -> None:
    assert DIALECT.literal(value, dtype).text == text


def test_every_operation_has_a_spelling_for_floats() -> None:
    x = Code("x")
    integers_only = {"bitnot", "bitand", "bitor", "bitxor", "shl", "shr"}
    logical = {"not", "and", "or", "xor"}
    for name, row in OPS.items():
        for dtype in (
            ("i32", "i64", "u32") if name in integers_only else ("bool",) if name in logical else ("f32", "f64")
        ):
            assert DIALECT.op(name, dtype, [x] * row.arity).text


def test_types_without_a_spelling_are_refused() -> None:
    with pytest.raises(UnsupportedError):
        targets.load("cuda").dialect.load(dtypes.of("string"), "x[0]")


def test_a_conversion_stored_at_once_is_not_undone() -> None:
    assert DIALECT.store_cast(dtypes.f16, "f32", Code("x")) == "f2h(x)"
    assert DIALECT.cast(dtypes.f16, "f32", Code("x")).text == "h2f(f2h(x))"
    assert DIALECT.cast(dtypes.of("u4"), "i32", Code("x")).text == "cast_to<int32_t>(x) & 15"


def test_integer_values_of_indices() -> None:
    b = Bench()
    assert b.text(ix_value(var(b.j), "i64")) == "static_cast<int64_t>(j)"
    assert b.text(cast(ix_value(var(b.j), "i32"), "f32")) == "static_cast<float>(j)"
