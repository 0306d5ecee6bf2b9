# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""The models of the shared folder, by corpus, and what each is run on.

``models``: whole networks with stored inputs and outputs, some at two sets of sizes.
``ort_models``: graphs with stored inputs and outputs (where a file is too large for the folder, inputs are drawn).
``op_models``: graphs of few operators, inputs drawn, onnxruntime the reference. Two modes: ``fixed``, every extent as in the
inputs; ``open``, models with named or unknown dims only, one artefact for several sizes.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx

from aotgen import frontend
from aotgen.core.errors import AotgenError
from aotgen.core.options import CompileOptions
from aotgen.ir.index import Dim
from aotgen.verify import inputs, ort, reference

SHARED = Path(__file__).resolve().parents[3] / "shared"
CORPORA = ("models", "ort_models", "op_models")
MODES = ("fixed", "open")
SETS = ("", "_1")
LARGEST = 1 << 24  # elements of all inputs together: enough to draw
GUESSES = (2, 4, 1, 8, 16)  # extents to try for dims that nothing fixes
# Sizes near stored ones: a network may be too slow at larger, and undefined at much smaller ones.
NEARBY: tuple[Callable[[int], int], ...] = (lambda n: n + 1 if n < 8 else n - n // 4, lambda n: max(1, n - 1), lambda n: n + 2)
Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """One model: its ``name`` within ``corpus`` and the ``path`` of its file."""

    corpus: str
    name: str
    path: Path
    dynamic: bool

    def stored(self, kind: str, set_: str = "") -> dict[str, Any] | None:
        """The stored ``inputs``, ``outputs`` or (without onnxruntime's optimiser) ``outputs_noopt``, by name."""
        whole = self.path.name == "model.onnx" and self.corpus == "models"
        path = self.path.with_name(f"{kind}{set_}.npz") if whole else self.path.with_suffix(f".{kind}{set_}.npz")
        if not path.exists():
            return None
        with np.load(path) as f:
            found = {k: f[k] for k in f.files}
        scalars = {i.name for i in free_inputs(self) if not _shape(i, 0)} if kind == "inputs" else set()
        return {k: v.reshape(()) if k in scalars and v.size == 1 else v for k, v in found.items()}  # stored as [1]


@cache
def everything(corpus: str) -> dict[str, Case]:
    """The cases of ``corpus`` by name; none where the shared folder is not here."""
    root = SHARED / corpus
    if corpus == "models":
        found = {m.parent.name: json.loads(m.read_text("utf-8")) for m in sorted(root.glob("*/META.json"))}
        return {n: Case(corpus, n, root / n / "model.onnx", "dynamic-dims" in m["needs"]) for n, m in found.items()}
    if not (root / "manifest.json").exists():
        return {}
    rows = json.loads((root / "manifest.json").read_text("utf-8"))
    usable = rows.get("usable", rows)
    folder = root / "usable" if "usable" in rows else root
    out = {}
    for file, row in sorted(usable.items()):
        dynamic = any(isinstance(d, str) for _, _, shape in row["inputs"] for d in shape or ())
        out[file.removesuffix(".onnx")] = Case(corpus, file.removesuffix(".onnx"), folder / file, dynamic)
    return out


def named(corpus: str, mode: str) -> list[str]:
    """The cases of ``corpus`` that ``mode`` is about."""
    return [name for name, case in everything(corpus).items() if mode == "fixed" or case.dynamic]


def options_of(case: Case, mode: str) -> CompileOptions:
    """How ``case`` is compiled. Raises AotgenError where no inputs can be drawn that would fix its extents."""
    if mode == "open":
        return CompileOptions(dynamic=True)
    given = case.stored("inputs")
    shapes = {k: v.shape for k, v in given.items()} if given is not None else drawn_shapes(case)
    return CompileOptions(input_shapes=tuple(sorted(shapes.items())))


def free_inputs(case: Case) -> list[onnx.ValueInfoProto]:
    graph = onnx.load(case.path, load_external_data=False).graph
    held = {i.name for i in graph.initializer}
    return [i for i in graph.input if i.name not in held]


def drawn_shapes(case: Case) -> dict[str, tuple[int, ...]]:
    """Shapes of the inputs: dims that the model leaves open get the first guess onnxruntime can run at."""
    if not case.dynamic:
        return {i.name: _shape(i, 0) for i in free_inputs(case)}
    error: Exception | None = None
    for guess in GUESSES:
        shapes = {i.name: _shape(i, guess) for i in free_inputs(case)}
        try:
            ort.run(case.path, drawn(case, CompileOptions(input_shapes=tuple(sorted(shapes.items())))))
        except Exception as e:  # onnxruntime's exceptions share no base of their own
            error = e
            continue
        return shapes
    raise AotgenError(f"no sizes fit: {error}")


def _shape(info: onnx.ValueInfoProto, guess: int) -> tuple[int, ...]:
    return tuple(d.dim_value if d.WhichOneof("value") == "dim_value" else guess for d in info.type.tensor_type.shape.dim)


def drawn(case: Case, options: CompileOptions, dims: Mapping[str, int] | None = None) -> dict[str, Any]:
    """Seeded inputs of the model as ``options`` see it."""
    return inputs.seeded(frontend.load_graph(case.path, options), 0, dims)


def runs_of(case: Case, options: CompileOptions) -> Iterator[tuple[Values, list[Values]]]:
    """What to run the compiled ``case`` on: inputs, and outputs of which one must be met (stored ones, onnxruntime's, and
    onnxruntime's without its optimiser, whose fused kernels round elsewhere)."""
    for set_ in SETS:
        given, stored = case.stored("inputs", set_), case.stored("outputs", set_)
        if given is not None and (options.dynamic or {k: v.shape for k, v in given.items()} == dict(options.input_shapes)):
            plain = case.stored("outputs_noopt", set_) or _reference(case, given, False, may_fail=stored is not None)
            yield given, [v for v in (stored, plain) if v is not None]
    if case.stored("inputs") is None and not options.dynamic:
        feeds = drawn(case, options)
        yield feeds, _references(case, feeds)
    if options.dynamic:
        yield from _further_sizes(case, options)


def _further_sizes(case: Case, options: CompileOptions) -> Iterator[tuple[Values, list[Values]]]:
    """Sizes of which onnxruntime runs the model."""
    graph = frontend.load_graph(case.path, options)
    given = case.stored("inputs")
    if given is not None:
        settings = [{k: near(n) for k, n in inputs.dims_from(graph, given).items()} for near in NEARBY]
    else:
        names = [a.name for a in graph.dims()]
        mixed = itertools.product(GUESSES[:3], repeat=min(len(names), 3))
        settings = inputs.sizes(graph) + [dict(zip(names, itertools.chain(m, itertools.repeat(m[0])))) for m in mixed]
    for setting in settings:
        if sum(_size(v.shape, setting) for v in graph.inputs) > LARGEST:
            continue
        try:
            feeds = inputs.seeded(graph, 1, setting)
            wanted = _references(case, feeds)
        except Exception:  # sizes that do not fit each other; onnxruntime's exceptions share no base of their own
            continue
        yield feeds, wanted


def _size(shape: Sequence[Dim], dims: Mapping[str, int]) -> int:
    return math.prod(inputs.extent(d, dims) for d in shape)


def _references(case: Case, feeds: Values) -> list[Values]:
    plain = _reference(case, feeds, False, may_fail=True)
    return [v for v in (_reference(case, feeds, True), plain) if v is not None]


def _reference(case: Case, feeds: Values, optimise: bool, may_fail: bool = False) -> Values | None:
    """What onnxruntime gives; None where it ``may_fail`` (its optimiser repairs models that it then cannot run as written)."""
    try:
        return {k: _table(case, k, v) for k, v in ort.run(case.path, feeds, optimise).items()}
    except Exception:
        if may_fail:
            return None
        raise


def _table(case: Case, name: str, value: Any) -> Any:
    """The maps of a ZipMap as the matrix of scores that we make of them, a column a label in the model's order."""
    maps = value.tolist() if isinstance(value, np.ndarray) and value.dtype == object else []
    if not maps or not isinstance(maps[0], dict):
        return value
    graph = onnx.load(case.path, load_external_data=False).graph
    (node,) = (n for n in graph.node if n.op_type == "ZipMap" and name in n.output)
    labels = next(onnx.helper.get_attribute_value(a) for a in node.attribute if a.name.startswith("classlabels"))
    keys = [k.decode() if isinstance(k, bytes) else k for k in labels]
    return np.array([[row[k] for k in keys] for row in maps], np.float32)


def truth(case: Case, options: CompileOptions, feeds: Values) -> Values | None:
    """A float64 run, or None where there is none."""
    graph = frontend.load_graph(case.path, options)
    return reference.truth(graph, case.path, feeds, inputs.dims_from(graph, feeds)).outputs
