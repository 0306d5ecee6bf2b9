# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The output folder: written beside its place, then renamed, so it is there whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aotgen import _paths
from aotgen._version import __version__
from aotgen.core.errors import UsageError
from aotgen.core.options import CompileOptions
from aotgen.emit import arena, headers, names, source
from aotgen.emit.dims import rough
from aotgen.emit.interface import Interface, interface
from aotgen.emit.manifest import FORMAT, GCC_ONLY, Source, cxx_flags, digests, manifest, sources
from aotgen.emit.readme import readme
from aotgen.emit.render import render
from aotgen.emit.source import Provenance, Unit
from aotgen.emit.texts import texts_source
from aotgen.emit.weights import WeightFiles, choose_mode, write_weights
from aotgen.ir.program import Check, Extents, Refuse, Take
from aotgen.plan import Planned, team
from aotgen.plan import weights as blob
from aotgen.targets.base import Target

TEAMS = {"openmp": "team_openmp.h", "pool": "team_pool.h", "none": "team_none.h"}


@dataclass(frozen=True, slots=True)
class Written:
    """``folder`` now holds a library called ``name``; ``files``: relative paths, sorted."""

    folder: Path
    name: str
    files: tuple[str, ...]


def write(
    planned: Planned, options: CompileOptions, target: Target, out_dir: Path, provenance: Provenance | None = None
) -> Written:
    """Write the library's folder. ``target.isas``: the variants it shall hold, plainest first. Raises UsageError when
    ``out_dir`` holds something that is not ours, or cannot be written."""
    provenance = provenance or Provenance(version=__version__)
    if options.threading not in TEAMS:
        raise UsageError(f"--threading {options.threading}", hint=", ".join(TEAMS))
    out_dir = Path(os.path.abspath(out_dir))
    check_folder(out_dir)
    face = interface(planned.program, names.sanitize(options.name, "model"), planned.slots)
    units = tuple(source.unit(planned, face, target, isa, provenance) for isa in target.isas)
    try:
        out_dir.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{out_dir.name}-", dir=out_dir.parent))
    except OSError as error:
        raise UsageError(f"cannot write to {out_dir.parent}: {error.strerror}") from error
    try:
        files = _fill(made, planned, face, options, target, units, provenance)
        made.chmod(0o777 & ~_umask())
        _put_in_place(made, out_dir)
    except OSError as error:
        raise UsageError(f"cannot write {out_dir}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(made, ignore_errors=True)
    return Written(out_dir, face.name, files)


def check_folder(out_dir: Path) -> None:
    """Raise UsageError unless ``out_dir`` is absent, empty, or holds our manifest."""
    if not os.path.lexists(out_dir):
        return
    if not out_dir.is_dir() or out_dir.is_symlink():
        raise UsageError(f"{out_dir} is not a folder", hint="another -o")
    try:
        if not any(out_dir.iterdir()):
            return
        held = json.loads((out_dir / "manifest.json").read_text("utf-8"))
    except (OSError, ValueError):
        held = None
    if not isinstance(held, dict) or held.get("format") != FORMAT:
        raise UsageError(f"{out_dir} is not empty and was not made by aotgen: it is left alone", hint="another -o")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _put_in_place(made: Path, out_dir: Path) -> None:
    """Swap the finished folder in; what was there comes back if that fails."""
    check_folder(out_dir)
    if not out_dir.exists():
        made.rename(out_dir)
        return
    old = Path(tempfile.mkdtemp(prefix=f".{out_dir.name}-old-", dir=out_dir.parent))
    try:
        out_dir.rename(old / "was")
        try:
            made.rename(out_dir)
        except OSError:
            (old / "was").rename(out_dir)
            raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _fill(
    to: Path,
    planned: Planned,
    face: Interface,
    options: CompileOptions,
    target: Target,
    units: tuple[Unit, ...],
    provenance: Provenance,
) -> tuple[str, ...]:
    """Every file of the library into ``to``; returns their paths."""
    for folder in ("include", "src", "example"):
        (to / folder).mkdir()
    weights = write_weights(planned.weights, choose_mode(options.weights, planned.weights.size), face.name, to)
    isas = [(source.suffix(isa), isa) for isa in target.isas]
    build = sources(face.name, isas, weights, options.threading, planned.texts.count > 0)
    values = _values(planned, face, options, target, units, weights, provenance, build)
    texts = {f"src/{face.name}_{s}.cpp": u.text for (s, _), u in zip(isas, units, strict=True)}
    used = {h for u in units for h in u.headers}
    runtime = ("cpu_features.h", TEAMS[options.threading], *(("pool.h",) if face.uses_pool else ()),
               *(("sequence_port.h",) if face.uses_lists else ()))
    copied = headers.closure(sorted({*used, *runtime}), target.name, options.kernel_dirs)
    texts |= {f"src/{n}": text for n, text in copied.items()}
    for template, path in _TEMPLATES.items():
        texts[path.format(name=face.name)] = render(template, **values)
    if weights.mode == "linked":
        texts[f"src/{face.name}_weights.S"] = render("weights.S.j2", **values)
    if planned.texts.count:
        texts[f"src/{face.name}_texts.c"] = texts_source(planned.texts, face.name)
    texts["README.md"] = readme(values)
    texts["src/LICENSE"] = (_paths.data("runtime") / "LICENSE").read_text("utf-8")
    for path, text in sorted(texts.items()):
        (to / path).write_text(text, "utf-8", newline="\n")
    files = digests(to)
    (to / "manifest.json").write_text(
        manifest(planned, face, options, target, provenance, units, weights, files, build), "utf-8", newline="\n"
    )
    return tuple(sorted([*files, "manifest.json"]))


_TEMPLATES = {
    "header.h.j2": "include/{name}.h",
    "internal.h.j2": "src/{name}_internal.h",
    "api.cpp.j2": "src/{name}.cpp",
    "CMakeLists.txt.j2": "CMakeLists.txt",
    "main.c.j2": "example/main.c",
}


def _guarded(header: str, guard: str) -> str:
    """What stands between the guards of a runtime header, for the public one."""
    text = (_paths.data("runtime") / header).read_text("utf-8")
    return text[text.index(f"#ifndef {guard}") :].rstrip()


def _standard_threads(planned: Planned, options: CompileOptions) -> str:
    """The default team: what the user asked for, else all cores but no more than the work feeds, at the dims of a run."""
    if options.threads:
        return str(options.threads)
    useful = team.useful_threads(planned.program)
    most = f"default_threads() < {useful} ? default_threads() : {useful}"
    wanted = team.demand(planned.program)
    if useful == 1 or wanted is None or not planned.program.dims:
        return most
    return f"useful_threads({rough(wanted.work)}, {rough(wanted.steps)}, {most})"


def _values(
    planned: Planned,
    face: Interface,
    options: CompileOptions,
    target: Target,
    units: tuple[Unit, ...],
    weights: WeightFiles,
    provenance: Provenance,
    build: list[Source],
) -> dict[str, Any]:
    """What templates may print."""
    spaces = {s: u.namespace for s, u in zip(map(source.suffix, target.isas), units, strict=True)}
    return {
        "name": face.name,
        "face": face,
        "provenance": provenance.lines(),
        "standard_threads": _standard_threads(planned, options),
        "team": TEAMS[options.threading],
        "team_cost": team,
        "threading": options.threading,
        "weights": weights,
        "magic": blob.MAGIC,
        "blob_version": blob.VERSION,
        "memory": planned.memory,
        "arena": arena.arena(planned.memory),
        "rough": arena.rough_sizes(source.measured(planned, units)),
        "scratch": source.scratch_stride(units),
        "build": build,
        "planned": planned,
        "tensor_abi": _guarded("tensor_abi.h", "AOTGEN_TENSOR"),
        "string_abi": _guarded("string_abi.h", "AOTGEN_STRING"),
        "refuses": face.uses_pool or any(isinstance(s, (Refuse, Check, Extents, Take)) for s in planned.program.walk()),
        "cxxflags": ";".join(f for f in cxx_flags(target) if f != "-fPIC" and f not in GCC_ONLY),
        "gcc_only": ";".join(GCC_ONLY),
        # Best first: the first whose features the CPU has is run.
        "isas": [
            {
                "name": i.name,
                "space": spaces[source.suffix(i)],
                "flags": i.flags,
                "needs": [f"kCpu{n.replace('.', '').replace('_', '').capitalize()}" for n in i.needs],
            }
            for i in reversed(target.isas)
        ],
    }
