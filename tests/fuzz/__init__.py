# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Random graphs of typed operators, compiled and compared: ``python -m tests.fuzz``.

After NNSmith (Liu et al., ASPLOS 2023): every operator is a row that says which values it takes and which shapes, attributes
and contents make it valid there; a graph grows forward, one row after another. Where NNSmith asks a solver for shapes, a node
is evaluated by onnxruntime and by a float64 interpreter as soon as it is inserted: shapes are read off its results, and a
node that overflows, cancels or hits a discontinuity of the operator is dropped before anything builds on it.
"""
