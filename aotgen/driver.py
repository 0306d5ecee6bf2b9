# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The pipeline, on one page.

    model.onnx - frontend -> Graph - passes -> Graph - lower -> Program - plan -> Program - emit -> files - toolchain -> lib
                             what                               how                                 text

Every stage is a pure function of its input and a frozen ``CompileOptions``; each can be printed, timed and stopped after.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import onnx

from aotgen import frontend, targets
from aotgen._version import __version__
from aotgen.core.errors import UnsupportedError
from aotgen.core.options import CompileOptions
from aotgen.emit import project
from aotgen.emit.source import Provenance
from aotgen.ir import expr, index
from aotgen.ir.graph import Graph
from aotgen.ir.print_program import print_program
from aotgen.ir.printer import print_graph
from aotgen.ir.program import Program
from aotgen.lower import assemble
from aotgen.lower.scope import Choice
from aotgen.passes import manager, pipeline
from aotgen.passes.check import checker
from aotgen.plan import Planned, plan
from aotgen.targets.base import Target
from aotgen.targets.user import with_kernels
from aotgen.toolchain import build as toolchain_build

STAGES = ("import", "passes", "lower", "plan", "emit", "build")


def _silent(_: str) -> None:
    """Where talk goes when nobody listens."""


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a caller wants to see of a compile. ``print_ir_after``: passes or stages, or ``all``; ``dump_dir``: every Graph as a
    file; ``stop_after``: a pass or stage; ``check_each``: interpret seeded inputs after every pass and name the first
    that changes numbers; ``echo``: where text goes; ``progress``: told each stage as it begins."""

    print_ir_after: frozenset[str] = frozenset()
    dump_dir: Path | None = None
    timing: bool = False
    stop_after: str | None = None
    check_each: bool = False
    echo: Callable[[str], None] = _silent
    progress: Callable[[str], None] = _silent


@dataclass(frozen=True, slots=True)
class Result:
    """What a compile made: the optimised ``graph``, the ``planned`` Program (None when stopped before), the kernel
    ``choices``, the output ``folder`` (None when nothing was written) and ``seconds`` by stage."""

    graph: Graph
    planned: Planned | None
    choices: tuple[Choice, ...]
    folder: Path | None
    seconds: dict[str, float] = field(default_factory=dict)


def compile_model(model: str | Path | onnx.ModelProto, out: Path, options: CompileOptions, *, build: bool = True,
                  keep_build: bool = False, hooks: Hooks = Hooks()) -> Result:
    """Compile ``model`` into the library folder ``out``. Raises AotgenError subclasses; writes nothing unless it succeeds."""
    index.reset()
    expr.reset()
    run = _Run(hooks)
    family, _, variant = options.target.partition(":")
    target = with_kernels(targets.load(family).variant(variant), options.kernel_dirs)
    if hooks.stop_after not in STAGES[:4]:
        if not target.libraries:
            raise UnsupportedError(f"the {target.name} target prints single kernels so far, not whole libraries",
                                   hint="--target cpu:native, or --stop-after plan to see the steps it would take")
        project.check_folder(out)
    with run.stage("import"):
        graph = frontend.load_graph(model, options)
    with run.stage("passes"):
        graph = pipeline.optimise(graph, options, run.pass_hooks())
    if run.stops("import", "passes", *manager.available()):
        return Result(graph, None, (), None, run.seconds)
    with run.stage("lower"):
        lowered = assemble.lower(graph, target.rules, options.name)
        run.show("lower", lowered.program)
    with run.stage("plan"):
        planned = plan(lowered.program)
        run.show("plan", planned.program)
    if run.stops("lower", "plan"):
        return Result(graph, planned, lowered.choices, None, run.seconds)
    with run.stage("emit"):
        made = _provenance(model, graph)
        folder = project.write(planned, options, target, out, made).folder
    if build and not run.stops("emit"):
        with run.stage("build"):
            toolchain_build(folder)
    run.report()
    return Result(graph, planned, lowered.choices, folder, run.seconds)


def import_graph(model: str | Path | onnx.ModelProto, options: CompileOptions) -> Graph:
    """The front end and the passes alone."""
    return pipeline.optimise(frontend.load_graph(model, options), options)


def lower_graph(graph: Graph, options: CompileOptions, target: Target) -> tuple[Planned, tuple[Choice, ...]]:
    """Lowering and planning alone."""
    lowered = assemble.lower(graph, target.rules, options.name)
    return plan(lowered.program), lowered.choices


def _provenance(model: str | Path | onnx.ModelProto, graph: Graph) -> Provenance:
    """What the output says it was made from; nothing that differs between machines."""
    if isinstance(model, onnx.ModelProto):
        data, name = model.SerializeToString(deterministic=True), ""
        return Provenance(name, hashlib.sha256(data).hexdigest(), __version__, {"graph": graph.name})
    with open(model, "rb") as f:
        digest = hashlib.sha256()
        while block := f.read(1 << 20):
            digest.update(block)
    return Provenance(Path(model).name, digest.hexdigest(), __version__, {"graph": graph.name})


@dataclass(slots=True)
class _Run:
    """One compile's bookkeeping."""

    hooks: Hooks
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        self.hooks.progress(name)
        start = time.perf_counter()
        yield
        self.seconds[name] = time.perf_counter() - start

    def stops(self, *names: str) -> bool:
        return self.hooks.stop_after in names

    def pass_hooks(self) -> manager.Hooks:
        h = self.hooks
        check = checker(h.echo) if h.check_each else None
        return manager.Hooks(sorted(h.print_ir_after), h.dump_dir, h.timing, h.stop_after or "", check, write=h.echo)

    def show(self, stage: str, program: Program) -> None:
        """Print and dump ``program`` where the hooks ask for it."""
        h = self.hooks
        if h.print_ir_after & {stage, "all"}:
            h.echo(f"// after {stage}\n{print_program(program)}")
        if h.dump_dir is not None:
            h.dump_dir.mkdir(parents=True, exist_ok=True)
            (h.dump_dir / f"{stage}.program").write_text(print_program(program), encoding="utf-8")

    def report(self) -> None:
        if self.hooks.timing:
            for name, t in self.seconds.items():
                self.hooks.echo(f"{t * 1000:9.1f} ms  {name}")


__all__ = ["STAGES", "Hooks", "Result", "compile_model", "import_graph", "lower_graph", "print_graph", "print_program"]
