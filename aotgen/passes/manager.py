# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Finding passes by name and running them in order, with the hooks a compiler person expects between them."""

from __future__ import annotations

import importlib
import pkgutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Protocol

from aotgen.core.errors import InternalError, UsageError
from aotgen.ir.graph import Graph
from aotgen.ir.printer import print_graph
from aotgen.ir.verify_graph import verify


class Pass(Protocol):
    """A module of this package: ``name``, a docstring stating its equation, and ``run``, a pure function."""

    name: str

    def run(self, graph: Graph) -> Graph: ...


@dataclass
class Hooks:
    """What happens between passes.

    ``print_after``: pass names, or ``all``; the text goes to ``write``. ``dump_dir``: each result as ``NN-name.ir``.
    ``timing``: fill ``seconds`` and write a table at the end. ``stop_after``: return there. ``check_each``: called with
    (pass name, graph before, graph after); it raises when numbers changed. ``verify``: check the Graph after every pass.
    """

    print_after: Sequence[str] = ()
    dump_dir: Path | None = None
    timing: bool = False
    stop_after: str = ""
    check_each: Callable[[str, Graph, Graph], None] | None = None
    verify: bool = True
    write: Callable[[str], None] = print
    seconds: list[tuple[str, float]] = field(default_factory=list)


@lru_cache(maxsize=1)
def available() -> tuple[str, ...]:
    """Names of all passes, sorted."""
    import aotgen.passes as package

    found = [m.name for m in pkgutil.iter_modules(package.__path__)]
    return tuple(n for n in sorted(found) if hasattr(importlib.import_module(f"aotgen.passes.{n}"), "run")
                 and hasattr(importlib.import_module(f"aotgen.passes.{n}"), "name"))


def find(name: str) -> Pass:
    """The pass called ``name``. Raises UsageError listing those there are."""
    if name not in available():
        raise UsageError(f"there is no pass '{name}'", hint=f"one of {', '.join(available())}")
    return importlib.import_module(f"aotgen.passes.{name}")


def run(graph: Graph, names: Sequence[str], hooks: Hooks | None = None) -> Graph:
    """``graph`` after the passes ``names``, in order. A pass that breaks the graph is an InternalError naming it."""
    hooks = hooks or Hooks()
    passes = [find(n) for n in names]
    done: list[str] = []
    for k, p in enumerate(passes):
        start = time.perf_counter()
        try:
            after = p.run(graph)
            if hooks.verify:
                verify(after)
        except InternalError as e:
            raise InternalError(f"pass '{p.name}' (after {', '.join(done) or 'import'}): {e.reason}", node=e.node) from e
        hooks.seconds.append((p.name, time.perf_counter() - start))
        done.append(p.name)
        _report(hooks, k, p.name, after)
        if hooks.check_each is not None:
            hooks.check_each(p.name, graph, after)
        graph = after
        if p.name == hooks.stop_after:
            break
    if hooks.timing:
        hooks.write("\n".join(f"{t * 1000:9.2f} ms  {n}" for n, t in hooks.seconds))
    return graph


def _report(hooks: Hooks, k: int, name: str, graph: Graph) -> None:
    if name in hooks.print_after or "all" in hooks.print_after:
        hooks.write(f"// after {name}\n{print_graph(graph)}")
    if hooks.dump_dir is not None:
        hooks.dump_dir.mkdir(parents=True, exist_ok=True)
        (hooks.dump_dir / f"{k:02d}-{name}.ir").write_text(print_graph(graph), encoding="utf-8")
