# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""One source file per ISA: provenance, memory map, kernels, and ``run`` with a commented call per step."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from aotgen.emit.dims import largest, spell
from aotgen.emit.headers import basename
from aotgen.emit.interface import Interface, shape_text
from aotgen.emit.names import member
from aotgen.emit.steps import StepWriter
from aotgen.emit.storage import Storage
from aotgen.emit.text import Text, clean_comment
from aotgen.ir.index import Dim
from aotgen.ir.program import Buffer
from aotgen.plan import Planned
from aotgen.plan.liveness import bytes_of
from aotgen.plan.memory import summary
from aotgen.targets.base import Isa, Target


@dataclass(frozen=True, slots=True)
class Provenance:
    """What a library was made from: ``model`` (a file's base name), its ``sha256``, aotgen's ``version``, and whatever else
    is known of the model (producer, graph name), printed as it is."""

    model: str = ""
    sha256: str = ""
    version: str = ""
    facts: Mapping[str, str] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """For the top of a source file."""
        out = [f"Made by aotgen {self.version}".rstrip()]
        out += [f"from {self.model}"] if self.model else []
        out += [f"sha256 {self.sha256}"] if self.sha256 else []
        return [*out, *(f"{k}: {v}" for k, v in sorted(self.facts.items()))]


# The macro by which a compiler says that it may use a feature, where that is not the feature's name; "": there is none.
MACROS: Mapping[str, str] = {"bmi1": "__BMI__", "asimd": "__ARM_NEON", "cx16": "", "movbe": ""}


@dataclass(frozen=True, slots=True)
class Unit:
    """A printed source file: ``namespace`` it lives in, ``text``, ``headers`` it includes, ``scratch``: bytes per thread
    its calls want (the largest counts), ``functions``: how many, ``calls``: how many steps call them."""

    namespace: str
    text: str
    headers: tuple[str, ...]
    scratch: tuple[Dim, ...]
    functions: tuple[str, ...]


def suffix(isa: Isa) -> str:
    return isa.suffix or isa.name


def unit(planned: Planned, face: Interface, target: Target, isa: Isa, provenance: Provenance) -> Unit:
    """The source of one ISA."""
    storage = Storage(planned, face)
    writer = StepWriter(storage, target.dialect, isa)
    steps = Text()
    writer.write(planned.program.steps, steps)
    space = f"{face.name}_{suffix(isa)}"
    out = Text()
    for line in provenance.lines():
        out.comment(line)
    out.line()
    _memory_map(planned, out)
    out.line().raw(f"#define AOT_NS {space}").raw(f'#include "{face.name}_internal.h"')
    pool = ("pool.h",) if face.uses_pool else ()
    headers = sorted({*writer.headers, "barrier.h", "cpu/extent.h", *pool}, key=basename)
    for header in dict.fromkeys(map(basename, headers)):
        out.raw(f'#include "{header}"')
    out.line()
    _demand(isa, out)
    out.line(f"namespace {space} {{").line("namespace {").line()
    if planned.program.data_dims:
        _extents_struct(planned, out)
    elif planned.program.dims:
        out.line(f"typedef {face.name}_extents Dims;").line()
    out.add(writer.kernels)
    _run(face, planned, storage, steps, out)
    out.line().line("}  // namespace").line()
    out.line(f"void run(const {face.name}_frame& f, int tid, int nt, void* barrier) {{")
    out.line("  steps(f, tid, nt, *static_cast<Barrier*>(barrier));")
    out.line("}").line().line(f"}}  // namespace {space}")
    return Unit(
        space, out.render(), tuple(headers), tuple(dict.fromkeys(writer.scratch)), tuple(writer.functions.values())
    )


def _extents_struct(planned: Planned, out: Text) -> None:
    """Open dims, then those that steps make."""
    body = out.block("struct Dims", "};")
    for a in planned.program.dims:
        body.line(f"int {member(a.name)};")
    for a in planned.program.data_dims:
        body.comment(f"made by a step, {a.lo} to {'any' if a.hi is None else a.hi}: {clean_comment(a.name)}")
        body.line(f"int {member(a.name)};")
    out.line()


def _run(face: Interface, planned: Planned, storage: Storage, steps: Text, out: Text) -> None:
    places = {b.place for b in storage.names}
    body = out.block(
        f"void steps(const {face.name}_frame& f, [[maybe_unused]] int tid, [[maybe_unused]] int nt, "
        "[[maybe_unused]] Barrier& barrier)"
    )
    ports = planned.program
    if any(p.tensor.buffer in storage.names for p in ports.inputs):
        body.line(f"const {face.name}_inputs& in = *f.in;")
    if any(p.tensor.buffer in storage.names and p.tensor.buffer not in storage.planned.slots for p in ports.outputs):
        body.line(f"const {face.name}_outputs& out = *f.out;")
    if "workspace" in places:
        body.line("unsigned char* const ws = f.workspace;")
    if "const" in places:
        body.line("const unsigned char* const weights = f.weights;")
    if planned.program.data_dims:
        given = [f"f.dims.{member(a.name)}" for a in planned.program.dims]
        body.line(f"Dims d = {{{', '.join([*given, *('0' for _ in planned.program.data_dims)])}}};")
    elif planned.program.dims:
        body.line("[[maybe_unused]] const Dims& d = f.dims;")
    body.line("[[maybe_unused]] unsigned char* const scratch = f.scratch;")
    if face.uses_pool:
        body.line("[[maybe_unused]] Pool& pool = *static_cast<Pool*>(f.pool);")
    storage.declare(body)
    body.line().add(steps)
    for r in face.outputs:
        for k, extent in enumerate(r.by_data):
            body.line(f"if (tid == 0) f.out->{r.member}_shape[{k}] = {extent};")


def _demand(isa: Isa, out: Text) -> None:
    """Refuse to compile without the flags that the kernels were chosen for."""
    macros = [MACROS.get(need, f"__{need.upper()}__") for need in isa.needs if MACROS.get(need, need)]
    if macros:
        out.raw("#if " + " || ".join(f"!defined({m})" for m in macros))
        out.raw(f'#error "compile this file with {" ".join(isa.flags)}"')
        out.raw("#endif").line()


def _memory_map(planned: Planned, out: Text) -> None:
    """The table of workspace buffers as comments: where, how large, from which step to which."""
    memory = planned.memory
    out.comment(summary(memory))
    if not memory.offsets:
        return
    out.comment(f"{'largest' if memory.is_open else 'offset':>10}  {'bytes':>10}  {'ticks':>11}  buffer")
    for b in sorted(memory.offsets, key=lambda b: (memory.offsets[b], memory.spans[b][0])):
        start, end = memory.spans[b]
        out.comment(f"{memory.offsets[b]:>10}  {_size(b):>10}  {start:>5}-{end:<5}  {b.name} {b.dtype}[{b.size}]")


def _size(b: Buffer) -> str:
    size = bytes_of(b)
    return str(size) if isinstance(size, int) else shape_text([size])


def measured(planned: Planned, units: tuple[Unit, ...]) -> list[Dim]:
    """Every size that a call is to be checked for: buffers, inputs and outputs, scratch of a thread."""
    ports = [p.tensor.buffer for p in (*planned.program.inputs, *planned.program.outputs)]
    ports = [b for b in ports if b not in planned.slots]
    return [bytes_of(b) for b in (*planned.memory.stack, *ports)] + [s for u in units for s in u.scratch]


def scratch_stride(units: tuple[Unit, ...]) -> str:
    """Bytes of scratch per thread as a C expression over ``d``."""
    wanted = list(dict.fromkeys(s for u in units for s in u.scratch))
    return largest(wanted) if wanted else "0"


__all__ = ["Provenance", "Unit", "measured", "scratch_stride", "spell", "suffix", "unit"]
