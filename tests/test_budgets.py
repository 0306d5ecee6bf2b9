# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Sizes and habits that keep the project readable: each file, function and template within its budget."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("aotgen", "benchmarks", "docs", "kernels", "models", "runtime", "templates", "tests")
TEXT = {".py", ".pyi", ".h", ".cpp", ".c", ".S", ".j2", ".md", ".toml", ".txt", ".cu", ".sh", ""}
FILE_LINES, FUNCTION_LINES, TEMPLATE_LINES = 500, 60, 60


def tracked() -> list[Path]:
    """Text files under version control; without git, those in the project's folders."""
    try:
        command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):
        names = [str(p.relative_to(ROOT)) for f in FOLDERS for p in (ROOT / f).rglob("*") if "__pycache__" not in p.parts]
    paths = [ROOT / n for n in names]
    return sorted(p for p in paths if p.is_file() and p.suffix in TEXT)


FILES = tracked()
PYTHON = [p for p in FILES if p.suffix == ".py"]
CODE = [p for p in FILES if p.suffix in {".py", ".h", ".cpp", ".c", ".S", ".j2", ".cu"}]


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def test_files_fit() -> None:
    assert len(FILES) > 200
    long = {name(p): n for p in CODE if (n := len(read(p).splitlines())) > FILE_LINES}
    assert not long


def long_functions(text: str) -> list[str]:
    """Functions longer than the budget, their docstring not counted."""
    out = []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            doc = node.body[0] if ast.get_docstring(node, clean=False) is not None else None
            told = doc.end_lineno - doc.lineno + 1 if doc is not None and doc.end_lineno else 0
            if (node.end_lineno or 0) - node.lineno + 1 - told > FUNCTION_LINES:
                out.append(node.name)
    return out


def test_functions_fit() -> None:
    found = {name(p): f for p in PYTHON if (f := long_functions(read(p)))}
    assert not found


def test_long_functions_are_seen() -> None:
    body = "    x = 1\n" * (FUNCTION_LINES - 1)
    assert long_functions(f"def f():\n{body}") == []
    assert long_functions(f'def f():\n    """Doc."""\n{body}') == []
    assert long_functions(f"def f():\n{body}    y = 2\n") == ["f"]


def test_templates_fit() -> None:
    templates = [p for p in FILES if p.suffix == ".j2"]
    assert templates
    assert not {name(p): n for p in templates if (n := len(read(p).splitlines())) > TEMPLATE_LINES}


def test_no_module_of_odds_and_ends() -> None:
    assert not [name(p) for p in CODE if re.fullmatch(r"(utils?|helpers?|misc|common)", p.stem)]


# Written in pieces, so that this file does not find itself.
UNFINISHED = re.compile("|".join([r"\bTO" + "DO", r"\bFIX" + "ME", r"\bX" + r"XX\b", "NotImplemented" + "Error"]))
MACHINE = re.compile("|".join([r"/wo" + r"rk/", r"/ho" + r"me/\w", r"/ro" + r"ot\b", r"/Us" + r"ers/\w", r"/tm" + r"p/\w"]))
MONTHS = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
DATE = re.compile(rf"\b20[12]\d-[01]\d-[0-3]\d\b|\b(?:{MONTHS})[a-z]* \d{{1,2}},? 20[12]\d\b|\b\d{{1,2}} (?:{MONTHS})[a-z]* 20[12]\d\b")


def matches(pattern: re.Pattern[str], files: list[Path]) -> list[str]:
    return [
        f"{name(p)}:{n}: {line.strip()[:80]}"
        for p in files
        for n, line in enumerate(read(p).splitlines(), 1)
        if pattern.search(line)
    ]


def test_nothing_is_left_unfinished() -> None:
    assert not matches(UNFINISHED, CODE)


def test_no_path_of_a_machine() -> None:
    assert not matches(MACHINE, FILES)


def test_no_date() -> None:
    assert not matches(DATE, FILES)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [(UNFINISHED, "# TO" + "DO: later"), (MACHINE, "open('/ho" + "me/me/x')"), (DATE, "as of 2024" + "-05-17")],
)
def test_patterns_match(pattern: re.Pattern[str], text: str) -> None:
    assert pattern.search(text)


LICENCES = {"kernels": "0BSD", "runtime": "0BSD", "aotgen": "Apache-2.0 WITH LLVM-exception"}


@pytest.mark.parametrize("folder", sorted(LICENCES))
def test_sources_name_their_licence(folder: str) -> None:
    files = [p for p in CODE if p.relative_to(ROOT).parts[0] == folder]
    assert files
    want = f"SPDX-License-Identifier: {LICENCES[folder]}"
    assert not [name(p) for p in files if p.suffix != ".j2" and read(p) and want not in read(p).splitlines()[0]]


def test_licence_texts() -> None:
    top = read(ROOT / "LICENSE")
    assert "Apache License" in top
    assert "LLVM Exceptions to the Apache 2.0 License" in top
    for folder in ("kernels", "runtime", "templates"):
        assert read(ROOT / folder / "LICENSE").startswith("BSD Zero Clause License")
