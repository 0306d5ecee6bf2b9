# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""``--kernel-dir``: a user's kernels beside ours.

A folder may hold headers, which are found before ours of the same name, and a ``rules.py`` with a dict ``RULES`` of operator
name -> rules in the form of ``targets/anchors.py``. A user's rule that accepts always beats ours.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from aotgen.core.errors import UsageError
from aotgen.targets.anchors import Candidate, Rule
from aotgen.targets.base import Target


def with_kernels(target: Target, folders: Sequence[str]) -> Target:
    """``target`` with the rules of every folder, the first folder's first. Raises UsageError for a folder or a
    ``rules.py`` that cannot be read."""
    rules: dict[str, tuple[Rule, ...]] = {op: tuple(own) for op, own in target.rules.items()}
    for folder in reversed(folders):
        for op, found in _rules_of(Path(folder)).items():
            rules[op] = (*(_preferred(r) for r in found), *rules.get(op, ()))
    return replace(target, rules=rules)


def _rules_of(folder: Path) -> dict[str, Sequence[Rule]]:
    if not folder.is_dir():
        raise UsageError(f"--kernel-dir {folder} is not a folder")
    path = folder / "rules.py"
    if not path.is_file():
        return {}
    spec = importlib.util.spec_from_file_location(f"aotgen_user_rules_{abs(hash(str(path.resolve())))}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        found: Any = module.RULES
    except Exception as error:
        raise UsageError(f"{path} cannot be used: {type(error).__name__}: {error}",
                         hint="it must define RULES, a dict of operator name -> sequence of rules") from error
    return dict(found)


def _preferred(rule: Rule) -> Rule:
    """The rule with offers that cost nothing, so that they win."""

    def offer(*args: Any) -> Any:
        made = rule(*args)
        return replace(made, cost=0.0) if isinstance(made, Candidate) else made

    return offer
