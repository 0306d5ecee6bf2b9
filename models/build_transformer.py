# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A tiny decoder-only transformer with random, seeded weights, written as ONNX the way exporters spell it.

    python models/build_transformer.py [OUT.onnx]

Token and position embeddings, two blocks of (LayerNormalization, causal attention in 4 heads, LayerNormalization, an MLP
with tanh-approximated GELU), logits. Sequence length is a named dim, up to 64. It says nothing of sense; it has the shape
of a language model.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).resolve().parent
VOCABULARY, LONGEST, MODEL, HEADS, BLOCKS = 96, 64, 32, 4, 2


class Net:
    """Nodes and initialisers in the making."""

    def __init__(self, seed: int) -> None:
        self.rng = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.stored: dict[str, np.ndarray] = {}

    def keep(self, name: str, value: np.ndarray) -> str:
        self.stored[name] = np.asarray(value)
        return name

    def weight(self, name: str, *shape: int) -> str:
        return self.keep(name, (self.rng.standard_normal(shape) / np.sqrt(shape[0])).astype(np.float32))

    def __call__(self, op: str, *inputs: str, name: str, **attributes: object) -> str:
        self.nodes.append(helper.make_node(op, inputs, [f"{name}_out"], name, **attributes))
        return f"{name}_out"

    def linear(self, x: str, name: str, wide: int, narrow: int) -> str:
        y = self("MatMul", x, self.weight(f"{name}.w", wide, narrow), name=f"{name}/matmul")
        bias = self.keep(f"{name}.b", (0.1 * self.rng.standard_normal(narrow)).astype(np.float32))
        return self("Add", y, bias, name=f"{name}/add")

    def norm(self, x: str, name: str) -> str:
        scale = self.keep(f"{name}.g", (1 + 0.1 * self.rng.standard_normal(MODEL)).astype(np.float32))
        shift = self.keep(f"{name}.b", (0.1 * self.rng.standard_normal(MODEL)).astype(np.float32))
        return self("LayerNormalization", x, scale, shift, name=name, axis=-1, epsilon=1e-5)

    def heads(self, x: str, name: str, perm: list[int]) -> str:
        """``[1,seq,model]`` split into heads and transposed by ``perm``."""
        cut = self("Reshape", x, "split", name=f"{name}/split")
        return self("Transpose", cut, name=f"{name}/transpose", perm=perm)

    def attention(self, x: str, mask: str, name: str) -> str:
        q, k, v = (self.linear(x, f"{name}/{part}", MODEL, MODEL) for part in "qkv")
        q, v = self.heads(q, f"{name}/q", [0, 2, 1, 3]), self.heads(v, f"{name}/v", [0, 2, 1, 3])
        scores = self("MatMul", q, self.heads(k, f"{name}/k", [0, 2, 3, 1]), name=f"{name}/scores")
        scores = self("Mul", scores, "scale", name=f"{name}/scale")
        scores = self("Where", mask, scores, "lowest", name=f"{name}/mask")
        weights = self("Softmax", scores, name=f"{name}/softmax", axis=-1)
        mixed = self("MatMul", weights, v, name=f"{name}/mix")
        mixed = self("Transpose", mixed, name=f"{name}/back", perm=[0, 2, 1, 3])
        return self.linear(self("Reshape", mixed, "joined", name=f"{name}/join"), f"{name}/out", MODEL, MODEL)

    def mlp(self, x: str, name: str) -> str:
        h = self.linear(x, f"{name}/up", MODEL, 4 * MODEL)
        return self.linear(self("Gelu", h, name=f"{name}/gelu", approximate="tanh"), f"{name}/down", 4 * MODEL, MODEL)


def build(seed: int = 2) -> onnx.ModelProto:
    """``ids i64[1,seq]`` -> ``logits f32[1,seq,96]``."""
    net = Net(seed)
    head = MODEL // HEADS
    net.keep("split", np.array([0, 0, HEADS, head]))
    net.keep("joined", np.array([0, 0, MODEL]))
    net.keep("scale", np.float32(1 / np.sqrt(head)))
    net.keep("lowest", np.float32(-1e9))
    net.keep("zero", np.array([0]))
    net.keep("one", np.array([1]))
    net.keep("two", np.array([2]))
    net.keep("causal", np.tril(np.ones((LONGEST, LONGEST), np.bool_)))
    x = net("Gather", net.weight("tokens", VOCABULARY, MODEL), "ids", name="embed")
    length = net("Slice", net("Shape", "ids", name="shape"), "one", "two", name="length")
    places = net("Slice", net.weight("places", LONGEST, MODEL), "zero", length, "zero", name="places/slice")
    x = net("Add", x, places, name="embed/add")
    mask = net("Slice", "causal", "zero", length, "zero", name="mask/rows")
    mask = net("Slice", mask, "zero", length, "one", name="mask/columns")
    for k in range(BLOCKS):
        y = net.attention(net.norm(x, f"block{k}/norm1"), mask, f"block{k}/attention")
        x = net("Add", x, y, name=f"block{k}/add1")
        x = net("Add", x, net.mlp(net.norm(x, f"block{k}/norm2"), f"block{k}/mlp"), name=f"block{k}/add2")
    net.nodes.append(helper.make_node("MatMul", [net.norm(x, "norm"), net.weight("unembed", MODEL, VOCABULARY)],
                                      ["logits"], "unembed"))
    graph = helper.make_graph(
        net.nodes, "tiny_transformer",
        [helper.make_tensor_value_info("ids", TensorProto.INT64, [1, "seq"])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, [1, "seq", VOCABULARY])],
        [numpy_helper.from_array(v, k) for k, v in net.stored.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9,
                              producer_name="models/build_transformer.py")
    onnx.checker.check_model(model, full_check=True)
    return model


def main() -> None:
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "tiny_transformer.onnx"
    out.write_bytes(build().SerializeToString(deterministic=True))
    print(f"{out.name}: {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
