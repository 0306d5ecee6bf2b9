# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The constant strings of a library as one C array."""

from __future__ import annotations

from aotgen.emit.text import Text
from aotgen.plan.texts import TextsPlan
from aotgen.targets.cfamily import quoted

LONGEST = 4000  # bytes: C99 promises literals of 4095
BYTES_PER_LINE = 24


def texts_source(plan: TextsPlan, name: str) -> str:
    """The C file that defines ``NAME_texts``."""
    out = Text()
    out.comment(f"The constant strings of {name}.").line()
    out.raw(f'#include "{name}.h"').line()
    rows, table = out.part(), Text()
    for k, data in enumerate(plan.contents()):
        if len(data) > LONGEST:
            _long(rows, f"long_{k}", data)
        value = f"long_{k}" if len(data) > LONGEST else quoted(data)
        table.raw(f"{{{value}, {len(data)}}},")
    declared = f"const aotgen_string {name}_texts[{plan.count}]"
    out.raw(f'extern {declared} __attribute__((visibility("hidden")));').line()
    out.block(f"{declared} =", "};").add(table)
    return out.render()


def _long(out: Text, name: str, data: bytes) -> None:
    """An array in place of a literal that is too long."""
    body = out.block(f"static const char {name}[] =", "};")
    for at in range(0, len(data), BYTES_PER_LINE):
        body.raw(" ".join(f"{b if b < 128 else b - 256}," for b in data[at : at + BYTES_PER_LINE]))
    out.line()
