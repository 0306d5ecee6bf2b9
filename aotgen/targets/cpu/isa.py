# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The instruction sets a CPU library can be built for: one row each, plain to best within an architecture."""

from __future__ import annotations

import platform
from collections.abc import Iterable
from pathlib import Path

from aotgen.core.errors import UsageError
from aotgen.targets.base import Isa

# Flags of every unit. -fno-math-errno and -fno-trapping-math change no value; without them 1/sqrt, floor and
# log stay scalar.
FLAGS = (
    "-std=c++17",
    "-O2",
    "-fopenmp-simd",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fno-exceptions",
    "-fno-rtti",
    "-fvisibility=hidden",
)

_V2 = ("sse4_2", "popcnt", "ssse3", "cx16")
_V3 = (*_V2, "avx", "avx2", "fma", "bmi1", "bmi2", "f16c", "movbe")
_V4 = (*_V3, "avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl")

ISAS = (
    Isa("scalar", "scalar", "any", ("-DAOT_SCALAR",), 1, 16),
    Isa("sse4", "sse4", "x86_64", ("-march=x86-64-v2",), 4, 16, _V2),
    Isa("avx2", "avx2", "x86_64", ("-march=x86-64-v3",), 8, 16, _V3),
    Isa("avx512", "avx512", "x86_64", ("-march=x86-64-v4", "-mprefer-vector-width=512"), 16, 32, _V4),
    Isa("neon", "neon", "aarch64", (), 4, 32, ("asimd",)),
)


def features(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[str]:
    """What the CPU reports about itself; empty where that cannot be read."""
    try:
        rows = cpuinfo.read_text(encoding="ascii", errors="replace").splitlines()
    except OSError:
        return frozenset()
    found = (row.partition(":")[2].split() for row in rows if row.lower().startswith(("flags", "features")))
    return frozenset(next(found, ()))


def native(arch: str | None = None, has: Iterable[str] | None = None) -> Isa:
    """The best row that this machine (or one of ``arch`` with features ``has``) can run."""
    arch = platform.machine() if arch is None else arch
    names = features() if has is None else frozenset(has)
    arch = {"AMD64": "x86_64", "arm64": "aarch64"}.get(arch, arch)
    return [i for i in ISAS if i.arch == "any" or (i.arch == arch and names.issuperset(i.needs))][-1]


def resolve(variant: str) -> tuple[Isa, ...]:
    """The rows named by the part after ``cpu:`` (``native``, ``avx2``, ``avx2+avx512``), plain to best.

    Raises UsageError for an unknown name or for rows of two architectures."""
    by_name = {i.name: i for i in ISAS}
    chosen = []
    for name in variant.split("+"):
        if name != "native" and name not in by_name:
            raise UsageError(f"there is no CPU variant {name}", hint=f"native or {', '.join(by_name)}")
        chosen.append(native() if name == "native" else by_name[name])
    if len({i.arch for i in chosen if i.arch != "any"}) > 1:
        raise UsageError(f"{variant} mixes architectures in one library", hint="compile once per architecture")
    return tuple(sorted(set(chosen), key=ISAS.index))
