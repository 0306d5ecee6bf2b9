# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A small case of every ai.onnx operator, for any element type its schema allows: one row (or a few) an operator.

An operator without a row gets run-time data of shape [2, 3] for each required input. A row says only what differs: shapes
and ranges of operands, attributes, which type parameters go together. Where one node is not enough (control flow,
sequences) the row is a graph in ONNX text in which ``{T}`` is the type. Nothing here names what we can compile.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ml_dtypes
import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from tests.conformance import truths

Array = NDArray[Any]
Binding = Mapping[str, str]  # type parameter -> element type, in onnx's words: "float16"
WORDS = ("one", "two", "", "One", "zwölf")


def enum(name: str) -> int:
    """TensorProto's number of an element type."""
    return int(TensorProto.DataType.Value(name.upper()))


def numpy_of(name: str) -> np.dtype[Any]:
    return np.dtype(object) if name == "string" else np.dtype(helper.tensor_dtype_to_np_dtype(enum(name)))


def is_float(name: str) -> bool:
    return "float" in name or name == "double"


def is_integer(name: str) -> bool:
    return "int" in name


def is_numeric(name: str) -> bool:
    return is_float(name) or is_integer(name)


@dataclass(frozen=True)
class Data:
    """A run-time input: numbers drawn from [``low``, ``high``], as far as the type holds them."""

    shape: tuple[int, ...]
    low: float = -2.0
    high: float = 2.0
    held: bool = False

    def make(self, dtype: str, seed: str) -> Array:
        rng = np.random.default_rng(zlib.crc32(seed.encode()))
        if dtype == "string":
            return np.asarray(rng.choice(np.asarray(WORDS, object), self.shape), object)
        if dtype == "bool":
            return np.asarray(rng.random(self.shape) < 0.5)
        kind = numpy_of(dtype)
        values = rng.uniform(self.low, self.high, self.shape)
        if dtype.startswith("complex"):
            return np.asarray(values + 1j * rng.uniform(self.low, self.high, self.shape), kind)
        if is_integer(dtype):
            info = ml_dtypes.iinfo(kind) if "2" == dtype[-1] or "4" == dtype[-1] else np.iinfo(kind)  # type: ignore[no-untyped-call]
            low, high = max(int(np.floor(self.low)), int(info.min)), min(int(np.ceil(self.high)), int(info.max))
            return np.asarray(rng.integers(low, max(low, high), self.shape, endpoint=True)).astype(kind)
        return np.asarray(abs(values) if dtype == "float8e8m0" else values).astype(kind)


@dataclass(frozen=True)
class Given:
    """A run-time input with these values; ``held``: an initializer."""

    values: Any
    held: bool = False

    def make(self, dtype: str, seed: str) -> Array:
        return np.asarray(self.values).astype(numpy_of(dtype))


def fixed(values: Any) -> Given:
    """An initializer."""
    return Given(values, held=True)


def data(*shape: int, low: float = -2.0, high: float = 2.0) -> Data:
    return Data(shape, low, high)


Spec = Data | Given | Sequence[Data | Given]
Truth = Callable[[Mapping[str, Array], Mapping[str, Any]], list[Array]]
Attrs = Mapping[str, Any] | Callable[[Binding], Mapping[str, Any]]


@dataclass(frozen=True)
class Row:
    """``operands``: by formal name; None leaves an input out; a list is for a variadic. ``ties``: parameters bound to one
    type together. ``bind``: what a binding becomes before use, None where the standard has no such combination.
    ``oracle``: ``wide`` (the reference evaluator in float64, rounded once), ``direct`` (in the type itself), ``ort``
    (onnxruntime in float32), ``shape`` (random numbers: shape and type only), or a function of ``truths``. ``least``: the
    type whose precision the oracle itself has, where that is less than float64's. ``ulps``: how many units of the type's precision, relative to the
    result's largest magnitude, may be lost: one rounding is half a unit. ``variant`` tells rows of one operator apart."""

    operands: Mapping[str, Spec | None] = field(default_factory=dict)
    attrs: Attrs = field(default_factory=dict)
    outputs: int = 0
    ties: tuple[tuple[str, ...], ...] = ()
    bind: Callable[[Binding, str], Binding | None] | None = None
    oracle: str | Truth = "wide"
    ulps: float = 2.0
    least: str = ""
    variant: str = ""
    text: str = ""

    def attributes(self, binding: Binding) -> Mapping[str, Any]:
        return self.attrs(binding) if callable(self.attrs) else self.attrs


def row(*, attrs: Attrs | None = None, outputs: int = 0, ties: Sequence[tuple[str, ...]] = (),
        oracle: str | Truth = "wide", ulps: float = 2.0, least: str = "", variant: str = "",
        bind: Callable[[Binding, str], Binding | None] | None = None, **operands: Spec | None) -> Row:  # fmt: skip
    return Row(operands, attrs or {}, outputs, tuple(ties), bind, oracle, ulps, least, variant)


def text(graph: str, oracle: str | Truth = "direct") -> Row:
    """A graph in ONNX text. ``{T}``: the bound type."""
    return Row(text=graph, oracle=oracle)


def _default(kind: Callable[[str], bool]) -> Callable[[Binding, str], Binding | None]:
    return lambda b, p: b if all(kind(t) for t in b.values()) else None


def _pooled(**more: Any) -> Row:
    return row(X=data(1, 2, 5, 5), attrs={"kernel_shape": [2, 2], "strides": [2, 2], **more})


def _reduced(**operands: Spec) -> list[Row]:
    one = {"data": data(2, 3, 2), **operands}
    return [row(axes=fixed([1]), **one), row(attrs={"keepdims": 0}, variant="all", **one)]


def _scatter(fold: str) -> Row:
    return row(
        data=data(3, 3), indices=Given([[1, 0, 2], [1, -1, 0]]), updates=data(2, 3), attrs={"axis": 0, "reduction": fold},
        variant=fold, bind=None if fold == "none" else _default(lambda t: is_numeric(t)), oracle="direct",
    )  # fmt: skip


def _window() -> Row:
    return row(size=fixed(8), attrs=lambda b: {"output_datatype": enum(b["T2"])})


def _same_width(b: Binding, p: str) -> Binding | None:
    """BitCast: the other side is a type of the same width, another one where there is one."""
    wide = {"bool": "uint8", "complex64": "double", "complex128": "complex128", "int2": "uint2", "uint2": "int2"}
    by_bits = {4: ("uint4", "float4e2m1"), 8: ("uint8", "int8"), 16: ("uint16", "float16"), 32: ("uint32", "float"),
               64: ("uint64", "double")}  # fmt: skip
    mine = b[p]
    if mine not in wide:
        bits = 4 if mine in ("int4", "uint4", "float4e2m1") else numpy_of(mine).itemsize * 8
        wide[mine] = next(t for t in by_bits[bits] if t != mine)
    return {**b, "T1" if p == "T2" else "T2": wide[mine]}


def _no_text(b: Binding, p: str) -> Binding | None:
    return None if "string" in (b["T1"], b["T2"]) else b


def _to_text(b: Binding, p: str) -> Binding | None:
    return b if b["T2"] == "string" else None


def _from_text(b: Binding, p: str) -> Binding | None:
    return b if b["T1"] == "string" else None


def _cast_to(b: Binding) -> Mapping[str, Any]:
    return {"to": enum(b["T2"])}


def _dequantized(b: Binding, p: str) -> Binding | None:
    out = dict(b)
    if p == "T2":
        out["T3"] = "float" if b["T2"] == "float8e8m0" else b["T2"]
    return out


def _quantized(b: Binding, p: str) -> Binding | None:
    """x and its scale have one type, but that an e8m0 scale goes with floats and an int32 x with a float scale."""
    out = dict(b)
    if p == "T1":
        out["T2"] = "float" if b["T1"] == "int32" else b["T1"]
    if p == "T2":
        out["T1"] = "float" if b["T2"] in ("float8e8m0", "int32") else b["T2"]
    return out


def _no_zero_point(t: str) -> bool:
    return is_float(t) or t == "int32"


_F = (("T", "T1", "T2"),)
_MATRIX: dict[str, Spec] = {
    "a": data(2, 4, low=-8, high=8), "a_scale": Given(0.5), "a_zero_point": Given(1), "b": data(4, 3, low=-8, high=8),
    "b_scale": Given(0.25), "b_zero_point": Given(2), "y_scale": Given(1.77), "y_zero_point": Given(3),
}  # fmt: skip
_CONV: dict[str, Spec] = {
    "x": data(1, 2, 4, 4, low=-8, high=8), "x_scale": Given(0.5), "x_zero_point": Given(1),
    "w": data(3, 2, 3, 3, low=-8, high=8), "w_scale": Given(0.25), "w_zero_point": Given(2), "y_scale": Given(1.77),
    "y_zero_point": Given(3), "B": data(3, low=-9, high=9),
}  # fmt: skip
_GRAMS = {"mode": "TF", "min_gram_length": 1, "max_gram_length": 1, "max_skip_count": 0, "ngram_counts": [0],
          "ngram_indexes": [0, 1, 2]}  # fmt: skip
_POSITIVE = data(2, 3, low=0.25, high=4)
_DENSE = "({T}[2,3] a, {T}[2,3] b)"

ROWS: dict[str, Row | Sequence[Row]] = {
    "Acos": row(input=data(2, 3, low=-0.9, high=0.9)),
    "Acosh": row(input=data(2, 3, low=1.25, high=4)),
    "AffineGrid": row(theta=data(2, 2, 3), size=fixed([2, 3, 4, 5]), least="float"),
    "ArgMax": row(data=data(3, 4), attrs={"axis": 1}),
    "ArgMin": row(data=data(3, 4), attrs={"axis": 1, "select_last_index": 1}),
    "Asin": row(input=data(2, 3, low=-0.9, high=0.9)),
    "Atanh": row(input=data(2, 3, low=-0.9, high=0.9)),
    "Attention": [
        row(Q=data(1, 2, 3, 4), K=data(1, 2, 5, 4), V=data(1, 2, 5, 4), ties=[("T1", "T2")], ulps=8),
        row(Q=data(1, 2, 3, 4), K=data(1, 2, 5, 4), V=data(1, 2, 5, 4), attn_mask=data(3, 5), ties=[("T1", "T2")], ulps=8,
            variant="added", bind=lambda b, p: None if b["U"] == "bool" else b),
        row(Q=data(1, 2, 3, 4), K=data(1, 2, 5, 4), V=data(1, 2, 5, 4), attn_mask=data(3, 5), oracle="direct", ulps=8,
            variant="seen", bind=lambda b, p: b if b["U"] == "bool" else None),
    ],
    "AveragePool": _pooled(),
    "BatchNormalization": row(X=data(2, 3, 4), scale=data(3), B=data(3), input_mean=data(3),
                              input_var=data(3, low=0.5, high=2), ties=_F, ulps=4),
    "Bernoulli": row(input=data(4, 5, low=0, high=1), attrs=lambda b: {"dtype": enum(b["T2"])}, oracle="shape"),
    "BitCast": row(input=data(2, 3), attrs=_cast_to, bind=_same_width, oracle="direct"),
    "BitShift": [
        row(X=data(2, 3, low=-99, high=99), Y=data(2, 3, low=0, high=5), attrs={"direction": d}, variant=d, oracle="direct")
        for d in ("LEFT", "RIGHT")
    ],
    "BlackmanWindow": _window(),
    "HammingWindow": _window(),
    "HannWindow": _window(),
    "Cast": [
        row(input=data(3, 5, low=-3, high=3), attrs=_cast_to, oracle="direct", bind=_no_text),
        row(input=data(3, 5, low=-3, high=3), attrs=_cast_to, oracle="ort", variant="to text", bind=_to_text),
        row(input=Given(["1.5", "-2", "1e3", "inf"]), attrs=_cast_to, oracle="direct", variant="text", bind=_from_text),
    ],
    "CastLike": [
        row(input=data(3, 5, low=-3, high=3), target_type=data(1), oracle="direct", bind=_no_text),
        row(input=data(3, 5, low=-3, high=3), target_type=data(1), oracle="ort", variant="to text", bind=_to_text),
        row(input=Given(["1.5", "-2", "1e3", "inf"]), target_type=data(1), oracle="direct", variant="text", bind=_from_text),
    ],
    "CausalConvWithState": row(input=data(2, 3, 5), weight=data(3, 1, 2), bias=data(3), past_state=data(2, 3, 1), outputs=2),
    "CenterCropPad": row(input_data=data(4, 3), shape=fixed([2, 5])),
    "Clip": row(input=data(2, 3, low=-9, high=9), min=Given(0), max=Given(1)),
    "Col2Im": row(input=data(1, 5, 5), image_shape=fixed([5, 5]), block_shape=fixed([1, 5])),
    "Compress": row(input=data(2, 4), condition=Given([True, False, True, True]), attrs={"axis": 1}, oracle="direct"),
    "Concat": row(inputs=[data(2, 3), data(2, 2)], attrs={"axis": 1}),
    "ConcatFromSequence": text(
        "g " + _DENSE + " => ({T}[4,3] y) { s = SequenceConstruct(a, b)\n y = ConcatFromSequence<axis = 0>(s) }"
    ),
    "Constant": row(attrs=lambda b: {"value": tensor_of(data(2, 3).make(b["T"], "constant"), b["T"])}),
    "ConstantOfShape": row(
        input=fixed([2, 3]), attrs=lambda b: {"value": tensor_of(data(1).make(b["T2"], "fill"), b["T2"])}
    ),
    "Conv": row(X=data(1, 2, 5, 5), W=data(3, 2, 3, 3), B=data(3)),
    "ConvInteger": row(x=data(1, 2, 4, 4, low=-9, high=9), w=data(3, 2, 3, 3, low=-9, high=9), x_zero_point=Given(2),
                       w_zero_point=Given(1), oracle="direct"),
    "ConvTranspose": row(X=data(1, 2, 4, 4), W=data(2, 3, 3, 3), B=data(3)),
    "CumProd": row(x=data(2, 4), axis=fixed(1)),
    "CumSum": row(x=data(2, 4), axis=fixed(1)),
    "DFT": row(input=data(2, 8, 2), dft_length=fixed(8), axis=fixed(1)),
    "DeformConv": row(X=data(1, 1, 3, 3), W=data(1, 1, 2, 2), offset=data(1, 8, 2, 2, low=-0.9, high=0.9), B=data(1),
                      mask=data(1, 4, 2, 2), ulps=4, least="float"),
    "DepthToSpace": row(input=data(1, 4, 2, 3), attrs={"blocksize": 2}),
    "DequantizeLinear": [
        row(x=data(2, 3, low=-9, high=9), x_scale=Given(0.5), attrs=lambda b: {"output_dtype": enum(b["T3"])},
            bind=_dequantized, oracle="direct", ulps=1),
        row(x=data(2, 3, low=-9, high=9), x_scale=Given([0.5, 2.0, 1.0]), x_zero_point=Given([1, 0, 1]),
            attrs=lambda b: {"output_dtype": enum(b["T3"])}, oracle="direct", ulps=1, variant="axis",
            bind=lambda b, p: None if _no_zero_point(b["T1"]) else _dequantized(b, p)),
        row(x=data(2, 4, low=-9, high=9), x_scale=Given([[0.5, 2.0], [1.0, 4.0]]), bind=_dequantized,
            attrs=lambda b: {"output_dtype": enum(b["T3"]), "block_size": 2}, oracle="direct", ulps=1, variant="blocks"),
    ],
    "Det": row(X=data(2, 3, 3), ulps=8),
    "Div": row(A=data(2, 3, low=-9, high=9), B=data(2, 3, low=1, high=4)),
    "Dropout": [
        row(data=data(2, 3), outputs=2),
        row(data=data(2, 3), ratio=Given(0.0), training_mode=Given(True), outputs=2, variant="training", ties=[("T", "T1")]),
    ],
    "Einsum": [row(Inputs=[data(2, 3), data(3, 4)], attrs={"equation": "ij,jk->ik"})],
    "Erf": row(input=data(2, 3), least="float"),
    "Gelu": row(X=data(2, 3), least="float"),
    "Expand": row(input=data(1, 3), shape=fixed([2, 2, 3])),
    "EyeLike": row(input=data(3, 4), attrs=lambda b: {"dtype": enum(b["T2"]), "k": 1}, oracle="direct"),
    "GRU": row(X=data(3, 2, 4), W=data(1, 9, 4), R=data(1, 9, 3), B=data(1, 18), attrs={"hidden_size": 3}, outputs=2, ulps=16),
    "RNN": row(X=data(3, 2, 4), W=data(1, 3, 4), R=data(1, 3, 3), B=data(1, 6), attrs={"hidden_size": 3}, outputs=2, ulps=16),
    "LSTM": row(X=data(3, 2, 4), W=data(1, 12, 4), R=data(1, 12, 3), B=data(1, 24), attrs={"hidden_size": 3}, outputs=3,
                ulps=16),
    "Gather": row(data=data(3, 4), indices=Given([[0, 2], [1, -1]]), attrs={"axis": 1}),
    "GatherElements": row(data=data(3, 3), indices=Given([[1, 2, 0], [2, 0, 0]]), attrs={"axis": 0}),
    "GatherND": row(data=data(2, 2, 3), indices=Given([[0, 1], [1, 0]])),
    "Gemm": row(A=data(2, 3), B=data(3, 4), C=data(4)),
    "GlobalAveragePool": row(X=data(1, 2, 4, 4)),
    "GlobalLpPool": row(X=data(1, 2, 4, 4), oracle=truths.global_lp_pool),
    "GlobalMaxPool": row(X=data(1, 2, 4, 4)),
    "GridSample": row(X=data(1, 2, 4, 4), grid=data(1, 3, 3, 2, low=-0.9, high=0.9),
                      attrs=lambda b: {"mode": "linear" if is_float(b["T1"]) else "nearest"}, least="float", ulps=8),
    "GroupNormalization": row(X=data(2, 4, 3), scale=data(4), bias=data(4), attrs={"num_groups": 2}, ulps=4, least="float"),
    "If": text(
        "g (bool c, {T}[2,3] x) => ({T}[2,3] y) { y = If(c) <then_branch = a () => ({T}[2,3] p) { p = Identity(x) },"
        " else_branch = b () => ({T}[2,3] q) { t = Transpose(x)\n q = Transpose(t) }> }"
    ),
    "InstanceNormalization": row(input=data(2, 3, 4), scale=data(3), B=data(3), ulps=4),
    "IsInf": row(X=Given([1.0, np.inf, -np.inf, np.nan]), oracle="direct"),
    "IsNaN": row(X=Given([1.0, np.inf, -np.inf, np.nan]), oracle="direct"),
    "LRN": row(X=data(1, 5, 3, 3), attrs={"size": 3}, oracle="ort", least="float"),
    "LayerNormalization": row(X=data(2, 4), Scale=data(4), B=data(4), outputs=3, ulps=4,
                              attrs=lambda b: {"stash_type": enum(b["U"])}, oracle=truths.layer_norm),
    "LinearAttention": row(query=data(1, 3, 4), key=data(1, 3, 4), value=data(1, 3, 4), decay=data(1, 3, 2, low=-1, high=0),
                           beta=data(1, 3, 2, low=0, high=1), attrs={"q_num_heads": 2, "kv_num_heads": 2}, outputs=2,
                           ties=[("T", "S")], ulps=16),
    "Log": row(input=_POSITIVE),
    "Loop": text(
        "g ({T}[3,3] x) => ({T}[3,3] y) { n = Constant<value_int = 3>()\n t = Constant<value = bool {1}>()\n"
        " y = Loop(n, t, x) <body = b (int64 i, bool c, {T}[3,3] v) => (bool d, {T}[3,3] w)"
        " { d = Identity(c)\n w = Transpose(v) }> }"
    ),
    "LpPool": _pooled(),
    "MatMul": row(A=data(2, 3), B=data(3, 4)),
    "MatMulInteger": row(A=data(2, 3, low=-9, high=9), B=data(3, 4, low=-9, high=9), a_zero_point=Given(1),
                         b_zero_point=Given(2), oracle="direct"),
    "MaxPool": row(X=data(1, 2, 5, 5), attrs={"kernel_shape": [2, 2]}, outputs=2, oracle="ort", least="float"),
    "MeanVarianceNormalization": row(X=data(2, 3, 2, 2), oracle=truths.mean_variance, ulps=4),
    "MaxRoiPool": row(X=data(1, 2, 6, 6), rois=Given([[0, 0, 0, 4, 4]]), attrs={"pooled_shape": [2, 2]}, oracle="ort", least="float"),
    "MaxUnpool": row(X=data(1, 1, 2, 2), I=Given([[[[0, 3], [8, 11]]]]),
                     attrs={"kernel_shape": [2, 2], "strides": [2, 2]}),
    "MelWeightMatrix": row(num_mel_bins=fixed(8), dft_length=fixed(16), sample_rate=fixed(8192),
                           lower_edge_hertz=fixed(0.0), upper_edge_hertz=fixed(4096.0),
                           attrs=lambda b: {"output_datatype": enum(b["T3"])}, oracle="direct"),
    "Mod": [
        row(A=data(2, 3, low=-9, high=9), B=Given([1, 3, 2]), bind=_default(is_integer), oracle="direct"),
        row(A=data(2, 3, low=-9, high=9), B=Given([1, 3, 2]), attrs={"fmod": 1}, variant="fmod"),
    ],
    "Multinomial": row(input=data(2, 5), attrs=lambda b: {"dtype": enum(b["T2"]), "sample_size": 4}, oracle="shape"),
    "NegativeLogLikelihoodLoss": row(input=data(3, 5), target=Given([1, 0, 4])),
    "NonMaxSuppression": row(
        boxes=Given([[[0, 0, 1, 1], [0, 0.1, 1, 1.1], [0, 2, 1, 3]]]), scores=Given([[[0.9, 0.8, 0.7]]]),
        max_output_boxes_per_class=fixed([3]), iou_threshold=fixed([0.5]), score_threshold=fixed([0.0]), oracle="direct",
    ),
    "NonZero": row(X=data(2, 3, low=-1, high=1), oracle="direct"),
    "OneHot": row(indices=Given([0, 2, 3]), depth=fixed(4), values=data(2), oracle=truths.one_hot),
    "Optional": text("g ({T}[2,3] x) => ({T}[2,3] y) { o = Optional(x)\n y = OptionalGetElement(o) }", truths.same),
    "OptionalGetElement": text("g ({T}[2,3] x) => ({T}[2,3] y) { o = Optional(x)\n y = OptionalGetElement(o) }", truths.same),
    "OptionalHasElement": text("g ({T}[2,3] x) => (bool y) { o = Optional(x)\n y = OptionalHasElement(o) }"),
    "Pad": row(data=data(2, 3), pads=fixed([1, 0, 0, 2]), constant_value=data(), oracle="direct"),
    "Pow": row(X=data(2, 3, low=1, high=3), Y=data(2, 3, low=0, high=3)),
    "QLinearConv": row(**_CONV, oracle="direct"),
    "QLinearMatMul": row(**_MATRIX, oracle=truths.qlinear_matmul),
    "QuantizeLinear": [
        row(x=data(3, 4, low=-40, high=40), y_scale=Given(2.0), attrs=lambda b: {"output_dtype": enum(b["T3"])},
            bind=_quantized, oracle="direct"),
        row(x=data(3, 4, low=-40, high=40), y_scale=Given([8.0, 2.0, 1.0, 4.0]), y_zero_point=Given([1, 0, 1, 1]),
            bind=lambda b, p: None if is_float(b["T3"]) else _quantized(b, p), oracle="direct", variant="axis"),
        row(x=data(2, 4, low=-9, high=9), y_scale=Given([[8.0, 2.0], [1.0, 4.0]]), bind=_quantized,
            attrs=lambda b: {"output_dtype": enum(b["T3"]), "block_size": 2}, oracle="direct", variant="blocks"),
    ],
    "RMSNormalization": row(X=data(2, 4), scale=data(4), ties=[("T", "V")], ulps=4),
    "RandomNormal": row(attrs=lambda b: {"dtype": enum(b["T"]), "shape": [3, 4]}, oracle="shape"),
    "RandomUniform": row(attrs=lambda b: {"dtype": enum(b["T"]), "shape": [3, 4]}, oracle="shape"),
    "RandomNormalLike": row(input=data(3, 4), attrs=lambda b: {"dtype": enum(b["T2"])}, oracle="shape"),
    "RandomUniformLike": row(input=data(3, 4), attrs=lambda b: {"dtype": enum(b["T2"])}, oracle="shape"),
    "Range": row(start=fixed(1), limit=fixed(8), delta=fixed(2), oracle="direct"),
    "Reciprocal": row(X=_POSITIVE),
    "ReduceLogSum": _reduced(data=data(2, 3, 2, low=0.25, high=4)),
    "Reshape": row(data=data(2, 3), shape=fixed([3, 2]), oracle="direct"),
    "Resize": [
        row(X=data(1, 1, 3, 4), scales=fixed([1, 1, 2, 2]), roi=None, oracle=truths.doubled),
        row(X=data(1, 1, 3, 4), scales=fixed([1, 1, 2, 1.5]), roi=None, variant="nearest", bind=_default(is_numeric)),
        row(X=data(1, 1, 3, 4), sizes=fixed([1, 1, 6, 2]), attrs={"mode": "linear"}, variant="linear",
            bind=_default(is_float), ulps=4, least="float"),
        row(X=data(1, 1, 3, 4), sizes=fixed([1, 1, 6, 2]), attrs={"mode": "linear"}, variant="integers", oracle="ort",
            bind=lambda b, p: b if b["T1"] in ("uint8", "int8", "int32") else None),
        row(X=data(1, 1, 3, 4), roi=fixed([0, 0, 0, 0.25, 1, 1, 1, 0.75]), sizes=fixed([1, 1, 2, 3]),
            attrs={"mode": "linear", "coordinate_transformation_mode": "tf_crop_and_resize"}, variant="crop",
            bind=_default(is_float), ulps=4, least="float"),
    ],
    "ReverseSequence": row(input=data(4, 2), sequence_lens=Given([3, 2])),
    "RoiAlign": row(X=data(1, 2, 6, 6), rois=Given([[0, 0, 4, 4]]), batch_indices=Given([0]), ulps=4,
                    attrs={"output_height": 2, "output_width": 2, "sampling_ratio": 2}),
    "RotaryEmbedding": row(X=data(1, 2, 3, 4), cos_cache=data(5, 2), sin_cache=data(5, 2), position_ids=Given([[4, 0, 2]])),
    "Round": row(X=data(2, 3, low=-9, high=9)),
    "STFT": row(signal=data(1, 16, 1), frame_step=fixed(4), window=data(8), frame_length=fixed(8)),
    "Scan": text(
        "g ({T}[2,3] x, {T}[3] h) => ({T}[3] y, {T}[2,3] z) { y, z = Scan<num_scan_inputs = 1,"
        " body = b ({T}[3] s, {T}[3] v) => ({T}[3] t, {T}[3] o) { t = Identity(v)\n o = Identity(s) }>(h, x) }"
    ),
    "Scatter": row(data=data(3, 3), indices=Given([[1, 0, 2]]), updates=data(1, 3), oracle=truths.scatter),
    "ScatterElements": [_scatter(f) for f in ("none", "add", "mul", "max", "min")],
    "ScatterND": [
        row(data=data(4, 3), indices=Given([[1], [3]]), updates=data(2, 3), oracle="direct"),
        row(data=data(4, 3), indices=Given([[1], [1]]), updates=data(2, 3), attrs={"reduction": "add"}, variant="add",
            bind=_default(is_numeric)),
    ],
    "SequenceAt": text(
        "g " + _DENSE + " => ({T}[2,3] y) { i = Constant<value_int = 1>()\n s = SequenceConstruct(a, b)\n y = SequenceAt(s, i) }"
    ),
    "SequenceConstruct": text(
        "g " + _DENSE + " => ({T}[2,3] y) { i = Constant<value_int = -2>()\n s = SequenceConstruct(a, b)\n y = SequenceAt(s, i) }"
    ),
    "SequenceEmpty": text(
        "g " + _DENSE + " => ({T}[2,3] y) { i = Constant<value_int = 0>()\n e = SequenceEmpty<dtype = {N}>()\n"
        " s = SequenceInsert(e, b)\n y = SequenceAt(s, i) }"
    ),
    "SequenceErase": text(
        "g " + _DENSE + " => ({T}[2,3] y) { i = Constant<value_int = 0>()\n s = SequenceConstruct(a, b)\n"
        " t = SequenceErase(s, i)\n y = SequenceAt(t, i) }"
    ),
    "SequenceInsert": text(
        "g " + _DENSE + " => ({T}[2,3] y) { i = Constant<value_int = 0>()\n s = SequenceConstruct(a)\n"
        " t = SequenceInsert(s, b, i)\n y = SequenceAt(t, i) }"
    ),
    "SequenceLength": text("g " + _DENSE + " => (int64 n) { s = SequenceConstruct(a, b)\n n = SequenceLength(s) }"),
    "SequenceMap": text(
        "g " + _DENSE + " => ({T}[2,3] y) { i = Constant<value_int = 1>()\n s = SequenceConstruct(a, b)\n"
        " t = SequenceMap(s) <body = m ({T}[2,3] v) => ({T}[2,3] w) { w = Identity(v) }>\n y = SequenceAt(t, i) }"
    ),
    "SplitToSequence": text(
        "g ({T}[4,3] x) => (seq({T}[2,3]) y) { k = Constant<value_int = 2>()\n y = SplitToSequence<axis = 0>(x, k) }"
    ),
    "Shrink": row(input=data(2, 3, low=-3, high=3), oracle="direct"),
    "Slice": row(data=data(3, 4), starts=fixed([0, -1]), ends=fixed([2, -9]), axes=fixed([0, 1]), steps=fixed([1, -2])),
    "Softmax": row(input=data(2, 3), ulps=4),
    "LogSoftmax": row(input=data(2, 3), ulps=4),
    "SoftmaxCrossEntropyLoss": row(scores=data(3, 5), labels=Given([1, 0, 4]), weights=data(5, low=0.5, high=2), outputs=2),
    "SpaceToDepth": row(input=data(1, 1, 4, 4), attrs={"blocksize": 2}),
    "Split": row(input=data(2, 5), split=fixed([2, 3]), attrs={"axis": 1}, outputs=2),
    "Sqrt": row(X=_POSITIVE),
    "Squeeze": row(data=data(2, 1, 3), axes=fixed([1]), oracle="direct"),
    "StringNormalizer": row(X=Given(["one", "Two", "three"]), attrs={"case_change_action": "UPPER"}, oracle="direct"),
    "StringSplit": row(X=Given(["a,b", "c", ""]), attrs={"delimiter": ","}, oracle="direct", outputs=2),
    "RegexFullMatch": row(X=data(2, 3), attrs={"pattern": "[a-z]+"}, oracle="direct"),
    "ImageDecoder": row(encoded_stream=Given([80, 54, 10, 49, 32, 49, 10, 50, 53, 53, 10, 1, 2, 3]), oracle=truths.one_pixel),
    "TensorScatter": row(past_cache=data(2, 1, 4, 3), update=data(2, 1, 2, 3), write_indices=Given([0, 1]), oracle="direct"),
    "TfIdfVectorizer": [
        row(X=Given([1, 1, 3, 3, 3, 7]), oracle="direct", attrs={**_GRAMS, "pool_int64s": [1, 3, 7]},
            bind=lambda b, p: None if b["T"] == "string" else b),
        row(X=Given(["a", "b", "b", "c"]), oracle="direct", attrs={**_GRAMS, "pool_strings": ["a", "b", "z"]}, variant="text",
            bind=lambda b, p: b if b["T"] == "string" else None),
    ],
    "Tile": row(input=data(2, 3), repeats=fixed([2, 1])),
    "TopK": [
        row(X=data(3, 5, low=-9, high=9), K=fixed([2]), outputs=2, oracle="direct"),
        row(X=data(3, 5, low=-9, high=9), K=fixed([3]), attrs={"largest": 0, "axis": 0}, outputs=2, oracle="direct",
            variant="smallest"),
    ],
    "Transpose": row(data=data(2, 3), attrs={"perm": [1, 0]}, oracle="direct"),
    "Trilu": [row(input=data(3, 4)), row(input=data(3, 4), k=fixed(-1), attrs={"upper": 0}, variant="lower")],
    "Unique": row(X=data(7, low=-1, high=1), outputs=4, oracle="direct"),
    "Unsqueeze": row(data=data(2, 3), axes=fixed([0, 2]), oracle="direct"),
    "Upsample": row(X=data(1, 1, 2, 2), scales=fixed([1, 1, 2, 3]), attrs={"mode": "nearest"}),
    "Where": row(condition=data(2, 3), X=data(2, 3), Y=data(1, 3), oracle="direct"),
    "Flatten": row(input=data(2, 3), oracle="direct"),
    "Identity": row(input=data(2, 3), oracle="direct"),
    "Shape": row(data=data(2, 3), oracle="direct"),
    "Size": row(data=data(2, 3), oracle="direct"),
    **{n: _reduced() for n in ("ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceMax", "ReduceMean", "ReduceMin",
                               "ReduceProd", "ReduceSum", "ReduceSumSquare")},
}  # fmt: skip


def rows_of(op: str) -> Sequence[Row]:
    """The rows of an operator: its own, or the default."""
    found = ROWS.get(op, Row())
    return [found] if isinstance(found, Row) else found


def tensor_of(array: Array, dtype: str, name: str = "") -> TensorProto:
    """An initializer of any element type, sub-byte ones packed."""
    if dtype == "string":
        return helper.make_tensor(name, TensorProto.STRING, array.shape, [s.encode() for s in array.reshape(-1)])
    from onnx import numpy_helper

    return numpy_helper.from_array(array, name)
