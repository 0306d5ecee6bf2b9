# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""conv(pad(x, 0), p) = conv(x, p + pad); the same for average pooling that counts its padding, and for max pooling of
x padded with -inf. Only for pads >= 0 of spatial axes."""

from __future__ import annotations

import numpy as np

from aotgen.ir.graph import Graph, Node
from aotgen.passes.rewrite import Rewrite, transform

name = "fold_pad"


def run(graph: Graph) -> Graph:
    return transform(graph, _visit)


def _visit(rw: Rewrite, node: Node) -> bool:
    if node.domain or node.op not in ("Conv", "AveragePool", "MaxPool") or node.inputs[0] is None:
        return False
    pad = rw.producer(node.inputs[0])
    if pad is None or pad.op != "Pad" or pad.domain or pad.attrs.get("mode", "constant") != "constant":
        return False
    if node.attrs.get("auto_pad", "NOTSET") not in ("NOTSET", "VALID"):
        return False
    extra, fill = _spatial_pads(rw, pad), _fill(rw, pad)
    if extra is None or fill is None or not _agrees(node, fill):
        return False
    own = [0] * len(extra) if node.attrs.get("auto_pad") == "VALID" else node.attrs.get("pads", [0] * len(extra))
    attrs = {k: v for k, v in node.attrs.items() if k != "auto_pad"}
    attrs["pads"] = [int(a) + b for a, b in zip(own, extra, strict=True)]
    if node.op == "AveragePool":
        attrs["count_include_pad"] = 1
    rw.emit(node, [pad.inputs[0], *node.inputs[1:]], attrs)
    return True


def _spatial_pads(rw: Rewrite, pad: Node) -> list[int] | None:
    """``[begin..., end...]`` of the axes from 2 on, or None when other axes are padded or anything is negative."""
    assert pad.inputs[0] is not None
    rank = len(pad.inputs[0].shape)
    pads = rw.small(pad.inputs[1])
    if pads is None:
        return None
    axes = list(range(rank))
    if len(pad.inputs) > 3 and pad.inputs[3] is not None:
        given = rw.small(pad.inputs[3])
        if given is None:
            return None
        axes = [int(a) % rank for a in given.ravel()]
    before, after = [0] * rank, [0] * rank
    for k, axis in enumerate(axes):
        before[axis], after[axis] = int(pads[k]), int(pads[k + len(axes)])
    if min(before + after) < 0 or any(before[:2] + after[:2]):
        return None
    return before[2:] + after[2:]


def _fill(rw: Rewrite, pad: Node) -> float | None:
    if len(pad.inputs) < 3 or pad.inputs[2] is None:
        return 0.0
    value = rw.small(pad.inputs[2])
    return None if value is None else float(value.ravel()[0])


def _agrees(node: Node, fill: float) -> bool:
    """Is padding with ``fill`` what the node's own padding does?"""
    if node.op == "Conv":
        return fill == 0
    if node.attrs.get("ceil_mode", 0):
        return False
    if node.op == "MaxPool":
        return fill == -np.inf and len([v for v in node.outputs if v is not None]) == 1
    own = any(node.attrs.get("pads", ()))
    return fill == 0 and (not own or bool(node.attrs.get("count_include_pad", 0)))
