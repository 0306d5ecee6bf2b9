# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Target families and the rows of CPU instruction sets."""

from __future__ import annotations

from pathlib import Path

import pytest

from aotgen import targets
from aotgen.core.errors import UsageError
from aotgen.targets.base import Isa
from aotgen.targets.cpu import isa


def test_built_in_families_load() -> None:
    assert {"cpu", "cuda"} <= set(targets.available())
    assert [targets.load(n).name for n in ("cpu", "cuda")] == ["cpu", "cuda"]
    with pytest.raises(UsageError, match="no target abacus"):
        targets.load("abacus")


def test_native_is_the_best_row_the_features_allow() -> None:
    v3 = isa.ISAS[2].needs
    assert isa.native("x86_64", v3).name == "avx2"
    assert isa.native("x86_64", isa.ISAS[3].needs).name == "avx512"
    assert isa.native("x86_64", ("sse2",)).name == "scalar"
    assert isa.native("arm64", ("asimd",)).name == "neon"
    assert isa.native("riscv64", ()).name == "scalar"


def test_variants() -> None:
    assert [i.name for i in isa.resolve("avx512+sse4+avx512")] == ["sse4", "avx512"]
    assert isa.resolve("native") == (isa.native(),)
    with pytest.raises(UsageError, match="mixes architectures"):
        isa.resolve("neon+avx2")
    with pytest.raises(UsageError, match="no CPU variant mmx"):
        isa.resolve("mmx")


def test_features_are_read_from_either_spelling(tmp_path: Path) -> None:
    for row in ("flags\t\t: fpu sse2", "Features\t: fpu sse2"):
        (tmp_path / "cpuinfo").write_text(f"processor : 0\n{row}\n\nprocessor : 1\n{row}\n", encoding="ascii")
        assert isa.features(tmp_path / "cpuinfo") == {"fpu", "sse2"}
    assert isa.features(tmp_path / "missing") == frozenset()


@pytest.mark.parametrize("row", isa.ISAS, ids=lambda r: r.name)
def test_rows_are_consistent(row: Isa) -> None:
    assert row.suffix.isidentifier() and 16 % row.lanes == 0
    same = [i for i in isa.ISAS if i.arch == row.arch and i.lanes < row.lanes]
    assert all(set(i.needs) <= set(row.needs) for i in same)
