# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Several models, few compiler calls: what test suites and fuzzers need, where starting the compiler and reading the
kernel headers costs more than the models themselves.

Each model gets its own folder, exactly as ``compile_model`` writes it. A group of folders then becomes one folder whose
every unit includes the units of its members after one shared copy of the kernel headers; each model keeps its namespace
and its exported names, and is loaded from its own manifest.
"""

from __future__ import annotations

import dataclasses
import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from aotgen import driver
from aotgen.core.errors import AotgenError, InternalError, ToolchainError
from aotgen.core.options import CompileOptions
from aotgen.emit.manifest import FORMAT
from aotgen.emit.text import Text
from aotgen.toolchain import Library, build, compiler

Failures = dict[str, Exception]


@dataclass(frozen=True, slots=True)
class Made:
    """A model in a shared library: ``folder`` as generated, its exported ``name``, and ``shared``, the library it is in."""

    folder: Path
    name: str
    shared: Path

    def load(self) -> Library:
        """The model, ready to run. Raises ToolchainError when the library cannot be loaded."""
        return Library(self.folder, self.shared)


@dataclass(frozen=True, slots=True)
class Many:
    """What ``compile_many`` made, by the caller's keys: every key is in ``made`` or in ``failed``."""

    made: Mapping[str, Made]
    failed: Mapping[str, Exception]


def compile_many(
    models: Mapping[str, str | Path | onnx.ModelProto],
    out: Path,
    options: CompileOptions | Mapping[str, CompileOptions] = CompileOptions(),
    *,
    group: int = 32,
    flags: Sequence[str] = ("-O1",),
    jobs: int | None = None,
) -> Many:
    """Compile ``models`` below the new folder ``out``, ``group`` of them to a library, with ``options`` (of each key, or
    one for all; the name is set here) and the extra compiler ``flags``. A model that fails, whatever the error, fails
    alone: it is in ``failed``."""
    failed: Failures = {}
    folders: dict[str, Path] = {}
    for n, (key, model) in enumerate(models.items()):
        name = f"m{n}"  # no name is another's with a suffix: what they export cannot clash
        given = options if isinstance(options, CompileOptions) else options[key]
        try:
            driver.compile_model(model, out / name, dataclasses.replace(given, name=name), build=False)
        except Exception as error:  # a bug of ours in one model must not cost the others
            failed[key] = error
            continue
        folders[key] = out / name
    made: dict[str, Made] = {}
    keys = list(folders)
    for at in range(0, len(keys), group):
        some = {key: folders[key] for key in keys[at : at + group]}
        made |= _build_group(some, out / f"group{at // group}", tuple(flags), jobs, failed)
    return Many({k: made[k] for k in models if k in made}, failed)


def _build_group(
    folders: Mapping[str, Path], to: Path, flags: tuple[str, ...], jobs: int | None, failed: Failures
) -> dict[str, Made]:
    """Build ``folders`` as one library; where the compiler refuses, without those it names, or else each half alone."""
    try:
        shared = _join(list(folders.values()), to, flags, jobs)
    except ToolchainError as error:
        if len(folders) == 1:
            failed[next(iter(folders))] = error
            return {}
        blamed = set(re.findall(r"\b(m\d+)(?:_\w+)?\.(?:cpp|c|h|S):\d+:\d+: (?:fatal )?error", str(error)))
        first = {k: f for k, f in folders.items() if f.name in blamed}
        keys = list(first) if 0 < len(first) < len(folders) else list(folders)[: len(folders) // 2]
        made: dict[str, Made] = {}
        for n, part in enumerate((keys, [k for k in folders if k not in keys])):
            made |= _build_group({k: folders[k] for k in part}, to.with_name(f"{to.name}_{n}"), flags, jobs, failed)
        return made
    return {key: Made(folder, folder.name, shared) for key, folder in folders.items()}


def _join(folders: Sequence[Path], to: Path, flags: tuple[str, ...], jobs: int | None) -> Path:
    """One library of several generated folders, in the new folder ``to``. Raises ToolchainError."""
    manifests = [compiler.read_manifest(f) for f in folders]
    for folder in folders:
        for kind in ("include", "src"):
            shutil.copytree(folder / kind, to / kind, dirs_exist_ok=True)
    roles: dict[str, list[tuple[str, Mapping[str, Any]]]] = {}
    for manifest in manifests:
        for unit in manifest["build"]["units"]:
            role = Path(unit["file"]).stem.removeprefix(manifest["name"]) + Path(unit["file"]).suffix
            roles.setdefault(role, []).append((manifest["name"], unit))
    units = [unit for role, members in sorted(roles.items()) for unit in _unite(role, members, to)]
    plan = {**manifests[0]["build"], "units": units, "exports": sorted(e for m in manifests for e in m["build"]["exports"])}
    name = re.sub(r"[^A-Za-z0-9_]", "_", to.name)
    (to / "manifest.json").write_text(json.dumps({"format": FORMAT, "name": name, "build": plan}), "utf-8")
    return build(to, jobs=jobs, extra_flags=flags).shared


def _unite(role: str, members: Sequence[tuple[str, Mapping[str, Any]]], to: Path) -> list[Mapping[str, Any]]:
    """The units of one role (the C interface, the code of one ISA, weights) as one C++ unit; others stay as they are."""
    if not role.endswith(".cpp") or role.startswith("_weights"):
        return [unit for _, unit in members]
    flags = {tuple(unit["flags"]) for _, unit in members}
    if len(flags) != 1:
        raise InternalError(f"units {role} of one group have different flags")
    space = f"shared{role.removesuffix('.cpp') or '_api'}"
    files = [to / unit["file"] for _, unit in members]
    own = {f"{name}_internal.h" for name, _ in members}
    headers = dict.fromkeys(h for f in files for h in re.findall(r'^#include "([^"]+)"$', f.read_text("utf-8"), re.M))
    text = Text().comment("Several models in one unit: the kernel headers once, then each model in its own namespace.")
    text.raw(f"#define AOT_NS {space}")
    for header in [h for h in headers if h not in own]:
        text.raw(f'#include "{header}"')
    text.raw("#undef AOT_NS").line()
    for (name, _), file in zip(members, files):
        inner = f"{name}{role.removesuffix('.cpp') or '_api'}"
        file.write_text(_enclosed(file.read_text("utf-8"), inner), "utf-8")
        text.line(f"namespace {inner} {{").line(f"using namespace {space};").line("}")
        text.raw(f'#include "{file.name}"').raw("#undef AOT_NS").line()
    whole = to / "src" / f"{space}.cpp"
    whole.write_text(text.render(), "utf-8")
    return [{"file": f"src/{whole.name}", "flags": list(flags.pop())}]


def _enclosed(text: str, space: str) -> str:
    """A unit that opens its namespace to the whole file (the C interface does) keeps it to itself instead, so that a
    second one may stand behind it."""
    opened = f"using namespace {space};\n"
    if opened not in text:
        return text
    head, body = text.split(opened)
    # GCC does not carry the visibility of the header's declarations over to these.
    shown, hidden = "#pragma GCC visibility push(default)\n", "#pragma GCC visibility pop\n"
    return f'{head}{shown}namespace {space} {{\nextern "C" {{\n{body}}}\n}}\n{hidden}'


__all__ = ["AotgenError", "Made", "Many", "compile_many"]
