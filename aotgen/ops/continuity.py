# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Which operators are continuous in their operands: a rounding more or less on the way changes little, so 16-bit values may
stay wide between them."""

# Continuous functions of their operands, which all have the result's type.
ARITHMETIC = frozenset(
    """Abs Acos Acosh Add Asin Asinh Atan Atanh AveragePool BatchNormalization Celu Clip Conv ConvTranspose Cos Cosh CumSum Div
    Elu Erf Exp FastGelu BiasGelu Gelu GlobalAveragePool GlobalLpPool GlobalMaxPool GroupNormalization HardSigmoid HardSwish
    InstanceNormalization LRN LayerNormalization LeakyRelu Log LogSoftmax LpNormalization LpPool MatMul Max MaxPool Mean
    MeanVarianceNormalization Min Mish Mul Neg PRelu Pow QuickGelu RMSNormalization Reciprocal ReduceL1 ReduceL2 ReduceLogSum
    ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Selu Sigmoid
    SimplifiedLayerNormalization Sin Sinh SkipLayerNormalization SkipSimplifiedLayerNormalization Softmax Softplus Softsign
    Sqrt Sub Sum Swish Tan Tanh
    AttentionBias Einsum1 MaskedSoftmax Resample Rotate""".split()
)
# Movement joins a run that has begun: on its own it has nothing to compute.
MOVEMENT = frozenset(
    """Concat DepthToSpace Expand Flatten Gather GatherElements GatherND Identity Pad Reshape Slice SpaceToDepth Split Squeeze
    Tile Transpose Unsqueeze Where""".split()
)
