# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Target families, found by entry point (group ``aotgen.targets``, an object that is a ``base.Target``)."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points

from aotgen.core.errors import UsageError
from aotgen.targets.base import Target

GROUP = "aotgen.targets"
_BUILT_IN = {
    "cpu": "aotgen.targets.cpu:TARGET",
    "cuda": "aotgen.targets.cuda:TARGET",
}  # when the package is not installed


def available() -> list[str]:
    """Names of the target families that can be loaded, sorted."""
    return sorted({*_BUILT_IN, *(e.name for e in entry_points(group=GROUP))})


def load(name: str) -> Target:
    """The target family called ``name``. Raises UsageError when there is none."""
    installed = {e.name: e.value for e in entry_points(group=GROUP)}
    where = installed.get(name, _BUILT_IN.get(name))
    if where is None:
        raise UsageError(f"there is no target {name}", hint=f"one of {', '.join(available())}")
    module, _, attribute = where.partition(":")
    target = getattr(import_module(module), attribute)
    if not isinstance(target, Target):
        raise UsageError(f"the entry point {where} of target {name} is not a Target")
    return target
