# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What every family's property is made of: hypothesis draws operands of a row, the interpreter is held against the references,
and some of the drawn cases are compiled together and held against the interpreter.

A failure that names a node and a reference is one of lowering; one that names a library is one of code generation.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

import onnx
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st

from tests.fuzz import batch, judge, reference, rows
from tests.fuzz.case import Case, finished
from tests.fuzz.generator import LOCAL, Gen, Settings, near
from tests.fuzz.reference import Refused, Results
from tests.fuzz.rows import Row
from tests.fuzz.values import Var
from tests.property import differences

OPSETS = (reference.OPSET, 23)
rows.load()


def ask(node: onnx.NodeProto, operands: list[Var], opset: int) -> Results:
    """What both references say, or the one there is. Where they differ, ``differences.TABLE`` has a row that chooses."""
    chosen = differences.of(node, operands)
    if chosen is not None and chosen.follow == differences.NEITHER:
        raise Refused(chosen.why)
    said: dict[str, Results] = {}
    for name, by in (("onnxruntime", reference.by_ort), ("onnx", reference.by_onnx)):
        try:
            said[name] = by(node, operands, opset)
        except Refused as e:
            last = e
    if not said:
        raise last
    if chosen is not None:
        if chosen.follow not in said:
            raise Refused(chosen.why)
        return said[chosen.follow]
    if len(said) == 2:
        pairs = zip(*said.values(), strict=True)
        assert all(same(a, b) for a, b in pairs), _disagreement(node, operands, opset, said)
    return said.get("onnxruntime") or said["onnx"]


def _disagreement(node: onnx.NodeProto, operands: list[Var], opset: int, said: dict[str, Results]) -> str:
    model = onnx.printer.to_text(reference.alone(node, operands, 0, opset))
    given = {v.name: v.plain[0] for v in operands}
    return f"say in differences.py whom to follow, and why\n{model}\n{given}\n" + "\n".join(f"{k}: {v}" for k, v in said.items())


def same(one: Sequence, other: Sequence) -> bool:
    return all(a.dtype == b.dtype and near(a, b.astype(a.dtype), LOCAL) for a, b in zip(one, other, strict=True))


def drawn(row: Row, examples: int, kept: int) -> list[Case]:
    """The last ``kept`` of ``examples`` cases that hypothesis draws for ``row``, on all of which the interpreter says what the
    references say. Raises AssertionError with the smallest case where it does not."""
    cases: dict[bytes, Case] = {}

    @settings(max_examples=examples, derandomize=True, database=None, deadline=None, report_multiple_bugs=False,
              suppress_health_check=list(HealthCheck), phases=(Phase.generate, Phase.shrink))
    @given(st.randoms(use_true_random=False), st.sampled_from(OPSETS), st.booleans())
    def holds(rnd: Random, opset: int, hostile: bool) -> None:
        g = Gen(rnd, Settings(hostile=hostile, opset=opset, ask=ask))
        applied = g.attempt(row.make)
        assert not g.wrongs, f"{g.wrongs[0]}\n{onnx.printer.to_text(g.wrongs[0].model)}\n{g.wrongs[0].feeds}"
        assume(applied and g.nodes)
        made = finished(f"{row.name}{len(cases)}".replace(" ", "_"), g, row.pointwise)
        cases[made.model.SerializeToString(deterministic=True)] = made

    holds()
    return list(cases.values())[-kept:]


def check(family: str, full: bool) -> None:
    """The property of a family: its rows agree with the references, and what is compiled with both."""
    examples, kept = (60, 8) if full else (5, 1)
    some = [case for row in rows.of_family(family) for case in drawn(row, examples, kept)]
    assert some
    for at in range(0, len(some), batch.GROUP):
        found = [o for o in batch.run_cases(some[at:at + batch.GROUP]) if o.how in judge.BUGS]
        assert not found, "\n".join(f"{o.case}: {o.how} {o.why}" for o in found)
