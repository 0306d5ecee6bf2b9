# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Operators on strings: joining, splitting, case, stop words, regular expressions. Library functions, because a string is
bytes of any length; what only moves strings is an expression like any other.

Case follows Unicode's simple mappings whatever ``locale`` says (``letter_case``); white space is what ``str.isspace`` calls so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from aotgen.core import dtypes
from aotgen.core.errors import ModelError
from aotgen.ir import index
from aotgen.ir.define import Call, Def, call, compute
from aotgen.ir.graph import Value
from aotgen.ir.interpret import Array, library
from aotgen.ops import letter_case
from aotgen.ops.broadcast import broadcast, read
from aotgen.ops.builder import Builder
from aotgen.ops.generators import data_dim
from aotgen.ops.regex_automaton import compiled
from aotgen.ops.regex_syntax import RegexError
from aotgen.ops.registry import Ctx, expansion, lowering
from aotgen.ops.shorthand import Sub

OWN = "aotgen"  # the domain of the operators these are made of


def texts(values: Sequence[str]) -> Array:
    """A 1-D string tensor."""
    out = np.empty(len(values), object)
    out[:] = values
    return out


def by_bytes(values: Sequence[str]) -> list[str]:
    """The distinct ``values`` in the order in which a library compares strings."""
    return sorted(set(values), key=dtypes.encode)


@lowering("StringConcat")
def string_concat(ctx: Ctx, x: Def, y: Def) -> Def:
    shape = broadcast(x.shape, y.shape)
    sides = [a if a.shape == shape else compute(shape, lambda *i, a=a: read(a, i), a.dtype) for a in (x, y)]
    return call("library", "concat_texts", sides, [(shape, dtypes.string)])[0]


@library("concat_texts")
def _concat_reference(c: Call, args: Sequence[Array]) -> list[Array]:
    return [np.asarray(np.add(*args), object).reshape(args[0].shape)]


# -- StringNormalizer


@expansion("StringNormalizer")
def string_normalizer(ctx: Ctx, builder: Builder, x: Value) -> Value:
    """``[C]`` or ``[1, C]`` without its stop words, in another case. Stop words are whole elements, compared as they are or
    in the case asked for (by default the lower one); where none is left the result is one empty string."""
    if len(x.shape) not in (1, 2) or (len(x.shape) == 2 and isinstance(x.shape[0], int) and x.shape[0] != 1):
        raise ModelError(f"StringNormalizer of {list(x.shape)}: [C] or [1, C] is needed")
    action = ctx.attr_str("case_change_action", "NONE")
    if action not in letter_case.TABLES:
        raise ModelError(f"unknown case_change_action '{action}'")
    s = Sub(ctx, builder)
    words = ctx.attr_strs("stopwords", [])
    y = s.reshape(x, [index.prod_dims(x.shape)])
    if words:
        compared = "NONE" if ctx.attr_int("is_case_sensitive", 0) else "LOWER" if action == "NONE" else action
        stops = by_bytes([letter_case.mapped(w, compared) for w in words])
        table = builder.constant(letter_case.rows(compared), "case")
        y = s("DropWords", y, builder.constant(texts(stops), "stopwords"), table, domain=OWN)
    if action != "NONE":
        y = s("MapCase", y, builder.constant(letter_case.rows(action), "case"), domain=OWN, action=action)
    return s.reshape(y, [1, y.shape[0]]) if len(x.shape) == 2 else y if y is not x else s("Identity", x)


@lowering("DropWords", domain=OWN)
def drop_words(ctx: Ctx, x: Def, words: Def, table: Def) -> Def:
    """The elements of ``x [n]`` that are not, mapped by ``table``, among the sorted ``words``; never none."""
    (n,) = x.shape
    most = n if index.nonneg(index.ix(n) - 1) else index.as_dim(index.ix(n) + 1)
    return call("library", "drop_words", [x, words, table], [((data_dim(ctx, 1, most),), dtypes.string)])[0]


@library("drop_words")
def _drop_reference(c: Call, args: Sequence[Array]) -> list[Array]:
    x, words, table = args
    action = next(name for name in letter_case.TABLES if np.array_equal(letter_case.rows(name), table))
    kept = [t for t in x if letter_case.mapped(t, action) not in set(words)]
    return [texts(kept or [""])]


@lowering("MapCase", domain=OWN)
def map_case(ctx: Ctx, x: Def, table: Def) -> Def:
    """``x`` with every code point mapped by ``table``, which is that of ``action``."""
    return call("library", "map_texts", [x, table], [(x.shape, dtypes.string)], action=ctx.attr_str("action"))[0]


@library("map_texts")
def _map_reference(c: Call, args: Sequence[Array]) -> list[Array]:
    return [texts([letter_case.mapped(t, c.params["action"]) for t in args[0].ravel()]).reshape(args[0].shape)]


# -- StringSplit


@expansion("StringSplit")
def string_split(ctx: Ctx, builder: Builder, x: Value) -> tuple[Value | None, ...]:
    """Parts ``[..., most]``, the shorter rows filled with empty strings, and how many each element has, i64 ``[...]``."""
    s = Sub(ctx, builder)
    how: dict[str, Any] = {"delimiter": ctx.attr_str("delimiter", ""), "maxsplit": ctx.attr_int("maxsplit", -1)}
    counts = s("PartCounts", x, domain=OWN, **how)
    if not ctx.wants(0):
        return s.asked(None, counts)
    zero = builder.constant(np.zeros(1, np.int64), "none")
    every = s.concat([s.reshape(counts, [index.prod_dims(x.shape)]), zero], 0)
    most = s("ReduceMax", every, s.ints([0]), keepdims=1)
    limit = how["maxsplit"] + 1 if how["maxsplit"] >= 0 else None
    width = builder.extents(most, "parts", 0, [limit])
    return s.asked(s("Parts", x, width, domain=OWN, **how), counts)


def _how(ctx: Ctx) -> dict[str, Any]:
    return {"delimiter": ctx.attr_str("delimiter"), "maxsplit": ctx.attr_int("maxsplit")}


@lowering("PartCounts", domain=OWN)
def part_counts(ctx: Ctx, x: Def) -> Def:
    return call("library", "count_parts", [x], [(x.shape, dtypes.i64)], **_how(ctx))[0]


@lowering("Parts", domain=OWN)
def parts(ctx: Ctx, x: Def, width: Def) -> Def:
    return call("library", "split_texts", [x], [((*x.shape, *ctx.values(1, "width")), dtypes.string)], **_how(ctx))[0]


def _split(c: Call, text: str) -> list[str]:
    return text.split(c.params["delimiter"] or None, c.params["maxsplit"])


@library("count_parts")
def _counts_reference(c: Call, args: Sequence[Array]) -> list[Array]:
    return [np.array([len(_split(c, t)) for t in args[0].ravel()], np.int64).reshape(args[0].shape)]


@library("split_texts")
def _parts_reference(c: Call, args: Sequence[Array]) -> list[Array]:
    rows = [_split(c, t) for t in args[0].ravel()]
    width = max(map(len, rows), default=0)
    return [texts([t for row in rows for t in (*row, *[""] * (width - len(row)))]).reshape(*args[0].shape, width)]


# -- RegexFullMatch


@expansion("RegexFullMatch")
def regex_full_match(ctx: Ctx, builder: Builder, x: Value) -> Value:
    """Is the whole element in the language of ``pattern``? bool, of the shape of ``x``."""
    try:
        machine = compiled(ctx.attr_str("pattern"))
    except RegexError as e:
        raise ctx.refuse(f"a regular expression: {e}", "the syntax of RE2, without classes of scripts") from None
    tables = [builder.constant(t, name) for t, name in ((machine.classes, "classes"), (machine.steps, "steps"),
                                                        (machine.accepts, "accepts"))]
    return Sub(ctx, builder)("MatchTable", x, *tables, domain=OWN)  # type: ignore[no-any-return]


@lowering("MatchTable", domain=OWN)
def match_table(ctx: Ctx, x: Def, classes: Def, steps: Def, accepts: Def) -> Def:
    return call("library", "match_texts", [x, classes, steps, accepts], [(x.shape, dtypes.boolean)])[0]


@library("match_texts")
def _match_reference(c: Call, args: Sequence[Array]) -> list[Array]:
    x, classes, steps, accepts = args

    def one(text: str) -> bool:
        state = 0
        for b in dtypes.encode(text):
            state = int(steps[state, classes[b]])
        return bool(accepts[state])

    return [np.array([one(t) for t in x.ravel()], np.bool_).reshape(x.shape)]
