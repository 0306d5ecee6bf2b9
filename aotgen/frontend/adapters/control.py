# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""Scan before opset 9, which had a batch axis and optional sequence lengths."""

from __future__ import annotations

import numpy as np
from onnx import ValueInfoProto, helper

from aotgen.frontend.opset import Draft, Results, adapter
from aotgen.ir.graph import Value
from aotgen.ops.builder import Builder


@adapter("Scan", to=9)
def scan_batch(n: Draft, b: Builder) -> None:
    """Opset 8: input 0 held sequence lengths, every other operand had a leading batch axis. A batch of one is the newer
    Scan with that axis removed; a larger one is a Scan over the batch, of such Scans."""
    if n.given(0):
        raise n.refuse("Scan of opset 8 with sequence_lens is not supported", "export the model for opset 9 or newer")
    operands = n.inputs[1:]
    if any(v is not None and (not v.shape or v.shape[0] != 1) for v in operands):
        _one_by_one(n, operands)
        return
    zero = b.constant(np.zeros(1, np.int64))
    n.inputs = [None if v is None else b.op("Squeeze", [v, zero]) for v in operands]
    if "directions" in n.attrs:
        n.attrs["scan_input_directions"] = n.attrs.pop("directions")

    def finish(results: Results) -> Results:
        def restore(v: Value | None) -> Value | None:
            return None if v is None else b.op("Unsqueeze", [v, zero])

        return tuple(map(restore, results))

    n.finish = finish


def _one_by_one(n: Draft, operands: list[Value | None]) -> None:
    """Make ``n`` the newer Scan over its batch, with the old one of a batch of one in its body."""
    ins, outs = [[f"{n.origin}.{kind}{k}" for k in range(count)] for kind, count in (("in", len(operands)), ("out", len(n.outputs)))]
    nodes = [helper.make_node("Unsqueeze", [i], [f"{i}.batch"], axes=[0]) for i in ins]
    attrs = {k: v for k, v in n.attrs.items() if k in ("num_scan_inputs", "directions")}
    nodes.append(helper.make_node("Scan", ["", *(f"{i}.batch" for i in ins)], [f"{o}.batch" for o in outs], n.origin,
                                  body=n.graphs["body"], **attrs))
    nodes += [helper.make_node("Squeeze", [f"{o}.batch"], [o], axes=[0]) for o in outs]
    body = helper.make_graph(nodes, n.origin, [ValueInfoProto(name=i) for i in ins], [ValueInfoProto(name=o) for o in outs])
    n.inputs, n.attrs, n.graphs = operands, {"num_scan_inputs": len(operands)}, {"body": body}
