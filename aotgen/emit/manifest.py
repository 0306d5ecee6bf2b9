# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""manifest.json: what a folder holds, how to build it and what it was made from. Sorted, dateless, without paths."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from aotgen.core.options import CompileOptions
from aotgen.emit.interface import DimRow, Interface, PortRow
from aotgen.emit.source import Provenance, Unit
from aotgen.emit.weights import WeightFiles
from aotgen.plan import Planned
from aotgen.targets.base import Isa, Target

FORMAT, FORMAT_VERSION = "aotgen", 1
EXPORTED = (
    "run",
    "workspace_size",
    "input_shape",
    "output_shape",
    "input_bound",
    "output_bound",
    "weights_size",
    "status_str",
    "info",
)
COMMON = ("-O3", "-fPIC", "-fvisibility=hidden", "-fno-math-errno", "-fno-trapping-math", "-fno-strict-aliasing")
# Flags that only GCC knows. It would cut a vector loop in two where a comparison with the counter (a causal mask) changes:
# two scalar remainders instead of one, and no vector at all of a masked loop. ``lower.segment`` cuts where it pays.
GCC_ONLY = ("-fno-split-loops",)
CXX = ("-std=c++17", "-fno-exceptions", "-fno-rtti", *COMMON, *GCC_ONLY)
THREADING: Mapping[str, tuple[str, ...]] = {"openmp": ("-fopenmp",), "pool": ("-pthread",), "none": ()}


@dataclasses.dataclass(frozen=True, slots=True)
class Source:
    """One file to compile and the flags only it gets."""

    file: str
    flags: tuple[str, ...] = ()


def sources(name: str, isas: Sequence[tuple[str, Isa]], weights: WeightFiles, threading: str,
            texts: bool = False) -> list[Source]:
    """Every translation unit, the interface first. ``texts``: there are constant strings."""
    out = [Source(f"src/{name}.cpp", THREADING[threading])]
    out += [Source(f"src/{name}_{suffix}.cpp", ("-fopenmp-simd", *isa.flags)) for suffix, isa in isas]
    if weights.mode == "linked":
        out.append(Source(f"src/{name}_weights.S"))
    elif weights.mode == "array":
        out.append(Source(weights.file))
    if texts:
        out.append(Source(f"src/{name}_texts.c"))
    return out


def cxx_flags(target: Target) -> list[str]:
    """Flags of every C++ unit: the target's, then ours, of which the later wins."""
    return [*(f for f in dict.fromkeys(target.flags) if f not in CXX), *CXX]


def manifest(
    planned: Planned,
    face: Interface,
    options: CompileOptions,
    target: Target,
    provenance: Provenance,
    units: Sequence[Unit],
    weights: WeightFiles,
    files: Mapping[str, str],
    build: Sequence[Source],
) -> str:
    """The manifest's text. ``files``: path -> SHA-256 of every other file."""
    content: dict[str, Any] = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "name": face.name,
        "target": target.name,
        "isas": [isa.name for isa in target.isas],
        "made_from": {
            "model": provenance.model,
            "sha256": provenance.sha256,
            "aotgen": provenance.version,
            **provenance.facts,
        },
        "options": _options(options),
        "inputs": [_port(r) for r in face.inputs],
        "outputs": [_port(r) for r in face.outputs],
        "dims": [_dim(d) for d in face.dims],
        "owning": face.owning,
        "conditions": [c.text for c in face.conditions],
        "memory": _memory(planned),
        "steps": {
            "total": sum(1 for _ in planned.program.walk()),
            "barriers": len(planned.barriers),
            "kernels": sorted({n for u in units for n in u.functions}),
        },
        "weights": {
            "mode": weights.mode,
            "file": weights.file,
            "size": weights.size,
            "fingerprint": f"{weights.fingerprint:016x}",
        },
        "build": {
            "units": [{"file": s.file, "flags": list(s.flags)} for s in build],
            "include": ["include", "src"],
            "cxxflags": cxx_flags(target),
            "cflags": list(COMMON),
            "asflags": [],
            "gcc_only": list(GCC_ONLY),
            "ldflags": list(THREADING[options.threading]),
            "exports": [f"{face.name}_{s}" for s in (*EXPORTED, *(("release",) if face.owning else ()))],
        },
        "files": dict(files),
    }
    return json.dumps(content, indent=1, sort_keys=True, ensure_ascii=True) + "\n"


def _memory(planned: Planned) -> dict[str, Any]:
    """Bytes of each region, and how close the workspace is to what is alive at once."""
    memory, weights = planned.memory, planned.weights
    return {
        "workspace": memory.size,
        "alive_at_once": memory.bound,
        "exact": memory.exact,
        "buffers": len(memory.offsets),
        "weights": weights.size,
        "shared_weights": weights.shared,
    }


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file under ``folder``, by relative path."""
    out = {}
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest = hashlib.sha256()
        with path.open("rb") as f:
            while chunk := f.read(1 << 20):
                digest.update(chunk)
        out[path.relative_to(folder).as_posix()] = digest.hexdigest()
    return out


def _options(options: CompileOptions) -> dict[str, Any]:
    out = dataclasses.asdict(options)
    out["kernel_dirs"] = [Path(p).name for p in options.kernel_dirs]
    return out


def _port(r: PortRow) -> dict[str, Any]:
    row = {"name": r.name, "member": r.member, "dtype": r.dtype, "shape": list(r.shape)}
    row |= {"shape_member": f"{r.member}_shape"} if r.by_data else {}
    if r.holds:
        return row | {"holds": r.holds, "type": r.code, "shape": list(r.shape) if r.rank >= 0 else None}
    return row | ({"owned": True} if r.slot >= 0 else {})


def _dim(d: DimRow) -> dict[str, Any]:
    return {"name": d.name, "member": d.member, "lo": d.lo, "hi": d.hi if d.bounded else None}
