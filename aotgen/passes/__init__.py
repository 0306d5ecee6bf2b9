# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Floor 3: Graph -> Graph, one file a pass. Each has ``name``, an equation in its docstring, and ``run(graph)``."""
