# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The writer of text and the table of names."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from aotgen.emit.names import RESERVED, NameTable, member, sanitize
from aotgen.emit.text import WIDTH, Text, clean_comment


def test_blocks_nest_and_parts_fill_later() -> None:
    t = Text()
    t.line("a;")
    early = t.part()
    with t.block("if (x)") as inner:
        inner.line("b;").comment("why")
    t.clause("else").line("c;")
    early.line("d;")
    assert t.render() == "a;\nd;\nif (x) {\n  b;\n  // why\n} else {\n  c;\n}\n"
    assert t.render(comments=False).count("//") == 0


def test_empty_parts_do_not_count() -> None:
    t = Text()
    t.part()
    assert t.empty
    t.part().line("x;")
    assert not t.empty


def test_long_lines_break_between_arguments_not_inside_products() -> None:
    t = Text()
    t.block("f()").line("y[i] = " + " + ".join(f"x{k}[i * {k} + j * 100]" for k in range(12)) + ";")
    lines = t.render().splitlines()
    assert all(len(line) <= WIDTH for line in lines)
    assert all(line.endswith("+") for line in lines[1:-2])


def test_strings_and_directives_are_never_broken() -> None:
    text = 'f("' + "a, " * 60 + '");'
    assert Text().line(text).render() == text + "\n"
    assert Text().raw("#pragma omp simd " + "x, " * 60).render().count("\n") == 1


@given(st.text(max_size=300))
def test_a_comment_cannot_escape(text: str) -> None:
    rows = Text().comment(text).render().splitlines()
    assert all(row.startswith("//") and not row.endswith("\\") for row in rows)
    assert "\n" not in clean_comment(text)


@given(st.text(max_size=80))
def test_sanitised_names_are_identifiers(text: str) -> None:
    for name in (sanitize(text), member(text)):
        assert re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name)
        assert name not in RESERVED and "__" not in name


@given(st.lists(st.sampled_from(["a", "a1", "a_1", "v", "I", "min", "x y", "x_y", "1", ""]), max_size=40))
def test_a_table_never_gives_a_name_twice(hints: list[str]) -> None:
    table = NameTable(("v0", "a1"))
    names = [f(h) for h in hints for f in (table.fresh, table.numbered)[: 1 + (h == "v")]]
    assert len(set(names)) == len(names)
    assert not {"v0", "a1"} & set(names)


def test_dims_with_similar_names_stay_apart() -> None:
    assert member("batch") == "batch"
    assert len({member("batch size"), member("batch_size"), member("batch-size")}) == 3
