# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What every family's property is made of: operands of a row are drawn, the interpreter is held against the references,
and some of the drawn cases are compiled together and held against the interpreter.

A failure that names a node and a reference is one of lowering; one that names a library is one of code generation.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random

import onnx
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from tests.fuzz import case, differences, reference, rows
from tests.fuzz.case import Case, finished
from tests.fuzz.differences import Difference
from tests.fuzz.generator import LOCAL, Gen, Settings, near
from tests.fuzz.reference import Refused, Results
from tests.fuzz.rows import Row
from tests.fuzz.values import Array, Var

ROOT = Path(__file__).resolve().parents[2]
OPSETS = (reference.OPSET, 23)
BY = {differences.ORT: reference.by_ort, differences.ONNX: reference.by_onnx}
rows.load()


def asking(table: Sequence[Difference]) -> Callable[[onnx.NodeProto, list[Var], int], Results]:
    """Both references, or the one there is. Where they differ, a row of ``table`` chooses; without one that is an error."""

    def ask(node: onnx.NodeProto, operands: list[Var], opset: int) -> Results:
        chosen = differences.of(table, node, operands)
        said: dict[str, Results] = {}
        why = chosen.why if chosen is not None else ""
        for name, by in BY.items():
            if chosen is not None and name != chosen.follow:
                continue
            try:
                said[name] = by(node, operands, opset)
            except Refused as e:
                why = str(e)
        if not said:
            raise Refused(why)
        if len(said) == 2:
            pairs = zip(*said.values(), strict=True)
            assert all(same(a, b) for a, b in pairs), _disagreement(node, operands, opset, said)
        return next(iter(said.values()))

    return ask


def same(one: Sequence[Array], other: Sequence[Array]) -> bool:
    """Do they agree? The evaluator widens scalars."""
    return all(a.dtype.kind == b.dtype.kind and near(a, b.astype(a.dtype), LOCAL) for a, b in zip(one, other, strict=True))


def _disagreement(node: onnx.NodeProto, operands: list[Var], opset: int, said: dict[str, Results]) -> str:
    model = onnx.printer.to_text(reference.alone(node, operands, 0, opset))
    given = {v.name: v.plain[0] for v in operands}
    return "\n".join(["the table of differences must say whom to follow, and why", model, str(given),
                      *(f"{k}: {v}" for k, v in said.items())])


def agreed(row: Row, ask: Callable[[onnx.NodeProto, list[Var], int], Results], rnd: Random, opset: int, hostile: bool) -> Case | None:
    """A case of ``row``, on which the interpreter says what the references say; None where the row does not apply."""
    g = Gen(rnd, Settings(hostile=hostile, opset=opset, ask=ask))
    applied = g.attempt(row.make)
    assert not g.wrongs, f"{g.wrongs[0]}\n{onnx.printer.to_text(g.wrongs[0].model)}\n{g.wrongs[0].feeds}"
    return finished(row.name.replace(" ", "_"), g, row.pointwise) if applied and g.nodes else None


def drawn(row: Row, table: Sequence[Difference], examples: int) -> list[Case]:
    """The cases among ``examples`` that hypothesis draws for ``row``. Raises AssertionError with the smallest that is wrong."""
    cases: list[Case] = []
    ask = asking(table)

    @settings(max_examples=examples, derandomize=True, database=None, deadline=None, report_multiple_bugs=False,
              suppress_health_check=list(HealthCheck), phases=(Phase.generate, Phase.shrink))
    @given(st.randoms(use_true_random=False), st.sampled_from(OPSETS), st.booleans())
    def holds(rnd: Random, opset: int, hostile: bool) -> None:
        made = agreed(row, ask, rnd, opset, hostile)
        assume(made is not None)
        cases.append(made)

    holds()
    return cases


def seeded(row: Row, table: Sequence[Difference], examples: int) -> list[Case]:
    """The cases among ``examples`` of fixed seeds: the same everywhere, where what hypothesis draws depends on the modules
    that are loaded."""
    rnds = [Random(f"{row.name} {k}") for k in range(examples)]
    made = [agreed(row, asking(table), rnd, rnd.choice(OPSETS), k % 2 > 0) for k, rnd in enumerate(rnds)]
    return [c for c in made if c is not None]


def check(family: str, some: Callable[[Row, Sequence[Difference], int], list[Case]], examples: int, kept: int, folder: Path) -> None:
    """The property of a family: its rows agree with the references on ``some`` cases each, and with what is compiled
    from the last ``kept`` different ones of a row."""
    cases: list[Case] = []
    for row in rows.of_family(family):
        made = some(row, differences.TABLES.get(family, ()), examples)
        unlike = {c.model.SerializeToString(deterministic=True): c for c in made}
        cases += [replace(c, name=f"{c.name}{k}") for k, c in enumerate([*unlike.values()][-kept:])]
    assert cases
    paths = [str(case.save(c, folder)) for c in cases]
    # In a process of its own: its children fork, and OpenMP does not survive a fork of a process that has used it.
    told = subprocess.run([sys.executable, "-m", "tests.fuzz", "--replay", *paths], cwd=ROOT, capture_output=True, text=True)
    lines = [line for line in told.stdout.splitlines() if not line.endswith(": pass ")]
    assert told.returncode == 0, "\n".join([*lines, told.stderr])
