# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``bound`` against brute force: never below a value that the dims allow, and exact where each dim pulls one way."""

from __future__ import annotations

import itertools

import pytest

from aotgen.ir import index
from aotgen.ir.bounds import bound

N, M, OPEN = index.dim("bounds_n", 0, 7), index.dim("bounds_m", 1, 5), index.dim("bounds_open", 1)
CASES = [(N * M * 3 + 2, True), (20 - N * 2, True), ((N + 15) // 16 * 16, True), (N * M - N, False), (N % 3 + M, True),
         ((N * 5 + 4) // M, True), (N - M, True), ((N + 1) * (M - 1), False)]


@pytest.mark.parametrize(("value", "exact"), CASES, ids=str)
def test_against_all_values(value: index.Ix, exact: bool) -> None:
    (n,), (m,) = index.dims_of(N), index.dims_of(M)
    largest = max(int(value.evaluate({n: a, m: b})) for a, b in itertools.product(range(8), range(1, 6)))
    found = bound(value)
    assert isinstance(found, int) and found >= largest
    assert not exact or found == largest


def test_what_stays_open() -> None:
    assert bound(N * OPEN) is None
    assert bound(N * OPEN + 1, index.dims_of(N)) == OPEN * 7 + 1
