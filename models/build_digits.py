# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Train a small CNN on scikit-learn's handwritten digits, with plain NumPy, and write it as ONNX.

    python models/build_digits.py [OUT.onnx]

Two 3x3 convolutions with max-pooling and a linear layer: 6,090 parameters. Everything is seeded. Every fifth of the 1,797
digits, 360 in all, is never trained on; ``demo.py`` tests with those. A BLAS that sums in another order ends at other, equally good
weights, so the committed file is the reference.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
from numpy.lib.stride_tricks import sliding_window_view
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).resolve().parent
EVERY = 5  # held out for testing
EPOCHS, BATCH, RATE = 30, 32, 2e-3

Params = dict[str, np.ndarray]


def digits() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Images ``f32[n,1,8,8]`` of 0 to 16 and labels, to train with and to test with."""
    from sklearn.datasets import load_digits

    data = load_digits()
    x, y = data.images.astype(np.float32)[:, None], data.target
    held = np.arange(len(x)) % EVERY == 0
    return x[~held], y[~held], x[held], y[held]


def initial(rng: np.random.Generator) -> Params:
    """He initialisation."""

    def normal(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape) * np.sqrt(2 / np.prod(shape[1:]))

    return {"w1": normal(16, 1, 3, 3), "b1": np.zeros(16), "w2": normal(32, 16, 3, 3), "b2": np.zeros(32),
            "w3": normal(10, 128), "b3": np.zeros(10)}


# ------------------------------------------------------------------------------------------------- layers and gradients


def patches(x: np.ndarray) -> np.ndarray:
    """``[n,c,h,w] -> [n,h,w,c*9]``: what each 3x3 window of the zero-padded ``x`` sees."""
    padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))
    return sliding_window_view(padded, (3, 3), (2, 3)).transpose(0, 2, 3, 1, 4, 5).reshape(*_nhw(x), -1)


def _nhw(x: np.ndarray) -> tuple[int, int, int]:
    return x.shape[0], x.shape[2], x.shape[3]


def conv(x: np.ndarray, w: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (patches(x) @ w.reshape(len(w), -1).T + b).transpose(0, 3, 1, 2)


def conv_grad(x: np.ndarray, w: np.ndarray, dy: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients by x, w and b."""
    rows = dy.transpose(0, 2, 3, 1).reshape(-1, len(w))
    dw = (rows.T @ patches(x).reshape(len(rows), -1)).reshape(w.shape)
    flipped = w[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
    return conv(dy, flipped, np.zeros(w.shape[1])), dw, rows.sum(0)


def pool(x: np.ndarray) -> np.ndarray:
    n, c, h, w = x.shape
    return x.reshape(n, c, h // 2, 2, w // 2, 2).max((3, 5))


def pool_grad(x: np.ndarray, y: np.ndarray, dy: np.ndarray) -> np.ndarray:
    def spread(a: np.ndarray) -> np.ndarray:
        return a.repeat(2, 2).repeat(2, 3)

    return spread(dy) * (x == spread(y))


def logits(p: Params, x: np.ndarray) -> np.ndarray:
    h = pool(np.maximum(conv(x / 16, p["w1"], p["b1"]), 0))
    h = pool(np.maximum(conv(h, p["w2"], p["b2"]), 0))
    return h.reshape(len(x), -1) @ p["w3"].T + p["b3"]


def gradients(p: Params, x: np.ndarray, labels: np.ndarray) -> Params:
    """Of the mean cross-entropy by every parameter."""
    x = x / 16
    a1 = np.maximum(conv(x, p["w1"], p["b1"]), 0)
    h1 = pool(a1)
    a2 = np.maximum(conv(h1, p["w2"], p["b2"]), 0)
    h2 = pool(a2)
    flat = h2.reshape(len(x), -1)
    z = flat @ p["w3"].T + p["b3"]
    dz = np.exp(z - z.max(1, keepdims=True))
    dz /= dz.sum(1, keepdims=True)
    dz[np.arange(len(x)), labels] -= 1
    dz /= len(x)
    da2 = pool_grad(a2, h2, (dz @ p["w3"]).reshape(h2.shape)) * (a2 > 0)
    dh1, dw2, db2 = conv_grad(h1, p["w2"], da2)
    _, dw1, db1 = conv_grad(x, p["w1"], pool_grad(a1, h1, dh1) * (a1 > 0))
    return {"w1": dw1, "b1": db1, "w2": dw2, "b2": db2, "w3": dz.T @ flat, "b3": dz.sum(0)}


def train(x: np.ndarray, y: np.ndarray, seed: int = 0) -> Params:
    """Adam (Kingma and Ba, arXiv 1412.6980), in float64."""
    rng = np.random.default_rng(seed)
    p, step = initial(rng), 0
    mean, square = ({k: np.zeros_like(v) for k, v in p.items()} for _ in range(2))
    for epoch in range(EPOCHS):
        rate = RATE * (1 - epoch / EPOCHS)
        order = rng.permutation(len(x))
        for at in range(0, len(x), BATCH):
            pick = order[at : at + BATCH]
            step += 1
            for k, g in gradients(p, x[pick].astype(np.float64), y[pick]).items():
                mean[k] += 0.1 * (g - mean[k])
                square[k] += 0.001 * (g * g - square[k])
                unbiased = mean[k] / (1 - 0.9**step), square[k] / (1 - 0.999**step)
                p[k] -= rate * unbiased[0] / (np.sqrt(unbiased[1]) + 1e-8)
    return p


# ------------------------------------------------------------------------------------------------- ONNX


def export(p: Params) -> onnx.ModelProto:
    """``image f32[1,1,8,8]`` (0 to 16) -> ``probabilities f32[1,10]``."""
    stored = {**{k: v.astype(np.float32) for k, v in p.items()}, "scale": np.float32(1 / 16)}
    pads = {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}
    halves = {"kernel_shape": [2, 2], "strides": [2, 2]}
    nodes = [
        helper.make_node("Mul", ["image", "scale"], ["scaled"], "scale"),
        helper.make_node("Conv", ["scaled", "w1", "b1"], ["c1"], "conv1", **pads),
        helper.make_node("Relu", ["c1"], ["r1"], "relu1"),
        helper.make_node("MaxPool", ["r1"], ["p1"], "pool1", **halves),
        helper.make_node("Conv", ["p1", "w2", "b2"], ["c2"], "conv2", **pads),
        helper.make_node("Relu", ["c2"], ["r2"], "relu2"),
        helper.make_node("MaxPool", ["r2"], ["p2"], "pool2", **halves),
        helper.make_node("Flatten", ["p2"], ["flat"], "flatten"),
        helper.make_node("Gemm", ["flat", "w3", "b3"], ["logits"], "classifier", transB=1),
        helper.make_node("Softmax", ["logits"], ["probabilities"], "softmax"),
    ]
    graph = helper.make_graph(
        nodes, "digits_cnn",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 1, 8, 8])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [1, 10])],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in stored.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8,
                              producer_name="models/build_digits.py")
    onnx.checker.check_model(model, full_check=True)
    return model


def main() -> None:
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "digits_cnn.onnx"
    x, y, test_x, test_y = digits()
    p = train(x, y)
    right = (logits(p, test_x).argmax(1) == test_y).mean()
    out.write_bytes(export(p).SerializeToString(deterministic=True))
    print(f"{out.name}: {100 * right:.1f} % of {len(test_y)} digits never seen, {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
