# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Elements at the library's interface whose C type does not say how they lie: below a byte, small floats, complex numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from aotgen.core import dtypes
from aotgen.many import Many, compile_many

# Six bits are missing: the standard only casts and quantises such floats.
ODD = [t for t in dtypes.TABLE if t.bits in (2, 4) or t.kind == "c" or t.name.startswith("f8")]


def transposed(t: dtypes.DType) -> onnx.ModelProto:
    infos = [helper.make_tensor_value_info(n, t.onnx, shape) for n, shape in (("x", [2, 3]), ("y", [3, 2]))]
    node = helper.make_node("Transpose", ["x"], ["y"], perm=[1, 0])
    return helper.make_model(helper.make_graph([node], "g", infos[:1], infos[1:]), ir_version=13,
                             opset_imports=[helper.make_opsetid("", onnx.defs.onnx_opset_version())])


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Many]:
    yield compile_many({t.name: transposed(t) for t in ODD}, tmp_path_factory.mktemp("types") / "out")


@pytest.mark.parametrize("t", ODD, ids=str)
def test_an_element_keeps_its_bits(t: dtypes.DType, made: Many) -> None:
    assert not made.failed
    raw = np.random.default_rng(1).integers(0, 1 << min(t.bits, 8), (2, 3 * t.bytes)).astype(np.uint8)
    x = raw.view(t.numpy) if t.kind != "i" else (raw.astype(np.int8) - (raw >> (t.bits - 1) << t.bits)).astype(t.numpy)
    y = made.made[t.name].load().run({"x": x})["y"]
    if t.kind == "i":  # sign-extended to the byte: the same number whatever NumPy holds above it
        assert y.view(np.int8).tolist() == x.T.astype(int).tolist()
    else:
        np.testing.assert_array_equal(y.view(np.uint8), np.ascontiguousarray(x.T).view(np.uint8))


def test_the_header_says_how_elements_lie(made: Many) -> None:
    def port(name: str) -> Any:
        m = made.made[name]
        return next(line for line in (m.folder / "include" / f"{m.name}.h").read_text("utf-8").splitlines() if "* x;" in line)

    assert "const uint8_t* x; /* u4[2,3], one element to a byte, in its low bits */" in port("u4")
    assert "const int8_t* x; /* i2[2,3], one element to a byte, in its low bits */" in port("i2")
    assert "const float* x; /* c64[2,3], real and imaginary parts in turn */" in port("c64")
    assert "const uint8_t* x; /* f8e5m2[2,3] */" in port("f8e5m2")


def test_bits_above_an_element_do_not_matter(made: Many) -> None:
    low = np.array([[1, 2, 3], [4, 5, 6]], np.uint8)
    y = made.made["u4"].load().run({"x": (low | 0xA0).view(dtypes.of("u4").numpy)})["y"]
    np.testing.assert_array_equal(y.view(np.uint8), low.T)
