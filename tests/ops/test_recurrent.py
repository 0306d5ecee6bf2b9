# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""LSTM, GRU and RNN against onnxruntime: directions, lengths, layouts, activations, peepholes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graphs import check, f32

from aotgen.core import dtypes
from aotgen.core.errors import ModelError
from aotgen.ir import index
from aotgen.ir.graph import TensorType
from aotgen.ops.builder import Builder
from aotgen.ops.interp import run_graph

T, N, WIDTH, H = 5, 3, 4, 6
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
LENGTHS = np.array([5, 2, 4], np.int32)


def operands(op: str, directions: int, *, bias: bool = True, lengths: bool = False, states: bool = False,
             peepholes: bool = False) -> list[np.ndarray | None]:
    g = GATES[op]
    out: list[np.ndarray | None] = [f32(T, N, WIDTH), f32(directions, g * H, WIDTH) * 0.5, f32(directions, g * H, H) * 0.5,
                                    f32(directions, 2 * g * H) * 0.3 if bias else None, LENGTHS if lengths else None]
    count = 2 if op == "LSTM" else 1
    out += [f32(directions, N, H) if states else None for _ in range(count)]
    if op == "LSTM":
        out.append(f32(directions, 3 * H) * 0.3 if peepholes else None)
    while out[-1] is None:
        out.pop()
    return out


def both(op: str, args: list[np.ndarray | None], **attrs: Any) -> None:
    check(op, args, n=3 if op == "LSTM" else 2, tol=3e-6, hidden_size=H, **attrs)


@pytest.mark.parametrize("op", list(GATES))
@pytest.mark.parametrize("direction", ["forward", "reverse", "bidirectional"])
@pytest.mark.parametrize("lengths", [False, True])
@pytest.mark.parametrize("states", [False, True])
def test_directions(op: str, direction: str, lengths: bool, states: bool) -> None:
    d = 2 if direction == "bidirectional" else 1
    both(op, operands(op, d, lengths=lengths, states=states), direction=direction)


@pytest.mark.parametrize("op", list(GATES))
def test_without_bias(op: str) -> None:
    both(op, operands(op, 1, bias=False))


@pytest.mark.parametrize("op", list(GATES))
def test_clip(op: str) -> None:
    both(op, operands(op, 2, states=True), direction="bidirectional", clip=0.3)


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
@pytest.mark.parametrize("lengths", [False, True])
def test_gru_linear_before_reset(direction: str, lengths: bool) -> None:
    d = 2 if direction == "bidirectional" else 1
    both("GRU", operands("GRU", d, lengths=lengths, states=True), direction=direction, linear_before_reset=1)


@pytest.mark.parametrize("lengths", [False, True])
def test_lstm_peepholes(lengths: bool) -> None:
    both("LSTM", operands("LSTM", 2, lengths=lengths, states=True, peepholes=True), direction="bidirectional")


def test_lstm_input_forget() -> None:
    both("LSTM", operands("LSTM", 1, states=True), input_forget=1)


@pytest.mark.parametrize(("names", "alpha", "beta"), [
    (["Relu"], [], []), (["LeakyRelu"], [0.2], []), (["Elu"], [0.7], []), (["HardSigmoid"], [0.3], [0.4]), (["Softsign"], [], []),
    (["Softplus"], [], []), (["ScaledTanh"], [0.8], [0.6]), (["Affine"], [0.3], [0.1]), (["ThresholdedRelu"], [0.2], [])])
def test_activations(names: list[str], alpha: list[float], beta: list[float]) -> None:
    extra: dict[str, Any] = {}
    if alpha:
        extra["activation_alpha"] = alpha
    if beta:
        extra["activation_beta"] = beta
    both("RNN", operands("RNN", 1), activations=names, **extra)


def test_activation_lists_of_two_directions() -> None:
    both("LSTM", operands("LSTM", 2), direction="bidirectional", activations=["HardSigmoid", "Tanh", "Relu", "Sigmoid",
         "LeakyRelu", "Tanh"], activation_alpha=[0.3, 0.1], activation_beta=[0.45])


@pytest.mark.parametrize("op", list(GATES))
@pytest.mark.parametrize("lengths", [False, True])
def test_batch_first(op: str, lengths: bool) -> None:
    """Layout 1 is the same operator with batch and time, and batch and direction, exchanged."""
    from graphs import close, expect, run
    args = operands(op, 2, lengths=lengths, states=True)
    n = 3 if op == "LSTM" else 2
    want = expect(op, args, n=n, hidden_size=H, direction="bidirectional")
    swapped = [a.transpose(1, 0, 2) if a is not None and k in (0, 5, 6) else a for k, a in enumerate(args)]
    got = run(op, swapped, n=n, hidden_size=H, direction="bidirectional", layout=1)
    close(got, [want[0].transpose(2, 0, 1, 3), *(w.transpose(1, 0, 2) for w in want[1:])], 3e-6)


def test_open_time_and_batch() -> None:
    from graphs import close, expect
    args = operands("LSTM", 1, lengths=True)
    b = Builder("g")
    x = b.input("x", TensorType(dtypes.f32, (index.dim("T"), index.dim("N"), WIDTH)))
    w, r, bias = (b.constant(a) for a in args[1:4])
    lengths = b.input("lengths", TensorType(dtypes.i32, (index.dim("N"),)))
    out = b.node("LSTM", [x, w, r, bias, lengths], {"hidden_size": H}, n=3)
    assert [str(v.type) for v in out if v] == [f"f32[T,1,N,{H}]", f"f32[1,N,{H}]", f"f32[1,N,{H}]"]
    got = run_graph(b.graph([v for v in out if v]), {"x": args[0], "lengths": LENGTHS})
    close(list(got.values()), expect("LSTM", args, n=3, hidden_size=H), 3e-6)


def test_refuses() -> None:
    with pytest.raises(ModelError, match="direction"):
        both_args = operands("GRU", 2)
        from graphs import run
        run("GRU", both_args, n=2, hidden_size=H, direction="forward")
