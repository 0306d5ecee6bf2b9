# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Conv, ConvTranspose, ConvInteger and QLinearConv against onnxruntime, every attribute."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from graphs import check, check_open, close, expect, f32, ints, run

from aotgen.core.errors import ModelError, UnsupportedError


@pytest.mark.parametrize(("x", "w", "attrs"), [
    ((1, 2, 7), (3, 2, 3), {}),
    ((2, 2, 7), (3, 2, 3), {"pads": [1, 2], "strides": [2]}),
    ((1, 3, 6, 7), (4, 3, 3, 2), {"pads": [1, 0, 2, 1]}),
    ((2, 4, 9, 8), (6, 2, 3, 3), {"group": 2, "strides": [2, 1], "dilations": [1, 2], "pads": [1, 1, 1, 1]}),
    ((1, 4, 6, 6), (4, 1, 3, 3), {"group": 4, "pads": [1, 1, 1, 1]}),
    ((1, 4, 6, 6), (8, 1, 3, 3), {"group": 4}),
    ((2, 20, 6, 9), (60, 1, 3, 3), {"group": 20, "pads": [1, 0, 2, 1], "strides": [1, 2]}),
    ((1, 18, 7), (36, 1, 3), {"group": 18, "dilations": [2]}),
    ((2, 15, 5, 6), (27, 5, 2, 3), {"group": 3, "pads": [0, 1, 1, 2]}),
    ((1, 32, 9), (40, 16, 3), {"group": 2, "pads": [2, 1]}),
    ((1, 2, 4, 5, 6), (3, 2, 2, 3, 2), {"pads": [0, 1, 1, 1, 1, 0], "strides": [1, 2, 2]}),
    ((1, 2, 8, 7), (3, 2, 3, 2), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    ((1, 2, 8, 7), (3, 2, 3, 2), {"auto_pad": "SAME_LOWER", "strides": [3, 2]}),
    ((1, 2, 8, 7), (3, 2, 3, 2), {"auto_pad": "VALID"}),
    ((1, 2, 6, 6), (3, 2, 1, 1), {"strides": [2, 2]}),
    ((1, 2, 6, 6), (3, 2, 1, 1), {"auto_pad": "SAME_UPPER", "strides": [3, 2]})])
@pytest.mark.parametrize("bias", [False, True])
def test_conv(x: tuple[int, ...], w: tuple[int, ...], attrs: dict[str, Any], bias: bool) -> None:
    check("Conv", [f32(*x), f32(*w)] + ([f32(w[0])] if bias else []), **attrs)


def test_conv_half_rounds_once() -> None:
    x, w, b = (a.astype(np.float16) for a in (f32(1, 8, 5, 5), f32(4, 8, 3, 3), f32(4)))
    got, = run("Conv", [x, w, b])
    want, = expect("Conv", [a.astype(np.float32) for a in (x, w, b)])
    # Half a unit in the last place, and the error of two float32 sums of 73 terms (Higham 2002, 3.1): 73 u of the sum of sizes, each.
    sizes, = expect("Conv", [np.abs(a.astype(np.float32)) for a in (x, w, b)])
    assert np.all(np.abs(got.astype(np.float32) - want) <= np.spacing(np.abs(got)).astype(np.float32) / 2 + 2 * 73 * 2.0**-24 * sizes)


def test_conv_open() -> None:
    check_open("Conv", [f32(2, 3, 6, 7), f32(4, 3, 3, 3)], {0: ["N", 3, "H", "W"]}, pads=[1, 1, 1, 1], strides=[2, 1])
    check_open("Conv", [f32(2, 3, 6, 7), f32(4, 3, 3, 3)], {0: ["N", 3, "H", "W"]}, auto_pad="SAME_LOWER", strides=[2, 2])


def test_conv_in_groups_open() -> None:
    check_open("Conv", [f32(2, 6, 6, 7), f32(18, 1, 3, 3), f32(18)], {0: ["N", 6, "H", "W"]}, group=6, pads=[1, 1, 1, 1])
    check_open("Conv", [f32(2, 6, 6, 7), f32(27, 2, 3, 3), f32(27)], {0: ["N", 6, "H", "W"]}, group=3, pads=[1, 0, 1, 0])


def test_conv_refuses() -> None:
    with pytest.raises(ModelError, match="input channels"):
        run("Conv", [f32(1, 3, 6, 6), f32(4, 2, 3, 3)])
    with pytest.raises(ModelError, match="does not fit"):
        run("Conv", [f32(1, 3, 2, 2), f32(4, 3, 5, 5)])
    with pytest.raises(UnsupportedError, match="auto_pad"):
        check_open("Conv", [f32(2, 3, 6, 7), f32(4, 3, 1, 1)], {0: ["N", 3, "H", "W"]}, auto_pad="SAME_LOWER", strides=[2, 2])


@pytest.mark.parametrize(("x", "w", "attrs"), [
    ((1, 2, 5), (2, 3, 3), {}),
    ((1, 2, 5), (2, 3, 3), {"strides": [2], "pads": [1, 0], "output_padding": [1]}),
    ((2, 4, 4, 5), (4, 3, 3, 2), {"strides": [2, 3], "dilations": [2, 1]}),
    ((1, 4, 4, 5), (4, 2, 3, 3), {"group": 2, "strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}),
    ((1, 4, 4, 4), (4, 1, 4, 4), {"group": 4, "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    ((1, 1, 3, 3), (1, 2, 3, 3), {"output_shape": [10, 8], "strides": [3, 2]}),
    ((1, 1, 3, 3), (1, 2, 4, 4), {"output_shape": [5, 4], "strides": [1, 1]}),
    ((1, 1, 3, 3), (1, 2, 3, 3), {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    ((1, 2, 3, 4, 3), (2, 2, 2, 2, 2), {"strides": [2, 1, 2]})])
@pytest.mark.parametrize("bias", [False, True])
def test_conv_transpose(x: tuple[int, ...], w: tuple[int, ...], attrs: dict[str, Any], bias: bool) -> None:
    check("ConvTranspose", [f32(*x), f32(*w)] + ([f32(w[1] * attrs.get("group", 1))] if bias else []), **attrs)


@pytest.mark.parametrize("stride", [2, 3])
def test_conv_transpose_same_upper_by_the_standard(stride: int) -> None:
    check("ConvTranspose", [f32(1, 1, 3, 3), f32(1, 2, 3, 3)], by="ref", auto_pad="SAME_UPPER", strides=[stride, stride])


def test_conv_transpose_open() -> None:
    check_open("ConvTranspose", [f32(2, 3, 4, 5), f32(3, 2, 3, 3)], {0: ["N", 3, "H", "W"]}, strides=[2, 2], pads=[1, 1, 1, 1],
               output_padding=[1, 1])


@pytest.mark.parametrize("zeros", [0, 1, 2])
def test_conv_integer(zeros: int) -> None:
    x, w = ints(np.uint8, 0, 200, 1, 4, 6, 5), ints(np.uint8, 0, 200, 3, 2, 3, 3)
    w = np.concatenate([w, w[:1]])
    check("ConvInteger", [x, w, np.asarray(np.uint8(9)), np.asarray(np.uint8(5))][:2 + zeros], group=2, pads=[1, 1, 0, 1],
          strides=[2, 1])


@pytest.mark.parametrize("channels", [False, True])
@pytest.mark.parametrize("bias", [False, True])
def test_qlinear_conv(channels: bool, bias: bool) -> None:
    w_scale = np.abs(f32(4)) * 0.02 + 0.01 if channels else np.float32(0.02)
    # Weights within 64: on machines without a four-way dot product onnxruntime saturates sums of two products at 16 bits.
    args = [ints(np.uint8, 0, 255, 1, 3, 5, 6), np.float32(0.03), np.uint8(120), ints(np.int8, -64, 64, 4, 3, 3, 3), w_scale,
            np.zeros(4, np.int8) if channels else np.int8(0), np.float32(0.3), np.uint8(110)]
    args = [np.asarray(a) for a in args] + ([ints(np.int32, -2000, 2000, 4)] if bias else [])
    attrs: dict[str, Any] = {"pads": [1, 1, 1, 1], "strides": [1, 2]}
    close(run("QLinearConv", args, **attrs), expect("QLinearConv", args, **attrs))


@pytest.mark.parametrize(
    "attrs", [{}, {"strides": [2, 1]}, {"pads": [1, 0, 0, 1]}, {"dilations": [1, 2]}, {"strides": [2, 2], "pads": [1, 1, 1, 1]}]
)
def test_col2im(attrs: dict[str, Any]) -> None:
    shape, block = [6, 7], [3, 2]
    s, d, p = attrs.get("strides", [1, 1]), attrs.get("dilations", [1, 1]), attrs.get("pads", [0, 0, 0, 0])
    count = [(shape[a] + p[a] + p[2 + a] - (block[a] - 1) * d[a] - 1) // s[a] + 1 for a in range(2)]
    args = [f32(2, 3 * 6, count[0] * count[1]), np.array(shape), np.array(block)]
    for const in ([1, 2], [1], []):
        check("Col2Im", args, const=const, opset=18, **attrs)


@pytest.mark.parametrize(("activation", "params"), [("", []), ("Relu", []), ("LeakyRelu", [0.2]), ("Clip", [-3.0, 4.0]),
                                                    ("HardSigmoid", [0.3, 0.4])])
def test_fused_conv(activation: str, params: list[float]) -> None:
    extra: dict[str, Any] = {"activation": activation, "activation_params": params} if params else {"activation": activation}
    extra = extra if activation else {}
    check("FusedConv", [f32(1, 2, 5, 6), f32(3, 2, 3, 3), f32(3), f32(1, 3, 5, 6)], domain="com.microsoft", pads=[1, 1, 1, 1],
          **extra)
