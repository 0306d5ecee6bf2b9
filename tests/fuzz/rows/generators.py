# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""What makes tensors out of little: Range, ConstantOfShape, EyeLike, Constant, Shape, Size; windows and transforms of signals."""

from __future__ import annotations

import numpy as np
from onnx import numpy_helper

from tests.fuzz.generator import Gen
from tests.fuzz.rows import row
from tests.fuzz.rows.convolution import sized
from tests.fuzz.values import ANY, FLOATS


@row("Range", __name__)
def range_(g: Gen) -> None:
    dtype = g.of(("int64", "int32", "float32", "float64", "int16"))
    start, step = g.int(-5, 5), g.of((1, 2, 3, -1, -2))
    stop = start + step * g.int(1, 9) - (1 if step > 1 else 0)
    g.node("Range", [g.weight(np.array(v, dtype)) for v in (start, stop, step)], exact=True)


@row("ConstantOfShape", __name__)
def constant_of_shape(g: Gen) -> None:
    value = numpy_helper.from_array(np.array([g.int(0, 3)], g.of(("float32", "int64", "bool", "float64", "uint8"))))
    shape = g.ints(*(g.extent() for _ in range(g.int(0, 3))))
    g.node("ConstantOfShape", [shape], exact=True, **({"value": value} if g.chance(0.7) else {}))


@row("zeros of a shape", __name__)
def zeros_like(g: Gen) -> None:
    x = g.any(FLOATS, (0, 4))
    g.need(x.static or g.settings.symbols(), "an extent that data decides")
    [shape] = g.node("Shape", [x])
    value = numpy_helper.from_array(np.array([g.int(0, 3)], np.float32))
    g.node("ConstantOfShape", [shape], exact=True, value=value)


@row("Shape", __name__)
def shape(g: Gen) -> None:
    x = g.any(ANY, (0, 5))
    attrs = {"start": g.int(-x.rank, x.rank), "end": g.int(-x.rank, x.rank)} if x.rank and g.chance(0.4) else {}
    g.node("Shape", [x], **attrs)


@row("Size", __name__)
def size(g: Gen) -> None:
    g.node("Size", [g.any(ANY, (0, 5))])


@row("Constant", __name__)
def constant(g: Gen) -> None:
    array = g.contents(g.of(ANY), tuple(g.int(1, 4) for _ in range(g.int(0, 3))), None, None)
    g.node("Constant", [], exact=True, value=numpy_helper.from_array(array))


@row("EyeLike", __name__)
def eye_like(g: Gen) -> None:
    x = g.any(("float32", "int64", "float64", "int32"), (2, 2))
    g.node("EyeLike", [x], exact=True, k=g.int(-3, 3))


for _name in ("HannWindow", "HammingWindow", "BlackmanWindow"):

    @row(_name, __name__)
    def _window(g: Gen, op: str = _name) -> None:
        g.node(op, [g.weight(np.array(g.int(5, 20), g.of(("int64", "int32"))))], periodic=g.int(0, 1))


@row("DFT", __name__)
def dft(g: Gen) -> None:
    inverse = g.int(0, 1)
    x = g.any(("float32",), shape=[*g.sizes(1), *sized(g, [g.of((1, 2, 4, 5, 8, 12, 16)), g.int(1, 3), 2 if inverse else g.int(1, 2)])])
    onesided = int(x.shape[-1] == 1 and not inverse and g.chance(0.5))
    g.node("DFT", [x, None, g.weight(np.array(g.of((1, 2, -2, -3)), np.int64))], inverse=inverse, onesided=onesided)


@row("STFT", __name__)
def stft(g: Gen) -> None:
    length = g.of((4, 8, 16))
    x = g.any(("float32",), shape=[*g.sizes(1), *sized(g, [g.int(length, 40), 1])])
    window = [g.any(("float32",), shape=sized(g, [length]), low=0.1, high=1, weight=0.9), None] if g.chance(0.5) else [None]
    length_ = [] if len(window) == 2 else [g.weight(np.array(length, np.int64))]
    g.node("STFT", [x, g.weight(np.array(g.int(1, length), np.int64)), *(window[:1]), *length_], onesided=g.int(0, 1))
