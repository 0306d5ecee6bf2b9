# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A module imports its own floor or a lower one, and no two modules import each other."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "aotgen"

FLOORS = {
    "core": 0, "native": 0, "_paths": 0, "_version": 0, "_native": 0,
    "ir": 1,
    "ops": 2,
    "frontend": 3, "passes": 3,
    "targets": 4,
    "lower": 5, "plan": 5,
    "emit": 6,
    "toolchain": 7, "driver": 7, "api": 7, "many": 7, "backend": 7,
    "verify": 8, "bench": 8,
    "cli": 9, "__main__": 9,
}  # fmt: skip
TOP = "aotgen"  # the package itself: hands out the API


def modules() -> dict[str, Path]:
    out = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        out[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return {**out, "aotgen._native": PACKAGE / "_native.pyi"}


MODULES = modules()


def floor(module: str) -> int:
    parts = module.split(".")
    return FLOORS[parts[1] if len(parts) > 1 else "api"]


def imports(tree: ast.Module, *, at_start: bool, known: dict[str, Path] = MODULES) -> set[str]:
    """The project's modules that ``tree`` imports: all, or (``at_start``) those imported while it is itself imported."""
    lazy: set[ast.AST] = set()
    for node in ast.walk(tree):
        typing_only = isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        if at_start and (isinstance(node, ast.FunctionDef | ast.Lambda) or typing_only):
            lazy.update(ast.walk(node))
    out: set[str] = set()
    for node in ast.walk(tree):
        if node in lazy:
            continue
        if isinstance(node, ast.Import):
            out.update(a.name for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            base = node.module or ""
            out.update(f"{base}.{a.name}" if f"{base}.{a.name}" in known else base for a in node.names)
    return {m for m in out if m.split(".")[0] == TOP}


TREES = {m: ast.parse(path.read_text(encoding="utf-8")) for m, path in MODULES.items()}


def upward(module: str, tree: ast.Module) -> list[str]:
    return [m for m in sorted(imports(tree, at_start=False)) if floor(m) > floor(module)]


def cycle(graph: dict[str, set[str]]) -> list[str]:
    """Some cycle of ``graph`` (each module to those it imports), or nothing."""
    done: set[str] = set()

    def visit(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module in done:
            return []
        for m in sorted(graph.get(module, set())):
            if found := visit(m, [*path, module]):
                return found
        done.add(module)
        return []

    return next((found for m in sorted(graph) if (found := visit(m, []))), [])


def test_every_module_has_a_floor() -> None:
    unknown = {m.split(".")[1] for m in MODULES if "." in m} - FLOORS.keys()
    assert not unknown, f"say in FLOORS where {unknown} belong"


@pytest.mark.parametrize("module", sorted(MODULES))
def test_imports_point_down(module: str) -> None:
    assert not upward(module, TREES[module])


def test_no_cycles() -> None:
    graph = {m: imports(t, at_start=True) for m, t in TREES.items()}
    assert not cycle(graph)


def test_the_tests_can_fail() -> None:
    tree = ast.parse("def f():\n    from aotgen.emit import project\nfrom aotgen.core import errors")
    assert upward("aotgen.ir.graph", tree) == ["aotgen.emit.project"]
    assert imports(tree, at_start=True) == {"aotgen.core.errors"}
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
