# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Turning a generated folder into ``lib/libNAME.a`` and ``lib/libNAME.so``, with nothing but a compiler.

What to compile and how is read from the folder's own manifest, so a folder can be built anywhere. Only the symbols of
the C interface are visible: the static library is one object whose other symbols were made local, the shared one has
a version script.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from aotgen.core.errors import ToolchainError, UsageError
from aotgen.toolchain import cache

ERROR_LINES = 40  # of a compiler's message: what matters stands at its top


@dataclass(frozen=True, slots=True)
class Compiler:
    """``cxx``: C++ driver and its own arguments; ``cc``: the C driver of the same family, which links without the C++
    library; ``version``: what it says of itself."""

    cxx: tuple[str, ...]
    cc: tuple[str, ...]
    version: str

    @property
    def is_clang(self) -> bool:
        return "clang" in self.version


@dataclass(frozen=True, slots=True)
class Built:
    """The libraries made, and how many of ``units`` objects came from the cache."""

    static: Path
    shared: Path
    units: int
    cached: int


def find_compiler() -> Compiler:
    """The compiler named by ``CXX`` (and ``CC``), else g++, else clang++. Raises ToolchainError when there is none."""
    return _find(os.environ.get("CXX", ""), os.environ.get("CC", ""))


@lru_cache(maxsize=8)
def _find(cxx: str, cc: str) -> Compiler:
    choices = [shlex.split(cxx)] if cxx else [["g++"], ["clang++"], ["c++"]]
    for choice in choices:
        if not shutil.which(choice[0]):
            continue
        version = _run([*choice, "--version"], Path.cwd(), "the compiler").splitlines()[0]
        head, _, tail = choice[0].rpartition("/")
        twin = tail.replace("clang++", "clang").replace("g++", "gcc").replace("c++", "cc")
        named = shlex.split(cc) if cc else [f"{head}/{twin}" if head else twin, *choice[1:]]
        return Compiler(tuple(choice), tuple(named if shutil.which(named[0]) else choice), version)
    what = f"CXX is {cxx!r}, which is not there" if cxx else "there is no g++ or clang++ on the PATH"
    raise ToolchainError(
        what, hint="install g++ 11 or newer or clang++ 14 or newer, or set CXX; --no-build writes the sources only"
    )


def build(
    folder: Path, *, jobs: int | None = None, extra_flags: Sequence[str] = (), compiler: Compiler | None = None
) -> Built:
    """Compile the generated ``folder``. ``extra_flags`` come last, for compiling and linking (sanitizers, ``-O0``).
    Raises ToolchainError with the compiler's own words."""
    folder = folder.resolve()
    manifest = read_manifest(folder)
    compiler = compiler or find_compiler()
    plan = manifest["build"]
    jobs = jobs or min(
        len(plan["units"]), len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    (folder / "lib").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="aotgen-") as made:
        with ThreadPoolExecutor(max(1, jobs)) as pool:
            work = [
                pool.submit(_compile, compiler, folder, unit, plan, Path(made) / f"{n}.o", tuple(extra_flags))
                for n, unit in enumerate(plan["units"])
            ]
            hits = [w.result() for w in work]
        objects = [str(Path(made) / f"{n}.o") for n in range(len(plan["units"]))]
        shared = _link_shared(compiler, folder, manifest, objects, extra_flags, Path(made))
        static = _archive(compiler, folder, manifest, objects, Path(made))
    return Built(static, shared, len(hits), sum(hits))


def read_manifest(folder: Path) -> Mapping[str, Any]:
    """The manifest of a generated folder. Raises UsageError when it has none."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{folder} is not a folder made by aotgen: {error}") from error
    if not isinstance(manifest, dict) or manifest.get("format") != "aotgen":
        raise UsageError(f"{folder / 'manifest.json'} is not a manifest of aotgen")
    return manifest


def _run(command: Sequence[str], cwd: Path, what: str) -> str:
    try:
        done = subprocess.run(
            command,
            cwd=cwd,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            env={**os.environ, "LC_ALL": "C"},
        )
    except OSError as error:
        raise ToolchainError(f"{command[0]} could not be started: {error}") from error
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()
        tail = [f"... and {len(said) - ERROR_LINES} more lines"] if len(said) > ERROR_LINES else []
        signal = f" (signal {-done.returncode}; out of memory?)" if done.returncode < 0 else ""
        message = "\n".join([f"{what} failed{signal}: {shlex.join(command)}", *said[:ERROR_LINES], *tail])
        raise ToolchainError(message)
    return done.stdout


def _compile(
    compiler: Compiler, folder: Path, unit: Mapping[str, Any], plan: Mapping[str, Any], to: Path, extra: tuple[str, ...]
) -> bool:
    """Compile one unit; True when the cache had it."""
    is_cxx = unit["file"].endswith(".cpp")
    driver = compiler.cxx if is_cxx else compiler.cc
    common = plan["cxxflags"] if is_cxx else plan["cflags"] if unit["file"].endswith(".c") else plan["asflags"]
    flags = [*common, *unit["flags"], *(f"-I{i}" for i in plan["include"]), *(extra if is_cxx else ())]
    if compiler.is_clang:
        flags = [f for f in flags if f not in plan["gcc_only"]]
    native = _native_identity() if any("native" in f for f in flags) else ""
    files = cache.files_read(folder / unit["file"], [folder / i for i in plan["include"]])
    key = cache.key_of(f"{compiler.version} {shlex.join(driver)} {native}", flags, files, folder)
    if cache.fetch(key, to):
        return True
    _run([*driver, *flags, "-c", unit["file"], "-o", str(to)], folder, f"compiling {unit['file']}")
    cache.keep(key, to)
    return False


@lru_cache(maxsize=1)
def _native_identity() -> str:
    """What ``-march=native`` depends on."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").split("\n\n", 1)[0].splitlines()
    except OSError:
        return "unknown"
    return " ".join(line for line in lines if line.startswith(("model name", "flags", "Features")))


def _link_shared(
    compiler: Compiler,
    folder: Path,
    manifest: Mapping[str, Any],
    objects: Sequence[str],
    extra: Sequence[str],
    scratch: Path,
) -> Path:
    name, plan = manifest["name"], manifest["build"]
    out = folder / "lib" / f"lib{name}.so"
    if sys.platform == "darwin":
        limits = [f"-Wl,-exported_symbol,_{s}" for s in plan["exports"]]
    else:
        script = scratch / "exports.map"
        script.write_text("{ global: " + " ".join(f"{s};" for s in plan["exports"]) + " local: *; };\n", "utf-8")
        limits = [f"-Wl,--version-script={script}", "-Wl,--as-needed", f"-Wl,-soname,lib{name}.so"]
        limits += [] if any("sanitize" in f for f in extra) else ["-Wl,-z,defs"]
    made = scratch / out.name
    command = ["-shared", "-o", str(made), *objects, *limits, *plan["ldflags"], *extra, "-lm"]
    _run([*compiler.cc, *command], folder, "linking the shared library")
    shutil.copyfile(made, out.with_suffix(".tmp"))
    os.replace(out.with_suffix(".tmp"), out)
    return out


def _archive(
    compiler: Compiler, folder: Path, manifest: Mapping[str, Any], objects: Sequence[str], scratch: Path
) -> Path:
    """One relocatable object with only the interface global. Without objcopy the objects stay as they are: hidden,
    and named after the model."""
    name, plan = manifest["name"], manifest["build"]
    out, made = folder / "lib" / f"lib{name}.a", scratch / f"lib{name}.a"
    objcopy = shutil.which("objcopy") or shutil.which("llvm-objcopy")
    members = list(objects)
    if objcopy and sys.platform != "darwin":
        whole, local = scratch / "all.o", scratch / f"{name}.o"
        _run([*compiler.cc, "-r", "-nostdlib", "-o", str(whole), *objects], folder, "joining the objects")
        keep = [f"--keep-global-symbol={s}" for s in plan["exports"]]
        _run([objcopy, *keep, str(whole), str(local)], folder, "hiding inner symbols")
        members = [str(local)]
    archiver = shutil.which("ar") or shutil.which("llvm-ar")
    if archiver is None:
        raise ToolchainError("there is no ar on the PATH", hint="install binutils or LLVM")
    _run([archiver, "rcsD", str(made), *members], folder, "making the static library")
    shutil.copyfile(made, out.with_suffix(".tmp"))
    os.replace(out.with_suffix(".tmp"), out)
    return out
