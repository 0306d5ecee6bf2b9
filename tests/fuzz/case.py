# SPDX-License-Identifier: Apache-2.0 WITH LLVM-exception
"""A finished graph with its inputs and what it should give; how one is made from a seed, kept and read again."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import numpy as np
import onnx
from onnx import numpy_helper

from tests.fuzz import differences, reference, rows
from tests.fuzz.generator import Gen, Settings, Wrong
from tests.fuzz.values import Array, Var

Arrays = dict[str, Array]
OPSETS = (reference.OPSET, 23)
TRIES = 4  # rows tried for every node wanted
KEPT = 0.08  # of the inner values are outputs too


@dataclass(frozen=True)
class Case:
    """``feeds``, one a run, and by run the outputs of a float64 evaluation (``truth``). ``dynamic``: dims are open."""

    name: str
    model: onnx.ModelProto
    feeds: Sequence[Arrays]
    truth: Sequence[Arrays]
    dynamic: bool = False
    pointwise: bool = False


@dataclass
class Made:
    """``case``: None where no row applied. ``wrongs``: nodes on which the interpreter and onnxruntime disagree."""

    case: Case | None
    wrongs: list[Wrong]
    skipped: Counter[str] = field(default_factory=Counter)
    rows: Counter[str] = field(default_factory=Counter)


def grown(seed: int, nodes: tuple[int, int], sizes: tuple[Mapping[str, int], ...] = ({}, {})) -> Made:
    """The graph of ``seed``, of so many nodes."""
    rnd = Random(seed)
    g = Gen(rnd, Settings(tuple(dict(s) for s in sizes), opset=rnd.choice(OPSETS), ask=differences.trusted))
    wanted = g.int(*nodes)
    used: Counter[str] = Counter()
    for _ in range(TRIES * wanted):
        if len(g.nodes) >= wanted:
            break
        row = rows.pick(g.rnd)
        used[row.name] += g.attempt(row.make)
    return Made(finished(f"seed{seed}", g) if g.nodes else None, g.wrongs, g.skipped, used)


def finished(name: str, g: Gen, pointwise: bool = False) -> Case:
    """What ``g`` holds as a case: values that nothing reads are its outputs, and a few others."""
    made = {o for n in g.nodes for o in n.output}
    outs = [v for v in g.values if v.name in made and (v.name not in g.used or g.chance(KEPT))]
    read = g.used | {v.name for v in outs}
    inputs = [v for v in g.inputs if v.name in read]
    symbols = g.settings.symbols()
    ports = [reference.port(v.name, v.plain[0], [symbols.get(s, s[0]) for s in v.sizes]) for v in inputs]
    weights = [numpy_helper.from_array(v.plain[0], v.name) for v in g.weights if v.name in read]
    model = reference.model_of(g.nodes, ports, weights, [v.name for v in outs], g.settings.opset)
    runs = range(g.settings.runs)
    return Case(name, model, [_run(inputs, k, "plain") for k in runs], [_run(outs, k, "wide") for k in runs],
                bool(symbols), pointwise)


def _run(values: Sequence[Var], k: int, what: str) -> Arrays:
    return {v.name: getattr(v, what)[k] for v in values}


def save(case: Case, folder: Path) -> Path:
    """``case`` as files: ``NAME.onnx`` and ``NAME.npz`` (inputs as ``in:RUN:NAME``, truth as ``out:RUN:NAME``)."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{case.name}.onnx"
    onnx.save(case.model, path)
    arrays = {f"{kind}:{k}:{name}": a for kind, runs in (("in", case.feeds), ("out", case.truth))
              for k, run in enumerate(runs) for name, a in run.items()}
    about = json.dumps({"dynamic": case.dynamic, "pointwise": case.pointwise, "runs": len(case.feeds)})
    np.savez(path.with_suffix(".npz"), about=np.array(about), **arrays)  # type: ignore[arg-type]
    return path


def read(path: Path) -> Case:
    """What ``save`` wrote."""
    with np.load(path.with_suffix(".npz"), allow_pickle=False) as stored:
        about = json.loads(str(stored["about"]))
        runs = {kind: [{} for _ in range(about["runs"])] for kind in ("in", "out")}
        for key in stored.files:
            kind, _, rest = key.partition(":")
            if kind in runs:
                k, _, name = rest.partition(":")
                runs[kind][int(k)][name] = stored[key]
    return Case(path.stem, onnx.load(path), runs["in"], runs["out"], about["dynamic"], about["pointwise"])
