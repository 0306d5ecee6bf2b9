# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Ledgers of known failures, whatever the suite: case -> why. They may only shrink."""

from __future__ import annotations

from collections.abc import Mapping

from tests.conformance.run import COMPILER, CRASH, ERROR, MISMATCH, PASS, REFUSED, Outcome, reason_of

HOWS = tuple(f"{how}: " for how in (REFUSED, ERROR, COMPILER, MISMATCH, CRASH))  # how reasons begin that no person wrote


def differences(known: Mapping[str, str], outcomes: Mapping[str, Outcome]) -> list[str]:
    """A line for every case of ``outcomes`` that does not end as ``known`` says."""
    lines = []
    for name, o in sorted(outcomes.items()):
        if o.how == PASS and name in known:
            lines.append(f"{name} passes: take it out of the ledger ({known[name]})")
        elif o.how != PASS and name not in known:
            lines.append(f"{name} fails: {o.how}: {o.why}")
    return lines


def updated(known: Mapping[str, str], outcomes: Mapping[str, Outcome], grow: bool) -> dict[str, list[str]]:
    """``known`` by reason, without what now passes; with ``grow`` also what now fails."""
    table: dict[str, list[str]] = {}
    for name, why in known.items():
        if name not in outcomes:
            table.setdefault(why, []).append(name)
    for name, o in outcomes.items():
        if o.how != PASS and (grow or name in known):
            before = known.get(name, "")
            by_hand = o.how == MISMATCH or not before.startswith(HOWS)  # what a person wrote stays
            why = before if by_hand else ""
            table.setdefault(why or reason_of(o), []).append(name)
    return {why: sorted(table[why]) for why in sorted(table)}
