# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Any CPU with a C++17 compiler."""

from aotgen.targets.base import Target
from aotgen.targets.cpu.dialect import DIALECT
from aotgen.targets.cpu.isa import FLAGS, ISAS, resolve
from aotgen.targets.cpu.rules import RULES

TARGET = Target("cpu", DIALECT, ISAS, FLAGS, RULES, resolve)
