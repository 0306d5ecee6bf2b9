# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""ai.onnx.ml operators."""

from __future__ import annotations

from aotgen.core import dtypes
from aotgen.frontend.opset import Draft, adapter
from aotgen.ops.builder import Builder


@adapter("LabelEncoder", to=2, domain="ai.onnx.ml")
def label_encoder_classes(n: Draft, b: Builder) -> None:
    """Version 1 mapped a string to its index in ``classes_strings`` and an integer to the string at that index."""
    classes = list(n.attrs.pop("classes_strings", []))
    numbers = list(range(len(classes)))
    if n.input(0).dtype is dtypes.string:
        n.attrs.update(keys_strings=classes, values_int64s=numbers)
    else:
        n.attrs.update(keys_int64s=numbers, values_strings=classes)
