# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Templates: text files with values printed into them, and no logic beyond a plain for or if."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import jinja2

from aotgen import _paths


@lru_cache(maxsize=1)
def _environment() -> jinja2.Environment:
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(_paths.data("templates")),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )


def render(template: str, **values: Any) -> str:
    """The template of that name with ``values``; a name it lacks is an error."""
    return _environment().get_template(template).render(**values)
