# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The CPU dialect: plain C++ loops whose lane loop stands under ``#pragma omp simd``.

Rules found by reading assembly of GCC and Clang: a float maximum is reduced through an order-preserving integer key
(``reduction(max: float)`` loses NaN and Clang leaves it scalar); signed sums run on the unsigned type; both sides of a
choice are values; no library function in a vector loop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from aotgen.ir.define import LONG
from aotgen.targets.base import Code, Fold, Nest, Schedule
from aotgen.targets.cfamily import CFamily


class Loops:
    """The one CPU schedule: outer iterations in a contiguous range per thread, stages in order, lanes as a
    simd loop."""

    name = "loops"
    local_bytes = 16384
    flattens = False
    counts = True
    remainder = 16
    turns = True

    def declines(self, nest: Nest) -> str:
        return ""

    def signature(self, name: str, params: Sequence[str], uses_thread: bool) -> str:
        thread = ("int tid", "int nt") if uses_thread else ("int tid", "int")
        return f"static void {name}({', '.join((*params, *thread))})"

    def outer(self, text: Any, flat: str, total: str, index: str, serial: bool, quantum: str, radices: Sequence[str], block: int = 1) -> Any:
        if serial:
            text.line("if (tid != 0) return;")
            return text.part()
        text.line(f"const Range mine = share({', '.join((total, 'tid', 'nt', *([quantum] if quantum else [])))});")
        first, last = (
            ("mine.b", "mine.e") if index != "int" else ("static_cast<int>(mine.b)", "static_cast<int>(mine.e)")
        )
        text.line(f"const {index} end = {last};")
        if not radices:
            step = f"++{flat}" if block == 1 else f"{flat} += {block}"
            return text.block(f"for ({index} {flat} = {first}; {flat} < end; {step})")
        text.line(f"Counter<{index}, {len(radices) + 1}> at(mine, {{{', '.join(radices)}}});")
        return text.block(f"for ({index} {flat} = {first}; {flat} < end; ++{flat}, at.next())")

    def lane_loop(
        self,
        text: Any,
        var: str,
        lo: str,
        hi: str,
        index: str,
        folds: Sequence[tuple[Fold, str]],
        vector: bool,
        within: str = "",
    ) -> Any:
        if vector:
            by: dict[str, list[str]] = {}
            for f, acc in folds:
                by.setdefault(f.combine, []).append(acc)
            text.raw("#pragma omp simd" + "".join(f" reduction({op} : {', '.join(a)})" for op, a in by.items()))
        body = text.block(f"for ({index} {var} = {lo}; {var} < {hi}; ++{var})")
        return body.block(f"if ({within})") if within else body

    def row_array(self, text: Any, ctype: str, name: str, size: str) -> None:
        text.line(f"alignas(64) {ctype} {name}[{size}];")

    def row_element(self, name: str, at: str, lane_index: bool) -> str:
        return f"{name}[{at}]"

    def merge(self, text: Any, fold: Fold, acc: str) -> None:
        return None

    def single(self, text: Any) -> Any:
        return text

    def launch(self, name: str, args: Sequence[str], nest: Nest, total: str, team: tuple[str, str]) -> str:
        return f"{name}({', '.join((*args, *team))});"


class CpuDialect(CFamily):
    """C++17 for any CPU."""

    name = "cpu"
    strangers = ""
    includes: tuple[str, ...] = ("cpu/extent.h", "common/scalar.h", "common/vmath.h")
    schedules: Sequence[Schedule] = (Loops(),)

    def fold(self, kind: str, dtype: str, across: bool) -> Fold:
        """Lanes of a long sum are floats: in float64 half as many fit a vector, and each has to be converted."""
        fold = super().fold(kind, dtype, across)
        return replace(fold, part=super().fold("sum", dtype, across)) if kind in (LONG, "sum") and dtype == "f32" and across else fold

    def _extreme(self, kind: str, dtype: str, across: bool) -> Fold:
        if not (across and dtype == "f32"):
            return super()._extreme(kind, dtype, across)
        key = f"key{kind}"
        init = f"{key}({'-' if kind == 'max' else ''}__builtin_inff())"
        return Fold(
            "int32_t",
            init,
            lambda acc, v: f"v{kind}({acc}, {key}({v.text}))",
            lambda acc: Code(f"unkey({acc})"),
            kind,
        )


DIALECT = CpuDialect()
