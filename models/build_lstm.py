# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A recurrent classifier that reads a handwritten digit row by row, written as ONNX.

    python models/build_lstm.py [OUT.onnx]

The two directions of the LSTM keep their random, seeded weights; only the layer that reads their last states is fitted, by
ridge regression (the echo-state recipe), so NumPy solves it in closed form.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import onnx
from build_digits import digits
from onnx import TensorProto, helper, numpy_helper

HERE = Path(__file__).resolve().parent
HIDDEN, ROWS, WIDTH, RIDGE = 40, 8, 8, 1e-2

Weights = dict[str, np.ndarray]


def recurrent_weights(rng: np.random.Generator) -> Weights:
    """``w [2,4h,8]``, ``r [2,4h,h]``, ``b [2,8h]`` in ONNX order: gates i o f c, forward then backward."""
    r = rng.standard_normal((2, 4 * HIDDEN, HIDDEN)) / np.sqrt(HIDDEN)
    w = rng.standard_normal((2, 4 * HIDDEN, WIDTH))
    b = np.zeros((2, 8 * HIDDEN))
    b[:, 2 * HIDDEN : 3 * HIDDEN] = 1.0  # forget gates start open
    return {k: v.astype(np.float32) for k, v in {"w": w, "r": r, "b": b}.items()}


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def last_states(p: Weights, x: np.ndarray) -> np.ndarray:
    """``x [n,8,8] -> [n,2h]``: the hidden state at the end of each direction."""
    ends = []
    for d in range(2):
        h, c = np.zeros((2, len(x), HIDDEN))
        bias = p["b"][d, : 4 * HIDDEN] + p["b"][d, 4 * HIDDEN :]
        for t in range(ROWS) if d == 0 else reversed(range(ROWS)):
            i, o, f, g = np.split(x[:, t] / 16 @ p["w"][d].T + h @ p["r"][d].T + bias, 4, axis=1)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        ends.append(h)
    return np.concatenate(ends, axis=1)


def readout(states: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Weights ``[2h,10]`` and bias ``[10]`` that best map states to +1 and -1."""
    a = np.concatenate([states, np.ones((len(states), 1))], axis=1)
    targets = 2 * np.eye(10)[labels] - 1
    solved = np.linalg.solve(a.T @ a + RIDGE * np.eye(a.shape[1]), a.T @ targets)
    return solved[:-1].astype(np.float32), solved[-1].astype(np.float32)


def export(p: Weights) -> onnx.ModelProto:
    """``rows f32[n,8,8]`` -> ``scores f32[n,10]``, ``digit i64[n]``; the batch is a named dim."""
    stored = {**p, "scale": np.float32(1 / 16), "flat": np.array([-1, 2 * HIDDEN])}
    nodes = [
        helper.make_node("Mul", ["rows", "scale"], ["scaled"], "scale"),
        helper.make_node("Transpose", ["scaled"], ["steps"], "time_first", perm=[1, 0, 2]),
        helper.make_node("LSTM", ["steps", "w", "r", "b"], ["", "ends"], "lstm", hidden_size=HIDDEN,
                         direction="bidirectional"),
        helper.make_node("Transpose", ["ends"], ["batch_first"], "batch_first", perm=[1, 0, 2]),
        helper.make_node("Reshape", ["batch_first", "flat"], ["states"], "join"),
        helper.make_node("Gemm", ["states", "wo", "bo"], ["scores"], "readout"),
        helper.make_node("ArgMax", ["scores"], ["digit"], "argmax", axis=1, keepdims=0),
    ]
    graph = helper.make_graph(
        nodes, "digits_lstm",
        [helper.make_tensor_value_info("rows", TensorProto.FLOAT, ["n", ROWS, WIDTH])],
        [helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", 10]),
         helper.make_tensor_value_info("digit", TensorProto.INT64, ["n"])],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in stored.items()])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8,
                              producer_name="models/build_lstm.py")
    onnx.checker.check_model(model, full_check=True)
    return model


def main() -> None:
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "digits_lstm.onnx"
    x, y, test_x, test_y = digits()
    p = recurrent_weights(np.random.default_rng(1))
    p["wo"], p["bo"] = readout(last_states(p, x[:, 0]), y)
    right = ((last_states(p, test_x[:, 0]) @ p["wo"] + p["bo"]).argmax(1) == test_y).mean()
    out.write_bytes(export(p).SerializeToString(deterministic=True))
    print(f"{out.name}: {100 * right:.1f} % of {len(test_y)} digits never seen, {out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
