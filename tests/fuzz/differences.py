# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Where onnxruntime and the reference evaluator of the onnx package say different things, or both what no standard says: a row
says whom we follow there, and why. Every family has its own rows; a difference without one fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from aotgen.targets.cpu.isa import features
from tests.fuzz import reference
from tests.fuzz.values import INTEGERS, Var

ONNX, ORT, NEITHER = "onnx", "onnxruntime", ""
When = Callable[[onnx.NodeProto, Sequence[Var]], object]


@dataclass(frozen=True, slots=True)
class Difference:
    """``ops`` (``*``: all) on operands ``when``: we ``follow`` one of the references (or neither: such cases are not drawn), and ``why``."""

    ops: str
    when: When
    follow: str
    why: str


def always(node: onnx.NodeProto, operands: Sequence[Var]) -> bool:
    return True


def empty(node: onnx.NodeProto, operands: Sequence[Var]) -> bool:
    return any(a.size == 0 for v in operands for a in v.plain)


def has_nan(node: onnx.NodeProto, operands: Sequence[Var]) -> bool:
    return any(np.isnan(a).any() for v in operands if v.is_float for a in v.plain)


def special(node: onnx.NodeProto, operands: Sequence[Var]) -> bool:
    return any(not np.isfinite(a).all() for v in operands if v.is_float for a in v.plain)


def infinite(node: onnx.NodeProto, operands: Sequence[Var]) -> bool:
    return any(np.isinf(a).any() for v in operands if v.is_float for a in v.plain)


def minute(node: onnx.NodeProto, operands: Sequence[Var]) -> bool:
    return any(((a != 0) & (np.abs(a) < 1e-15)).any() for v in operands if v.is_float for a in v.plain)


def counts_on_no_trip(node: onnx.NodeProto, operands: Sequence[Var]) -> bool:
    counting = {"NonZero", "Compress", "Unique", "NonMaxSuppression"} & {n.op_type for a in node.attribute for n in a.g.node}
    return bool(counting) and any(not np.all(a) for v in operands[:2] for a in v.plain)


def double(node: onnx.NodeProto, operands: Sequence[Var]) -> bool:
    return operands[0].dtype == "float64"


def half(node: onnx.NodeProto, operands: Sequence[Var]) -> bool:
    return operands[0].dtype == "float16"


def large_integers(node: onnx.NodeProto, operands: Sequence[Var]) -> bool:
    """Sums that a double or an int32 does not hold."""
    return any(v.dtype in INTEGERS and v.scale > 2**20 for v in operands)


def unsorted(node: onnx.NodeProto, operands: Sequence[Var]) -> bool:
    return any(a.name == "sorted" and a.i == 0 for a in node.attribute)


def saturating(node: onnx.NodeProto, operands: Sequence[Var]) -> bool:
    """Bytes of both kinds, on a CPU where onnxruntime adds two of their products in 16 bits."""
    return {"uint8", "int8"} <= {v.dtype for v in operands} and not {"avx_vnni", "avx512_vnni"} & features()


OWN = {
    "attention": (
        Difference("Attention Softmax MatMul", special, NEITHER, "whether a weight of 0 keeps NaN is not said"),
    ),
    "contraction": (
        Difference("Det", special, NEITHER, "which pivot meets NaN is not said"),
        Difference("MatMulInteger", empty, ONNX, "onnxruntime leaves sums of nothing as it found them"),
        Difference("MatMulInteger", saturating, ONNX, "onnxruntime lets them saturate"),
        Difference("QLinearMatMul", empty, ONNX, "onnxruntime leaves sums of nothing as it found them"),
        Difference("QLinearMatMul", saturating, NEITHER, "onnxruntime lets them saturate, and onnx rounds otherwise"),
        Difference("QLinearMatMul", always, ORT, "onnx rounds after it has added the zero point: a tie falls the other way where that is odd"),
    ),
    "convolution": (
        Difference("ConvTranspose", always, ORT, "the evaluator needs a second an image"),
        Difference("ConvInteger", saturating, ONNX, "onnxruntime lets them saturate"),
        Difference("QLinearConv", saturating, NEITHER, "onnxruntime lets them saturate, and the evaluator wraps products of bytes"),
        Difference("QLinearConv", always, ORT, "the evaluator wraps products of bytes"),
    ),
    "elementwise": (
        Difference("Clip", infinite, ONNX, "onnxruntime has the largest finite number for a bound where none is given"),
        Difference("Gelu Erf", double, NEITHER, "onnxruntime computes in single precision or not at all, and the evaluator's erf is an approximation to 1e-9"),
        Difference("Shrink ThresholdedRelu Elu Celu Selu LeakyRelu HardSigmoid", double, ONNX, "onnxruntime computes some in single precision"),
    ),
    "generators": (
        Difference("DFT STFT", special, NEITHER, "which results NaN reaches depends on the algorithm"),
    ),
    "indexing": (
        Difference("OneHot", infinite, ORT, "the evaluator multiplies what is off by 0"),
        Difference("ScatterND ScatterElements", has_nan, ONNX, "onnxruntime loses NaN in a maximum of two"),
    ),
    "normalization": (
        Difference("LayerNormalization", half, ORT, "the evaluator sums squares in half precision"),
        Difference("LRN", special, NEITHER, "onnxruntime keeps a running sum, which NaN never leaves"),
        Difference("LRN", always, ORT, "the evaluator leaves out channels at the borders"),
        Difference("LpNormalization", minute, NEITHER, "the square of what is that small is 0"),
        Difference("MeanVarianceNormalization", always, ONNX, "onnxruntime divides by a deviation of 0"),
        Difference("LpNormalization", always, ORT, "the evaluator divides by a sum of signed values"),
    ),
    "pooling": (
        Difference("MaxPool AveragePool LpPool MaxUnpool GlobalMaxPool GlobalAveragePool GlobalLpPool", special, NEITHER,
                   "whether a maximum keeps NaN is not said"),
        Difference("*", always, ORT, "the evaluator fails on some windows, dilated or automatically padded"),
    ),
    "quantize": (
        Difference("QuantizeLinear DynamicQuantizeLinear", special, NEITHER, "NaN is no integer"),
    ),
    "recurrent": (
        Difference("*", always, ORT, "the evaluator knows neither lengths nor clipping nor initial states of every cell"),
    ),
    "reduction": (
        Difference("ArgMax ArgMin", has_nan, NEITHER, "whether NaN is the greatest is said nowhere, and each differs"),
        Difference("ReduceMax ReduceMin", has_nan, ONNX, "onnxruntime loses some NaN in a maximum of two"),
        Difference("ReduceLogSumExp", infinite, NEITHER, "the evaluator makes NaN of the sum of nothing but zeros, onnxruntime loses NaN"),
        Difference("ReduceLogSumExp", has_nan, ONNX, "onnxruntime loses NaN in the maximum it takes off"),
        Difference("ReduceMean ReduceMax ReduceMin ReduceLogSum ReduceLogSumExp", empty, NEITHER, "the mean or maximum of nothing is not said to be anything"),
        Difference("ReduceSum ReduceL1 ReduceProd ReduceSumSquare", large_integers, ONNX, "onnxruntime sums integers in floats, or lets them saturate; they wrap"),
    ),
    "resize": (
        Difference("Resize GridSample AffineGrid RoiAlign", special, NEITHER, "whether a weight of 0 keeps NaN is not said"),
        Difference("Resize GridSample", always, ORT, "the evaluator needs a second an image"),
    ),
    "selection": (
        Difference("TopK Unique", has_nan, NEITHER, "whether NaN is the greatest, or equals itself, is not said"),
        Difference("Unique", unsorted, ORT, "the evaluator sorts along an axis all the same"),
    ),
    "softmax": (
        Difference("LogSoftmax Softmax", infinite, NEITHER, "where the greatest is infinite, some subtract it and some do not"),
        Difference("Hardmax", has_nan, NEITHER, "whether NaN is the greatest is not said"),
    ),
}
# By family of rows; a family that is not here is one on whose operators the references agree. Bodies hold operators of all.
TABLES: dict[str, tuple[Difference, ...]] = {
    **OWN,
    "control": (
        *(d for table in OWN.values() for d in table if d.ops != "*"),
        Difference("Loop", counts_on_no_trip, NEITHER, "how much a trip would have counted is not said where there is none"),
        Difference("Scan", empty, NEITHER, "onnxruntime divides by zero where it moves an axis of an empty result"),
        Difference("*", always, ORT, "a body is judged node by node in its own family"),
    ),
}


def trusted(node: onnx.NodeProto, operands: list[Var], opset: int) -> reference.Results:
    """What onnxruntime says, where a row does not say that it is off. Raises Refused."""
    chosen = of(TABLES["control"], node, operands)
    if chosen is not None and chosen.follow != ORT:
        raise reference.Refused(chosen.why)
    return reference.by_ort(node, operands, opset)


def of(table: Sequence[Difference], node: onnx.NodeProto, operands: Sequence[Var]) -> Difference | None:
    """The first row of ``table`` for a node on these operands, if there is one."""
    return next((d for d in table if d.ops in ("*", node.op_type) or node.op_type in d.ops.split() if d.when(node, operands)), None)
