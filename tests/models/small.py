# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Small models of our own, in ONNX text: an elementwise chain, a CNN, control flow, an attention block."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper, parser

CHAIN = """<ir_version: 8, opset_import: ["": 18]>
chain (float[3,17] x, float[17] b) => (float[3,17] y) {
  s = Add(x, b)
  t = Tanh(s)
  y = Mul(t, x)
}"""

CNN = """<ir_version: 8, opset_import: ["": 18]>
cnn (float[1,3,12,12] x) => (float[1,10] y) {
  c = Conv<pads = [1,1,1,1], kernel_shape = [3,3]>(x, w, b)
  r = Relu(c)
  p = MaxPool<kernel_shape = [2,2], strides = [2,2]>(r)
  f = Flatten(p)
  g = Gemm(f, v)
  y = Softmax(g)
}"""

CONTROL = """<ir_version: 8, opset_import: ["": 18]>
control (float[4,8] x, int64 n, bool flag) => (float[4,8] y, float[4,8] z) {
  yes = Constant<value = bool {1}>()
  y = Loop(n, yes, x)<body = step (int64 i, bool go, float[4,8] h) => (bool more, float[4,8] next) {
    more = Identity(go)
    k = Constant<value = float {0.5}>()
    a = Mul(h, k)
    next = Sin(a)
  }>
  z = If(flag)<then_branch = yes_ () => (float[4,8] u) { u = Exp(x) },
               else_branch = no_ () => (float[4,8] v) { v = Softmax(y) }>
}"""

ATTENTION = """<ir_version: 8, opset_import: ["": 18]>
attention (float[1,16,32] x) => (float[1,16,32] y) {
  q = MatMul(x, wq)
  k = MatMul(x, wk)
  v = MatMul(x, wv)
  kt = Transpose<perm = [0,2,1]>(k)
  s = MatMul(q, kt)
  p = Softmax<axis = -1>(s)
  o = MatMul(p, v)
  r = Add(o, x)
  y = LayerNormalization<axis = -1>(r, g)
}"""

_WEIGHTS: dict[str, dict[str, tuple[int, ...]]] = {
    CNN: {"w": (16, 3, 3, 3), "b": (16,), "v": (576, 10)},
    ATTENTION: {"wq": (32, 32), "wk": (32, 32), "wv": (32, 32), "g": (32,)},
}


def model(text: str) -> onnx.ModelProto:
    """The model of ``text``, with seeded weights as its initializers."""
    made = parser.parse_model(text)
    rng = np.random.default_rng(7)
    for name, shape in _WEIGHTS.get(text, {}).items():
        array = (rng.standard_normal(shape) / 8).astype(np.float32)
        made.graph.initializer.append(numpy_helper.from_array(array, name))
    return made


def save(text: str, path: Path) -> Path:
    """``model(text)`` as a file."""
    onnx.save(model(text), path)
    return path
